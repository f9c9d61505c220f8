//! A simulated fan on a PWM output, whose tachometer is on a simulated line.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::gpio::SimulatedGpio;
use crate::bus::pwm::Pwm;

/// Turns a minute at full duty.
const FULL: f64 = 4800.0;
/// Below this share it does not turn.
const LEAST: f64 = 10.0;

/// The fan. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct PwmFan {
    state: Arc<Mutex<State>>,
    lines: SimulatedGpio,
    /// The line of its tachometer, and the pulses of a turn.
    tachometer: Option<(String, u32)>,
}

#[derive(Debug, Default)]
struct State {
    percent: f64,
    stuck: bool,
    unplugged: bool,
}

impl PwmFan {
    /// One whose tachometer is on one of `lines`.
    #[must_use]
    pub fn new(
        lines: SimulatedGpio,
        tachometer: Option<(String, u32)>,
    ) -> Self {
        Self { state: Arc::default(), lines, tachometer }
    }

    /// By how much it is driven, in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.with(|state| state.percent)
    }

    /// Stops it whatever drives it, or lets go of it.
    pub fn stick(&self, stuck: bool) {
        self.with(|state| state.stuck = stuck);
        self.turn();
    }

    /// Takes its PWM chip away, or brings it back.
    pub fn unplug(&self, unplugged: bool) {
        self.with(|state| state.unplugged = unplugged);
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let state = self.state.lock();
        change(&mut state.unwrap_or_else(PoisonError::into_inner))
    }

    fn turn(&self) {
        let Some((line, pulses)) = &self.tachometer else { return };
        let turns = self.with(|state| {
            let turns = !state.stuck && state.percent >= LEAST;
            if turns { FULL * state.percent / 100.0 } else { 0.0 }
        });
        self.lines.pulse(line, turns / 60.0 * f64::from(*pulses));
    }
}

impl Pwm for PwmFan {
    fn drive(&mut self, percent: f64) -> io::Result<()> {
        if self.with(|state| state.unplugged) {
            let reason = "no PWM chip";
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        self.with(|state| state.percent = percent);
        self.turn();
        Ok(())
    }
}
