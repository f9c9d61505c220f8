//! Argon ONE, Fan HAT and EON: a fan, a button and a switch for the power
//! behind one microcontroller on I²C.
//!
//! What it understands is from the vendor's `argononed`. Its old firmware takes
//! any byte as an order and 0xff as the one to cut the power, so that nothing
//! is written to it but percents. Nothing here was checked on a real part.

mod button;
pub(super) mod curve;
mod pulses;

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

use self::{button::Button, curve::Loop};
use super::{Batch, Driver, INTERVAL, good_for};
use crate::{
    boards::{
        Controls,
        names::Reference,
        part::{Fitting, Kind, Part, chassis_of},
    },
    bus::{Chip, I2cError, gpio::LineName, pause},
    model::{
        Control, Fan, Id, Inventory, Percent, PhysicalContext, PowerState,
        Quality, Reading, Sample, Sensor, SensorKind, Snapshot, Thresholds,
    },
    sim,
};

/// Where it is.
const ADDRESS: u8 = 0x1a;
/// How hard the fan is driven, in percent.
const DUTY: u8 = 0x80;
/// What is to be done.
const CONTROL: u8 = 0x86;
/// To [`CONTROL`]: cut the power.
const CUT: u8 = 1;
/// What cuts the power where there are no registers.
const LEGACY_CUT: u8 = 0xff;
/// What it needs after a write.
const RECOVERY: Duration = Duration::from_secs(1);
/// How often one that does not say how hard it drives the fan is told: another
/// master may have told it something else.
const ANEW: Duration = Duration::from_secs(10);
/// The line of the button.
const BUTTON: &str = "GPIO4";

/// What goes wrong with one.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] I2cError),
    #[error("register {DUTY:#04x} at {place} is {found:#04x}: no percent")]
    NoPercent { place: String, found: u8 },
    #[error(
        "register {DUTY:#04x} at {place} is {found}, though {written} was \
         written: it does not keep it, or somebody else sets it again and again"
    )]
    NotKept { place: String, found: u8, written: u8 },
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    /// A byte is a percent.
    Legacy,
    /// It has registers.
    Registers,
    /// That is to be found out.
    Unknown,
    /// The duty was `before`, and `written` was written; if it comes back, it
    /// is a register.
    Tried { before: u8, written: u8 },
}

/// The fan, and the power behind it.
#[derive(Debug)]
struct Case {
    chip: Chip,
    firmware: Firmware,
    wanted: Loop,
    /// °C of what it cools.
    celsius: Option<f64>,
    /// When it was last written to.
    written: Option<Instant>,
    /// What is in its register unless somebody else has written to it, and
    /// whether somebody had when it was last read.
    kept: Option<u8>,
    differed: bool,
}

impl Case {
    fn new(chip: Chip, firmware: Firmware) -> Self {
        Self {
            chip,
            firmware,
            wanted: Loop::default(),
            celsius: None,
            written: None,
            kept: None,
            differed: false,
        }
    }

    /// Drives the fan as it shall be, and says how that is in percent; nothing
    /// as long as the firmware is being looked for.
    fn step(&mut self, at: Instant) -> Result<Option<u8>, Error> {
        let done = self.drive(at);
        if let Err(Error::Bus(_) | Error::NoPercent { .. }) = done {
            // Whoever comes back does not know what it did.
            self.wanted.lost();
            (self.kept, self.differed) = (None, false);
            if let Firmware::Tried { .. } = self.firmware {
                self.firmware = Firmware::Unknown;
            }
        }
        done
    }

    fn drive(&mut self, at: Instant) -> Result<Option<u8>, Error> {
        match self.firmware {
            Firmware::Unknown => {
                let before = self.chip.read_byte(DUTY)?;
                let written = if before >= 100 { 98 } else { before + 1 };
                self.rest();
                self.chip.write_byte(DUTY, written)?;
                self.firmware = Firmware::Tried { before, written };
                Ok(None)
            }
            Firmware::Tried { before, written } => {
                let found = self.chip.read_byte(DUTY)?;
                if found == written {
                    self.rest();
                    self.chip.write_byte(DUTY, before.min(100))?;
                    self.firmware = Firmware::Registers;
                } else {
                    self.firmware = Firmware::Legacy;
                }
                let (place, firmware) = (self.chip.place(), self.firmware);
                tracing::info!(%place, ?firmware, "firmware found");
                Ok(None)
            }
            Firmware::Registers => {
                let found = self.chip.read_byte(DUTY)?;
                if found > 100 {
                    let place = self.chip.place();
                    return Err(Error::NoPercent { place, found });
                }
                if self.wanted.now() != Some(found) {
                    self.wanted.lost();
                }
                let other = self.kept.filter(|kept| *kept != found);
                let put =
                    self.put(at, |chip, duty| chip.write_byte(DUTY, duty))?;
                let before = mem::replace(&mut self.differed, other.is_some());
                self.kept = put;
                if let (Some(written), true) = (other, before) {
                    let place = self.chip.place();
                    return Err(Error::NotKept { place, found, written });
                }
                Ok(put)
            }
            Firmware::Legacy => {
                // It says nothing, but that it is there.
                self.chip.present()?;
                if self.written.is_some_and(|at| at.elapsed() >= ANEW) {
                    self.again()?;
                }
                self.put(at, Chip::send_byte)
            }
        }
    }

