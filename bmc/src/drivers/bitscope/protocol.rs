//! The byte protocol of `BitScope` BMCs: one ASCII byte a command.
//!
//! Facts: the vendor's page "`BitScope` Control Plane", and what was seen on
//! an ER24A rack by others; nothing here was tried on real hardware by us.

use std::{fmt, io, time::Duration};

use tokio::time::Instant;

use crate::bus::{pause, serial::SerialLink};

/// Closes the pipe, and a console in it. The master always takes it.
const CLOSE: &[u8] = b"\x07";
/// A console loses what comes faster than a byte in this time.
const PACE: Duration = Duration::from_millis(2);
/// A reply has ended when nothing came for so long.
const SILENCE: Duration = Duration::from_millis(200);
/// A reply takes at most so long.
const CAP: Duration = Duration::from_secs(2);
/// A reply has at most so many bytes.
const LONGEST: usize = 512;
/// What a BMC from the factory is unlocked with.
const FACTORY: &[u8] = b"UnLockMe";

/// What unlocks the bus. It is never shown.
#[derive(Clone)]
pub(super) struct Secret(Vec<u8>);

impl Default for Secret {
    fn default() -> Self {
        Self(FACTORY.to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The first line of a file.
    pub(super) fn new(text: &str) -> Option<Self> {
        let line = text.lines().next().unwrap_or_default().trim();
        let fits = (1..=64).contains(&line.len())
            && line.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(line.as_bytes().to_vec()))
    }
}

/// What is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Status,
    On,
    Off,
    Console,
}

impl Ask {
    fn byte(self) -> char {
        match self {
            Self::Status => '=',
            Self::On => '/',
            Self::Off => '\\',
            Self::Console => '~',
        }
    }
}

/// A command as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// None is the master itself.
    pub(super) address: Option<u8>,
    pub(super) ask: Ask,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let byte = self.ask.byte();
        match self.address {
            Some(address) => write!(f, "`{byte}` to node {address:#04x}"),
            None => write!(f, "`{byte}` to the master"),
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{asked}: the line failed: {reason}")]
    Line { asked: Asked, reason: String },
    #[error("{asked}: nothing came back")]
    Silent { asked: Asked },
    #[error("{asked}: only its echo came back: {came}")]
    EchoOnly { asked: Asked, came: String },
    #[error("{asked}: {came} is no status")]
    Garbage { asked: Asked, came: String },
    #[error("{asked}: node {found:#04x} answered: {came}")]
    WrongAddress { asked: Asked, found: u8, came: String },
    #[error("{asked}: the state `{state}` is not known: {came}")]
    UnknownState { asked: Asked, state: String, came: String },
    #[error("{asked}: the bus stays locked, or hangs")]
    Locked { asked: Asked },
}

impl Error {
    /// Whether the whole bus is concerned, not one node.
    pub(super) fn is_of_bus(&self) -> bool {
        matches!(self, Self::Line { .. } | Self::Locked { .. })
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) address: u8,
    pub(super) master: bool,
    pub(super) on: bool,
    /// Its current, in counts of an unknown unit.
    pub(super) current: u8,
    /// The speed of its fan, in counts of an unknown unit.
    pub(super) fan: u8,
}

/// The bus, spoken to by one who waits for each answer.
#[derive(Debug)]
pub(super) struct Wire {
    link: Box<dyn SerialLink>,
    secret: Secret,
    /// The node of the master, once it was seen.
    master: Option<u8>,
    unlocked: bool,
}

impl Wire {
    pub(super) fn new(link: Box<dyn SerialLink>, secret: Secret) -> Self {
        Self { link, secret, master: None, unlocked: false }
    }

    /// The node whose serial port this is, which is never reached by a pipe.
    pub(super) fn master(&self) -> Option<u8> {
        self.master
    }

    /// Sees to it that the bus is unlocked and listens.
    pub(super) fn wake(&mut self) -> Result<Status, Error> {
        let asked = Asked { address: None, ask: Ask::Status };
        if self.unlocked
            && let Ok(status) = self.probe(asked)
        {
            return Ok(status);
        }
        self.unlocked = false;
        let line =
            |error: io::Error| Error::Line { asked, reason: error.to_string() };
        // Whoever had the line before may have left a pipe open.
        self.link.write(CLOSE).map_err(line)?;
        match self.probe(asked) {
            // Somebody has unlocked it already.
            Ok(status) => {
                self.unlocked = true;
                return Ok(status);
            }
            Err(error @ Error::Line { .. }) => return Err(error),
            Err(_) => {}
        }
        self.link.write(&self.secret.0).map_err(line)?;
        // What comes back may be an echo of the secret, and is not looked at.
        self.reply(|_| false).map_err(line)?;
        let status = self.probe(asked).map_err(|error| match error {
            Error::Line { .. } => error,
            _ => Error::Locked { asked },
        })?;
        self.unlocked = true;
        Ok(status)
    }

