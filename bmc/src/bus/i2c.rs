//! I²C and `SMBus`: exchanges as data, so that a bus can be the kernel's, a
//! simulated one, or one that is played back.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// One exchange with a part. The names are those of the `SMBus` 3.1
/// specification, section 6.5; `Read`, `Write` and `WriteRead` are plain I²C
/// (UM10204, section 3.1.10).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The address alone, with the write bit: is anybody there?
    Quick,
    /// One byte, from wherever the part is.
    ReceiveByte,
    /// One byte.
    SendByte(u8),
    /// One byte of a register.
    ReadByte(u8),
    /// A register, and its byte.
    WriteByte(u8, u8),
    /// Two bytes of a register, the low one first.
    ReadWord(u8),
    /// A register, and two bytes, the low one first.
    WriteWord(u8, u16),
    /// A register, and how many bytes of it; at most [`BLOCK`].
    ReadBlock(u8, u8),
    /// A register, and its bytes; at most [`BLOCK`].
    WriteBlock(u8, Vec<u8>),
    /// So many bytes.
    Read(u16),
    /// These bytes.
    Write(Vec<u8>),
    /// These bytes, then, without letting go of the bus, so many in return.
    WriteRead(Vec<u8>, u16),
}

/// `EOPNOTSUPP`: the adapter knows no such call, as those of Tegra and the
/// CP2112 know no [`Call::Quick`].
const NOT_SUPPORTED: i32 = 95;

/// `EAGAIN`: another master won the bus while this one spoke (UM10204, section
/// 3.1.8; `Documentation/i2c/fault-codes.rst`). The part took nothing of it.
const LOST_TO_ANOTHER: i32 = 11;

/// How often a call is made that another master interrupts, and how long he
/// has the bus in between: 40 bytes at 100 kHz take less than 4 ms.
const TRIES: u32 = 4;
const THEIRS: Duration = Duration::from_millis(4);

/// The most bytes of a block (`I2C_SMBUS_BLOCK_MAX`).
pub const BLOCK: usize = 32;

impl Call {
    /// How many bytes the answer has.
    #[must_use]
    pub fn answer_length(&self) -> usize {
        match self {
            Self::ReceiveByte | Self::ReadByte(_) => 1,
            Self::ReadWord(_) => 2,
            Self::ReadBlock(_, count) => usize::from(*count),
            Self::Read(count) | Self::WriteRead(_, count) => {
                usize::from(*count)
            }
            _ => 0,
        }
    }

    /// Whether it only writes, so that what the part says next depends on it.
    pub(super) fn begins(&self) -> bool {
        self.answer_length() == 0 && *self != Self::Quick
    }

    /// What it writes, the register first.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        match self {
            Self::Quick | Self::ReceiveByte | Self::Read(_) => Vec::new(),
            Self::SendByte(byte)
            | Self::ReadByte(byte)
            | Self::ReadWord(byte)
            | Self::ReadBlock(byte, _) => vec![*byte],
            Self::WriteByte(register, value) => vec![*register, *value],
            Self::WriteWord(register, value) => {
                let [low, high] = value.to_le_bytes();
                vec![*register, low, high]
            }
            Self::WriteBlock(register, bytes) => {
                [&[*register], bytes.as_slice()].concat()
            }
            Self::Write(bytes) | Self::WriteRead(bytes, _) => bytes.clone(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quick => write!(f, "quick write"),
            Self::ReceiveByte => write!(f, "receive byte"),
            Self::SendByte(value) => write!(f, "send byte {value:#04x}"),
            Self::ReadByte(register) | Self::ReadWord(register) => {
                write!(f, "read register {register:#04x}")
            }
            Self::WriteByte(register, value) => {
                write!(f, "write {value:#04x} to register {register:#04x}")
            }
            Self::WriteWord(register, value) => {
                write!(f, "write {value:#06x} to register {register:#04x}")
            }
            Self::ReadBlock(register, count) => {
                write!(f, "read {count} bytes of register {register:#04x}")
            }
            Self::WriteBlock(register, bytes) => {
                let count = bytes.len();
                write!(f, "write {count} bytes to register {register:#04x}")
            }
            Self::Read(count) => write!(f, "read {count} bytes"),
            Self::Write(bytes) => write!(f, "write {} bytes", bytes.len()),
            Self::WriteRead(bytes, count) => {
                write!(f, "write {} and read {count} bytes", bytes.len())
            }
        }
    }
}

