//! How hard the fan is to be driven: as the vendor's own service has it.

use std::time::Duration;

use tokio::time::Instant;

/// From these °C, so many percent.
const CURVE: [(f64, u8); 3] = [(55.0, 30), (60.0, 55), (65.0, 100)];
/// Less than this does not turn the fan.
const LEAST: u8 = 25;
/// How long it has to be cooler before the fan is driven less.
const COOLER: Duration = Duration::from_secs(30);
/// What makes a fan start that stands still.
const FULL: u8 = 100;

/// What the curve says of a temperature; who does not know it cools.
fn wanted(celsius: Option<f64>) -> u8 {
    let Some(celsius) = celsius else { return FULL };
    let steps = CURVE.iter().rev();
    let step = steps.into_iter().find(|(from, _)| celsius >= *from);
    step.map_or(0, |(_, percent)| *percent)
}

/// What a person says, as the fan can do it.
fn able(percent: f64) -> u8 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 100"
    )]
    let percent = percent.clamp(0.0, 100.0).round() as u8;
    if percent == 0 { 0 } else { percent.max(LEAST) }
}

/// What decides.
#[derive(Debug, Default)]
pub(in crate::drivers) struct Loop {
    /// What a person said, in percent.
    pub(in crate::drivers) manual: Option<f64>,
    /// What the fan is driven by; nothing where nobody knows.
    now: Option<u8>,
    /// Whether that only makes it start.
    pulse: bool,
    cooler_since: Option<Instant>,
}

impl Loop {
    /// What to drive the fan by now, at `celsius`.
    pub(in crate::drivers) fn next(
        &mut self,
        celsius: Option<f64>,
        at: Instant,
    ) -> u8 {
        let wish = match self.manual {
            Some(percent) => able(percent),
            None => wanted(celsius),
        };
        let now = self.now.unwrap_or(0);
        if now == 0 && wish > 0 {
            self.cooler_since = None;
            return FULL;
        }
        if wish >= now || self.pulse || self.manual.is_some() {
            self.cooler_since = None;
            return wish;
        }
        let since = *self.cooler_since.get_or_insert(at);
        if at.duration_since(since) < COOLER {
            return now;
        }
        self.cooler_since = None;
        wish
    }

    /// Takes what the fan is driven by.
    pub(in crate::drivers) fn driven(&mut self, percent: u8) {
        self.pulse = self.now.unwrap_or(0) == 0 && percent == FULL;
        self.now = Some(percent);
    }

    /// What the fan is driven by, as far as that is known.
    pub(in crate::drivers) fn now(&self) -> Option<u8> {
        self.now
    }

    /// Nobody knows what the fan does.
    pub(in crate::drivers) fn lost(&mut self) {
        self.now = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What it is driven by at these temperatures, a second each.
    fn driven(it: &mut Loop, at: Instant, temperatures: &[f64]) -> Vec<u8> {
        let seconds = (0..).map(|second| at + SECOND * second);
        let steps = temperatures.iter().zip(seconds);
        let steps = steps.map(|(celsius, at)| {
            let percent = it.next(Some(*celsius), at);
            it.driven(percent);
            percent
        });
        steps.collect()
    }

    #[test]
    fn follows_the_curve_with_a_pulse_first_and_patience_last() {
        let (mut it, at) = (Loop::default(), Instant::now());
        let warm = [40.0, 54.9, 55.0, 55.0, 61.0, 65.0, 64.0];
        assert_eq!(driven(&mut it, at, &warm), [0, 0, 100, 30, 55, 100, 100]);
        let later = at + SECOND * 6;
        assert_eq!(it.next(Some(50.0), later + SECOND * 29), 100);
        assert_eq!(it.next(Some(56.0), later + SECOND * 30), 30);
        assert_eq!(it.next(None, later), 100, "nobody knows how warm it is");
    }

    #[test]
    fn a_person_is_obeyed_at_once_and_a_little_is_made_enough() {
        let (mut it, at) = (Loop::default(), Instant::now());
        for (said, pulse, then) in
            [(10.0, 100, 25), (90.0, 90, 90), (0.4, 0, 0), (24.6, 100, 25)]
        {
            it.manual = Some(said);
            let first = it.next(Some(80.0), at);
            it.driven(first);
            let second = it.next(Some(80.0), at);
            it.driven(second);
            assert_eq!((first, second), (pulse, then), "{said}");
        }
        it.lost();
        assert_eq!(it.next(None, at), 100);
    }
}
