//! Sixfab Power Management & UPS HAT: input, battery, fan and watchdog of a Pi
//! behind one microcontroller on I²C.
//!
//! Commands and frames are those of the vendor's `sixfab-power-python-api`.
//! Nothing here was checked on a real HAT.

pub(crate) mod frame;
mod policy;
mod schedule;
mod ups;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use self::{
    frame::Hat,
    policy::Limits,
    schedule::{Entry, Event},
    ups::{Plan, Ups},
};
use super::Driver;
use crate::{
    boards::{
        Controls,
        part::{Fitting, Kind, Part, chassis_of},
    },
    model::{
        Battery, BoardIdentity, Control, Fan, Id, Inventory, PhysicalContext,
        PowerSupply, Sensor, SensorKind, Thresholds,
    },
    sim::sixfab_ups::SixfabUps,
};

/// Where it is.
const ADDRESS: u8 = 0x41;

const LEVEL: u8 = 13;
const FAN_SPEED: u8 = 15;
const WATCHDOG: u8 = 16;
const SET_WATCHDOG: u8 = 17;
const FAN_HEALTH: u8 = 23;
const WORKING_MODE: u8 = 30;
const SET_SAFE_LEVEL: u8 = 26;
const SET_SAFE: u8 = 28;
const HARD_OFF: u8 = 35;
const SOFT_OFF: u8 = 36;
const SOFT_REBOOT: u8 = 38;
const FEED_WATCHDOG: u8 = 39;
const REQUEST: u8 = 44;
const SET_FAN_MODE: u8 = 49;
const FAN_MODE: u8 = 50;
const SET_WATCHDOG_MINUTES: u8 = 52;
const FIRMWARE: u8 = 200;

/// What [`WORKING_MODE`] says while the battery feeds the system.
const ON_BATTERY: i32 = 3;
/// What [`REQUEST`] says when the HAT wants the system to shut down, or to
/// start anew: its button was pressed, its schedule says so, its battery is
/// low.
const WANTS_OFF: i32 = 13;
const WANTS_REBOOT: i32 = 14;
/// What [`FAN_HEALTH`] says of a fan that does not turn.
const BROKEN: i32 = 2;
/// What [`FAN_MODE`] says, and takes.
const FAN_ON: u8 = 1;
const FAN_OFF: u8 = 2;
const FAN_AUTO: u8 = 3;
/// What sets the watchdog or the safe shutdown going, and stops it; what feeds
/// the watchdog, and confirms what the HAT wants: without it, these ask.
const ENABLE: u8 = 1;
const DISABLE: u8 = 2;
/// How many minutes the watchdog can wait.
const MINUTES: std::ops::RangeInclusive<u8> = 4..=180;

/// How long a machine has to shut down before its power is cut, in seconds:
/// systemd gives its services 90.
const CUT_AFTER: u32 = 180;
const LEAST_CUT: u32 = 30;

/// Between two questions: others use the bus as well.
const PACE: Duration = Duration::from_millis(100);
/// How often everything has been asked for.
const ROUND: Duration = Duration::from_secs(5);
/// Every so many questions, one is for the mains.
const MODE_EVERY: usize = 6;
/// How often a HAT that does not answer is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Where a battery's charge starts to be a worry.
const LOW: [f64; 2] = [25.0, 10.0];

