//! How much is answered, however much is asked.

use std::time::Duration;

use tokio::time::Instant;

/// So many answers in any second.
pub(super) struct Budget {
    rate: u32,
    since: Instant,
    left: u32,
}

impl Budget {
    /// `rate` answers a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, since: Instant::now(), left: rate }
    }

    /// Takes one, if there is one left.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.left) = (now, self.rate);
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_answered() {
        let mut budget = Budget::new(20);
        let now = Instant::now();
        let answered = (0..1000).filter(|_| budget.spend(now)).count();
        assert_eq!(answered, 20);
        assert!(budget.spend(now + Duration::from_secs(1)));
    }
}
