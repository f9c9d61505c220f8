//! A first-order thermal plant: heat in, heat out through a resistance that
//! moving air makes smaller.

use std::time::Duration;

/// What a processor with its heat sink is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    /// Temperature of the air, in °C.
    pub ambient: f64,
    /// Heat capacity, in joules a kelvin.
    pub capacity: f64,
    /// Kelvin a watt in still air.
    pub resistance_still: f64,
    /// Kelvin a watt with the fan at full speed.
    pub resistance_full: f64,
    /// Temperature now, in °C.
    pub temperature: f64,
}

impl Plant {
    /// Goes on by `step` while `watts` are turned to heat; `cooling` is 0 in
    /// still air and 1 with the fan at full speed.
    pub(super) fn step(&mut self, step: Duration, watts: f64, cooling: f64) {
        let span = self.resistance_full - self.resistance_still;
        let resistance = self.resistance_still + span * cooling;
        // Exact for constant input, and so stable at any step.
        let target = self.ambient + watts * resistance;
        let decay = (-step.as_secs_f64() / (resistance * self.capacity)).exp();
        self.temperature = target + (self.temperature - target) * decay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles_where_heat_in_is_heat_out() {
        let mut plant = Plant {
            ambient: 20.0,
            capacity: 10.0,
            resistance_still: 10.0,
            resistance_full: 4.0,
            temperature: 20.0,
        };
        for _ in 0..20_000 {
            plant.step(Duration::from_millis(100), 5.0, 0.0);
        }
        assert!((plant.temperature - 70.0).abs() < 0.1);
        for _ in 0..20_000 {
            plant.step(Duration::from_millis(100), 5.0, 1.0);
        }
        assert!((plant.temperature - 40.0).abs() < 0.1);
    }
}