/// A number that the HAT has: its command, its sensor's name, what one is, and
/// what it looks at.
type Value = (u8, &'static str, SensorKind, f64, PhysicalContext);

const VALUES: [Value; 16] = {
    use PhysicalContext::{Battery, Fan, PowerSupply, SystemBoard};
    use SensorKind::{Current, Percent, Power, Rotation, Temperature, Voltage};
    [
        (1, "Input Temperature", Temperature, 1e-2, PowerSupply),
        (2, "Input Voltage", Voltage, 1e-3, PowerSupply),
        (3, "Input Current", Current, 1e-3, PowerSupply),
        (4, "Input Power", Power, 1e-3, PowerSupply),
        (6, "System Voltage", Voltage, 1e-3, SystemBoard),
        (7, "System Current", Current, 1e-3, SystemBoard),
        (8, "System Power", Power, 1e-3, SystemBoard),
        (9, "Battery Temperature", Temperature, 1e-2, Battery),
        (10, "Battery Voltage", Voltage, 1e-3, Battery),
        // Negative while it is discharged.
        (11, "Battery Current", Current, 1e-3, Battery),
        (12, "Battery Power", Power, 1e-3, Battery),
        (LEVEL, "Battery Charge", Percent, 1.0, Battery),
        (14, "Battery Health", Percent, 1.0, Battery),
        (FAN_HEALTH, "", Percent, 1.0, Fan),
        (FAN_SPEED, "Fan Speed", Rotation, 1.0, Fan),
        // On or off: the HAT has nothing between.
        (FAN_MODE, "Fan Duty", Percent, 1.0, Fan),
    ]
};

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// With less charge than this on the battery, the system is shut down.
    shutdown_below_percent: Option<f64>,
    /// After so long on the battery, the system is shut down.
    shutdown_after_seconds: Option<u64>,
    /// On the machine that the HAT feeds: so long after it was told to shut
    /// down, the HAT cuts its power.
    cut_after_seconds: Option<u32>,
    /// The HAT cuts the power for a moment when the agent was silent for so
    /// long.
    watchdog_minutes: Option<u8>,
    /// What the HAT does by its own clock, while the system is off as well;
    /// without it, the HAT keeps what it was told before.
    schedule: Option<Vec<Entry>>,
    /// For a simulated HAT: a file that says whether there are mains, `on` or
    /// `off`, for people who want to see what then happens.
    simulated_mains_file: Option<PathBuf>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "sixfab-ups", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if let Some(percent) = options.shutdown_below_percent
        && !(0.0..=100.0).contains(&percent)
    {
        return Err(format!(
            "`shutdown_below_percent` is {percent}, not 0 to 100"
        ));
    }
    if let Some(minutes) = options.watchdog_minutes
        && !MINUTES.contains(&minutes)
    {
        return Err(format!("`watchdog_minutes` is {minutes}, not 4 to 180"));
    }
    if options.simulated_mains_file.is_some() && !fitting.is_simulated() {
        return Err("`simulated_mains_file` is for a simulated bus".to_owned());
    }
    let events = options.schedule.as_deref().map(schedule::events);
    let events = events.transpose()?;
    let mains_file = options.simulated_mains_file;
    let chip = fitting.i2c(ADDRESS, || SixfabUps::fed_by(mains_file))?;
    let place = format!("sixfab-ups {}", chip.place());
    let id = fitting.id.clone();
    let name = options.name.unwrap_or_else(|| id.to_string());
    let sensors: Vec<Sensor> = VALUES
        .iter()
        .filter(|value| !value.1.is_empty())
        .map(|value| sensor(&id, &name, value, &place))
        .collect();
    let hat = Hat { chip };
    let firmware = Arc::default();
    let limits = Limits {
        below: options.shutdown_below_percent,
        after: options.shutdown_after_seconds.map(Duration::from_secs),
        own: fitting.is_on_host(),
    };
    let cut_after = options.cut_after_seconds.unwrap_or(CUT_AFTER);
    if cut_after < LEAST_CUT {
        return Err(format!(
            "`cut_after_seconds` is {cut_after}: a system needs {LEAST_CUT} \
             at least to shut down"
        ));
    }
    let driver = Ups::new(
        place,
        [id.clone(), fitting.chassis.clone()],
        hat.clone(),
        sensors.clone(),
        Arc::clone(&firmware),
        Plan {
            watchdog: options.watchdog_minutes,
            limits,
            events: events.clone(),
            cut_after,
        },
    );
    let said = Arc::clone(&driver.fan_said);
    Ok(Box::new(Fitted {
        id,
        name,
        chassis: fitting.chassis.clone(),
        sensors,
        firmware,
        events: events.unwrap_or_default(),
        drives: Arc::new(Drives { hat, said }),
        driver: Some(driver),
    }))
}

