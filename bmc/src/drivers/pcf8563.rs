//! PCF8563 and its relatives: a clock that goes on from its own cell, on I²C
//! (NXP PCF8563, revision 11).
//!
//! What it says is how far it is from the machine's clock. Its cell is low
//! where it has lost its time, and says so itself. It is set where the board
//! file allows it, and only by a clock that was confirmed: by a time server,
//! or by a person; systemd's own service for the time says so in a file.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _, Utc};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Batch, Driver, good_for,
    meter::{Fitted, sensor},
};
use crate::{
    boards::part::{Fitting, Kind, Part},
    bus::{Chip, I2cError},
    drivers::tree::Tree,
    model::{Id, Quantity, Sample, SensorKind, Snapshot},
    sim,
};

/// Whether it runs (section 8.2.1).
const CONTROL: u8 = 0x00;
/// Of [`CONTROL`]: it stands still, or is tested.
const STOPPED: u8 = 0x20;
const TESTED: u8 = 0x80;
/// Seconds, minutes, hours, day, day of the week, month, and year, in
/// decimal (section 8.4). They stand still while they are read in one go.
const TIME: u8 = 0x02;
/// Of the seconds: its voltage was low, its time is no time (section 8.4.1.1).
const LOW: u8 = 0x80;
/// The bits of each register that mean something.
const MASKS: [u8; 7] = [0x7f, 0x7f, 0x3f, 0x3f, 0x07, 0x1f, 0xff];

/// From so far on it is set.
const OFF: i64 = 2;
/// How long a clock that was confirmed can be trusted.
const TRUSTED: Duration = Duration::from_hours(1);
/// What `systemd-timesyncd` leaves when it has set the clock (its manual).
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// How often it is read: it has no parts of a second.
const INTERVAL: Duration = Duration::from_secs(5);
/// Where it is.
const ADDRESS: u8 = 0x51;

/// What goes wrong with one.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] I2cError),
    #[error(
        "register {TIME:#04x} at {place} is {found:#04x}: its voltage was \
         low, its time is lost"
    )]
    Low { place: String, found: u8 },
    #[error("register {CONTROL:#04x} at {place} is {found:#04x}: it stands")]
    Stands { place: String, found: u8 },
    #[error("registers from {TIME:#04x} at {place} are {found:02x?}: no time")]
    NoTime { place: String, found: Vec<u8> },
}

/// The part on its bus.
#[derive(Debug)]
struct Pcf8563 {
    chip: Chip,
}

fn from_decimal(byte: u8) -> Option<u32> {
    let (tens, ones) = (byte >> 4, byte & 0xf);
    (tens < 10 && ones < 10).then(|| u32::from(tens * 10 + ones))
}

fn to_decimal(number: u32) -> u8 {
    let number = u8::try_from(number % 100).unwrap_or_default();
    ((number / 10) << 4) | (number % 10)
}

impl Pcf8563 {
    /// Its time. The century bit is not looked at: nobody agrees on what it
    /// means, and all that it can be asked for is after 2000.
    fn time(&self) -> Result<DateTime<Utc>, Error> {
        let place = || self.chip.place();
        let found = self.chip.read_byte(CONTROL)?;
        if found & (STOPPED | TESTED) != 0 {
            return Err(Error::Stands { place: place(), found });
        }
        let bytes = self.chip.read_block(TIME, 7)?;
        if let Some(found) = bytes.first()
            && found & LOW != 0
        {
            return Err(Error::Low { place: place(), found: *found });
        }
        let numbers = bytes.iter().zip(MASKS);
        let numbers = numbers.map(|(byte, mask)| from_decimal(byte & mask));
        let numbers: Option<Vec<u32>> = numbers.collect();
        let time = numbers.as_deref().and_then(|numbers| {
            let [second, minute, hour, day, _, month, year] = *numbers else {
                return None;
            };
            let year = 2000 + i32::try_from(year).ok()?;
            let date = NaiveDate::from_ymd_opt(year, month, day)?;
            Some(date.and_hms_opt(hour, minute, second)?.and_utc())
        });
        time.ok_or_else(|| Error::NoTime { place: place(), found: bytes })
    }