    /// Writes by `write` where the duty is to be another.
    fn put(
        &mut self,
        at: Instant,
        write: impl FnOnce(&Chip, u8) -> Result<(), I2cError>,
    ) -> Result<Option<u8>, Error> {
        let duty = self.wanted.next(self.celsius, at).min(100);
        if self.wanted.now() != Some(duty) {
            self.rest();
            write(&self.chip, duty)?;
        }
        self.wanted.driven(duty);
        Ok(Some(duty))
    }

    /// Says once more what was said last.
    fn again(&mut self) -> Result<(), Error> {
        if let Some(duty) = self.wanted.now() {
            self.rest();
            self.chip.send_byte(duty)?;
        }
        Ok(())
    }

    /// Waits until the part takes another write: it needs a second after one.
    fn rest(&mut self) {
        let since = self.written.map(|at| at.elapsed());
        if let Some(left) = since.and_then(|it| RECOVERY.checked_sub(it)) {
            pause(left);
        }
        self.written = Some(Instant::now());
    }

    /// Cuts the power. Nothing comes after it.
    fn cut(&mut self) -> Result<(), Error> {
        match self.firmware {
            Firmware::Registers => {
                self.rest();
                self.chip.write_byte(CONTROL, CUT)?;
            }
            Firmware::Legacy => {
                self.rest();
                self.chip.send_byte(LEGACY_CUT)?;
            }
            // Who does not know the part does not write to it.
            Firmware::Unknown | Firmware::Tried { .. } => {}
        }
        Ok(())
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    firmware: Option<FirmwareWord>,
    /// The sensor that says how warm it is.
    follows: Id,
    /// What is done when the button is pressed.
    #[serde(default)]
    button: ButtonWord,
    /// The line of the button.
    line: Option<LineName>,
    /// The bus of that line.
    lines: Option<String>,
    /// Whether the power is cut when the system has shut down.
    #[serde(default)]
    cuts_power: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FirmwareWord {
    Legacy,
    Registers,
    Detect,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ButtonWord {
    /// It is only noted.
    #[default]
    Log,
    /// It is done.
    Act,
    /// Nobody looks.
    None,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "argon", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let firmware = match options.firmware {
        Some(FirmwareWord::Legacy) => Firmware::Legacy,
        Some(FirmwareWord::Registers) => Firmware::Registers,
        Some(FirmwareWord::Detect) => Firmware::Unknown,
        None => {
            return Err("say `firmware`: \"legacy\", \"registers\", or \
                        \"detect\", which writes to the part to find out"
                .to_owned());
        }
    };
    if options.cuts_power && fitting.is_on_host() {
        return Err("`cuts_power` is for machines that the agent does not \
                    run on: it ends before its own has shut down"
            .to_owned());
    }
    let registers = firmware != Firmware::Legacy;
    let chip = fitting.i2c(ADDRESS, || sim::argon::Argon::new(registers))?;
    let place = format!("argon {}", chip.place());
    let (id, chassis) = (fitting.id.clone(), fitting.chassis.clone());
    let name = options.name.unwrap_or_else(|| id.to_string());
    let sensor = Sensor {
        id: super::segment(&format!("{id} Duty")).into(),
        name: format!("{name} Duty"),
        kind: SensorKind::Percent,
        context: PhysicalContext::Fan,
        range: Some((0.0, 100.0)),
        thresholds: Thresholds::default(),
        interval: INTERVAL,
        source: place.as_str().into(),
        required: true,
    };
    let case = Arc::new(Mutex::new(Case::new(chip, firmware)));
    let watch = Watch {
        place,
        case: Arc::clone(&case),
        duty: sensor.id.clone(),
        follows: options.follows.clone(),
        chassis: chassis.clone(),
        cuts_power: options.cuts_power,
        power: PowerState::On,
        cut_due: false,
    };
    let mut drivers: Vec<Box<dyn Driver>> = vec![Box::new(watch)];
    if options.button != ButtonWord::None {
        let usual = || LineName::Named(BUTTON.to_owned());
        let line = options.line.unwrap_or_else(usual);
        let bus = options.lines.as_deref().unwrap_or_default();
        let lines = fitting.gpio(bus, Some(&line));
        let lines = lines.map_err(|reason| format!("`lines`: {reason}"))?;
        let acts = options.button == ButtonWord::Act;
        let button = Button::new(&id, chassis.clone(), lines, line, acts);
        drivers.push(Box::new(button));
    }
    let follows = options.follows;
    Ok(Box::new(Fitted { id, name, chassis, follows, sensor, case, drivers }))
}

/// The part on a board.
struct Fitted {
    id: Id,
    name: String,
    chassis: Id,
    follows: Id,
    sensor: Sensor,
    case: Arc<Mutex<Case>>,
    drivers: Vec<Box<dyn Driver>>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        chassis.sensors.push(self.sensor.clone());
        chassis.fans.push(Fan {
            id: self.id.clone(),
            name: self.name.clone(),
            speed: None,
            duty: Some(self.sensor.id.clone()),
        });
        chassis.controls.push(Control {
            id: self.id.clone(),
            name: self.name.clone(),
            fan: self.id.clone(),
            sensor: self.sensor.id.clone(),
            watched: Some(self.follows.clone()),
        });
    }

    fn refers(&self) -> Vec<Reference> {
        vec![Reference::sensor("follows", &self.follows)]
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        std::mem::take(&mut self.drivers)
    }

    fn controls(&self) -> Option<(Vec<Id>, Arc<dyn Controls>)> {
        let case = Drives(Arc::clone(&self.case));
        Some((vec![self.id.clone()], Arc::new(case)))
    }
}

fn lock(case: &Mutex<Case>) -> MutexGuard<'_, Case> {
    case.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drives the fan by hand.
struct Drives(Arc<Mutex<Case>>);

impl Controls for Drives {
    fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
        let mut case = lock(&self.0);
        let before = mem::replace(&mut case.wanted.manual, percent);
        let stepped = case.step(Instant::now());
        // What was refused is not in force later; what cools harms nobody.
        if stepped.is_err() && percent.is_some_and(|it| it < 100.0) {
            case.wanted.manual = before;
        }
        stepped.map(drop).map_err(io::Error::other)
    }

    fn leave(&self, control: &Id) -> io::Result<()> {
        // It stays as it was driven last, and nobody looks how warm it is.
        self.drive(control, Some(100.0))
    }
}

/// What drives the fan by the temperature, and cuts the power at the end.
struct Watch {
    place: String,
    case: Arc<Mutex<Case>>,
    duty: Id,
    follows: Id,
    chassis: Id,
    cuts_power: bool,
    power: PowerState,
    cut_due: bool,
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.place
    }

