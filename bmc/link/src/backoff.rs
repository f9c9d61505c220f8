//! How long to wait before the next try: 1 s·2ⁿ with full jitter, to 5 min.

use std::time::Duration;

/// What a connection must last for the next failure to count as the first.
pub const STABLE: Duration = Duration::from_mins(1);

/// What a connection that did not last leaves of the failures before it.
const LET_IN: u32 = 4;

/// The waits between tries, longer after each failure.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_mins(5))
    }
}

impl Backoff {
    /// Waits up to `base`, then twice as much after each failure, to `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Forgets the failures so far.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Forgets the failures so far but a few: the other side let us in, if not
    /// for long. Who is there again is not kept waiting for minutes.
    pub fn ease(&mut self) {
        self.failures = self.failures.min(LET_IN);
    }

    /// The wait after one more failure: anything between nothing and the
    /// bound, so that thousands that failed together do not come back
    /// together.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self
            .base
            .saturating_mul(2u32.saturating_pow(self.failures))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(rand::random())
    }

    /// As [`Backoff::next_wait`], but not before `retry_after`, which the
    /// other side asked for; at most the cap.
    pub fn next_wait_after(&mut self, retry_after: Duration) -> Duration {
        let jitter = self.next_wait().min(retry_after);
        retry_after.saturating_add(jitter).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(backoff: &Backoff) -> Duration {
        let waits = (0..200).map(|_| backoff.clone().next_wait());
        waits.max().unwrap()
    }

    #[test]
    fn doubles_up_to_five_minutes_and_spreads_over_the_whole_span() {
        let mut backoff = Backoff::default();
        assert!(longest(&backoff) <= Duration::from_secs(1));
        for _ in 0..4 {
            backoff.next_wait();
        }
        assert!(longest(&backoff) <= Duration::from_secs(16));
        assert!(longest(&backoff) > Duration::from_secs(8));
        for _ in 0..1000 {
            backoff.next_wait();
        }
        assert!(longest(&backoff) <= Duration::from_mins(5));
        assert!(longest(&backoff) > Duration::from_secs(200));
    }

    #[test]
    fn starts_again_after_a_stable_connection() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_wait();
        }
        backoff.reset();
        assert!(longest(&backoff) <= Duration::from_secs(1));
    }

    #[test]
    fn is_back_within_seconds_after_a_connection_that_did_not_last() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_wait();
        }
        backoff.ease();
        assert!(longest(&backoff) <= Duration::from_secs(16));
        assert!(longest(&backoff) > Duration::from_secs(8));
        backoff.reset();
        backoff.ease();
        assert!(longest(&backoff) <= Duration::from_secs(1));
    }

    #[test]
    fn does_not_come_back_before_it_is_asked_to() {
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            let wait = backoff.next_wait_after(Duration::from_secs(15));
            assert!(wait >= Duration::from_secs(15));
            assert!(wait <= Duration::from_secs(30));
        }
        let absurd = backoff.next_wait_after(Duration::from_hours(24));
        assert!(absurd <= Duration::from_mins(5));
    }
}
