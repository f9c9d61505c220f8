//! What shows that the tasks the agent lives by make progress.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often a task that waits shows that it still does.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// The pulses of all vital tasks.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<BTreeMap<&'static str, Felt>>>);

/// When a pulse was last felt.
#[derive(Clone, Copy, Debug)]
struct Felt {
    at: Instant,
    /// Whether somebody has it held, to see what comes of it.
    held: bool,
}

/// The pulse of one of them, or of several that stand for each other.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    name: &'static str,
    all: Pulses,
}

impl Pulses {
    /// The pulse called `name`, which from now on is to be felt.
    pub(crate) fn of(&self, name: &'static str) -> Pulse {
        let pulse = Pulse { name, all: self.clone() };
        pulse.beat();
        pulse
    }

    /// Has the pulse `name` not be felt any more, as if its task hung.
    pub fn hold(&self, name: &'static str) {
        self.change(name, |it| it.held = true);
    }

    /// Has it be felt again.
    pub fn release(&self, name: &'static str) {
        self.change(name, |it| it.held = false);
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut Felt)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Felt { at: Instant::now(), held: false };
        change(all.entry(name).or_insert(new));
    }

    /// The pulse that was not felt for the longest, and for how long.
    pub(crate) fn weakest(&self) -> Option<(&'static str, Duration)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = all.iter().map(|(name, it)| (*name, it.at.elapsed()));
        silent.max_by_key(|(_, silent)| *silent)
    }
}

impl Pulse {
    /// Shows that there was progress.
    pub(crate) fn beat(&self) {
        self.all.change(self.name, |it| {
            if !it.held {
                it.at = Instant::now();
            }
        });
    }
}
