//! The firmware of a Raspberry Pi, asked by its property mailbox: a message of
//! 32-bit words with one tag, which it answers in its place
//! (`include/soc/bcm2835/raspberrypi-firmware.h` of the kernel).

use std::{
    fs::{File, OpenOptions},
    io,
    path::PathBuf,
};

use crate::bus::ioctl::{self, WORDS};

/// A message with its answer.
pub type Message = [u32; WORDS];

/// Where a tag's values begin: after the length and the code of the message,
/// the tag, the size of its values, and how many are the answer's.
pub(crate) const VALUES: usize = 5;
/// The code of a message that was answered.
pub(crate) const ANSWERED: u32 = 0x8000_0000;

/// When it was made, in seconds since 1970.
pub(crate) const FIRMWARE: u32 = 0x0000_0001;
pub(crate) const REVISION: u32 = 0x0001_0002;
pub(crate) const SERIAL: u32 = 0x0001_0004;
/// Of a clock, in hertz.
pub(crate) const CLOCK: u32 = 0x0003_0002;
/// Of a rail, in microvolts.
pub(crate) const VOLTAGE: u32 = 0x0003_0003;
/// In thousandths of a degree.
pub(crate) const TEMPERATURE: u32 = 0x0003_0006;
pub(crate) const MAX_TEMPERATURE: u32 = 0x0003_000a;
pub(crate) const THROTTLED: u32 = 0x0003_0046;
/// Of the microcontroller on a `PoE` HAT: register, value, and what went wrong.
pub(crate) const POE: u32 = 0x0003_0049;
/// What [`VOLTAGE`] says of a rail that is none.
pub(crate) const NO_VOLTAGE: u32 = 0x8000_0000;

/// The way to the firmware.
pub trait Mailbox: Send {
    /// Has `message` answered in its place.
    ///
    /// # Errors
    /// It gets nowhere.
    fn call(&mut self, message: &mut Message) -> io::Result<()>;
}

/// What goes wrong with a question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not get through.
    #[error("ask the firmware for {tag:#010x} through {path}: {source}")]
    Mailbox {
        /// What was asked for.
        tag: u32,
        /// The device file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was not understood.
    #[error("the firmware does not know the property {tag:#010x}")]
    Unknown {
        /// What was asked for.
        tag: u32,
    },
    /// There is no such clock, rail or register.
    #[error("property {tag:#010x} of {of} is {value:#x}: there is none")]
    Absent {
        /// What was asked for.
        tag: u32,
        /// Of which.
        of: u32,
        /// What was answered.
        value: u32,
    },
}

/// The firmware.
pub(crate) struct Firmware {
    mailbox: Box<dyn Mailbox>,
    path: String,
}

impl Firmware {
    pub(crate) fn new(mailbox: Box<dyn Mailbox>, path: &str) -> Self {
        Self { mailbox, path: path.to_owned() }
    }

    /// The values of `tag`, as many as were given with the question.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn ask<const N: usize>(
        &mut self,
        tag: u32,
        values: [u32; N],
    ) -> Result<[u32; N], Error> {
        let mut message = [0; WORDS];
        let bytes = |words: usize| u32::try_from(words * 4).unwrap_or(u32::MAX);
        let head = [bytes(WORDS), 0, tag, bytes(N), 0];
        let words = head.into_iter().chain(values);
        for (into, word) in message.iter_mut().zip(words) {
            *into = word;
        }
        self.mailbox.call(&mut message).map_err(|source| Error::Mailbox {
            tag,
            path: self.path.clone(),
            source,
        })?;
        let [_, code, _, _, answered, ..] = message;
        // Bit 31 marks an answer; what is not known is left as it was.
        let answered = (answered & ANSWERED != 0).then_some(());
        let found = message.get(VALUES..VALUES + N);
        let found = found.and_then(|found| found.try_into().ok());
        found
            .filter(|_| code == ANSWERED && answered.is_some())
            .ok_or(Error::Unknown { tag })
    }

    /// The number that the firmware has of `tag` for `of`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn number(&mut self, tag: u32, of: u32) -> Result<u32, Error> {
        let [_, value] = self.ask(tag, [of, 0])?;
        let none = match tag {
            CLOCK => value == 0,
            VOLTAGE => value == 0 || value == NO_VOLTAGE,
            _ => false,
        };
        if none { Err(Error::Absent { tag, of, value }) } else { Ok(value) }
    }
}

/// The mailbox as the kernel has it. Its device file is opened when it is
/// needed, and anew after an error.
#[derive(Debug)]
pub struct KernelMailbox {
    path: PathBuf,
    file: Option<File>,
}

impl KernelMailbox {
    /// The mailbox at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

/// Says what a machine without a mailbox lacks.
fn missing(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return error;
    }
    let text = "there is no such device file: this kernel has no driver for \
                it, unlike Raspberry Pi's own";
    io::Error::new(error.kind(), text)
}

impl Mailbox for KernelMailbox {
    fn call(&mut self, message: &mut Message) -> io::Result<()> {
        let file = if let Some(file) = self.file.take() {
            file
        } else {
            let mut options = OpenOptions::new();
            options.read(true).write(true);
            options.open(&self.path).map_err(missing)?
        };
        ioctl::property(&file, message)?;
        self.file = Some(file);
        Ok(())
    }
}
