//! The button of the case: its microcontroller says by the length of a pulse
//! on a GPIO line what was pressed.

use std::{sync::Arc, time::Duration};

use super::pulses::Pulses;
use crate::{
    bus::gpio::{GpioLines, Input, LineName, Polarity},
    commands::ResetType,
    drivers::{Batch, Driver, Wish},
    model::{Id, Snapshot},
};

/// How often pulses are looked for; the kernel keeps them with their times.
const LOOK: Duration = Duration::from_millis(250);

/// How many edges are taken in one go: the kernel keeps 16 a line.
const EDGES: usize = 64;

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Press {
    /// Twice.
    Reboot,
    /// For three seconds.
    Shutdown,
    /// Once, where there is a display.
    Page,
}

impl Press {
    /// What a pulse of this length means: 20 to 39 ms, 40 to 59, 60 to 79.
    fn of(length: Duration) -> Option<Self> {
        match length.as_millis() {
            20..40 => Some(Self::Reboot),
            40..60 => Some(Self::Shutdown),
            60..80 => Some(Self::Page),
            _ => None,
        }
    }
}

/// What watches the line.
#[derive(Debug)]
pub(super) struct Button {
    name: String,
    lines: Arc<dyn GpioLines>,
    line: LineName,
    chassis: Id,
    /// Whether what is pressed is done.
    acts: bool,
    input: Option<Box<dyn Input>>,
    /// Whether it was told that the line cannot be had.
    told: bool,
    pulses: Pulses,
    system: Option<Id>,
}

impl Button {
    pub(super) fn new(
        part: &Id,
        chassis: Id,
        lines: Arc<dyn GpioLines>,
        line: LineName,
        acts: bool,
    ) -> Self {
        let name = format!("{part} button");
        let (input, told, system) = (None, false, None);
        let pulses = Pulses::default();
        Self { name, lines, line, chassis, acts, input, told, pulses, system }
    }

    fn pulses(&mut self) -> std::io::Result<Vec<Duration>> {
        let mut input = if let Some(input) = self.input.take() {
            input
        } else {
            self.pulses.lost(None);
            self.lines.input(&self.line, Polarity::ActiveHigh)?
        };
        let (mut lengths, mut last) = (Vec::new(), None);
        for _ in 0..EDGES {
            let Some(edge) = input.edge(Duration::ZERO)? else { break };
            last = Some(edge.at);
            lengths.extend(self.pulses.edge(edge));
        }
        if input.lost() {
            let line = &self.line;
            tracing::debug!(%line, "noise: more edges than the kernel keeps");
            lengths.clear();
            self.pulses.lost(last);
        }
        lengths.extend(self.pulses.now());
        self.input = Some(input);
        Ok(lengths)
    }

    fn pressed(&self, press: Press) -> Option<Wish> {
        let kind = match press {
            Press::Reboot => ResetType::GracefulRestart,
            Press::Shutdown => ResetType::GracefulShutdown,
            Press::Page => return None,
        };
        let system = self.system.clone().filter(|_| self.acts)?;
        let reason = format!("{} pressed: {press:?}", self.name);
        Some(Wish { system, kind, reason })
    }
}

impl Driver for Button {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        LOOK
    }

    fn see(&mut self, known: &Snapshot) {
        let chassis = known.chassis(&self.chassis);
        self.system = chassis.and_then(|it| it.systems.first().cloned());
    }

    fn poll(&mut self) -> Batch {
        let mut batch = Batch::default();
        match self.pulses() {
            Ok(lengths) => {
                self.told = false;
                for length in lengths {
                    let millis = length.as_millis();
                    let Some(press) = Press::of(length) else {
                        tracing::debug!(millis, line = %self.line, "a pulse");
                        continue;
                    };
                    let (button, line) = (&self.name, &self.line);
                    tracing::warn!(%button, %line, millis, ?press, "pressed");
                    batch.wishes.extend(self.pressed(press));
                }
            }
            Err(error) if !self.told => {
                self.told = true;
                let button = &self.name;
                tracing::warn!(%button, %error, "button is not watched");
            }
            Err(_) => {}
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_pulse_says_what_was_pressed() {
        let of = |millis| Press::of(Duration::from_millis(millis));
        assert_eq!([of(0), of(19), of(80), of(3000)], [None; 4]);
        assert_eq!([of(20), of(39)], [Some(Press::Reboot); 2]);
        assert_eq!([of(40), of(59)], [Some(Press::Shutdown); 2]);
        assert_eq!([of(60), of(79)], [Some(Press::Page); 2]);
    }
}
