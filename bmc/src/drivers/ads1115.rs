//! ADS1115 and ADS1015: an analog-to-digital converter with four inputs, on
//! I²C (Texas Instruments SBAS444 and SBAS473).
//!
//! Each value is a conversion of its own, and its configuration is read back
//! before and after the result is: one that somebody else began in between is
//! seen and not believed.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::meter::{Error, Fitted, Limits, Meter, Value, sensor};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::{Chip, pause},
    model::{Sensor, SensorKind},
    sim,
};

/// The result, signed (section 8.1.2; in an ADS1015 the last four bits are 0).
const CONVERSION: u8 = 0x00;
/// How it measures (section 8.1.3).
const CONFIGURATION: u8 = 0x01;

/// Of [`CONFIGURATION`]: begin; it reads as 1 when that is done.
const BEGIN: u16 = 0x8000;
/// One conversion at a time, 128 samples a second (1,600 in an ADS1015), and
/// no comparator.
const SINGLE: u16 = 0x0183;
/// How long a conversion takes: 7.8 ms, and up to a tenth more.
const CONVERTS: Duration = Duration::from_millis(9);
/// How often it is asked whether it is done.
const TRIES: u32 = 4;
/// Steps of half the range.
const STEPS: f64 = 32_768.0;
/// Where it is if its address pin is low.
const ADDRESS: u8 = 0x48;

/// What can be measured against what, with the bits for it.
const INPUTS: [(&str, u16); 8] = [
    ("0-1", 0x0000),
    ("0-3", 0x1000),
    ("1-3", 0x2000),
    ("2-3", 0x3000),
    ("0", 0x4000),
    ("1", 0x5000),
    ("2", 0x6000),
    ("3", 0x7000),
];
/// The ranges, in volts, with the bits for them.
const RANGES: [(f64, u16); 6] = [
    (6.144, 0x0000),
    (4.096, 0x0200),
    (2.048, 0x0400),
    (1.024, 0x0600),
    (0.512, 0x0800),
    (0.256, 0x0a00),
];

/// What a channel's voltage stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Channel {
    /// What is written to [`CONFIGURATION`].
    configuration: u16,
    /// Half the range, in volts.
    volts: f64,
    /// In the sensor's unit: so much a volt, and so much at 0 V.
    scale: f64,
    offset: f64,
}

/// The part on its bus.
#[derive(Debug)]
struct Ads1115 {
    chip: Chip,
    channels: Vec<Channel>,
}

impl Ads1115 {
    fn value(&self, channel: Channel) -> Result<f64, Error> {
        let ours = channel.configuration;
        self.chip.write_word_swapped(CONFIGURATION, ours | BEGIN)?;
        let mut tries = TRIES;
        while !self.is_done(ours)? {
            tries -= 1;
            if tries == 0 {
                let waited = CONVERTS * TRIES;
                return Err(Error::Late { place: self.chip.place(), waited });
            }
        }
        let found = self.chip.read_word_swapped(CONVERSION)?;
        self.is_ours(ours)?;
        let steps = found.cast_signed();
        // The last step of an ADS1015 is sixteen of an ADS1115.
        if !(i16::MIN + 1..i16::MAX & !0xf).contains(&steps) {
            let (register, place) = (CONVERSION, self.chip.place());
            return Err(Error::OverRange { register, place, found });
        }
        let volts = f64::from(steps) * channel.volts / STEPS;
        Ok(volts * channel.scale + channel.offset)
    }

    /// Waits for a while, and asks whether the conversion is done.
    fn is_done(&self, wanted: u16) -> Result<bool, Error> {
        pause(CONVERTS);
        self.is_ours(wanted)
    }

    /// Whether the conversion is done; it is an error if it is not ours.
    fn is_ours(&self, wanted: u16) -> Result<bool, Error> {
        let found = self.chip.read_word_swapped(CONFIGURATION)?;
        if found & !BEGIN != wanted {
            let (register, place) = (CONFIGURATION, self.chip.place());
            return Err(Error::Changed { register, place, found, wanted });
        }
        Ok(found & BEGIN != 0)
    }
}

impl Meter for Ads1115 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        for channel in &self.channels {
            let value = match self.value(*channel) {
                // Who is not there says nothing of the others either.
                Err(Error::Bus(error)) => return Err(error.into()),
                value => value,
            };
            values.push(value);
        }
        Ok(values)
    }

    fn lost(&mut self) {}
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// By what they measure: `0` to `3` against ground, or `0-1` and the like.
    channels: BTreeMap<String, Wired>,
}

/// What is wired to an input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wired {
    /// What people call the sensor.
    name: Option<String>,
    /// The most that it can be, in volts; 4.096 where nothing is said.
    full_scale_volts: Option<f64>,
    /// What it measures.
    #[serde(default)]
    unit: Unit,
    /// So many of the unit a volt.
    scale: Option<f64>,
    /// So many of the unit at 0 V.
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    limits: Limits,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    #[default]
    Volts,
    Amperes,
    Watts,
    Celsius,
    Percent,
    Rpm,
    Hertz,
}

impl From<Unit> for SensorKind {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Volts => Self::Voltage,
            Unit::Amperes => Self::Current,
            Unit::Watts => Self::Power,
            Unit::Celsius => Self::Temperature,
            Unit::Percent => Self::Percent,
            Unit::Rpm => Self::Rotation,
            Unit::Hertz => Self::Frequency,
        }
    }
}

