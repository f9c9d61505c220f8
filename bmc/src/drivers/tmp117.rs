//! TMP117 and TMP119: a temperature sensor of Texas Instruments on I²C
//! (datasheet SNOSD82D).

use std::io;

use serde::Deserialize;

use super::{
    Driver,
    channel::{Attribute, Channel, Channels, Source},
};
use crate::{
    boards::part::{Fitting, Kind, Part, chassis_of},
    bus::{Chip, I2cError},
    model::{Id, Inventory, PhysicalContext, Sensor, SensorKind},
    sim,
};

/// The temperature, signed, in [`STEP`]s (section 7.6.1.1).
const TEMP_RESULT: u8 = 0x00;
/// Which part it is (section 7.6.1.10); the upper four bits are the revision.
const DEVICE_ID: u8 = 0x0f;

/// °C a bit (section 7.3.1).
const STEP: f64 = 7.812_5e-3;
/// What the part says before its first conversion (section 7.6.1.1).
const NOTHING_YET: u16 = 0x8000;
/// Where it is unless its address pin says otherwise (section 7.5.3.2).
const ADDRESS: u8 = 0x48;
/// What [`DEVICE_ID`] says without the revision: TMP117, and TMP119.
const IDS: [u16; 2] = [0x117, 0x119];

/// What goes wrong with one.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] I2cError),
    #[error(
        "register {DEVICE_ID:#04x} at {place} is {found:#06x}: not this part"
    )]
    WrongPart { place: String, found: u16 },
    #[error("{place} has not measured yet")]
    NothingYet { place: String },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// The part on its bus.
#[derive(Debug)]
struct Tmp117 {
    chip: Chip,
    known: bool,
}

impl Tmp117 {
    /// The temperature in °C.
    fn temperature(&mut self) -> Result<f64, Error> {
        if !self.known {
            let found = self.chip.read_word_swapped(DEVICE_ID)?;
            if !IDS.contains(&(found & 0x0fff)) {
                let place = self.chip.place();
                return Err(Error::WrongPart { place, found });
            }
        }
        // Whoever comes back after a failure may be another part.
        self.known = false;
        let word = self.chip.read_word_swapped(TEMP_RESULT)?;
        if word == NOTHING_YET {
            return Err(Error::NothingYet { place: self.chip.place() });
        }
        self.known = true;
        Ok(f64::from(word.cast_signed()) * STEP)
    }
}

impl Attribute for Tmp117 {
    fn read(&mut self) -> io::Result<f64> {
        Ok(self.temperature()?)
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call the sensor.
    name: Option<String>,
    upper_caution: Option<f64>,
    upper_critical: Option<f64>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "tmp117", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let chip = fitting.i2c(ADDRESS, sim::tmp117::Tmp117::default)?;
    let place = format!("tmp117 {}", chip.place());
    let source = Source::One(Box::new(Tmp117 { chip, known: false }), 1.0);
    let name =
        options.name.unwrap_or_else(|| format!("{} Temperature", fitting.id));
    let mut channel = Channel::new(&name, SensorKind::Temperature, source);
    let sensor = &mut channel.sensor;
    sensor.id = fitting.id.clone();
    sensor.context = PhysicalContext::SystemBoard;
    sensor.range = Some((-55.0, 150.0));
    sensor.thresholds.upper_caution = options.upper_caution;
    sensor.thresholds.upper_critical = options.upper_critical;
    sensor.source = place.as_str().into();
    sensor.required = true;
    Ok(Box::new(Fitted {
        chassis: fitting.chassis.clone(),
        sensor: sensor.clone(),
        channels: Some(Channels::new(place, vec![channel])),
    }))
}

/// The part on a board.
struct Fitted {
    chassis: Id,
    sensor: Sensor,
    channels: Option<Channels>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        if let Some(chassis) = chassis_of(inventory, &self.chassis) {
            chassis.sensors.push(self.sensor.clone());
        }
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let channels = self.channels.take();
        channels.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }
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
    fn knows_its_part_and_names_the_register_of_another() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::tmp117::Tmp117::default()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let mut driver = Tmp117 { chip: bus.chip(ADDRESS), known: false };
        part.lock().unwrap().celsius = -12.5;
        assert!((driver.temperature().unwrap() + 12.5).abs() < STEP);
        driver.temperature().unwrap();
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let [id, value] = [Call::ReadWord(DEVICE_ID), Call::ReadWord(0)];
        assert_eq!(calls, [id, value.clone(), value]);
        sim.unplug(ADDRESS);
        let error = driver.temperature().unwrap_err().to_string();
        let begin = "read register 0x00 at 0x48 on i2c-1: ";
        assert!(error.starts_with(begin), "{error}");
        sim.plug(ADDRESS);
        part.lock().unwrap().id = 0x0075;
        let error = driver.temperature().unwrap_err().to_string();
        let whole = "register 0x0f at 0x48 on i2c-1 is 0x0075: not this part";
        assert_eq!(error, whole);
    }
}