fn id_of(part: &Id, word: &str) -> Id {
    super::segment(&format!("{part} {word}")).into()
}

fn sensor(part: &Id, title: &str, value: &Value, place: &str) -> Sensor {
    let (command, word, kind, _, context) = *value;
    let mut thresholds = Thresholds::default();
    if command == LEVEL {
        let [caution, critical] = LOW;
        thresholds.lower_caution = Some(caution);
        thresholds.lower_critical = Some(critical);
    }
    Sensor {
        id: id_of(part, word),
        name: format!("{title} {word}"),
        kind,
        context,
        range: (kind == SensorKind::Percent).then_some((0.0, 100.0)),
        thresholds,
        interval: ROUND,
        source: format!("{place} command {command}").into(),
        required: true,
    }
}

/// The HAT on a board.
struct Fitted {
    id: Id,
    name: String,
    chassis: Id,
    sensors: Vec<Sensor>,
    firmware: Arc<Mutex<Option<String>>>,
    events: Vec<Event>,
    drives: Arc<Drives>,
    driver: Option<Ups>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        let (id, name) = (&self.id, &self.name);
        let sensor = |word| Some(id_of(id, word));
        let firmware = self.firmware.lock();
        let firmware = firmware.unwrap_or_else(PoisonError::into_inner).clone();
        let board = BoardIdentity {
            manufacturer: Some("Sixfab".into()),
            model: Some("Power Management & UPS HAT".into()),
            ..BoardIdentity::default()
        };
        chassis.sensors.extend(self.sensors.iter().cloned());
        chassis.fans.push(Fan {
            id: id_of(id, "Fan"),
            name: format!("{name} Fan"),
            speed: sensor("Fan Speed"),
            duty: sensor("Fan Duty"),
        });
        chassis.controls.push(Control {
            id: id_of(id, "Fan"),
            name: format!("{name} Fan"),
            fan: id_of(id, "Fan"),
            sensor: id_of(id, "Fan Duty"),
            watched: None,
        });
        chassis.power_supplies.push(PowerSupply {
            id: id_of(id, "Input"),
            name: format!("{name} Input"),
            board: board.clone(),
            firmware,
            tells_input: true,
            voltage: sensor("Input Voltage"),
            current: sensor("Input Current"),
            power: sensor("Input Power"),
            ..PowerSupply::default()
        });
        let shown = self.events.iter().enumerate();
        let shown = shown.map(|(at, event)| event.shown(at, name));
        chassis.power_schedules.extend(shown);
        chassis.batteries.push(Battery {
            id: id_of(id, "Battery"),
            name: format!("{name} Battery"),
            board,
            charge: sensor("Battery Charge"),
            health: sensor("Battery Health"),
            temperature: sensor("Battery Temperature"),
            input: sensor("Input Voltage"),
            voltage: sensor("Battery Voltage"),
            current: sensor("Battery Current"),
        });
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }

    fn controls(&self) -> Option<(Vec<Id>, Arc<dyn Controls>)> {
        let drives = Arc::clone(&self.drives);
        Some((vec![id_of(&self.id, "Fan")], drives))
    }
}

/// Drives the fan: on, off, or as the HAT thinks.
struct Drives {
    hat: Hat,
    /// Whether somebody has, since the agent began.
    said: Arc<Mutex<bool>>,
}

impl Controls for Drives {
    fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
        let mode = match percent {
            None => FAN_AUTO,
            Some(percent) if percent > 0.0 => FAN_ON,
            Some(_) => FAN_OFF,
        };
        let said = self.said.lock();
        let mut said = said.unwrap_or_else(PoisonError::into_inner);
        self.hat.set(SET_FAN_MODE, &[mode])?;
        *said = true;
        Ok(())
    }
}