    fn see(&mut self, known: &Snapshot) {
        let reading = known.reading(&self.follows);
        let good = reading.filter(|it| it.quality == Quality::Good);
        lock(&self.case).celsius = good.and_then(Reading::number);
        let chassis = known.chassis(&self.chassis);
        let Some(system) = chassis.and_then(|it| it.systems.first()) else {
            return;
        };
        let power = known.power_state(system);
        let before = std::mem::replace(&mut self.power, power);
        let down =
            (before, power) == (PowerState::PoweringOff, PowerState::Off);
        self.cut_due = self.cuts_power
            && power == PowerState::Off
            && (self.cut_due || down);
    }

    fn poll(&mut self) -> Batch {
        let mut case = lock(&self.case);
        let stepped = if self.cut_due {
            let cut = case.cut();
            self.cut_due = cut.is_err();
            cut.map(|()| case.wanted.now())
        } else {
            case.step(Instant::now())
        };
        let sample = match stepped {
            Ok(None) => None,
            Ok(Some(duty)) => {
                let percent = Percent(duty.into()).into();
                Some(Sample::good(&self.duty, percent, good_for(INTERVAL)))
            }
            Err(error) => Some(Sample::failed(&self.duty, &error.to_string())),
        };
        Batch { samples: sample.into_iter().collect(), ..Batch::default() }
    }
}

#[cfg(test)]
mod tests;
