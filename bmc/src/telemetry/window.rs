//! Functions over time: what was read within a span, in bounded memory.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::config::Function;

/// Beyond as many readings as this a window sums up neighbours.
const BUCKETS: u32 = 64;

/// How late a reading may be for a window to count as full.
const SLACK: Duration = Duration::from_millis(1500);

/// Readings summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    sum: f64,
    count: u32,
    least: f64,
    most: f64,
}

impl Totals {
    pub(crate) fn of(value: f64) -> Self {
        Self { sum: value, count: 1, least: value, most: value }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    pub(crate) fn value(self, function: Function) -> f64 {
        match function {
            Function::Average => self.sum / f64::from(self.count),
            Function::Maximum => self.most,
            Function::Minimum => self.least,
            Function::Summation => self.sum,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Instant,
    last: Instant,
    totals: Totals,
}

/// What was read within the last `span`.
#[derive(Debug)]
pub(crate) struct Window {
    span: Duration,
    since: Instant,
    buckets: VecDeque<Bucket>,
}

impl Window {
    pub(crate) fn new(span: Duration, now: Instant) -> Self {
        Self { span, since: now, buckets: VecDeque::new() }
    }

    pub(crate) fn span(&self) -> Duration {
        self.span
    }

    /// Takes a reading. One that was taken before is not taken twice.
    pub(crate) fn push(&mut self, at: Instant, value: f64) {
        // Readings come once a second; up to a minute each is kept.
        let width = self.span / BUCKETS;
        match self.buckets.back_mut() {
            Some(last) if at <= last.last => return,
            Some(last)
                if width > Duration::from_secs(1)
                    && at.duration_since(last.first) < width =>
            {
                last.last = at;
                last.totals.add(Totals::of(value));
            }
            _ => {
                let totals = Totals::of(value);
                let bucket = Bucket { first: at, last: at, totals };
                self.buckets.push_back(bucket);
            }
        }
        self.forget(at);
    }

    /// The function of what was read; nothing until the window has been open
    /// for its whole span, and nothing where nothing could be read.
    pub(crate) fn value(
        &mut self,
        now: Instant,
        function: Function,
    ) -> Option<f64> {
        self.forget(now);
        if now.duration_since(self.since) + SLACK < self.span {
            return None;
        }
        let all = self.buckets.iter().map(|bucket| bucket.totals);
        let totals = all.reduce(|mut all, next| {
            all.add(next);
            all
        });
        totals.map(|totals| totals.value(function))
    }

    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.buckets.front()
            && now.duration_since(first.last) >= self.span
        {
            self.buckets.pop_front();
        }
        // Sources that are faster than sensors.
        while self.buckets.len() > 2 * BUCKETS as usize {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(span: u64, readings: u64) -> (Window, Instant) {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(span), start);
        let mut now = start;
        for second in 0..readings {
            now = start + Duration::from_secs(second);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            window.push(now, second as f64);
        }
        (window, now)
    }

    #[test]
    fn a_window_is_exact_up_to_a_minute() {
        let (mut window, now) = filled(10, 30);
        // 20 to 29 are less than ten seconds old.
        let mut value = |of| window.value(now, of).unwrap();
        assert!((value(Function::Average) - 24.5).abs() < 1e-9);
        assert!((value(Function::Minimum) - 20.0).abs() < 1e-9);
        assert!((value(Function::Maximum) - 29.0).abs() < 1e-9);
        assert!((value(Function::Summation) - 245.0).abs() < 1e-9);
        assert_eq!(
            window.value(now + Duration::from_secs(11), Function::Average),
            None
        );
    }

    #[test]
    fn a_long_window_is_bounded_and_nearly_exact() {
        let (mut window, now) = filled(6400, 20_000);
        assert!(window.buckets.len() <= 66, "{}", window.buckets.len());
        let average = window.value(now, Function::Average).unwrap();
        assert!((average - 16_799.5).abs() < 100.0, "{average}");
    }

    #[test]
    fn a_window_says_nothing_before_it_is_full() {
        let (mut window, now) = filled(10, 5);
        assert_eq!(window.value(now, Function::Maximum), None);
        let (mut window, now) = filled(10, 10);
        assert!(window.value(now, Function::Maximum).is_some());
    }
}
