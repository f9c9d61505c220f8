//! A simulated I²C bus with simulated parts on it.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::bus::{Call, SmBus};

/// A part as the bus sees it: bytes come, and bytes are fetched.
pub trait I2cPart: fmt::Debug + Send {
    /// Takes what a master writes between a start and a stop; nothing where
    /// it only calls the address. Whether the part acknowledges it.
    fn write(&mut self, bytes: &[u8]) -> bool;

    /// Gives the `count` bytes that a master reads.
    fn read(&mut self, count: usize) -> Vec<u8>;
}

/// A part of which the caller keeps a handle, to look into it.
impl<P: I2cPart> I2cPart for Arc<Mutex<P>> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        self.lock().unwrap_or_else(PoisonError::into_inner).read(count)
    }
}

/// A bus. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct SimulatedI2c {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<u8, Box<dyn I2cPart>>,
    unplugged: Vec<u8>,
    failing: BTreeMap<u8, u32>,
    stuck: bool,
    log: Vec<(u8, Call)>,
}

/// `EREMOTEIO`: nobody answers.
const REMOTE_IO: i32 = 121;
/// `ETIMEDOUT`: the clock line stays low.
const TIMED_OUT: i32 = 110;

/// How long the kernel waits for a bus that is stuck (`i2c_adapter.timeout`
/// is a second where a driver says nothing).
const STUCK: Duration = Duration::from_secs(1);

/// How many calls are remembered.
const LOG: usize = 4096;

impl SimulatedI2c {
    /// Puts `part` on the bus.
    pub fn attach(&self, address: u8, part: impl I2cPart + 'static) {
        self.lock().parts.insert(address, Box::new(part));
    }

    /// Takes the part at `address` off the bus, until [`Self::plug`].
    pub fn unplug(&self, address: u8) {
        self.lock().unplugged.push(address);
    }

    /// Puts it back.
    pub fn plug(&self, address: u8) {
        self.lock().unplugged.retain(|at| *at != address);
    }

    /// Lets the next `count` calls to the part at `address` fail.
    pub fn fail(&self, address: u8, count: u32) {
        self.lock().failing.insert(address, count);
    }

    /// Pulls a line of the bus low, or lets go of it.
    pub fn stick(&self, stuck: bool) {
        self.lock().stuck = stuck;
        self.shared.changed.notify_all();
    }

    /// The calls since this was last asked.
    #[must_use]
    pub fn calls(&self) -> Vec<(u8, Call)> {
        std::mem::take(&mut self.lock().log)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SmBus for SimulatedI2c {
    fn call(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        if state.log.len() < LOG {
            state.log.push((address, call.clone()));
        }
        if state.stuck {
            let waited =
                self.shared
                    .changed
                    .wait_timeout_while(state, STUCK, |state| state.stuck);
            let (back, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(io::Error::from_raw_os_error(TIMED_OUT));
            }
            state = back;
        }
        let nobody = || io::Error::from_raw_os_error(REMOTE_IO);
        if let Some(left) = state.failing.get_mut(&address)
            && *left > 0
        {
            *left -= 1;
            return Err(nobody());
        }
        if state.unplugged.contains(&address) {
            return Err(nobody());
        }
        let part = state.parts.get_mut(&address).ok_or_else(nobody)?;
        let (bytes, count) = on_the_wire(call);
        if let Some(bytes) = bytes
            && !part.write(&bytes)
        {
            return Err(nobody());
        }
        Ok(if count == 0 { Vec::new() } else { part.read(count) })
    }
}

/// What a call writes, if it does, and how many bytes it reads then.
fn on_the_wire(call: &Call) -> (Option<Vec<u8>>, usize) {
    let written = match call {
        Call::Quick => Some(Vec::new()),
        Call::ReceiveByte | Call::Read(_) => None,
        Call::SendByte(byte)
        | Call::ReadByte(byte)
        | Call::ReadWord(byte)
        | Call::ReadBlock(byte, _) => Some(vec![*byte]),
        Call::WriteByte(register, value) => Some(vec![*register, *value]),
        Call::WriteWord(register, value) => {
            let [low, high] = value.to_le_bytes();
            Some(vec![*register, low, high])
        }
        Call::WriteBlock(register, bytes) => {
            Some([&[*register], bytes.as_slice()].concat())
        }
        Call::Write(bytes) | Call::WriteRead(bytes, _) => Some(bytes.clone()),
    };
    (written, call.answer_length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::I2cBus;

    #[derive(Debug, Default)]
    struct Memory {
        at: u8,
        bytes: BTreeMap<u8, u8>,
    }

    impl I2cPart for Memory {
        fn write(&mut self, bytes: &[u8]) -> bool {
            if let Some((at, bytes)) = bytes.split_first() {
                self.at = *at;
                for (at, byte) in (*at..).zip(bytes) {
                    self.bytes.insert(at, *byte);
                }
            }
            true
        }

        fn read(&mut self, count: usize) -> Vec<u8> {
            let at = (self.at..).take(count);
            at.map(|at| self.bytes.get(&at).copied().unwrap_or(0xff)).collect()
        }
    }

    #[test]
    fn calls_become_bytes_and_nobody_answers_at_other_addresses() {
        let sim = SimulatedI2c::default();
        sim.attach(0x50, Memory::default());
        let bus = I2cBus::new("i2c-9", Box::new(sim.clone()));
        let memory = bus.chip(0x50);
        memory.write_word(2, 0x1234).unwrap();
        assert_eq!(memory.read_byte(2).unwrap(), 0x34);
        assert_eq!(memory.read_word_swapped(2).unwrap(), 0x3412);
        memory.write_block(8, &[1, 2, 3]).unwrap();
        assert_eq!(memory.read_block(9, 2).unwrap(), [2, 3]);
        let error = bus.chip(0x51).quick().unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(REMOTE_IO));
        sim.unplug(0x50);
        assert!(memory.quick().is_err());
        sim.plug(0x50);
        memory.quick().unwrap();
        sim.stick(true);
        let error = memory.receive_byte().unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(TIMED_OUT));
        assert_eq!(sim.calls().len(), 9);
    }
}
