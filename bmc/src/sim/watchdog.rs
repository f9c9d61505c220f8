//! A simulated hardware watchdog.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::bus::watchdog::{Identity, Kennel, ResetCause, Watchdog};

/// What it does.
#[derive(Clone, Debug)]
pub struct State {
    /// Whether somebody has it open.
    pub open: bool,
    /// Since when it waits, if it watches.
    pub since: Option<Instant>,
    /// How long it waits.
    pub timeout: Duration,
    /// How long it can wait at most.
    pub longest: Duration,
    /// Whether it can be stopped.
    pub stops: bool,
    /// Why the machine was started.
    pub cause: Option<ResetCause>,
    /// How often it was fed.
    pub fed: u64,
}

/// The watchdog; all clones are one.
#[derive(Clone, Debug)]
pub struct SimulatedWatchdog(Arc<Mutex<State>>);

impl Default for SimulatedWatchdog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            open: false,
            since: None,
            timeout: Duration::from_mins(1),
            longest: Duration::from_mins(10),
            stops: true,
            cause: None,
            fed: 0,
        })))
    }
}

impl SimulatedWatchdog {
    /// What it does, to be changed.
    ///
    /// # Panics
    /// Never.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kennel for SimulatedWatchdog {
    fn open(&self) -> io::Result<Box<dyn Watchdog>> {
        let mut state = self.state();
        if state.open {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        state.open = true;
        state.since = Some(Instant::now());
        Ok(Box::new(Held { of: self.clone(), stopping: false }))
    }
}

/// The watchdog in somebody's hands.
struct Held {
    of: SimulatedWatchdog,
    stopping: bool,
}

impl Watchdog for Held {
    fn identity(&mut self) -> io::Result<Identity> {
        let state = self.of.state();
        let name = "Simulated Watchdog".to_owned();
        Ok(Identity { name, stops: state.stops, cause: state.cause })
    }

    fn set_timeout(&mut self, wanted: Duration) -> io::Result<Duration> {
        let mut state = self.of.state();
        if wanted > state.longest {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        state.timeout = wanted;
        Ok(wanted)
    }

    fn timeout(&mut self) -> io::Result<Duration> {
        Ok(self.of.state().timeout)
    }

    fn left(&mut self) -> Option<Duration> {
        let state = self.of.state();
        let waited = state.since?.elapsed();
        Some(state.timeout.saturating_sub(waited))
    }

    fn feed(&mut self) -> io::Result<()> {
        let mut state = self.of.state();
        state.since = Some(Instant::now());
        state.fed += 1;
        self.stopping = false;
        Ok(())
    }

    fn stop(&mut self) -> io::Result<()> {
        self.stopping = true;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.open = false;
        if self.stopping && state.stops {
            state.since = None;
        }
    }
}
