//! Faults: what parts do when they do not do what they should.

use std::{collections::BTreeMap, io, time::Duration};

use rustix::io::Errno;
use serde::Deserialize;
use tokio::time::Instant;

use crate::model::Id;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The part is not on its bus.
    Unplug,
    /// The part holds its bus and says nothing.
    Stall,
    /// The part answers, but with an error.
    Fail,
    /// The fan does not turn.
    Stick,
    /// The operating system stops answering, until the system starts anew.
    Hang,
}

/// A fault that begins some time after the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// The part.
    pub part: Id,
    /// What it does.
    pub fault: Fault,
    /// When it begins.
    pub after: Duration,
    /// How long it lasts; for good where there is nothing.
    pub lasts: Option<Duration>,
}

/// The faults of a board.
#[derive(Debug)]
pub(super) struct Faults {
    start: Instant,
    schedule: Vec<Scheduled>,
    scheduled: BTreeMap<Id, Fault>,
    told: BTreeMap<Id, Fault>,
    fail_next: Vec<Id>,
}

impl Faults {
    pub(super) fn new(start: Instant, schedule: Vec<Scheduled>) -> Self {
        Self {
            start,
            schedule,
            scheduled: BTreeMap::new(),
            told: BTreeMap::new(),
            fail_next: Vec::new(),
        }
    }

    pub(super) fn advance(&mut self, now: Instant) {
        let age = now.duration_since(self.start);
        let active = self.schedule.iter().filter(|s| {
            let end = s.lasts.map_or(Duration::MAX, |l| s.after + l);
            (s.after..end).contains(&age)
        });
        self.scheduled = active.map(|s| (s.part.clone(), s.fault)).collect();
    }

    pub(super) fn set(&mut self, part: &Id, fault: Fault) {
        self.told.insert(part.clone(), fault);
    }

    pub(super) fn fail_next(&mut self, part: &Id) {
        self.fail_next.push(part.clone());
    }

    pub(super) fn mend(&mut self, part: &Id) {
        self.told.remove(part);
    }

    pub(super) fn is_stalled(&self, part: &str) -> bool {
        self.has(part, Fault::Stall)
    }

    pub(super) fn is_stuck(&self, part: &str) -> bool {
        self.has(part, Fault::Stick)
    }

    /// Whether the fault that hangs `part` lasts; it hangs when that begins.
    pub(super) fn hangs(&self, part: &str) -> bool {
        self.has(part, Fault::Hang)
    }

    /// What the bus says when the part is asked.
    pub(super) fn check(&mut self, part: &str) -> io::Result<()> {
        if self.has(part, Fault::Unplug) {
            return Err(Errno::NODEV.into());
        }
        // A stalled part is only asked still when the simulation ends.
        if self.has(part, Fault::Fail) || self.has(part, Fault::Stall) {
            return Err(Errno::IO.into());
        }
        if let Some(at) = self.fail_next.iter().position(|id| **id == *part) {
            self.fail_next.remove(at);
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    fn has(&self, part: &str, fault: Fault) -> bool {
        [&self.told, &self.scheduled]
            .iter()
            .any(|faults| faults.get(part) == Some(&fault))
    }
}