    /// A bare `=`: the master answers if it is unlocked.
    fn probe(&mut self, asked: Asked) -> Result<Status, Error> {
        let came = self.exchange(asked)?;
        let status = parse(asked, &came)?;
        if !status.master {
            let (found, came) = (status.address, shown(&came));
            return Err(Error::WrongAddress { asked, found, came });
        }
        self.master = Some(status.address);
        Ok(status)
    }

    /// How a node is. A bus that was locked is unlocked, once.
    pub(super) fn status(&mut self, address: u8) -> Result<Status, Error> {
        self.awake()?;
        if self.master == Some(address) {
            return self.wake();
        }
        let asked = Asked { address: Some(address), ask: Ask::Status };
        let first = self.ask_status(asked);
        match first {
            Err(Error::Silent { .. } | Error::EchoOnly { .. }) => {
                let was_unlocked = self.is_unlocked()?;
                if was_unlocked { first } else { self.ask_status(asked) }
            }
            other => other,
        }
    }

    /// Switches a node. Only a status that follows tells whether it did.
    pub(super) fn switch(
        &mut self,
        address: u8,
        on: bool,
    ) -> Result<(), Error> {
        let ask = if on { Ask::On } else { Ask::Off };
        let asked = Asked { address: Some(address), ask };
        self.awake()?;
        // Without a pipe, the command would be for the manager's own node.
        if self.master == Some(address) {
            return Err(Error::Locked { asked });
        }
        let came = self.exchange(asked)?;
        if !came.is_empty() || self.is_unlocked()? {
            let silent = came.is_empty();
            return if silent { Err(Error::Silent { asked }) } else { Ok(()) };
        }
        self.exchange(asked).map(drop)
    }

    /// Opens the console of a node, at the speed that `speed` stands for, and
    /// says what it has sent already. It stays open until [`Wire::hang_up`],
    /// and no command may be sent meanwhile.
    pub(super) fn open_console(
        &mut self,
        address: u8,
        speed: u8,
    ) -> Result<Vec<u8>, Error> {
        let asked = Asked { address: Some(address), ask: Ask::Console };
        self.awake()?;
        // Without a pipe, what is typed would be commands.
        if self.master == Some(address) {
            return Err(Error::Locked { asked });
        }
        let bytes = format!("[{address:02x}]|[{speed:02x}]~");
        let opened = self
            .link
            .clear()
            .and_then(|()| self.link.write(bytes.as_bytes()))
            .and_then(|()| self.reply(is_open));
        let failed = match opened {
            Ok(came) => {
                let echo = came.iter().position(|byte| *byte == b'~');
                if let Some(rest) = echo.and_then(|at| came.get(at + 1..)) {
                    return Ok(rest.to_vec());
                }
                // It may have been locked: the next one looks.
                self.unlocked = false;
                if came.is_empty() {
                    Error::Silent { asked }
                } else {
                    Error::Garbage { asked, came: shown(&came) }
                }
            }
            Err(error) => {
                self.unlocked = false;
                Error::Line { asked, reason: error.to_string() }
            }
        };
        self.hang_up();
        Err(failed)
    }

    /// What the open console sends, waiting for the first byte at most
    /// `patience`.
    pub(super) fn hear(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        let heard = self.link.read(buffer, patience);
        heard.inspect_err(|_| self.unlocked = false)
    }

