//! LM75 and its relatives: a temperature sensor with two pins for its address.
//! LM75 (Texas Instruments SNOS808), LM75A and LM75B (NXP LM75B, revision 6),
//! TMP75 (SBOS288) and TMP102 (SBOS397) have their temperature in one place
//! and differ in its bits; none says which it is, so that the board file does.

use serde::Deserialize;

use super::meter::{Error, Fitted, Limits, Meter, Setup, Value, sensor};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::Chip,
    model::SensorKind,
    sim,
};

/// The temperature, signed, its first bit first (LM75 section 7.6.2).
const TEMPERATURE: u8 = 0x00;
/// How it measures (LM75 section 7.6.3; TMP75 section 7.5.3; TMP102 section
/// 7.5.3, where it has two bytes).
const CONFIGURATION: u8 = 0x01;
/// Where its alarm ends and begins: 75 °C and 80 °C unless it was told (LM75
/// section 7.6.4).
const LIMITS: [u8; 2] = [0x02, 0x03];
/// Where it is if its address pins are low.
const ADDRESS: u8 = 0x48;
/// What the datasheets promise, in °C.
const RANGE: (f64, f64) = (-55.0, 125.0);

/// Which of them it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Variant {
    /// 9 bits.
    #[default]
    Lm75,
    /// 11 bits.
    Lm75a,
    /// 11 bits.
    Lm75b,
    /// 12 bits if told so.
    Tmp75,
    /// 12 bits always.
    Tmp102,
}

/// What its configuration has to say, of two bytes the first first.
struct Facts {
    word: &'static str,
    /// How many bits the temperature has.
    bits: u32,
    /// These bits have to be `wanted`: not shut down, and all bits of the
    /// temperature. The others are for its alarm pin, and left as they are.
    mask: u16,
    wanted: u16,
    /// These are always 0.
    zeros: u16,
}

impl Variant {
    fn facts(self) -> Facts {
        let (word, bits, mask, wanted, zeros) = match self {
            Self::Lm75 => ("lm75", 9, 0x01, 0, 0xe0),
            Self::Lm75a => ("lm75a", 11, 0x01, 0, 0xe0),
            Self::Lm75b => ("lm75b", 11, 0x01, 0, 0xe0),
            Self::Tmp75 => ("tmp75", 12, 0x61, 0x60, 0),
            Self::Tmp102 => ("tmp102", 12, 0x0110, 0, 0x000f),
        };
        Facts { word, bits, mask, wanted, zeros }
    }
}

/// The part on its bus.
#[derive(Debug)]
struct Lm75 {
    chip: Chip,
    variant: Variant,
    setup: Setup,
}

impl Lm75 {
    fn new(chip: Chip, variant: Variant) -> Self {
        let Facts { mask, wanted, .. } = variant.facts();
        let setup = Setup::new(CONFIGURATION, mask, wanted);
        Self { chip, variant, setup }
    }

    fn configuration(&self) -> Result<u16, Error> {
        Ok(match self.variant {
            Variant::Tmp102 => self.chip.read_word_swapped(CONFIGURATION)?,
            _ => self.chip.read_byte(CONFIGURATION)?.into(),
        })
    }

    /// Whether it measures, with all its bits; it is told to where not.
    fn is_set_up(&mut self) -> Result<bool, Error> {
        let found = self.configuration()?;
        if found & self.variant.facts().zeros != 0 {
            let (register, place) = (CONFIGURATION, self.chip.place());
            return Err(Error::WrongPart { register, place, found });
        }
        let (chip, wide) = (&self.chip, self.variant == Variant::Tmp102);
        self.setup.is(chip, found, |register, word| {
            let [_, byte] = word.to_be_bytes();
            if wide {
                chip.write_word_swapped(register, word)
            } else {
                chip.write_byte(register, byte)
            }
        })
    }

    /// Whether all that it says is 0, as on a bus that is low.
    fn is_low(&self) -> Result<bool, Error> {
        for register in LIMITS {
            if self.chip.read_word_swapped(register)? != 0 {
                return Ok(false);
            }
        }
        Ok(self.configuration()? == 0)
    }
}

