//! INA219: voltage and current of a rail of up to 26 V, on I²C (Texas
//! Instruments SBOS448).

use super::ina::{self, Facts};
use crate::{boards::part::Kind, sim};

/// Volts a bit of what falls through the resistor, signed (section 8.6.3.1),
/// and of the voltage, from the fourth bit on (section 8.6.3.2).
const SHUNT_STEP: f64 = 10e-6;
const BUS_STEP: f64 = 4e-3;
/// What falls through the resistor at the most, in bits.
const MOST_BITS: u16 = 32_000;

const FACTS: Facts = Facts {
    word: "ina219",
    // Up to 32 V, up to 320 mV through the resistor, the mean of 32 samples
    // of each, again and again (section 8.6.2.1).
    setup: 0x3eef,
    identity: None,
    volts: |bus| f64::from(bus >> 3) * BUS_STEP,
    drop: |shunt| {
        let drop = shunt.cast_signed();
        let fits = drop.unsigned_abs() < MOST_BITS;
        fits.then(|| f64::from(drop) * SHUNT_STEP)
    },
    // Section 7.3.
    most_volts: 26.0,
    most_drop: 0.32,
    simulator: sim::ina219::ina219,
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
            ina::{ADDRESS, CONFIGURATION, Ina, SHUNT},
            meter::{Meter as _, Value},
        },
        sim::i2c::SimulatedI2c,
    };

    const BUS: u8 = SHUNT + 1;

    #[test]
    fn says_volts_amperes_and_watts_and_what_is_too_much() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina219::ina219()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail = toml::from_str("shunt_ohms = 0.1").unwrap();
        let chip = bus.chip(ADDRESS);
        let mut driver = Ina::new(&FACTS, chip, FACTS.setup, vec![(0, rail)]);
        assert!(driver.measure().unwrap().is_empty());
        // 12.004 V, and -80 mV through 0.1 Ω (the example of section 8.5.1).
        part.lock().unwrap().set(BUS, 3001 << 3 | 0b10);
        part.lock().unwrap().set(SHUNT, (-8000_i16).cast_unsigned());
        let values = driver.measure().unwrap();
        let values: Vec<f64> = values.into_iter().map(Result::unwrap).collect();
        for (got, wanted) in values.iter().zip([12.004, -0.8, -9.6032]) {
            assert!((got - wanted).abs() < 1e-9, "{values:?}");
        }
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let read = Call::ReadWord(CONFIGURATION);
        let set = Call::WriteWord(CONFIGURATION, FACTS.setup.swap_bytes());
        let values = [Call::ReadWord(SHUNT), Call::ReadWord(BUS)];
        let [shunt, bus] = values;
        assert_eq!(calls, [read.clone(), set, read, shunt, bus]);
        part.lock().unwrap().set(SHUNT, 32_000);
        let [volts, amperes, watts] =
            <[Value; 3]>::try_from(driver.measure().unwrap()).unwrap();
        volts.unwrap();
        let whole =
            "register 0x01 at 0x40 on i2c-1 is 0x7d00: beyond its range";
        assert_eq!(amperes.unwrap_err().to_string(), whole);
        watts.unwrap_err();
        // Another master has set it, and then it was without power.
        part.lock().unwrap().set(CONFIGURATION, 0x399f);
        let error = driver.measure().unwrap_err().to_string();
        assert!(error.contains("was 0x399f, not 0x3eef"), "{error}");
        sim.restart(ADDRESS);
        driver.lost();
        assert!(driver.measure().unwrap().is_empty());
        assert_eq!(driver.measure().unwrap().len(), 3);
    }
}
