//! A simulated I²C bus with simulated parts on it.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::SimulatedPart;
use crate::bus::{Call, SmBus};

/// A part as the bus sees it: bytes come, and bytes are fetched.
pub trait I2cPart: fmt::Debug + Send {
    /// Takes what a master writes between a start and a stop; nothing where
    /// it only calls the address. Whether the part acknowledges it.
    fn write(&mut self, bytes: &[u8]) -> bool;

    /// Gives the `count` bytes that a master reads.
    fn read(&mut self, count: usize) -> Vec<u8>;

    /// Its power was away for a moment: it has forgotten what it was told.
    fn restart(&mut self) {}
}

/// A part of which the caller keeps a handle, to look into it.
impl<P: I2cPart> I2cPart for Arc<Mutex<P>> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        self.lock().unwrap_or_else(PoisonError::into_inner).read(count)
    }

    fn restart(&mut self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).restart();
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
    /// What a simulation tells of them: whether they answer.
    told: BTreeMap<u8, SimulatedPart>,
    unplugged: Vec<u8>,
    /// How many calls fail, and as what (`errno`).
    failing: BTreeMap<u8, (u32, i32)>,
    /// What another master writes to a part after each call.
    between: BTreeMap<u8, Vec<u8>>,
    stuck: bool,
    /// How long a call waits while it is.
    patience: Option<Duration>,
    /// The data line is held: whatever is read has this in each byte.
    held: Option<u8>,
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

    /// Lets the part at `address` misbehave as `told` does.
    pub(crate) fn tell(&self, address: u8, told: SimulatedPart) {
        self.lock().told.insert(address, told);
    }

    /// Takes the part at `address` off the bus, until [`Self::plug`].
    pub fn unplug(&self, address: u8) {
        self.lock().unplugged.push(address);
    }

    /// Puts it back.
    pub fn plug(&self, address: u8) {
        self.lock().unplugged.retain(|at| *at != address);
    }

    /// Takes the power of the part at `address` away for a moment.
    pub fn restart(&self, address: u8) {
        if let Some(part) = self.lock().parts.get_mut(&address) {
            part.restart();
        }
    }

    /// Lets the next `count` calls to the part at `address` fail as `errno`
    /// says it.
    pub fn fail(&self, address: u8, count: u32, errno: i32) {
        self.lock().failing.insert(address, (count, errno));
    }

    /// Another master writes `bytes` to the part at `address`.
    pub fn meddle(&self, address: u8, bytes: &[u8]) {
        if let Some(part) = self.lock().parts.get_mut(&address) {
            part.write(bytes);
        }
    }

    /// Another master writes `bytes` to the part at `address`, and reads from
    /// it, after each call, until there are none.
    pub fn meddle_between(&self, address: u8, bytes: &[u8]) {
        self.lock().between.insert(address, bytes.to_vec());
    }

    /// Pulls the clock of the bus low, or lets go of it.
    pub fn stick(&self, stuck: bool) {
        self.lock().stuck = stuck;
        self.shared.changed.notify_all();
    }

    /// Gives up on a clock that is low after `patience`; as the kernel does
    /// where nothing is said.
    pub fn set_patience(&self, patience: Duration) {
        self.lock().patience = Some(patience);
    }

    /// Holds the data line, at an adapter that does not see it: all that is
    /// read is `byte`, and all that is written seems to be taken.
    pub fn hold(&self, byte: Option<u8>) {
        self.lock().held = byte;
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
        if let Some(told) = state.told.get(&address).cloned() {
            drop(state);
            told.answers()?;
            state = self.lock();
        }
        if state.stuck {
            let patience = state.patience.unwrap_or(STUCK);
            let waited = self.shared.changed.wait_timeout_while(
                state,
                patience,
                |state| state.stuck,
            );
            let (back, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(io::Error::from_raw_os_error(TIMED_OUT));
            }
            state = back;
        }
        let nobody = || io::Error::from_raw_os_error(REMOTE_IO);
        if let Some((left, errno)) = state.failing.get_mut(&address)
            && *left > 0
        {
            *left -= 1;
            return Err(io::Error::from_raw_os_error(*errno));
        }
        if let Some(byte) = state.held {
            return Ok(vec![byte; call.answer_length()]);
        }
        if state.unplugged.contains(&address) {
            return Err(nobody());
        }
        let theirs = state.between.get(&address).cloned();
        let part = state.parts.get_mut(&address).ok_or_else(nobody)?;
        let (bytes, count) = (call.written(), call.answer_length());
        let writes = !bytes.is_empty() || *call == Call::Quick;
        if writes && !part.write(&bytes) {
            return Err(nobody());
        }
        let answer = if count == 0 { Vec::new() } else { part.read(count) };
        if let Some(bytes) = theirs.filter(|bytes| !bytes.is_empty()) {
            part.write(&bytes);
            part.read(1);
        }
        Ok(answer)
    }
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

    #[test]
    fn what_another_master_interrupts_is_said_again_a_few_times() {
        const LOST: i32 = 11;
        let sim = SimulatedI2c::default();
        sim.attach(0x50, Memory::default());
        let memory = I2cBus::new("i2c-9", Box::new(sim.clone())).chip(0x50);
        sim.fail(0x50, 2, LOST);
        memory.write_byte(1, 0x17).unwrap();
        assert_eq!(sim.calls().len(), 3);
        assert_eq!(memory.read_byte(1).unwrap(), 0x17);
        sim.fail(0x50, u32::MAX, LOST);
        let error = memory.read_byte(1).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(LOST));
        assert_eq!(sim.calls().len(), 1 + 4);
        // Nothing else is: a part that is not there stays away.
        sim.fail(0x50, 1, TIMED_OUT);
        memory.read_byte(1).unwrap_err();
        assert_eq!(sim.calls().len(), 1);
        // He moves the part's pointer, and nothing that is read by name.
        sim.meddle_between(0x50, &[9]);
        assert_eq!(memory.read_byte(1).unwrap(), 0x17);
        assert_eq!(memory.receive_byte().unwrap(), 0xff);
        sim.hold(Some(0));
        assert_eq!(memory.read_word(1).unwrap(), 0);
    }
}
