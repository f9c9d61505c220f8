//! How the HAT is spoken to: frames with a checksum, one dialogue at a time.

use std::{io, time::Duration};

use crate::bus::{Chip, I2cError, pause};

/// The register that takes a request.
pub(crate) const REGISTER: u8 = 0x01;
/// How a request begins, and an answer.
pub(crate) const STARTS: [u8; 2] = [0xcd, 0xdc];
/// What says that it is a request, and that it is an answer.
pub(crate) const TYPES: [u8; 2] = [1, 2];
/// Start, command, type, and two bytes of length.
pub(crate) const HEADER: usize = 5;
/// The longest answer is that of an event; its data have ten bytes.
const LONGEST: usize = 32;

/// How often a request is made before it has failed, and how long the HAT is
/// left alone in between.
pub(crate) const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);

/// What the HAT says to a setting that it took.
const SET: u8 = 1;

/// What goes wrong in a dialogue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("command {command}: {source}")]
    Bus { command: u8, source: I2cError },
    #[error(
        "command {command} at {place}: {what} of the answer is {found:#04x}, \
         not {wanted:#04x}"
    )]
    Frame {
        command: u8,
        place: String,
        what: &'static str,
        found: u8,
        wanted: u8,
    },
    #[error(
        "command {command} at {place}: {found} bytes of data came, \
         {wanted} were to come"
    )]
    Length { command: u8, place: String, found: usize, wanted: &'static str },
    #[error(
        "command {command} at {place}: checksum {found:#06x}, counted \
         {counted:#06x}"
    )]
    Checksum { command: u8, place: String, found: u16, counted: u16 },
    #[error("command {command} at {place}: {found:#b}, not {wanted:#b}")]
    Mask { command: u8, place: String, found: i32, wanted: i32 },
    #[error("command {command} with {value:?} at {place} was refused")]
    Refused { command: u8, place: String, value: Vec<u8> },
}

impl Error {
    /// Whether the HAT did not answer at all.
    pub(crate) fn is_bus(&self) -> bool {
        matches!(self, Self::Bus { .. })
    }

    /// Whether to try again may help: a bus that is stuck takes its time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Bus { source, .. } => {
                source.source.kind() != io::ErrorKind::TimedOut
            }
            Self::Refused { .. } => false,
            _ => true,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, begins with 0.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
            let shifted = sum << 1;
            if sum & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

/// A frame that begins with `start` and is of `kind`.
pub(crate) fn frame(start: u8, kind: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or_default().to_be_bytes();
    let mut frame = vec![start, command, kind];
    frame.extend(length);
    frame.extend(data);
    frame.extend(checksum(&frame).to_be_bytes());
    frame
}

/// The number in `data`, big end first, with its sign.
pub(crate) fn number(data: &[u8]) -> Option<i32> {
    Some(match *data {
        // What fits one byte is a word or a share, and never negative.
        [a] => i32::from(a),
        [a, b] => i32::from(i16::from_be_bytes([a, b])),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]),
        _ => return None,
    })
}

/// How long the HAT takes for its answer.
fn wait(command: u8) -> Duration {
    Duration::from_millis(match command {
        // Currents and powers are measured first.
        3 | 4 | 7 | 8 | 11 | 12 => 50,
        100..=103 => 200,
        _ => 10,
    })
}

/// The HAT on its bus. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hat {
    pub(super) chip: Chip,
}

impl Hat {
    /// The answer to `command`, which is made at most `tries` times.
    pub(crate) fn ask(
        &self,
        command: u8,
        data: &[u8],
        tries: u32,
    ) -> Result<Vec<u8>, Error> {
        let mut left = tries;
        loop {
            left = left.saturating_sub(1);
            match self.converse(command, data) {
                Err(error) if left > 0 && error.is_passing() => pause(BETWEEN),
                answer => return answer,
            }
        }
    }

    /// The number that answers `command`.
    pub(crate) fn number(&self, command: u8, tries: u32) -> Result<i32, Error> {
        let data = self.ask(command, &[], tries)?;
        number(&data).ok_or_else(|| Error::Length {
            command,
            place: self.chip.place(),
            found: data.len(),
            wanted: "1, 2 or 4",
        })
    }

    /// Sets what `command` sets.
    pub(crate) fn set(&self, command: u8, data: &[u8]) -> Result<(), Error> {
        let said = self.ask(command, data, TRIES)?;
        if said.first() == Some(&SET) {
            return Ok(());
        }
        let (place, value) = (self.chip.place(), data.to_vec());
        Err(Error::Refused { command, place, value })
    }

