//! INA226: voltage and current of a rail of up to 36 V, on I²C (Texas
//! Instruments SBOS547).

use super::ina::{self, Facts};
use crate::{boards::part::Kind, sim};

/// Volts a bit of what falls through the resistor, signed (section 7.6.2), and
/// of the voltage (section 7.6.3).
const SHUNT_STEP: f64 = 2.5e-6;
const BUS_STEP: f64 = 1.25e-3;

const FACTS: Facts = Facts {
    word: "ina226",
    // The mean of 16 samples of 1.1 ms of each, again and again (section
    // 7.6.1).
    setup: 0x4527,
    // The lower four bits are its revision (section 7.6.10).
    identity: Some((0xfff0, 0x2260)),
    volts: |bus| f64::from(bus) * BUS_STEP,
    drop: |shunt| {
        let drop = shunt.cast_signed();
        let fits = drop != i16::MAX && drop != i16::MIN;
        fits.then(|| f64::from(drop) * SHUNT_STEP)
    },
    // Section 6.3.
    most_volts: 36.0,
    most_drop: 0.081_92,
    simulator: sim::ina226::ina226,
};

/// The part for board files.
pub const KIND: Kind =
    Kind { word: FACTS.word, fit: |fitting| ina::fit_one(fitting, &FACTS) };

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        drivers::{
            ina::{ADDRESS, DIE_ID, Ina, MANUFACTURER_ID, SHUNT},
            meter::Meter as _,
        },
        sim::i2c::SimulatedI2c,
    };

    #[test]
    fn knows_its_part_before_it_writes_to_it() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina226::ina226()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail = toml::from_str("shunt_ohms = 0.002").unwrap();
        let chip = bus.chip(ADDRESS);
        let mut driver = Ina::new(&FACTS, chip, FACTS.setup, vec![(0, rail)]);
        part.lock().unwrap().set(DIE_ID, 0x3220);
        let error = driver.measure().unwrap_err().to_string();
        let whole = "register 0xff at 0x40 on i2c-1 is 0x3220: not this part";
        assert_eq!(error, whole);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let ids = [Call::ReadWord(MANUFACTURER_ID), Call::ReadWord(DIE_ID)];
        assert_eq!(calls, ids);
        sim.restart(ADDRESS);
        assert!(driver.measure().unwrap().is_empty());
        // The example of section 7.5.1: 11.98 V, and 20 mV through 2 mΩ.
        part.lock().unwrap().set(SHUNT + 1, 0x2570);
        part.lock().unwrap().set(SHUNT, 0x1f40);
        let values = driver.measure().unwrap();
        let values: Vec<f64> = values.into_iter().map(Result::unwrap).collect();
        for (got, wanted) in values.iter().zip([11.98, 10.0, 119.8]) {
            assert!((got - wanted).abs() < 1e-9, "{values:?}");
        }
        part.lock().unwrap().set(SHUNT, 0x7fff);
        let values = driver.measure().unwrap();
        let error = values.into_iter().nth(1).unwrap().unwrap_err();
        assert!(error.to_string().contains("is 0x7fff: beyond"), "{error}");
    }
}