    fn set(&self, to: DateTime<Utc>) -> Result<(), Error> {
        // The first write stops it, so that the second is whole; the last
        // lets it go (section 8.2.1).
        let (place, weekday) = (self.chip.place(), to.weekday());
        self.chip.write_byte(CONTROL, STOPPED)?;
        let numbers = [
            to.second(),
            to.minute(),
            to.hour(),
            to.day(),
            weekday.num_days_from_sunday(),
            to.month(),
            to.year().unsigned_abs() % 100,
        ];
        self.chip.write_block(TIME, &numbers.map(to_decimal))?;
        self.chip.write_byte(CONTROL, 0)?;
        tracing::info!(%place, %to, "clock of a part set");
        Ok(())
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// Whether it is set by the machine's clock where that was confirmed.
    #[serde(default)]
    set: bool,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "pcf8563", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let chip = fitting.i2c(ADDRESS, sim::pcf8563::Pcf8563::default)?;
    let place = format!("pcf8563 {}", chip.place());
    let name = options.name.unwrap_or_else(|| fitting.id.to_string());
    let kind = SensorKind::Offset;
    let mut it = sensor(&fitting.id, &name, "Offset", kind, &place);
    it.interval = INTERVAL;
    let watch = Watch {
        place,
        sensor: it.id.clone(),
        clock: Pcf8563 { chip },
        sets: options.set,
        confirmed: None,
        tree: fitting.tree().clone(),
    };
    let chassis = fitting.chassis.clone();
    Ok(Box::new(Fitted::driven(chassis, vec![it], watch)))
}

/// What compares it with the machine's clock.
#[derive(Debug)]
struct Watch {
    place: String,
    sensor: Id,
    clock: Pcf8563,
    sets: bool,
    /// When the machine's clock was last confirmed.
    confirmed: Option<Instant>,
    tree: Tree,
}

impl Watch {
    /// How many seconds it is ahead of the machine's clock.
    fn offset(&mut self) -> Result<i64, Error> {
        let ahead =
            |time: DateTime<Utc>| time.timestamp() - Utc::now().timestamp();
        let read = self.clock.time().map(ahead);
        let wrong = match &read {
            Ok(seconds) => seconds.abs() >= OFF,
            Err(Error::Bus(_)) => false,
            Err(_) => true,
        };
        let trusted = self.confirmed.is_some_and(|at| at.elapsed() < TRUSTED)
            || self.tree.exists(SYNCHRONIZED);
        if !(wrong && self.sets && trusted) {
            return read;
        }
        self.clock.set(Utc::now())?;
        self.clock.time().map(ahead)
    }
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.place
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn see(&mut self, known: &Snapshot) {
        self.confirmed = known.clock_confirmed;
    }

    fn poll(&mut self) -> Batch {
        let sample = match self.offset() {
            Ok(seconds) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a century has few seconds"
                )]
                let value = Quantity::new(SensorKind::Offset, seconds as f64);
                Sample::good(&self.sensor, value, good_for(INTERVAL))
            }
            Err(error) => Sample::failed(&self.sensor, &error.to_string()),
        };
        Batch { samples: vec![sample], ..Batch::default() }
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
    fn reads_its_time_in_one_go_and_says_why_there_is_none() {
        let sim = SimulatedI2c::default();
        let part = Arc::new(Mutex::new(sim::pcf8563::Pcf8563::empty()));
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let clock = Pcf8563 { chip: bus.chip(ADDRESS) };
        let error = clock.time().unwrap_err().to_string();
        let whole = "register 0x02 at 0x51 on i2c-1 is 0x80: its voltage was \
                     low, its time is lost";
        assert_eq!(error, whole);
        let to: DateTime<Utc> = "2026-11-23T21:59:07Z".parse().unwrap();
        let _ = sim.calls();
        clock.set(to).unwrap();
        part.lock().unwrap().ahead = None;
        assert_eq!(clock.time().unwrap(), to);
        let calls: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        let time = vec![0x07, 0x59, 0x21, 0x23, 0x01, 0x11, 0x26];
        let wanted = [
            Call::WriteByte(0, 0x20),
            Call::WriteBlock(2, time),
            Call::WriteByte(0, 0),
            Call::ReadByte(0),
            Call::ReadBlock(2, 7),
        ];
        assert_eq!(calls, wanted);
        part.lock().unwrap().bytes[7] = 0x1f;
        let error = clock.time().unwrap_err().to_string();
        let begin = "registers from 0x02 at 0x51 on i2c-1 are [07, 59, 21";
        assert!(error.starts_with(begin), "{error}");
        part.lock().unwrap().bytes[0] = 0x20;
        let error = clock.time().unwrap_err().to_string();
        assert!(error.ends_with("is 0x20: it stands"), "{error}");
    }

    #[test]
    fn is_set_where_that_is_allowed_and_the_clock_was_confirmed() {
        let sim = SimulatedI2c::default();
        sim.attach(ADDRESS, sim::pcf8563::Pcf8563::empty());
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let mut watch = Watch {
            place: String::new(),
            sensor: "rtc".into(),
            clock: Pcf8563 { chip: bus.chip(ADDRESS) },
            sets: false,
            confirmed: Some(Instant::now()),
            tree: Tree::new(std::path::Path::new("/nowhere")),
        };
        assert!(matches!(watch.offset(), Err(Error::Low { .. })));
        (watch.sets, watch.confirmed) = (true, None);
        assert!(matches!(watch.offset(), Err(Error::Low { .. })));
        watch.confirmed = Some(Instant::now());
        assert!(watch.offset().unwrap().abs() < OFF);
    }
}
