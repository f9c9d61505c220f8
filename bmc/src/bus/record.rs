//! Recordings of buses: what was said, and when, a line of JSON each.
//!
//! ```text
//! {"at_us":1200,"bus":"i2c-1","part":72,"call":{"read_word":15},"answer":[1,23]}
//! {"at_us":2000,"bus":"i2c-1","part":72,"call":"quick","errno":121}
//! {"at_us":3100,"bus":"control","sent":[61]}
//! {"at_us":3900,"bus":"control","got":[48,52]}
//! ```
//!
//! A recording holds what went over the wire, so also what a bus is unlocked
//! with: it is a file for its owner alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::warn;

use super::{
    i2c::{Call, SmBus},
    serial::SerialLink,
    wake::Wake,
};

/// The most a recording may hold, in bytes.
const LIMIT: u64 = 256 << 20;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Microseconds since the recording began.
    at_us: u64,
    pub(super) bus: String,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum What {
    Answered { part: u8, call: Call, answer: Vec<u8> },
    Failed { part: u8, call: Call, errno: i32 },
    Sent { sent: Vec<u8> },
    Got { got: Vec<u8> },
}

/// A recording that is being made. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Recorder {
    began: Instant,
    file: Arc<Mutex<Option<(File, u64)>>>,
}

impl Recorder {
    /// A recording in the file at `path`, which must not be there yet.
    ///
    /// # Errors
    /// What the file system said.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        let file = Arc::new(Mutex::new(Some((file.open(path)?, 0))));
        Ok(Self { began: Instant::now(), file })
    }

    /// `link`, with what is said on it noted under the name `bus`.
    #[must_use]
    pub fn i2c(&self, bus: &str, link: Box<dyn SmBus>) -> Box<dyn SmBus> {
        let (bus, recorder) = (bus.to_owned(), self.clone());
        Box::new(Recorded { bus, recorder, link })
    }

    /// `link`, with what is said on it noted under the name `bus`.
    #[must_use]
    pub fn serial(
        &self,
        bus: &str,
        link: Box<dyn SerialLink>,
    ) -> Box<dyn SerialLink> {
        let (bus, recorder) = (bus.to_owned(), self.clone());
        Box::new(Recorded { bus, recorder, link })
    }

    fn note(&self, bus: &str, what: What) {
        let at = self.began.elapsed().as_micros();
        let at_us = u64::try_from(at).unwrap_or(u64::MAX);
        let line = Line { at_us, bus: bus.to_owned(), what };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((open, length)) = file.as_mut() else { return };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        *length += text.len() as u64;
        let written = open.write_all(&text);
        if written.is_err() || *length > LIMIT {
            // What is looked after goes on without being recorded.
            warn!(error = ?written.err(), "recording ended");
            *file = None;
        }
    }
}

/// A bus that is listened to.
#[derive(Debug)]
struct Recorded<L> {
    bus: String,
    recorder: Recorder,
    link: L,
}

impl SmBus for Recorded<Box<dyn SmBus>> {
    fn call(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>> {
        let said = self.link.call(address, call);
        let (part, call) = (address, call.clone());
        let what = match &said {
            Ok(answer) => What::Answered { part, call, answer: answer.clone() },
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(IO);
                What::Failed { part, call, errno }
            }
        };
        self.recorder.note(&self.bus, what);
        said
    }
}

impl SerialLink for Recorded<Box<dyn SerialLink>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.link.write(bytes)?;
        self.recorder.note(&self.bus, What::Sent { sent: bytes.to_vec() });
        Ok(())
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        let count = self.link.read(buffer, patience)?;
        let got = buffer.get(..count).unwrap_or_default().to_vec();
        if !got.is_empty() {
            self.recorder.note(&self.bus, What::Got { got });
        }
        Ok(count)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.link.clear()
    }

    fn wait(&mut self, wake: &Wake, patience: Duration) -> io::Result<()> {
        self.link.wait(wake, patience)
    }
}

/// `EIO`.
const IO: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{
            I2cBus,
            replay::{REMOTE_IO, Recording},
        },
        sim::{
            i2c::SimulatedI2c,
            serial::{SerialPart, SimulatedSerial},
            tmp117::Tmp117,
        },
    };

    #[derive(Debug, Default)]
    struct Counter(u8, Vec<u8>);

    impl SerialPart for Counter {
        fn receive(&mut self, bytes: &[u8]) {
            self.0 += 1;
            self.1.extend(bytes);
            self.1.push(b'0' + self.0);
        }

        fn send(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.1)
        }
    }

    fn ask(line: &mut dyn SerialLink) -> Vec<u8> {
        let mut buffer = [0; 8];
        line.write(b"=").unwrap();
        let count = line.read(&mut buffer, Duration::from_millis(1)).unwrap();
        buffer.get(..count).unwrap().to_vec()
    }

    #[test]
    fn what_was_recorded_is_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blade.jsonl");
        let recorder = Recorder::create(&path).unwrap();
        let sim = SimulatedI2c::default();
        sim.attach(0x48, Tmp117::default());
        let bus = recorder.i2c("i2c-1", Box::new(sim.clone()));
        let chip = I2cBus::new("i2c-1", bus).chip(0x48);
        let first = chip.read_word_swapped(0).unwrap();
        sim.unplug(0x48);
        chip.read_word_swapped(0).unwrap_err();
        let counter = SimulatedSerial::new(Box::new(Counter::default()));
        let mut line = recorder.serial("control", Box::new(counter));
        assert_eq!([ask(&mut *line), ask(&mut *line)], [b"=1", b"=2"]);
        // It is never written over.
        assert!(Recorder::create(&path).is_err());

        let recording = Recording::read(&path).unwrap();
        let chip = I2cBus::new("i2c-1", recording.i2c("i2c-1")).chip(0x48);
        for _ in 0..2 {
            assert_eq!(chip.read_word_swapped(0).unwrap(), first);
            let error = chip.read_word_swapped(0).unwrap_err();
            assert_eq!(error.source.raw_os_error(), Some(REMOTE_IO));
        }
        chip.read_byte(9).unwrap_err();
        let mut line = recording.serial("control");
        assert_eq!([ask(&mut *line), ask(&mut *line)], [b"=1", b"=2"]);
        assert_eq!(ask(&mut *line), b"=1");

        std::fs::write(&path, "{\"at_us\":1}\n").unwrap();
        let error = Recording::read(&path).unwrap_err().to_string();
        assert!(error.starts_with("line 1: "), "{error}");
    }
}
