//! INA3221: voltage and current of three rails of up to 26 V, on I²C (Texas
//! Instruments SBOS576), where no driver of the kernel has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ina::{self, Facts},
    rail::Rail,
};
use crate::{
    boards::part::{Fitting, Kind, Part},
    sim,
};

/// Volts a bit of the voltages; both have three bits of nothing after them
/// (sections 8.6.2.2 to 8.6.2.7).
const SHUNT_STEP: f64 = 40e-6;
const BUS_STEP: f64 = 8e-3;
/// How many rails it has, and which bit switches the first on; the others'
/// come after it (section 8.6.2.1).
const RAILS: u8 = 3;
const FIRST_RAIL: u16 = 0x4000;

const FACTS: Facts = Facts {
    word: "ina3221",
    // The mean of 16 samples of 1.1 ms of each, again and again (section
    // 8.6.2.1); a bit for each rail goes with it.
    setup: 0x0527,
    identity: Some((u16::MAX, 0x3220)),
    volts: |bus| f64::from(bus.cast_signed() >> 3) * BUS_STEP,
    drop: |shunt| {
        let drop = shunt.cast_signed() >> 3;
        let fits = drop.abs() < i16::MAX >> 3;
        fits.then(|| f64::from(drop) * SHUNT_STEP)
    },
    // Section 7.3.
    most_volts: 26.0,
    most_drop: 0.1638,
    simulator: sim::ina3221::ina3221,
};

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// By their numbers, 1 to 3.
    rails: BTreeMap<String, Rail>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: FACTS.word, fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if options.rails.is_empty() {
        return Err("say which `rails` it watches".to_owned());
    }
    let mut rails = Vec::new();
    let mut setup = FACTS.setup;
    for (number, rail) in options.rails {
        let index = number.parse::<u8>().ok().and_then(|it| it.checked_sub(1));
        let Some(index) = index.filter(|it| *it < RAILS) else {
            return Err(format!("`{number}` is no rail: 1 to {RAILS}"));
        };
        rail.check().map_err(|why| format!("rail {number}: {why}"))?;
        let word = rail.name.clone().unwrap_or_else(|| number.clone());
        let id = format!("{} {word}", fitting.id);
        setup |= FIRST_RAIL >> index;
        rails.push((index, id, format!(" rail {number}"), rail));
    }
    ina::fit(fitting, &FACTS, setup, rails)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        drivers::{
            ina::{ADDRESS, CONFIGURATION, Ina},
            meter::Meter as _,
        },
        sim::i2c::SimulatedI2c,
    };

    #[test]
    fn reads_the_rails_it_was_told_of_and_switches_the_others_off() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::ina3221::ina3221()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let rail: Rail = toml::from_str("shunt_ohms = 0.01").unwrap();
        let rails = vec![(0, rail.clone()), (2, rail)];
        let (chip, setup) = (bus.chip(ADDRESS), FACTS.setup | 0x5000);
        let mut driver = Ina::new(&FACTS, chip, setup, rails);
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