/// The parts for board files.
pub const KIND: Kind = Kind { word: "ads1115", fit };
/// The one with 12 bits, which is spoken to in the same way.
pub const KIND_OF_12_BITS: Kind = Kind { word: "ads1015", fit: fit_12_bits };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    fit_as("ads1115", fitting)
}

fn fit_12_bits(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    fit_as("ads1015", fitting)
}

fn fit_as(
    word: &str,
    fitting: &mut Fitting<'_>,
) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if options.channels.is_empty() {
        return Err("say which `channels` it measures".to_owned());
    }
    let chip = fitting.i2c(ADDRESS, sim::ads1115::Ads1115::default)?;
    let place = format!("{word} {}", chip.place());
    let (mut channels, mut sensors) = (Vec::new(), Vec::new());
    for (input, wired) in &options.channels {
        let (channel, sensor) = wired.fit(&fitting.id, input, &place)?;
        channels.push(channel);
        sensors.push(sensor);
    }
    let meter = Ads1115 { chip, channels };
    let chassis = fitting.chassis.clone();
    Ok(Box::new(Fitted::new(chassis, place, meter, sensors)))
}

impl Wired {
    fn fit(
        &self,
        part: &str,
        input: &str,
        place: &str,
    ) -> Result<(Channel, Sensor), String> {
        let wrong = |why: String| format!("channel `{input}`: {why}");
        let Some((_, mux)) = INPUTS.iter().find(|(word, _)| *word == input)
        else {
            let known = INPUTS.map(|(word, _)| word).join(", ");
            return Err(wrong(format!("there are {known}")));
        };
        let volts = self.full_scale_volts.unwrap_or(4.096);
        let near = |range: f64| (range - volts).abs() < 1e-6;
        let Some((volts, gain)) = RANGES.iter().find(|(it, _)| near(*it))
        else {
            let known = RANGES.map(|(volts, _)| volts.to_string()).join(", ");
            let why = format!("`full_scale_volts` is {volts}, not {known}");
            return Err(wrong(why));
        };
        let kind = SensorKind::from(self.unit);
        if self.scale.is_none() && kind != SensorKind::Voltage {
            return Err(wrong("say `scale`: how much a volt is".to_owned()));
        }
        let (scale, offset) = (self.scale.unwrap_or(1.0), self.offset);
        if !scale.is_finite() || scale == 0.0 || !offset.is_finite() {
            return Err(wrong(format!("`scale` is {scale}: a line is meant")));
        }
        let title = format!("{part} {input}");
        let name = self.name.as_deref().unwrap_or(&title);
        let id = self.name.as_deref().map(|name| format!("{part} {name}"));
        let id = id.unwrap_or_else(|| title.clone());
        let source = format!("{place} input {input}");
        let mut it = sensor(&id, name, "", kind, &source);
        it.thresholds = self.limits.into();
        let ends = [-*volts, *volts].map(|end| end * scale + offset);
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        it.range = match kind {
            SensorKind::Percent => Some((0.0, 100.0)),
            _ => Some((low, high)),
        };
        let configuration = mux | gain | SINGLE;
        let channel = Channel { configuration, volts: *volts, scale, offset };
        Ok((channel, it))
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

    type Simulated = Arc<Mutex<sim::ads1115::Ads1115>>;

    fn part(channels: &str) -> (SimulatedI2c, Simulated, Ads1115) {
        let sim = SimulatedI2c::default();
        let part = Simulated::default();
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let options: Options = toml::from_str(channels).unwrap();
        let channels = options.channels.iter().map(|(input, wired)| {
            wired.fit("adc", input, "ads1115").unwrap().0
        });
        let channels = channels.collect();
        (sim, part, Ads1115 { chip: bus.chip(ADDRESS), channels })
    }

    #[test]
    fn each_channel_is_a_conversion_of_its_own() {
        let (sim, part, mut driver) = part(
            "channels.0 = {}\n\
             channels.2-3 = { unit = 'celsius', scale = 100, offset = -50, \
             full_scale_volts = 2.048 }",
        );
        part.lock().unwrap().volts = [3.3, 0.0, 0.75, 0.0];
        let values = driver.measure().unwrap();
        let values: Vec<f64> = values.into_iter().map(Result::unwrap).collect();
        for (got, wanted) in values.iter().zip([3.3, 25.0]) {
            assert!((got - wanted).abs() < 1e-2, "{values:?}");
        }
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let read = |register| Call::ReadWord(register);
        let one = |configuration: u16| {
            let begin = Call::WriteWord(1, configuration.swap_bytes());
            [begin, read(1), read(0), read(1)]
        };
        assert_eq!(calls, [one(0xc383), one(0xb583)].concat());
        part.lock().unwrap().volts[0] = 5.0;
        let values = driver.measure().unwrap();
        let error = values.into_iter().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("is 0x7fff: beyond"), "{error}");
    }

    #[test]
    fn a_conversion_that_somebody_else_began_is_not_believed() {
        let (_, part, mut driver) = part("channels.1 = {}");
        part.lock().unwrap().disturbed = Some(0xf383);
        let values = driver.measure().unwrap();
        let error = values.into_iter().next().unwrap().unwrap_err();
        let begin = "register 0x01 at 0x48 on i2c-1 was 0xf383, not 0x5383";
        assert!(error.to_string().starts_with(begin), "{error}");
        driver.measure().unwrap().pop().unwrap().unwrap();
        part.lock().unwrap().stuck = true;
        let values = driver.measure().unwrap();
        let error = values.into_iter().next().unwrap().unwrap_err();
        let whole = "0x48 on i2c-1 has not measured in 36ms";
        assert_eq!(error.to_string(), whole);
    }
}
