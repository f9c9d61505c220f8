//! INA219: voltage and current of a rail of up to 26 V, on I²C (Texas
//! Instruments SBOS448).

use super::{
    meter::{Error, Fitted, Meter, Setup, Value},
    rail::{Brought, Rail},
};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::Chip,
    sim,
};

/// How it measures (section 8.6.2.1).
const CONFIGURATION: u8 = 0x00;
/// What falls through the resistor, signed (section 8.6.3.1).
const SHUNT: u8 = 0x01;
/// The voltage, from the fourth bit on (section 8.6.3.2).
const BUS: u8 = 0x02;

/// To [`CONFIGURATION`]: up to 32 V, up to 320 mV through the resistor, the
/// mean of 32 samples of each, again and again.
const SETUP: u16 = 0x3eef;
/// Volts a bit of [`SHUNT`] and of [`BUS`].
const SHUNT_STEP: f64 = 10e-6;
const BUS_STEP: f64 = 4e-3;
/// The most that falls through the resistor, in volts and in bits.
const MOST: f64 = 0.32;
const MOST_BITS: u16 = 32_000;
/// The most that the part stands, in volts (section 7.3).
const VOLTS: f64 = 26.0;
/// Where it is if its address pins are low.
const ADDRESS: u8 = 0x40;

/// The part on its bus.
#[derive(Debug)]
struct Ina219 {
    chip: Chip,
    setup: Setup,
    rail: Rail,
}

impl Meter for Ina219 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if !self.setup.is_done(&self.chip)? {
            return Ok(Vec::new());
        }
        let shunt = self.chip.read_word_swapped(SHUNT)?;
        let bus = self.chip.read_word_swapped(BUS)?;
        let volts = f64::from(bus >> 3) * BUS_STEP;
        let drop = shunt.cast_signed();
        let fits = drop.unsigned_abs() < MOST_BITS;
        let drop = fits.then(|| f64::from(drop) * SHUNT_STEP);
        let over = || Error::OverRange {
            register: SHUNT,
            place: self.chip.place(),
            found: shunt,
        };
        Ok(self.rail.values(volts, drop, over).into())
    }

    fn lost(&mut self) {
        self.setup.known = false;
    }
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "ina219", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let rail: Rail = fitting.options()?;
    rail.check()?;
    let chip = fitting.i2c(ADDRESS, sim::ina219::ina219)?;
    let place = format!("ina219 {}", chip.place());
    let Brought { sensors, supply } =
        rail.describe(&fitting.id, &place, VOLTS, MOST);
    let setup = Setup::new(CONFIGURATION, SETUP);
    let meter = Ina219 { chip, setup, rail };
    let chassis = fitting.chassis.clone();
    let fitted = Fitted::new(chassis, place, meter, sensors.into());
    Ok(Box::new(fitted.feeding(supply.into_iter().collect())))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        sim::i2c::SimulatedI2c,
    };

    #[test]
    fn says_volts_amperes_and_watts_and_what_is_too_much() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina219::ina219()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail: Rail = toml::from_str("shunt_ohms = 0.1").unwrap();
        let setup = Setup::new(CONFIGURATION, SETUP);
        let chip = bus.chip(ADDRESS);
        let mut driver = Ina219 { chip, setup, rail };
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
        let set = Call::WriteWord(CONFIGURATION, SETUP.swap_bytes());
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
        part.lock().unwrap().restart();
        driver.lost();
        assert!(driver.measure().unwrap().is_empty());
        assert_eq!(driver.measure().unwrap().len(), 3);
    }
}