/// A bus with parts at addresses of 7 bits.
pub trait SmBus: fmt::Debug + Send {
    /// Carries out `call` with the part at `address`, and says what came
    /// back: [`Call::answer_length`] bytes, words low byte first. May block
    /// for as long as the bus lets it.
    ///
    /// # Errors
    /// As the kernel says it: `ENXIO` or `EREMOTEIO` where nobody answers,
    /// `EBUSY` where a kernel driver has the address, `ETIMEDOUT` where the
    /// bus is stuck.
    fn call(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>>;
}

/// What went wrong with a part on an I²C bus.
#[derive(Debug, thiserror::Error)]
#[error("{call} at {address:#04x} on {bus}: {source}")]
pub struct I2cError {
    /// The bus.
    pub bus: Arc<str>,
    /// The part.
    pub address: u8,
    /// What was tried.
    pub call: Call,
    /// What the bus said.
    pub source: io::Error,
}

impl From<I2cError> for io::Error {
    fn from(error: I2cError) -> Self {
        Self::new(error.source.kind(), error.to_string())
    }
}

/// An I²C bus that several drivers share. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct I2cBus {
    name: Arc<str>,
    bus: Arc<Mutex<Box<dyn SmBus>>>,
}

impl I2cBus {
    /// `bus`, which the configuration calls `name`.
    #[must_use]
    pub fn new(name: &str, bus: Box<dyn SmBus>) -> Self {
        Self { name: name.into(), bus: Arc::new(Mutex::new(bus)) }
    }

    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The part at `address`.
    #[must_use]
    pub fn chip(&self, address: u8) -> Chip {
        Chip { bus: self.clone(), address }
    }
}

/// A part on a bus, as its driver sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chip {
    bus: I2cBus,
    address: u8,
}

impl Chip {
    /// Where it is, for people: `0x1a on i2c-1`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{:#04x} on {}", self.address, self.bus.name)
    }

    /// Asks whether anybody is at the address; where the adapter cannot ask
    /// without a byte, it reads one.
    ///
    /// # Errors
    /// See [`Held::call`].
    pub fn present(&self) -> Result<(), I2cError> {
        match self.quick() {
            Err(error)
                if error.source.raw_os_error() == Some(NOT_SUPPORTED) =>
            {
                self.receive_byte().map(drop)
            }
            answer => answer,
        }
    }

    /// Keeps the bus for several exchanges that nobody may come between.
    #[must_use]
    pub fn hold(&self) -> Held<'_> {
        let bus = self.bus.bus.lock();
        let bus = bus.unwrap_or_else(PoisonError::into_inner);
        Held { chip: self, bus }
    }
}

/// A part whose bus is held. Each call is one exchange.
#[derive(Debug)]
pub struct Held<'a> {
    chip: &'a Chip,
    bus: MutexGuard<'a, Box<dyn SmBus>>,
}

impl Held<'_> {
    /// Carries out `call`; again, a few times, where another master takes the
    /// bus.
    ///
    /// # Errors
    /// See [`SmBus::call`]; it names part and call. An answer of another
    /// length than was asked for is one.
    pub fn call(&mut self, call: Call) -> Result<Vec<u8>, I2cError> {
        let address = self.chip.address;
        let mut said = self.bus.call(address, &call);
        for _ in 1..TRIES {
            let lost = |error: &io::Error| {
                error.raw_os_error() == Some(LOST_TO_ANOTHER)
            };
            if !said.as_ref().is_err_and(lost) {
                break;
            }
            super::pause(THEIRS);
            said = self.bus.call(address, &call);
        }
        let answer = said.and_then(|answer| {
            let (wanted, got) = (call.answer_length(), answer.len());
            if wanted == got {
                return Ok(answer);
            }
            let reason = format!("{got} bytes came, {wanted} were asked for");
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        });
        answer.map_err(|source| {
            let bus = Arc::clone(&self.chip.bus.name);
            I2cError { bus, address, call, source }
        })
    }
}

