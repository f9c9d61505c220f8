//! INA226: voltage and current of a rail of up to 36 V, on I²C (Texas
//! Instruments SBOS547).

use super::{
    meter::{Error, Fitted, Meter, Setup, Value},
    rail::{Brought, Rail},
};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::Chip,
    sim,
};

/// How it measures (section 7.6.1).
const CONFIGURATION: u8 = 0x00;
/// What falls through the resistor, signed (section 7.6.2).
const SHUNT: u8 = 0x01;
/// The voltage (section 7.6.3).
const BUS: u8 = 0x02;
/// Who made it, and which part it is; the lower four bits of that are its
/// revision (sections 7.6.9 and 7.6.10).
const MANUFACTURER_ID: u8 = 0xfe;
const DIE_ID: u8 = 0xff;
/// What they say: "TI", and INA226.
pub(super) const TEXAS: u16 = 0x5449;
const DIE: u16 = 0x2260;

/// To [`CONFIGURATION`]: the mean of 16 samples of 1.1 ms of each, again and
/// again.
const SETUP: u16 = 0x4527;
/// Volts a bit of [`SHUNT`] and of [`BUS`].
const SHUNT_STEP: f64 = 2.5e-6;
const BUS_STEP: f64 = 1.25e-3;
/// The most that falls through the resistor, in volts.
const MOST: f64 = 0.081_92;
/// The most that the part stands, in volts (section 6.3).
const VOLTS: f64 = 36.0;
/// Where it is if its address pins are low.
const ADDRESS: u8 = 0x40;

/// The part on its bus.
#[derive(Debug)]
struct Ina226 {
    chip: Chip,
    setup: Setup,
    rail: Rail,
}

/// Checks that the chip is one of Texas Instruments' that says `wanted` of
/// itself in the bits of `mask`.
pub(super) fn identify(
    chip: &Chip,
    [maker, die]: [u8; 2],
    mask: u16,
    wanted: u16,
) -> Result<(), Error> {
    for (register, mask, wanted) in
        [(maker, u16::MAX, TEXAS), (die, mask, wanted)]
    {
        let found = chip.read_word_swapped(register)?;
        if found & mask != wanted {
            let place = chip.place();
            return Err(Error::WrongPart { register, place, found });
        }
    }
    Ok(())
}

impl Meter for Ina226 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if !self.setup.known {
            identify(&self.chip, [MANUFACTURER_ID, DIE_ID], 0xfff0, DIE)?;
        }
        if !self.setup.is_done(&self.chip)? {
            return Ok(Vec::new());
        }
        let shunt = self.chip.read_word_swapped(SHUNT)?;
        let bus = self.chip.read_word_swapped(BUS)?;
        let volts = f64::from(bus) * BUS_STEP;
        let drop = shunt.cast_signed();
        let fits = drop != i16::MAX && drop != i16::MIN;
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
pub const KIND: Kind = Kind { word: "ina226", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let rail: Rail = fitting.options()?;
    rail.check()?;
    let chip = fitting.i2c(ADDRESS, sim::ina226::ina226)?;
    let place = format!("ina226 {}", chip.place());
    let Brought { sensors, supply } =
        rail.describe(&fitting.id, &place, VOLTS, MOST);
    let setup = Setup::new(CONFIGURATION, SETUP);
    let meter = Ina226 { chip, setup, rail };
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
    fn knows_its_part_before_it_writes_to_it() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina226::ina226()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail: Rail = toml::from_str("shunt_ohms = 0.002").unwrap();
        let setup = Setup::new(CONFIGURATION, SETUP);
        let chip = bus.chip(ADDRESS);
        let mut driver = Ina226 { chip, setup, rail };
        part.lock().unwrap().set(DIE_ID, 0x3220);
        let error = driver.measure().unwrap_err().to_string();
        let whole = "register 0xff at 0x40 on i2c-1 is 0x3220: not this part";
        assert_eq!(error, whole);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let ids = [Call::ReadWord(MANUFACTURER_ID), Call::ReadWord(DIE_ID)];
        assert_eq!(calls, ids);
        part.lock().unwrap().restart();
        assert!(driver.measure().unwrap().is_empty());
        // The example of section 7.5.1: 11.98 V, and 20 mV through 2 mΩ.
        part.lock().unwrap().set(BUS, 0x2570);
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
