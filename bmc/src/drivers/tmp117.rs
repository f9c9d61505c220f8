//! TMP117 and TMP119: a temperature sensor of Texas Instruments on I²C
//! (datasheet SNOSD82D).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::meter::{Error, Fitted, Meter, Setup, Value, sensor};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::Chip,
    model::SensorKind,
    sim,
};

/// The temperature, signed, in [`STEP`]s (section 7.6.1.1).
const TEMP_RESULT: u8 = 0x00;
/// How it measures (section 7.6.1.2).
const CONFIGURATION: u8 = 0x01;
/// Which part it is (section 7.6.1.10); the upper four bits are the revision.
const DEVICE_ID: u8 = 0x0f;

/// Of [`CONFIGURATION`]: again and again, once a second. How many samples make
/// a value is left as it is, as are the alarm, and what the part was told to
/// add to what it measures: those are of whoever calibrated it.
const MODE: u16 = 0x0f80;
const EACH_SECOND: u16 = 0x0200;
/// Of [`CONFIGURATION`]: what the part says there, and nobody writes.
const SAID: u16 = 0xf000;
/// Of that: a conversion has ended since this or the result was last read.
const DATA_READY: u16 = 0x2000;
/// The longest that a conversion takes, of 64 samples, is a second; as long
/// may pass before it is asked, and once more for another master who asks.
const CONVERTS: Duration = Duration::from_secs(3);

/// °C a bit (section 7.3.1).
const STEP: f64 = 7.812_5e-3;
/// What the part says before its first conversion (section 7.6.1.1).
const NOTHING_YET: u16 = 0x8000;
/// Where it is unless its address pin says otherwise (section 7.5.3.2).
const ADDRESS: u8 = 0x48;
/// What [`DEVICE_ID`] says without the revision: TMP117, and TMP119.
const IDS: [u16; 2] = [0x117, 0x119];

/// The part on its bus.
#[derive(Debug)]
struct Tmp117 {
    chip: Chip,
    setup: Setup,
    state: State,
}

/// What is in its register of results.
#[derive(Clone, Copy, Debug)]
enum State {
    /// What it measured before it was told how to, or nothing.
    Old,
    /// The same, and it has been converting since then.
    Converting(Instant),
    /// What it measured as it shall.
    Measured,
}

impl Tmp117 {
    fn new(chip: Chip) -> Self {
        let setup = Setup::new(CONFIGURATION, MODE, EACH_SECOND);
        Self { chip, setup, state: State::Old }
    }

    /// Whether it measures as it shall, and has done so once.
    fn has_measured(&mut self) -> Result<bool, Error> {
        let found = self.chip.read_word_swapped(CONFIGURATION)?;
        let before = std::mem::replace(&mut self.state, State::Old);
        let set = self.setup.is(&self.chip, found & !SAID, |at, word| {
            self.chip.write_word_swapped(at, word)
        });
        if !set? {
            return Ok(false);
        }
        self.state = match before {
            _ if found & DATA_READY != 0 => State::Measured,
            State::Old => State::Converting(Instant::now()),
            as_before => as_before,
        };
        match self.state {
            State::Converting(since) if since.elapsed() >= CONVERTS => {
                let (place, waited) = (self.chip.place(), CONVERTS);
                Err(Error::Late { place, waited })
            }
            state => Ok(matches!(state, State::Measured)),
        }
    }
}