    /// One dialogue. Nobody else has the bus meanwhile: the HAT gives its
    /// answer to whoever reads next.
    fn converse(&self, command: u8, data: &[u8]) -> Result<Vec<u8>, Error> {
        let bus = |source| Error::Bus { command, source };
        let [start, kind] = [STARTS[0], TYPES[0]];
        let request = frame(start, kind, command, data);
        let mut held = self.chip.hold();
        held.write_block(REGISTER, &request).map_err(bus)?;
        pause(wait(command));
        let mut fetch = |count: usize| -> Result<Vec<u8>, Error> {
            (0..count).map(|_| held.receive_byte().map_err(bus)).collect()
        };
        let mut answer = fetch(HEADER)?;
        let wanted = [STARTS[1], command, TYPES[1]];
        let names = ["start", "command", "type"];
        for ((what, wanted), found) in
            names.into_iter().zip(wanted).zip(&answer)
        {
            if *found != wanted {
                let (place, found) = (self.chip.place(), *found);
                return Err(Error::Frame {
                    command,
                    place,
                    what,
                    found,
                    wanted,
                });
            }
        }
        let count = answer
            .iter()
            .skip(3)
            .fold(0, |count, byte| count << 8 | usize::from(*byte));
        if count > LONGEST {
            let (place, wanted) = (self.chip.place(), "at most 32");
            return Err(Error::Length { command, place, found: count, wanted });
        }
        answer.extend(fetch(count)?);
        let sum = fetch(2)?;
        let found = sum.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
        let counted = checksum(&answer);
        if found != counted {
            let place = self.chip.place();
            return Err(Error::Checksum { command, place, found, counted });
        }
        Ok(answer.split_off(HEADER))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        sim::{i2c::SimulatedI2c, sixfab_ups::SixfabUps},
    };

    #[test]
    fn frames_are_as_the_vendor_makes_them() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
        let request = |command| frame(0xcd, 1, command, &[]);
        assert_eq!(request(2), [0xcd, 2, 1, 0, 0, 0xc8, 0x9a]);
        assert_eq!(request(13), [0xcd, 13, 1, 0, 0, 0x1c, 0x74]);
        let answer = frame(0xdc, 2, 2, &5123_i32.to_be_bytes());
        let whole = [0xdc, 2, 2, 0, 4, 0, 0, 0x14, 3, 0x9f, 0x12];
        assert_eq!(answer, whole);
        assert_eq!(number(&(-250_i32).to_be_bytes()), Some(-250));
        assert_eq!(number(&[3]), Some(3));
        assert_eq!(number(&[1, 2, 3]), None);
    }

    fn hat() -> (SimulatedI2c, Arc<Mutex<SixfabUps>>, Hat) {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(SixfabUps::default()));
        sim.attach(0x41, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let chip = bus.chip(0x41);
        (sim, part, Hat { chip })
    }

    #[test]
    fn asks_in_one_block_and_fetches_byte_by_byte() {
        let (sim, part, hat) = hat();
        part.lock().unwrap().input = [31.5, 5.123, 0.0, 0.0];
        assert_eq!(hat.number(2, 1).unwrap(), 5123);
        let mut calls = sim.calls().into_iter().map(|(_, call)| call);
        let request = vec![0xcd, 2, 1, 0, 0, 0xc8, 0x9a];
        assert_eq!(calls.next(), Some(Call::WriteBlock(1, request)));
        assert!(calls.clone().all(|call| call == Call::ReceiveByte));
        assert_eq!(calls.count(), 11);
    }

    #[test]
    fn garbage_is_asked_for_again_and_named_when_it_stays() {
        let (_sim, part, hat) = hat();
        part.lock().unwrap().garble = 2;
        assert_eq!(hat.number(13, 3).unwrap(), 90);
        part.lock().unwrap().garble = 1;
        let error = hat.number(13, 1).unwrap_err().to_string();
        let begin = "command 13 at 0x41 on i2c-1: checksum 0x";
        assert!(error.starts_with(begin), "{error}");
        let error = hat.number(99, 1).unwrap_err().to_string();
        let whole = "command 99 at 0x41 on i2c-1: start of the answer is \
                     0xff, not 0xdc";
        assert_eq!(error, whole);
        let error = hat.set(52, &[3]).unwrap_err().to_string();
        let whole = "command 52 with [3] at 0x41 on i2c-1 was refused";
        assert_eq!(error, whole);
    }

    #[test]
    fn a_stuck_bus_is_not_tried_again_and_a_lost_part_a_bounded_time() {
        let (sim, _part, hat) = hat();
        sim.stick(true);
        let error = hat.number(2, TRIES).unwrap_err();
        assert!(error.is_bus(), "{error}");
        assert_eq!(sim.calls().len(), 1);
        sim.stick(false);
        sim.unplug(0x41);
        let error = hat.number(2, 3).unwrap_err().to_string();
        let begin = "command 2: write 7 bytes to register 0x01 at 0x41";
        assert!(error.starts_with(begin), "{error}");
        assert_eq!(sim.calls().len(), 3);
        sim.plug(0x41);
        assert_eq!(hat.number(2, 1).unwrap(), 5100);
    }
}
