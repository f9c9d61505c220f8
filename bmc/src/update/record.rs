//! The record of the slots: what is in them, and which of them counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One of the two places for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// `a` or `b`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The slot with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }
}

/// A program in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its version, as its image said.
    pub version: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// It failed its trial.
    #[serde(default)]
    pub failed: bool,
}

/// A program that has to show that it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Where it lies.
    pub slot: Slot,
    /// How often it may still be begun.
    pub attempts: u8,
    /// The task that waits for its end.
    pub task: Option<String>,
}

/// What a trial led to; kept until it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The slot that was tried.
    pub slot: Slot,
    /// The version in it.
    pub version: String,
    /// The task that waits.
    pub task: Option<String>,
    /// Why it failed; nothing where it did not.
    pub failure: Option<String>,
}

/// What the slots hold, and which counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The slot that runs; the installed program where there is none.
    pub current: Option<Slot>,
    /// What is in slot a.
    pub a: Option<Installed>,
    /// What is in slot b.
    pub b: Option<Installed>,
    /// What is to be tried at the next start.
    pub trial: Option<Trial>,
    /// What the last trial led to.
    pub outcome: Option<Outcome>,
}

impl Record {
    /// What is in `slot`.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> Option<&Installed> {
        match slot {
            Slot::A => self.a.as_ref(),
            Slot::B => self.b.as_ref(),
        }
    }

    pub(super) fn put(&mut self, slot: Slot, installed: Option<Installed>) {
        match slot {
            Slot::A => self.a = installed,
            Slot::B => self.b = installed,
        }
    }

    /// Where the next program goes: never where the current one is.
    #[must_use]
    pub fn free(&self) -> Slot {
        match self.current {
            Some(Slot::A) => Slot::B,
            _ => Slot::A,
        }
    }

    /// Ends the trial: it becomes current, or it failed for this reason.
    pub fn conclude(&mut self, failure: Option<String>) {
        let Some(trial) = self.trial.take() else { return };
        let installed = match trial.slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        };
        let version = installed.as_ref().map(|it| it.version.clone());
        if failure.is_none() {
            self.current = Some(trial.slot);
        } else if let Some(installed) = installed {
            installed.failed = true;
        }
        self.outcome = Some(Outcome {
            slot: trial.slot,
            version: version.unwrap_or_default(),
            task: trial.task,
            failure,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_that_fails_leaves_the_current_program_as_it_was() {
        let installed = Installed {
            version: "2.0.0".to_owned(),
            sha256: String::new(),
            size: 0,
            at: Utc::now(),
            failed: false,
        };
        let mut record = Record {
            current: Some(Slot::A),
            b: Some(installed),
            trial: Some(Trial { slot: Slot::B, attempts: 0, task: None }),
            ..Record::default()
        };
        assert_eq!(record.free(), Slot::B);
        let mut good = record.clone();
        record.conclude(Some("it died".to_owned()));
        assert_eq!(record.current, Some(Slot::A));
        assert!(record.slot(Slot::B).unwrap().failed);
        good.conclude(None);
        assert_eq!(good.current, Some(Slot::B));
        assert_eq!(good.free(), Slot::A);
        assert_eq!(good.outcome.unwrap().version, "2.0.0");
    }
}
