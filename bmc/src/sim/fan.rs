//! A fan with a tachometer that follows a curve of its own.

use std::time::Duration;

use crate::model::Id;

/// How long a fan needs for two thirds of the way to a new speed, in seconds.
const INERTIA: f64 = 0.8;

/// A simulated fan.
#[derive(Clone, Debug, PartialEq)]
pub struct Fan {
    /// The system whose heat it carries away.
    pub cools: Id,
    /// Turns a minute at full duty.
    pub full_speed: f64,
    /// Watts at full duty.
    pub full_watts: f64,
    /// Duty in percent by temperature in °C, rising; straight in between.
    pub curve: Vec<(f64, f64)>,
    /// Duty that a person wants instead, in percent.
    pub manual: Option<f64>,
    /// Duty now, in percent.
    pub duty: f64,
    /// Turns a minute now.
    pub speed: f64,
    /// It does not turn, whatever drives it.
    pub stuck: bool,
}

impl Fan {
    /// Goes on by `step` at `temperature`.
    pub(super) fn step(
        &mut self,
        step: Duration,
        temperature: f64,
        has_power: bool,
    ) {
        let wanted = self.manual.unwrap_or_else(|| self.wanted(temperature));
        self.duty = if has_power { wanted } else { 0.0 };
        let target =
            if self.stuck { 0.0 } else { self.full_speed * self.duty / 100.0 };
        let decay = (-step.as_secs_f64() / INERTIA).exp();
        self.speed = target + (self.speed - target) * decay;
        if self.speed < 1.0 {
            self.speed = 0.0;
        }
    }

    /// How much it cools: 0 standing, 1 at full speed.
    pub(super) fn cooling(&self) -> f64 {
        (self.speed / self.full_speed).clamp(0.0, 1.0)
    }

    /// The power it takes: with the cube of its speed.
    pub(super) fn watts(&self) -> f64 {
        self.full_watts * self.cooling().powi(3)
    }

    fn wanted(&self, temperature: f64) -> f64 {
        along(&self.curve, temperature)
    }
}

/// The value of a curve of straight lines at `x`.
pub(super) fn along(curve: &[(f64, f64)], x: f64) -> f64 {
    let Some(above) = curve.iter().position(|(at, _)| *at > x) else {
        return curve.last().map_or(0.0, |(_, y)| *y);
    };
    let (Some((x0, y0)), Some((x1, y1))) =
        (above.checked_sub(1).and_then(|i| curve.get(i)), curve.get(above))
    else {
        return curve.first().map_or(0.0, |(_, y)| *y);
    };
    y0 + (y1 - y0) * (x - x0) / (x1 - x0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_straight_between_its_points_and_flat_beyond() {
        let curve = [(50.0, 0.0), (60.0, 40.0), (70.0, 100.0)];
        for (x, y) in [(0.0, 0.0), (55.0, 20.0), (65.0, 70.0), (99.0, 100.0)] {
            assert!((along(&curve, x) - y).abs() < 1e-9, "{x}");
        }
        assert!(along(&[], 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_stuck_fan_runs_out_and_stays() {
        let mut fan = Fan {
            cools: "node".into(),
            full_speed: 5000.0,
            full_watts: 1.0,
            curve: vec![(50.0, 0.0), (70.0, 100.0)],
            manual: None,
            duty: 0.0,
            speed: 0.0,
            stuck: false,
        };
        let step = Duration::from_millis(100);
        (0..100).for_each(|_| fan.step(step, 70.0, true));
        assert!(fan.speed > 4990.0);
        fan.stuck = true;
        (0..100).for_each(|_| fan.step(step, 70.0, true));
        assert!(fan.speed.abs() < 1e-9 && fan.duty > 99.0);
    }
}