impl Meter for Tmp117 {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if !self.setup.is_known() {
            let found = self.chip.read_word_swapped(DEVICE_ID)?;
            if !IDS.contains(&(found & 0x0fff)) {
                let (register, place) = (DEVICE_ID, self.chip.place());
                return Err(Error::WrongPart { register, place, found });
            }
        }
        // One that was shut down has an old temperature in its register, and
        // one that has just got its power has none.
        if !self.has_measured()? {
            return Ok(Vec::new());
        }
        let word = self.chip.read_word_swapped(TEMP_RESULT)?;
        if word == NOTHING_YET {
            let place = self.chip.place();
            return Ok(vec![Err(Error::NothingYet { place })]);
        }
        Ok(vec![Ok(f64::from(word.cast_signed()) * STEP)])
    }

    fn lost(&mut self) {
        self.setup.forget();
        self.state = State::Old;
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
    let name =
        options.name.unwrap_or_else(|| format!("{} Temperature", fitting.id));
    let kind = SensorKind::Temperature;
    let mut it = sensor(&fitting.id, &name, "", kind, &place);
    it.range = Some((-55.0, 150.0));
    it.thresholds.upper_caution = options.upper_caution;
    it.thresholds.upper_critical = options.upper_critical;
    let chassis = fitting.chassis.clone();
    let meter = Tmp117::new(chip);
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

    fn part() -> (SimulatedI2c, Arc<Mutex<sim::tmp117::Tmp117>>, Tmp117) {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::tmp117::Tmp117::default()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        (sim, part, Tmp117::new(bus.chip(ADDRESS)))
    }

    fn celsius(driver: &mut Tmp117) -> f64 {
        driver.measure().unwrap().pop().unwrap().unwrap()
    }

    async fn wait(milliseconds: u64) {
        tokio::time::advance(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn knows_its_part_and_names_the_register_of_another() {
        let (sim, part, mut driver) = part();
        part.lock().unwrap().celsius = -12.5;
        assert!((celsius(&mut driver) + 12.5).abs() < STEP);
        celsius(&mut driver);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        assert_eq!(calls, [0x0f, 1, 0, 1, 0].map(Call::ReadWord));
        sim.unplug(ADDRESS);
        let error = driver.measure().unwrap_err().to_string();
        let begin = "read register 0x01 at 0x48 on i2c-1: ";
        assert!(error.starts_with(begin), "{error}");
        driver.lost();
        sim.plug(ADDRESS);
        part.lock().unwrap().id = 0x0075;
        let error = driver.measure().unwrap_err().to_string();
        let whole = "register 0x0f at 0x48 on i2c-1 is 0x75: not this part";
        assert_eq!(error, whole);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_measured_before_it_was_shut_down_is_not_believed() {
        let (sim, part, mut driver) = part();
        celsius(&mut driver);
        // Shut down, with 64 samples a value, of which the latter is theirs.
        sim.meddle(ADDRESS, &[CONFIGURATION, 0x06, 0x60]);
        part.lock().unwrap().celsius = 90.0;
        wait(1000).await;
        let _ = sim.calls();
        let error = driver.measure().unwrap_err().to_string();
        let begin = "register 0x01 at 0x48 on i2c-1 was 0x0660, not 0x0260: ";
        assert!(error.starts_with(begin), "{error}");
        // It takes them a second.
        wait(990).await;
        assert!(driver.measure().unwrap().is_empty());
        wait(10).await;
        assert!((celsius(&mut driver) - 90.0).abs() < STEP);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let set = Call::WriteWord(CONFIGURATION, 0x0260_u16.swap_bytes());
        let reads = [0x0f, 1, 1, 0].map(Call::ReadWord);
        assert_eq!(calls, [&[Call::ReadWord(1), set][..], &reads].concat());
        // One that does not keep what it is told has no value.
        sim.meddle_between(ADDRESS, &[CONFIGURATION, 0x06, 0x60]);
        driver.measure().unwrap();
        driver.measure().unwrap_err();
        let error = driver.measure().unwrap_err().to_string();
        assert!(error.contains("though 0x0260 was written"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_just_got_its_power_says_nothing_until_it_has_measured()
     {
        let (sim, part, mut driver) = part();
        celsius(&mut driver);
        sim.restart(ADDRESS);
        driver.lost();
        // Eight samples of 15.5 ms.
        wait(120).await;
        assert!(driver.measure().unwrap().is_empty());
        wait(10).await;
        assert!((celsius(&mut driver) - 25.0).abs() < STEP);
        // Told of once, it is not new any more, and stays what it is.
        part.lock().unwrap().celsius = 26.0;
        assert!((celsius(&mut driver) - 25.0).abs() < STEP);
        wait(1000).await;
        assert!((celsius(&mut driver) - 26.0).abs() < STEP);

        // One that never does is not waited for for ever.
        part.lock().unwrap().stuck = true;
        sim.restart(ADDRESS);
        driver.lost();
        assert!(driver.measure().unwrap().is_empty());
        wait(2999).await;
        assert!(driver.measure().unwrap().is_empty());
        wait(1).await;
        let error = driver.measure().unwrap_err().to_string();
        assert_eq!(error, "0x48 on i2c-1 has not measured in 3s");
        part.lock().unwrap().stuck = false;
        driver.lost();
        wait(1000).await;
        celsius(&mut driver);
    }
}
