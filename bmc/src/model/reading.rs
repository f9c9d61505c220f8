//! Readings: a value, when it was taken, and whether to trust it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Id, Quantity};

/// Whether a reading can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quality {
    /// It is as fresh as the driver promises.
    Good,
    /// The driver has not answered in time; the value is the last one.
    Stale,
    /// The part could not be read; why.
    Failed(Arc<str>),
}

/// The last word of a sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The value; none where there never was one, or the part failed.
    pub value: Option<Quantity>,
    /// When it was taken, by the clock on the wall.
    pub at: DateTime<Utc>,
    /// When it was taken, by a clock that is never set.
    pub taken: Instant,
    /// How long it is good for.
    pub good_for: Duration,
    /// Whether it can be trusted.
    pub quality: Quality,
    /// The version of the snapshot that it changed with.
    pub version: u64,
}

impl Reading {
    /// The bare number where there is one, in the unit of the sensor's kind.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        self.value.map(Quantity::value)
    }

    /// Whether it counts as good still, but should not any more.
    #[must_use]
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.quality == Quality::Good
            && now.duration_since(self.taken) > self.good_for
    }
}

/// What a control bus says of a system on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// The system's current and the speed of its fan, in counts of a unit
    /// that only its maker knows.
    pub counts: Option<(u8, u8)>,
    /// When it was taken, by the clock on the wall.
    pub at: DateTime<Utc>,
    /// When it was taken, by a clock that is never set.
    pub taken: Instant,
    /// How long it is good for.
    pub good_for: Duration,
    /// Whether it can be trusted.
    pub quality: Quality,
}

impl Contact {
    /// Whether it counts as good still, but should not any more.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.quality == Quality::Good
            && now.duration_since(self.taken) > self.good_for
    }
}

/// A reading on its way into the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The sensor.
    pub id: Id,
    /// What it said.
    pub reading: Reading,
}

impl Sample {
    /// `value` as of now, good for `good_for`. What is no number is a failure.
    #[must_use]
    pub fn good(id: &Id, value: Quantity, good_for: Duration) -> Self {
        if !value.value().is_finite() {
            return Self::failed(id, "the value is no number");
        }
        let reading = Reading {
            value: Some(value),
            at: Utc::now(),
            taken: Instant::now(),
            good_for,
            quality: Quality::Good,
            version: 0,
        };
        Self { id: id.clone(), reading }
    }

    /// The part could not be read, for `reason`.
    #[must_use]
    pub fn failed(id: &Id, reason: &str) -> Self {
        let reading = Reading {
            value: None,
            at: Utc::now(),
            taken: Instant::now(),
            good_for: Duration::MAX,
            quality: Quality::Failed(reason.into()),
            version: 0,
        };
        Self { id: id.clone(), reading }
    }
}