    /// Sends what was typed to the open console, which loses what comes too
    /// fast.
    pub(super) fn type_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let sent = self.link.write(&[*byte]);
            sent.inspect_err(|_| self.unlocked = false)?;
            pause(PACE);
        }
        Ok(())
    }

    /// Closes the console.
    pub(super) fn hang_up(&mut self) {
        if self.link.write(CLOSE).is_err() {
            // The next one opens the line anew, and closes it first.
            self.unlocked = false;
        }
    }

    fn awake(&mut self) -> Result<(), Error> {
        if self.unlocked { Ok(()) } else { self.wake().map(drop) }
    }

    /// Whether the bus was unlocked all along; afterwards it is.
    fn is_unlocked(&mut self) -> Result<bool, Error> {
        let asked = Asked { address: None, ask: Ask::Status };
        if self.probe(asked).is_ok() {
            return Ok(true);
        }
        self.unlocked = false;
        self.wake().map(|_| false)
    }

    fn ask_status(&mut self, asked: Asked) -> Result<Status, Error> {
        let came = self.exchange(asked)?;
        parse(asked, &came)
    }

    /// Sends a command, takes what comes, and closes the pipe in any case.
    fn exchange(&mut self, asked: Asked) -> Result<Vec<u8>, Error> {
        let byte = asked.ask.byte();
        let bytes = match asked.address {
            Some(address) => format!("[{address:02x}]|{byte}"),
            None => byte.to_string(),
        };
        let done: fn(&[u8]) -> bool = match asked.ask {
            Ask::Status => is_complete,
            Ask::On => |came| came.ends_with(b"/"),
            Ask::Off => |came| came.ends_with(b"\\"),
            Ask::Console => is_open,
        };
        let came = self
            .link
            .clear()
            .and_then(|()| self.link.write(bytes.as_bytes()))
            .and_then(|()| self.reply(done));
        let closed = self.link.write(CLOSE);
        let came = came.and_then(|came| closed.map(|()| came));
        came.map_err(|error| {
            // It is another line when it comes back.
            self.unlocked = false;
            Error::Line { asked, reason: error.to_string() }
        })
    }

    fn reply(&mut self, done: fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let mut came = Vec::new();
        let mut buffer = [0; 64];
        let begin = Instant::now();
        while came.len() < LONGEST && begin.elapsed() < CAP && !done(&came) {
            let count = self.link.read(&mut buffer, SILENCE)?;
            if count == 0 {
                break;
            }
            came.extend(buffer.iter().take(count));
        }
        Ok(came)
    }
}

/// The lines of what came after the echo, in fields.
fn lines(came: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(came);
    let lines = text.split(['\n', '\r']).skip(1);
    let fields = |line: &str| line.split_whitespace().map(Into::into).collect();
    lines.map(fields).filter(|line: &Vec<String>| !line.is_empty()).collect()
}

/// Whether the command that opens a console was repeated.
fn is_open(came: &[u8]) -> bool {
    came.contains(&b'~')
}

/// Whether the fifth field of a status has come as a whole.
fn is_complete(came: &[u8]) -> bool {
    let ended = came.last().is_some_and(u8::is_ascii_whitespace);
    lines(came).last().is_some_and(|line| {
        line.get(4).is_some_and(|field| ended || field.len() >= 2)
    })
}

/// Takes a status apart: `ID MS XX YY ZZ`, after the echo and a new line.
fn parse(asked: Asked, came: &[u8]) -> Result<Status, Error> {
    if came.is_empty() {
        return Err(Error::Silent { asked });
    }
    let found = lines(came);
    let text = shown(came);
    if found.is_empty() && came.ends_with(b"=") {
        return Err(Error::EchoOnly { asked, came: text });
    }
    // A node that is not there leaves only what the master repeats.
    if found.is_empty() && came.ends_with(b"|") {
        return Err(Error::Silent { asked });
    }
    let garbage = || Error::Garbage { asked, came: text.clone() };
    let hex = |field: &str| u8::from_str_radix(field, 16).ok();
    let line = found.iter().find(|line| line.len() == 5);
    let Some([id, role, state, current, fan]) = line.map(Vec::as_slice) else {
        return Err(garbage());
    };
    let address = hex(id).ok_or_else(garbage)?;
    if asked.address.is_some_and(|asked| asked != address) {
        let came = text.clone();
        return Err(Error::WrongAddress { asked, found: address, came });
    }
    let master = match role.as_str() {
        "00" => true,
        "ff" | "FF" => false,
        _ => return Err(garbage()),
    };
    let on = match hex(state) {
        Some(1) => true,
        // Off, and disabled.
        Some(0 | 2) => false,
        _ => {
            let (state, came) = (state.clone(), text.clone());
            return Err(Error::UnknownState { asked, state, came });
        }
    };
    let current = hex(current).ok_or_else(garbage)?;
    let fan = hex(fan).ok_or_else(garbage)?;
    Ok(Status { address, master, on, current, fan })
}

/// Bytes for people: what cannot be printed is escaped, what is long is cut.
fn shown(came: &[u8]) -> String {
    let begin = came.get(..came.len().min(40)).unwrap_or_default();
    format!("`{}`", begin.escape_ascii())
}

/// Does everything once on a bus that `link` stands for.
#[cfg(any(test, fuzzing))]
pub(crate) fn converse(link: Box<dyn SerialLink>) {
    let mut wire = Wire::new(link, Secret::default());
    for address in [0x01, 0x42] {
        let _ = wire.status(address);
        let _ = wire.switch(address, true);
        if wire.open_console(address, 0x05).is_ok() {
            let _ = wire.hear(&mut [0; 64], Duration::ZERO);
            wire.hang_up();
        }
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
