//! The simulated firmware of a Raspberry Pi behind its property mailbox.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::drivers::rpi::firmware::{
    ANSWERED, CLOCK, FIRMWARE, MAX_TEMPERATURE, Mailbox, Message, NO_VOLTAGE,
    POE, REVISION, SERIAL, TEMPERATURE, THROTTLED, VOLTAGE,
};

/// What the firmware knows.
#[derive(Clone, Debug)]
pub struct State {
    /// The revision code.
    pub revision: u32,
    /// The serial number.
    pub serial: u64,
    /// When it was made, in seconds since 1970.
    pub made: u32,
    /// Clocks by number, in hertz.
    pub clocks: BTreeMap<u32, u32>,
    /// Rails by number, in microvolts.
    pub rails: BTreeMap<u32, u32>,
    /// Thousandths of a degree.
    pub temperature: u32,
    /// Those that it may have.
    pub max_temperature: u32,
    /// What it lacks, and lacked since the start.
    pub throttled: u32,
    /// The registers of a `PoE` HAT, where one is there.
    pub poe: Option<BTreeMap<u32, u32>>,
    /// How each question fails.
    pub fails: Option<io::ErrorKind>,
}

impl Default for State {
    /// A Raspberry Pi 4B with 8 GB that wants for nothing.
    fn default() -> Self {
        Self {
            revision: 0x00d0_3114,
            serial: 0x1000_0000_8d3f_41a7,
            made: 1_739_359_260,
            clocks: [(3, 1_500_000_000), (4, 500_000_000), (5, 500_000_000)]
                .into(),
            rails: [(1, 876_000), (2, 1_100_000), (3, 1_100_000)].into(),
            temperature: 48_312,
            max_temperature: 85_000,
            throttled: 0,
            poe: None,
            fails: None,
        }
    }
}

/// The firmware; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Firmware(Arc<Mutex<State>>);

impl Firmware {
    /// Firmware that wants for nothing, with a `PoE` HAT or without.
    #[must_use]
    pub fn new(poe_hat: bool) -> Self {
        let firmware = Self::default();
        firmware.state().poe = poe_hat.then(|| [(0, 64), (2, 1488)].into());
        firmware
    }

    /// What it knows, to be changed.
    ///
    /// # Panics
    /// Never.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox for Firmware {
    fn call(&mut self, message: &mut Message) -> io::Result<()> {
        let state = self.state();
        if let Some(kind) = state.fails {
            return Err(kind.into());
        }
        let [_, code, tag, _, answered, values @ ..] = message;
        *code = ANSWERED;
        let [first, second, third, ..] = values;
        match *tag {
            FIRMWARE => *first = state.made,
            REVISION => *first = state.revision,
            SERIAL => {
                let word = |half: u64| u32::try_from(half & 0xffff_ffff);
                *first = word(state.serial).unwrap_or_default();
                *second = word(state.serial >> 32).unwrap_or_default();
            }
            CLOCK => *second = state.clocks.get(first).copied().unwrap_or(0),
            VOLTAGE => {
                let rail = state.rails.get(first).copied();
                *second = rail.unwrap_or(NO_VOLTAGE);
            }
            TEMPERATURE => *second = state.temperature,
            MAX_TEMPERATURE => *second = state.max_temperature,
            THROTTLED => *first = state.throttled,
            POE => {
                let registers = state.poe.as_ref();
                let value = registers.and_then(|all| all.get(first)).copied();
                *second = value.unwrap_or(0);
                *third = u32::from(value.is_none());
            }
            // What it does not know it leaves alone.
            _ => return Ok(()),
        }
        *answered |= ANSWERED;
        Ok(())
    }
}
