//! Pulses on the line of the button, told from noise by the times of edges.
//!
//! The kernel's own debouncing would not do: it dates an edge when it is sure of
//! it, by a timer of whole ticks (`gpiolib-cdev.c`, `debounce_work_func`), and
//! 4 ms of 20 decide what a pulse means.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::gpio::Edge;

/// What is shorter was picked up by the wire. A pulse of the button has 20 ms.
const GLITCH: Duration = Duration::from_millis(5);
/// A pulse of the button stands alone: nothing happens for so long before and
/// after it. [inf]
const QUIET: Duration = Duration::from_millis(100);

/// A pulse that may be one of the button, unless something follows.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    rose: Duration,
    fell: Duration,
    /// When it was seen to fall.
    seen: Instant,
}

/// What is made of edges.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    /// Since when the line is high.
    rose: Option<Duration>,
    last: Option<Pulse>,
    /// When the line last fell; noise is over when it is quiet since then.
    noise: Option<Duration>,
}

impl Pulses {
    /// Takes the next edge, and says how long the pulse before it was, if it
    /// stood alone.
    pub(super) fn edge(&mut self, edge: Edge) -> Option<Duration> {
        if edge.active {
            self.rise(edge.at)
        } else {
            self.fall(edge.at);
            None
        }
    }

    fn rise(&mut self, at: Duration) -> Option<Duration> {
        let Some(last) = self.last.take() else {
            self.rose = Some(at);
            return None;
        };
        let low = at.saturating_sub(last.fell);
        if low < GLITCH {
            // It goes on.
            self.rose = Some(last.rose);
            return None;
        }
        self.rose = Some(at);
        if low < QUIET {
            self.noise = Some(last.fell);
            return None;
        }
        Some(last.fell.saturating_sub(last.rose))
    }

    fn fall(&mut self, at: Duration) {
        let Some(rose) = self.rose.take() else { return };
        if at.saturating_sub(rose) < GLITCH {
            return;
        }
        let noisy = |noise| rose.saturating_sub(noise) < QUIET;
        if self.noise.is_some_and(noisy) {
            self.noise = Some(at);
            return;
        }
        self.noise = None;
        let seen = Instant::now();
        self.last = Some(Pulse { rose, fell: at, seen });
    }

    /// How long the last pulse was, if it has stood alone by now.
    pub(super) fn now(&mut self) -> Option<Duration> {
        let still = |last: &mut Pulse| {
            self.rose.is_none() && last.seen.elapsed() >= QUIET
        };
        let last = self.last.take_if(still)?;
        Some(last.fell.saturating_sub(last.rose))
    }

    /// Edges were lost: what they would have told is not known.
    pub(super) fn lost(&mut self, at: Option<Duration>) {
        *self = Self { noise: at, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a line that is high and low for so many ms in turn.
    async fn made(of: &[u64]) -> Vec<u128> {
        let mut pulses = Pulses::default();
        let (mut at, mut active) = (Duration::from_secs(7), true);
        let mut made = Vec::new();
        for length in of {
            made.extend(pulses.edge(Edge { active, at }));
            let length = Duration::from_millis(*length);
            tokio::time::advance(length).await;
            made.extend(pulses.now());
            at += length;
            active = !active;
        }
        made.iter().map(Duration::as_millis).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_of_the_button_stands_alone() {
        for length in [20, 25, 30, 40, 45, 50, 70] {
            let one = made(&[length, 300]).await;
            assert_eq!(one, [u128::from(length)]);
        }
        assert_eq!(made(&[25, 99]).await, [0; 0], "something may follow");
        assert_eq!(made(&[25, 300, 45, 300]).await, [25, 45]);
    }

    #[tokio::test(start_paused = true)]
    async fn noise_is_no_press() {
        // Hum of 20 Hz, the half of which has the length of a press.
        assert_eq!(made(&[25; 12]).await, [0; 0]);
        // Spikes, alone and before a press.
        assert_eq!(made(&[1, 300, 2, 40, 4, 300]).await, [0; 0]);
        assert_eq!(made(&[1, 30, 25, 300]).await, [25]);
        // A gap in a press, and a spike after it.
        assert_eq!(made(&[12, 2, 11, 300]).await, [25]);
        assert_eq!(made(&[45, 30, 2, 300]).await, [0; 0]);
        // A burst, and a press when it is over.
        assert_eq!(made(&[30, 8, 30, 8, 30, 300, 45, 300]).await, [45]);
        // What was lost.
        let mut pulses = Pulses::default();
        let at = Duration::from_secs(1);
        pulses.edge(Edge { active: true, at });
        pulses.lost(Some(at));
        let at = at + Duration::from_millis(25);
        assert_eq!(pulses.edge(Edge { active: false, at }), None);
        tokio::time::advance(QUIET * 2).await;
        assert_eq!(pulses.now(), None);
    }
}
