//! What a hardware watchdog does that the agent feeds.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::bus::watchdog::ResetCause;

/// A hardware watchdog as it was at the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchdogState {
    /// Its device file.
    pub device: Arc<str>,
    /// What its driver calls it; nothing where it cannot be had.
    pub name: Option<Arc<str>>,
    /// Whether it can be stopped again.
    pub stops: bool,
    /// Why it says that the machine was started.
    pub cause: Option<ResetCause>,
    /// How long it waits.
    pub timeout: Option<Duration>,
    /// How much of that was left, where it can say so.
    pub left: Option<Duration>,
    /// When that was, by a clock that is never set.
    pub taken: Instant,
}

impl WatchdogState {
    /// How much time is left now.
    #[must_use]
    pub fn left_now(&self) -> Option<Duration> {
        Some(self.left?.saturating_sub(self.taken.elapsed()))
    }
}