impl Meter for Lm75 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if !self.is_set_up()? {
            return Ok(Vec::new());
        }
        let word = self.chip.read_word_swapped(TEMPERATURE)?;
        if word == 0 && self.is_low()? {
            return Err(Error::Low { place: self.chip.place() });
        }
        // What comes after its bits is not said to be 0.
        let bits = !(u16::MAX >> self.variant.facts().bits);
        let celsius = f64::from((word & bits).cast_signed()) / 256.0;
        Ok(vec![Ok(celsius)])
    }

    fn lost(&mut self) {
        self.setup.forget();
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call the sensor.
    name: Option<String>,
    /// Which of the relatives it is.
    #[serde(default)]
    variant: Variant,
    #[serde(default)]
    celsius: Limits,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "lm75", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let wide = options.variant == Variant::Tmp102;
    let chip = fitting.i2c(ADDRESS, || sim::lm75::Lm75::new(wide))?;
    let word = options.variant.facts().word;
    let place = format!("{word} {}", chip.place());
    let name = options.name;
    let name = name.unwrap_or_else(|| format!("{} Temperature", fitting.id));
    let kind = SensorKind::Temperature;
    let mut it = sensor(&fitting.id, &name, "", kind, &place);
    it.range = Some(RANGE);
    it.thresholds = options.celsius.into();
    let meter = Lm75::new(chip, options.variant);
    let chassis = fitting.chassis.clone();
    Ok(Box::new(Fitted::new(chassis, place, meter, vec![it])))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        sim::i2c::SimulatedI2c,
    };

    fn part(
        variant: Variant,
    ) -> (SimulatedI2c, Arc<Mutex<sim::lm75::Lm75>>, Lm75) {
        let sim = SimulatedI2c::default();
        let wide = variant == Variant::Tmp102;
        let part = Arc::new(Mutex::new(sim::lm75::Lm75::new(wide)));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        (sim, part, Lm75::new(bus.chip(ADDRESS), variant))
    }

    fn celsius(driver: &mut Lm75) -> f64 {
        let values = driver.measure().unwrap();
        *values.first().unwrap().as_ref().unwrap()
    }

    #[test]
    fn each_of_the_family_has_its_bits() {
        for (variant, steps) in [
            (Variant::Lm75, -12.5),
            (Variant::Lm75b, -12.375),
            (Variant::Tmp75, -12.3125),
            (Variant::Tmp102, -12.3125),
        ] {
            let (_, part, mut driver) = part(variant);
            part.lock().unwrap().celsius = -12.3;
            if variant == Variant::Tmp75 {
                assert!(driver.measure().unwrap().is_empty());
            }
            let got = celsius(&mut driver);
            assert!((got - steps).abs() < 1e-9, "{variant:?}: {got}");
        }
    }

    #[test]
    fn nothing_is_written_to_one_that_measures() {
        let (sim, _, mut driver) = part(Variant::Lm75);
        celsius(&mut driver);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        assert_eq!(calls, [Call::ReadByte(1), Call::ReadWord(0)]);
    }

    #[test]
    fn one_that_somebody_shut_down_is_woken_and_that_is_said() {
        let (sim, part, mut driver) = part(Variant::Tmp75);
        assert!(driver.measure().unwrap().is_empty());
        celsius(&mut driver);
        // The polarity of its alarm is not ours.
        part.lock().unwrap().configuration = 0x65;
        let _ = sim.calls();
        let error = driver.measure().unwrap_err().to_string();
        let whole = "register 0x01 at 0x48 on i2c-1 was 0x0065, not 0x0064: \
                     somebody else set it, it is mended";
        assert_eq!(error, whole);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        assert_eq!(calls, [Call::ReadByte(1), Call::WriteByte(1, 0x64)]);
        celsius(&mut driver);
        // A part that was without power is set up without a word.
        part.lock().unwrap().configuration = 0;
        driver.lost();
        assert!(driver.measure().unwrap().is_empty());
        celsius(&mut driver);
    }

    #[test]
    fn what_it_measured_before_it_was_shut_down_is_not_believed() {
        for variant in [Variant::Lm75, Variant::Tmp102] {
            let (sim, part, mut driver) = part(variant);
            part.lock().unwrap().celsius = 30.0;
            celsius(&mut driver);
            let off: &[u8] =
                if variant == Variant::Lm75 { &[1, 1] } else { &[1, 1, 0] };
            sim.meddle(ADDRESS, off);
            part.lock().unwrap().celsius = 90.0;
            driver.measure().unwrap_err();
            let got = celsius(&mut driver);
            assert!((got - 90.0).abs() < 1e-9, "{variant:?}: {got}");
        }
    }

    #[test]
    fn a_bus_that_is_low_is_not_freezing() {
        let (sim, part, mut driver) = part(Variant::Lm75);
        part.lock().unwrap().celsius = 0.0;
        assert!(celsius(&mut driver).abs() < 1e-9);
        sim.hold(Some(0));
        let error = driver.measure().unwrap_err().to_string();
        let begin = "all registers at 0x48 on i2c-1 are 0: the bus is low";
        assert!(error.starts_with(begin), "{error}");
    }

    #[test]
    fn a_bus_that_is_high_is_not_minus_a_bit() {
        let (_, part, mut driver) = part(Variant::Lm75);
        part.lock().unwrap().configuration = 0xff;
        let error = driver.measure().unwrap_err().to_string();
        let whole = "register 0x01 at 0x48 on i2c-1 is 0xff: not this part";
        assert_eq!(error, whole);
    }
}
