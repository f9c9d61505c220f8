//! INA3221: voltage and current of three rails of up to 26 V, on I²C (Texas
//! Instruments SBOS576), where no driver of the kernel has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ina226::identify,
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
/// What falls through the resistor of the first rail, signed, from the fourth
/// bit on; its voltage is in the register after it, and so on for the others
/// (sections 8.6.2.2 to 8.6.2.7).
const SHUNT: u8 = 0x01;
/// Who made it, and which part it is (sections 8.6.2.20 and 8.6.2.21).
const MANUFACTURER_ID: u8 = 0xfe;
const DIE_ID: u8 = 0xff;
const DIE: u16 = 0x3220;

/// To [`CONFIGURATION`]: the mean of 16 samples of 1.1 ms of each, again and
/// again; a bit for each rail goes with it, the first rail's is the highest.
const SETUP: u16 = 0x0527;
const FIRST_RAIL: u16 = 0x4000;
/// Volts a bit of the voltages; both have three bits of nothing after them.
const SHUNT_STEP: f64 = 40e-6;
const BUS_STEP: f64 = 8e-3;
/// The most that falls through a resistor, in volts.
const MOST: f64 = 0.1638;
/// The most that the part stands, in volts (section 7.3).
const VOLTS: f64 = 26.0;
/// How many rails it has.
const RAILS: u8 = 3;
/// Where it is if its address pin is low.
const ADDRESS: u8 = 0x40;

/// The part on its bus.
#[derive(Debug)]
struct Ina3221 {
    chip: Chip,
    setup: Setup,
    rails: Vec<(u8, Rail)>,
}

impl Meter for Ina3221 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if !self.setup.known {
            identify(&self.chip, [MANUFACTURER_ID, DIE_ID], u16::MAX, DIE)?;
        }
        if !self.setup.is_done(&self.chip)? {
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        for (number, rail) in &self.rails {
            let register = SHUNT + 2 * (number - 1);
            let shunt = self.chip.read_word_swapped(register)?;
            let bus = self.chip.read_word_swapped(register + 1)?;
            let volts = f64::from(bus.cast_signed() >> 3) * BUS_STEP;
            let drop = shunt.cast_signed() >> 3;
            let fits = drop.abs() < i16::MAX >> 3;
            let drop = fits.then(|| f64::from(drop) * SHUNT_STEP);
            let over = || Error::OverRange {
                register,
                place: self.chip.place(),
                found: shunt,
            };
            values.extend(rail.values(volts, drop, over));
        }
        Ok(values)
    }

    fn lost(&mut self) {
        self.setup.known = false;
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// By their numbers, 1 to 3.
    rails: BTreeMap<String, Rail>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "ina3221", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if options.rails.is_empty() {
        return Err("say which `rails` it watches".to_owned());
    }
    let chip = fitting.i2c(ADDRESS, sim::ina3221::ina3221)?;
    let place = format!("ina3221 {}", chip.place());
    let (mut sensors, mut supplies) = (Vec::new(), Vec::new());
    let mut rails = Vec::new();
    let mut setup = SETUP;
    for (number, facts) in options.rails {
        let parsed = number.parse().ok();
        let parsed = parsed.filter(|it| (1..=RAILS).contains(it));
        let Some(number) = parsed else {
            return Err(format!("`{number}` is no rail: 1 to {RAILS}"));
        };
        facts.check().map_err(|why| format!("rail {number}: {why}"))?;
        let word = facts.name.clone().unwrap_or_else(|| number.to_string());
        let id = format!("{} {word}", fitting.id);
        let source = format!("{place} rail {number}");
        let brought = facts.describe(&id, &source, VOLTS, MOST);
        let Brought { sensors: own, supply } = brought;
        sensors.extend(own);
        supplies.extend(supply);
        setup |= FIRST_RAIL >> (number - 1);
        rails.push((number, facts));
    }
    let setup = Setup::new(CONFIGURATION, setup);
    let meter = Ina3221 { chip, setup, rails };
    let chassis = fitting.chassis.clone();
    let fitted = Fitted::new(chassis, place, meter, sensors);
    Ok(Box::new(fitted.feeding(supplies)))
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
    fn reads_the_rails_it_was_told_of_and_switches_the_others_off() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina3221::ina3221()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail: Rail = toml::from_str("shunt_ohms = 0.01").unwrap();
        let setup = Setup::new(CONFIGURATION, SETUP | 0x5000);
        let rails = vec![(1, rail.clone()), (3, rail)];
        let chip = bus.chip(ADDRESS);
        let mut driver = Ina3221 { chip, setup, rails };
        assert!(driver.measure().unwrap().is_empty());
        assert_eq!(part.lock().unwrap().get(CONFIGURATION), 0x5527);
        // -80 mV (the example of section 8.6.2.2), 5.048 V, and nothing.
        part.lock().unwrap().set(0x01, 0xc180);
        part.lock().unwrap().set(0x02, 631 << 3);
        part.lock().unwrap().set(0x05, 0x7ff8);
        driver.measure().unwrap();
        let _ = sim.calls();
        let mut values = driver.measure().unwrap().into_iter();
        for wanted in [5.048, -8.0, -40.384] {
            let got = values.next().unwrap().unwrap();
            assert!((got - wanted).abs() < 1e-9, "{got} {wanted}");
        }
        values.next().unwrap().unwrap();
        let error = values.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("register 0x05 at 0x40"), "{error}");
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        assert_eq!(calls, [0, 1, 2, 5, 6].map(Call::ReadWord));
    }
}
