//! The virtual machine's side of the line: each byte is a command, and is
//! echoed when it has been carried out (VM01B, "Execution model").

use std::{fmt::Write as _, io, time::Duration};

use tokio::time::Instant;

use super::register::Register;
use crate::bus::serial::SerialLink;

/// How long the echo of a command may take, and each byte of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what was under way is heard out before a reset is answered.
const STALE: usize = 64 << 10;
/// How long an identity is; `BS000501`.
const IDENTITY: usize = 8;
/// The longest line of an answer.
const LINE: usize = 16;

/// What goes wrong on the line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the line is not there: {0}")]
    Line(#[from] io::Error),
    #[error("nothing came back within {} ms of `{sent}`", PATIENCE.as_millis())]
    Silent { sent: String },
    #[error("`{got}` came back instead of `{sent}`")]
    Echo { sent: String, got: String },
    #[error("`{got}` is no answer to `{to}`")]
    Answer { to: char, got: String },
    #[error("{got} bytes of {wanted} came")]
    Short { wanted: usize, got: usize },
    #[error("it says that it is `{found}`: no instrument that is known")]
    WrongPart { found: String },
}

/// What may be said of bytes that came.
fn shown(bytes: &[u8]) -> String {
    let bytes = bytes.get(..bytes.len().min(40)).unwrap_or_default();
    bytes.escape_ascii().to_string()
}

/// The machine at the far end of a line.
#[derive(Debug)]
pub(crate) struct Vm {
    link: Box<dyn SerialLink>,
    waiting: Vec<u8>,
}

impl Vm {
    pub(crate) fn new(link: Box<dyn SerialLink>) -> Self {
        Self { link, waiting: Vec::new() }
    }

    /// Resets it, whatever was under way, and asks who it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn identify(&mut self) -> Result<String, Error> {
        self.waiting.clear();
        self.link.clear()?;
        self.link.write(b"!")?;
        let (mut heard, until) = (0, Instant::now() + PATIENCE);
        loop {
            let byte = self.byte()?;
            match byte {
                Some(b'!') => break,
                Some(_) if heard < STALE && Instant::now() < until => {
                    heard += 1;
                }
                Some(byte) => {
                    let (sent, got) = ("!".to_owned(), shown(&[byte]));
                    return Err(Error::Echo { sent, got });
                }
                None => return Err(Error::Silent { sent: "!".to_owned() }),
            }
        }
        self.issue(b"?")?;
        let identity = self.line('?')?;
        if identity.len() != IDENTITY {
            return Err(Error::Answer { to: '?', got: identity });
        }
        Ok(identity)
    }

    /// Sends commands, and waits until all have been carried out.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn issue(&mut self, commands: &[u8]) -> Result<(), Error> {
        self.waiting.clear();
        self.link.clear()?;
        self.link.write(commands)?;
        for (at, sent) in commands.iter().enumerate() {
            let byte = self.byte()?;
            if byte != Some(*sent) {
                let sent = shown(commands.get(at..).unwrap_or_default());
                return Err(match byte {
                    Some(byte) => Error::Echo { sent, got: shown(&[byte]) },
                    None => Error::Silent { sent },
                });
            }
        }
        Ok(())
    }

    /// Stores values in registers, then carries out `command`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn set(
        &mut self,
        values: &[(Register, u32)],
        command: &str,
    ) -> Result<(), Error> {
        let mut commands = String::new();
        for (register, value) in values {
            store(&mut commands, *register, *value);
        }
        if !commands.is_empty() {
            self.issue(commands.as_bytes())?;
        }
        for command in command.bytes() {
            self.issue(&[command])?;
        }
        Ok(())
    }

    /// Stops what is under way. Its answer comes after the echo.
    ///
    /// # Errors
    /// The line is not there.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        Ok(self.link.write(b"K")?)
    }

    /// The next line of the answer to `to`, waiting as long as usual.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn line(&mut self, to: char) -> Result<String, Error> {
        let line = self.line_within(to, PATIENCE)?;
        line.ok_or_else(|| Error::Silent { sent: to.into() })
    }

    /// The next line of the answer to `to`, if it begins within `patience`.
    /// Empty lines are none.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn line_within(
        &mut self,
        to: char,
        patience: Duration,
    ) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        let until = Instant::now() + patience;
        loop {
            let patience = if line.is_empty() { patience } else { PATIENCE };
            match self.byte_within(patience)? {
                Some(b'\r' | b'\n') if line.is_empty() => {
                    if Instant::now() >= until {
                        return Ok(None);
                    }
                }
                Some(b'\r') => break,
                Some(byte) => line.push(byte),
                None if line.is_empty() => return Ok(None),
                None => return Err(Error::Answer { to, got: shown(&line) }),
            }
            if line.len() > LINE {
                return Err(Error::Answer { to, got: shown(&line) });
            }
        }
        let text = String::from_utf8(line);
        let fits = |text: &String| text.bytes().all(|c| c.is_ascii_graphic());
        match text {
            Ok(text) if fits(&text) => Ok(Some(text)),
            Ok(text) => Err(Error::Answer { to, got: shown(text.as_bytes()) }),
            Err(error) => {
                Err(Error::Answer { to, got: shown(error.as_bytes()) })
            }
        }
    }

    /// The number on the next line of the answer to `to`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn number(&mut self, to: char) -> Result<u32, Error> {
        let line = self.line(to)?;
        hex(to, &line)
    }

    /// Exactly `count` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let Some(byte) = self.byte()? else {
                let got = bytes.len();
                return Err(Error::Short { wanted: count, got });
            };
            bytes.push(byte);
        }
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<Option<u8>, Error> {
        self.byte_within(PATIENCE)
    }

    fn byte_within(&mut self, patience: Duration) -> Result<Option<u8>, Error> {
        if self.waiting.is_empty() {
            let mut buffer = [0; 512];
            let count = self.link.read(&mut buffer, patience)?;
            self.waiting.extend(buffer.iter().take(count).rev());
        }
        Ok(self.waiting.pop())
    }
}

/// The number that a line of the answer to `to` is.
///
/// # Errors
/// It is none.
pub(crate) fn hex(to: char, line: &str) -> Result<u32, Error> {
    let number = u32::from_str_radix(line, 16);
    number.map_err(|_| Error::Answer { to, got: shown(line.as_bytes()) })
}

/// The commands that store `value` in a register, the lowest byte first:
/// `[50]@[78]z[56]s`.
fn store(commands: &mut String, register: Register, value: u32) {
    let Register(address, count) = register;
    // Writing into a text cannot fail.
    let _ = write!(commands, "[{address:02x}]@");
    let bytes = value.to_le_bytes();
    for (at, byte) in bytes.iter().take(count.into()).enumerate() {
        let end = if at + 1 == usize::from(count) { 's' } else { 'z' };
        let _ = write!(commands, "[{byte:02x}]{end}");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::register, *};

    #[test]
    fn registers_are_stored_as_the_specification_shows_it() {
        let mut commands = String::new();
        store(&mut commands, Register(0x45, 1), 0xb8);
        assert_eq!(commands, "[45]@[b8]s");
        commands.clear();
        store(&mut commands, Register(0x50, 4), 0x1234_5678);
        assert_eq!(commands, "[50]@[78]z[56]z[34]z[12]s");
        commands.clear();
        store(&mut commands, register::SAMPLE_ADDRESS, 0x2fff);
        assert_eq!(commands, "[08]@[ff]z[2f]z[00]s");
    }
}