macro_rules! exchanges {
    ($($(#[$doc:meta])*
    $name:ident($($arg:ident: $type:ty),*) -> $answer:ty:
    $call:expr, $take:expr;)*) => {
        impl Held<'_> {
            $($(#[$doc])*
            ///
            /// # Errors
            /// See [`Held::call`].
            pub fn $name(&mut self, $($arg: $type),*)
            -> Result<$answer, I2cError> {
                let take: fn(Vec<u8>) -> $answer = $take;
                self.call($call).map(take)
            })*
        }

        impl Chip {
            $($(#[$doc])*
            ///
            /// # Errors
            /// See [`Held::call`].
            pub fn $name(&self, $($arg: $type),*) -> Result<$answer, I2cError> {
                self.hold().$name($($arg),*)
            })*
        }
    };
}

fn byte(answer: Vec<u8>) -> u8 {
    answer.into_iter().next().unwrap_or_default()
}

fn word(answer: Vec<u8>) -> u16 {
    let mut bytes = answer.into_iter();
    let mut next = || bytes.next().unwrap_or_default();
    u16::from_le_bytes([next(), next()])
}

exchanges! {
    /// Asks whether anybody is at the address.
    quick() -> (): Call::Quick, drop;
    /// Reads one byte from wherever the part is.
    receive_byte() -> u8: Call::ReceiveByte, byte;
    /// Sends one byte.
    send_byte(value: u8) -> (): Call::SendByte(value), drop;
    /// Reads the byte of `register`.
    read_byte(register: u8) -> u8: Call::ReadByte(register), byte;
    /// Writes `value` to `register`.
    write_byte(register: u8, value: u8) -> ():
        Call::WriteByte(register, value), drop;
    /// Reads two bytes of `register`, the low one first as `SMBus` has it.
    read_word(register: u8) -> u16: Call::ReadWord(register), word;
    /// Reads two bytes of `register`, the high one first as most sensors have
    /// it.
    read_word_swapped(register: u8) -> u16:
        Call::ReadWord(register), |answer| word(answer).swap_bytes();
    /// Writes two bytes to `register`, the low one first.
    write_word(register: u8, value: u16) -> ():
        Call::WriteWord(register, value), drop;
    /// Writes two bytes to `register`, the high one first.
    write_word_swapped(register: u8, value: u16) -> ():
        Call::WriteWord(register, value.swap_bytes()), drop;
    /// Reads `count` bytes of `register`.
    read_block(register: u8, count: u8) -> Vec<u8>:
        Call::ReadBlock(register, count), |answer| answer;
    /// Writes `bytes` to `register`.
    write_block(register: u8, bytes: &[u8]) -> ():
        Call::WriteBlock(register, bytes.to_vec()), drop;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says of each call what it was, and answers with too little.
    #[derive(Debug)]
    struct Short;

    impl SmBus for Short {
        fn call(&mut self, _: u8, call: &Call) -> io::Result<Vec<u8>> {
            match call {
                Call::WriteByte(..) => Err(io::Error::from_raw_os_error(121)),
                _ => Ok(vec![0x34]),
            }
        }
    }

    #[test]
    fn names_the_part_the_register_and_the_value_that_failed() {
        let chip = I2cBus::new("i2c-1", Box::new(Short)).chip(0x1a);
        let error = chip.write_byte(0x80, 0x37).unwrap_err().to_string();
        let begin = "write 0x37 to register 0x80 at 0x1a on i2c-1: ";
        assert!(error.starts_with(begin), "{error}");
        let error = chip.read_word(0x81).unwrap_err().to_string();
        let end = "1 bytes came, 2 were asked for";
        assert!(error.ends_with(end), "{error}");
        assert_eq!(chip.read_byte(0x81).unwrap(), 0x34);
    }
}
