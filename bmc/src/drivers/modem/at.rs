//! The dialogue with a modem (ITU-T V.250, section 5; 3GPP TS 27.007,
//! section 9.2): a command, lines of an answer, and a word at its end. What
//! the modem says by itself may come between.

use std::{io, time::Duration};

use tokio::time::Instant;

use crate::bus::serial::SerialLink;

/// How long an answer may take; some ask the network.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a modem may take to say that it is there.
const SOON: Duration = Duration::from_millis(500);
/// The most that an answer has, in bytes.
const ANSWER: usize = 8 << 10;

/// What goes wrong in a dialogue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the line is not there: {0}")]
    Line(#[from] io::Error),
    #[error("no end of the answer to `{command}` within {} ms", .within.as_millis())]
    Silent { command: String, within: Duration },
    #[error("the answer to `{command}` is longer than {ANSWER} bytes")]
    Long { command: String },
    #[error("the modem says ERROR to `{command}`")]
    Refused { command: String },
    #[error("the modem says +{kind} ERROR: {code} to `{command}`")]
    Code { command: String, kind: &'static str, code: String },
    #[error("`{got}` is no answer to `{command}`")]
    Strange { command: String, got: String },
}

impl Error {
    /// Whether the modem answered, though not as one would like.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Code { .. })
    }
}

/// A modem at the far end of a line.
#[derive(Debug)]
pub(crate) struct At {
    link: Box<dyn SerialLink>,
}

impl At {
    pub(crate) fn new(link: Box<dyn SerialLink>) -> Self {
        Self { link }
    }

    /// Finds out whether somebody is there, whatever was said before.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn greet(&mut self) -> Result<(), Error> {
        self.within("AT", SOON)?;
        // From here on commands do not come back.
        self.within("ATE0", SOON).map(drop)
    }

    /// What the modem answers to `command`, a line each, without what it
    /// says by itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn ask(&mut self, command: &str) -> Result<Vec<String>, Error> {
        self.within(command, PATIENCE)
    }

    /// Sends a command that the modem may not live to answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn tell(&mut self, command: &str) -> Result<(), Error> {
        match self.within(command, PATIENCE) {
            Err(Error::Silent { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    fn within(
        &mut self,
        command: &str,
        within: Duration,
    ) -> Result<Vec<String>, Error> {
        let said = || command.to_owned();
        self.link.clear()?;
        self.link.write(format!("{command}\r").as_bytes())?;
        let end = Instant::now() + within;
        let (mut bytes, mut lines) = (Vec::new(), Vec::new());
        let mut taken = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut buffer = [0; 256];
            let count = self.link.read(&mut buffer, left)?;
            if count == 0 {
                return Err(Error::Silent { command: said(), within });
            }
            bytes.extend(buffer.iter().take(count));
            taken += count;
            if taken > ANSWER {
                return Err(Error::Long { command: said() });
            }
            while let Some(at) = bytes.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = bytes.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_matches(['\r', '\n', '\0']).trim();
                // With echo, the command comes back before its answer.
                let line = line.rsplit('\r').next().unwrap_or(line);
                match line {
                    "OK" => return Ok(lines),
                    "ERROR" => return Err(Error::Refused { command: said() }),
                    "" => {}
                    line if line == command => {}
                    line => {
                        for kind in ["CME", "CMS"] {
                            let head = format!("+{kind} ERROR:");
                            if let Some(code) = line.strip_prefix(&head) {
                                let code = code.trim().to_owned();
                                let command = said();
                                let error = Error::Code { command, kind, code };
                                return Err(error);
                            }
                        }
                        if belongs(command, line) {
                            lines.push(line.to_owned());
                        }
                    }
                }
            }
        }
    }
}

/// Whether a line is of the answer to `command`: it begins with the command's
/// name, or, where the command has an answer without a name, with no name.
fn belongs(command: &str, line: &str) -> bool {
    let name = command.strip_prefix("AT").unwrap_or(command);
    let end = name.find(['?', '=', '"']).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or(name);
    if let Some(rest) = line.strip_prefix(name)
        && !name.is_empty()
    {
        return rest.starts_with(':');
    }
    let by_itself = ["+", "^", "#", "RING", "NO CARRIER", "RDY", "APP RDY"];
    !by_itself.iter().any(|head| line.starts_with(head))
}

/// The fields after the name of a line: `+CREG: 0,1` has `0` and `1`.
pub(crate) fn fields(line: &str) -> Vec<&str> {
    let values = line.split_once(':').map_or(line, |(_, values)| values);
    let mut quoted = false;
    let parts = values.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.map(|part| part.trim().trim_matches('"')).collect()
}

/// The first of `lines`, or what is wrong with there being none.
///
/// # Errors
/// There is none.
pub(crate) fn first<'a>(
    command: &str,
    lines: &'a [String],
) -> Result<&'a str, Error> {
    lines.first().map(String::as_str).ok_or_else(|| Error::Strange {
        command: command.to_owned(),
        got: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_by_themselves_are_no_answers() {
        for (command, line, is) in [
            ("AT+CSQ", "+CSQ: 20,99", true),
            ("AT+CSQ", "+CREG: 5", false),
            ("AT+GMM", "EC25", true),
            ("AT+GMM", "+CMTI: \"SM\",3", false),
            ("AT+GMM", "RING", false),
            ("AT+CGSN", "867698041234567", true),
            ("AT+QCFG=\"usbnet\"", "+QCFG: \"usbnet\",1", true),
            ("AT#USBCFG?", "#USBCFG: 4", true),
            ("AT+CPIN?", "+CPINX: 1", false),
        ] {
            assert_eq!(belongs(command, line), is, "{command} {line}");
        }
        assert_eq!(fields("+COPS: 0,0,\"A, B\",7"), ["0", "0", "A, B", "7"]);
    }
}
