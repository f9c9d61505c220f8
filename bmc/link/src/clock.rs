//! The fleet's time on a machine whose own clock may be off by years.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The fleet's time, as it was told over an authenticated connection, counted
/// on with the monotonic clock. It never runs backwards, and setting the
/// system's clock does not touch it.
#[derive(Clone, Debug)]
pub struct FleetClock {
    start: Instant,
    /// Milliseconds since 1970 at `start`.
    origin_ms: Arc<AtomicU64>,
}

impl FleetClock {
    /// A clock that shows `now_ms` now.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            start: Instant::now(),
            origin_ms: Arc::new(AtomicU64::new(now_ms)),
        }
    }

    /// The time in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let origin = self.origin_ms.load(Ordering::Relaxed);
        origin.saturating_add(millis(self.start.elapsed()))
    }

    /// The time in seconds since 1970.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// Advances the clock to `time_s` seconds since 1970 if it is behind.
    pub fn at_least(&self, time_s: u64) {
        let elapsed = millis(self.start.elapsed());
        let origin = time_s.saturating_mul(1000).saturating_sub(elapsed);
        self.origin_ms.fetch_max(origin, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_on_from_the_fleets_time_and_never_back() {
        let clock = FleetClock::new(1_000_000);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now_s(), 1_005);
        clock.at_least(1_003);
        assert_eq!(clock.now_s(), 1_005);
        clock.at_least(2_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now_s(), 2_001);
    }
}
