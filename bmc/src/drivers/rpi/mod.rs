//! What the firmware of a Raspberry Pi knows and the kernel does not show:
//! whether it lacks power or is too warm, clocks, rails, what a `PoE` HAT
//! takes.
//!
//! Tags are those of the kernel's `raspberrypi-firmware.h`; that a rail is told
//! in microvolts, and the registers of a `PoE` HAT, were not checked on a real
//! board.

pub mod firmware;
pub mod revision;
mod throttled;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::DateTime;
use serde::Deserialize;

use self::{
    firmware::{
        CLOCK, Error, FIRMWARE, Firmware, KernelMailbox, MAX_TEMPERATURE, POE,
        REVISION, SERIAL, TEMPERATURE, THROTTLED, VOLTAGE,
    },
    revision::Revision,
};
use super::{Batch, Driver, INTERVAL, device_tree, good_for, tree::Tree};
use crate::{
    boards::part::{Fitting, Kind, Part, chassis_of},
    model::{
        Chassis, Fan, Id, Inventory, Part as Whose, PhysicalContext, Quantity,
        Sample, Sensor, SensorKind, Snapshot, System, Thresholds,
    },
};

/// The way to the firmware.
const MAILBOX: &str = "/dev/vcio";
/// Registers of the microcontroller on a `PoE` HAT.
const POE_FAN: u32 = 0;
const POE_CURRENT: u32 = 2;
/// What its fan register says at most.
const POE_FAN_FULL: f64 = 255.0;
/// Amperes for one count of its converter.
const POE_AMPERES: f64 = 3.3 / 9.821;

/// Whether a value is there on every board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It is.
    Always,
    /// It is shown once it was seen.
    Perhaps,
    /// A board file says that there is a `PoE` HAT.
    Poe,
}

/// A number that the firmware has.
#[derive(Clone, Copy, Debug)]
struct Value {
    tag: u32,
    of: u32,
    word: &'static str,
    kind: SensorKind,
    factor: f64,
    context: PhysicalContext,
    presence: Presence,
}

const VALUES: [Value; 9] = {
    use PhysicalContext::{Asic, Cpu, Fan, Gpu, Memory, PowerSupply};
    use Presence::{Always, Perhaps, Poe};
    use SensorKind::{Current, Frequency, Percent, Temperature, Voltage};
    const fn value(
        (tag, of): (u32, u32),
        word: &'static str,
        (kind, factor): (SensorKind, f64),
        context: PhysicalContext,
        presence: Presence,
    ) -> Value {
        Value { tag, of, word, kind, factor, context, presence }
    }
    let hertz = (Frequency, 1.0);
    let volts = (Voltage, 1e-6);
    let celsius = (Temperature, 1e-3);
    let duty = (Percent, 100.0 / POE_FAN_FULL);
    [
        value((TEMPERATURE, 0), "SoC Temperature", celsius, Cpu, Always),
        value((CLOCK, 3), "ARM Clock", hertz, Cpu, Always),
        value((VOLTAGE, 1), "Core Voltage", volts, Cpu, Always),
        value((CLOCK, 4), "Core Clock", hertz, Asic, Perhaps),
        value((CLOCK, 5), "V3D Clock", hertz, Gpu, Perhaps),
        value((VOLTAGE, 2), "SDRAM Core Voltage", volts, Memory, Perhaps),
        value((VOLTAGE, 3), "SDRAM PHY Voltage", volts, Memory, Perhaps),
        value(
            (POE, POE_CURRENT),
            "PoE Current",
            (Current, POE_AMPERES / 1e3),
            PowerSupply,
            Poe,
        ),
        value((POE, POE_FAN), "PoE Fan Duty", duty, Fan, Poe),
    ]
};

/// What a board file can say of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// Whether a `PoE` HAT is on it.
    #[serde(default)]
    poe_hat: bool,
    /// Whether the firmware is simulated.
    #[serde(default)]
    simulated: bool,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "raspberry-pi", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    fitting.without_bus()?;
    let tree = fitting.tree().clone();
    let (mailbox, tree): (Box<dyn firmware::Mailbox>, _) = if options.simulated
    {
        (Box::new(fitting.simulated_pi(options.poe_hat)), None)
    } else {
        (Box::new(KernelMailbox::new(tree.path(MAILBOX))), Some(tree))
    };
    let id = fitting.id.clone();
    let name = options.name.unwrap_or_else(|| "Firmware".to_owned());
    let found = Arc::new(Mutex::new(Found::default()));
    let values = VALUES.into_iter();
    let values = values
        .filter(|it| it.presence != Presence::Poe || options.poe_hat)
        .map(|value| (value, sensor(&id, &name, &value)))
        .collect::<Vec<_>>();
    let driver = Pi {
        name: format!("raspberry-pi {MAILBOX}"),
        id: id.clone(),
        chassis: fitting.chassis.clone(),
        firmware: Firmware::new(mailbox, MAILBOX),
        to_check: tree,
        values: values.clone(),
        found: Arc::clone(&found),
        before: None,
        system: None,
    };
    let chassis = fitting.chassis.clone();
    let driver = Some(driver);
    Ok(Box::new(Fitted { id, name, chassis, values, found, driver }))
}

fn sensor(part: &Id, title: &str, value: &Value) -> Sensor {
    let Value { tag, of, word, kind, context, presence, .. } = *value;
    Sensor {
        id: super::segment(&format!("{part} {word}")).into(),
        name: format!("{title} {word}"),
        kind,
        context,
        range: (kind == SensorKind::Percent).then_some((0.0, 100.0)),
        thresholds: Thresholds::default(),
        interval: INTERVAL,
        source: format!("{MAILBOX} {tag:#010x} {of}").into(),
        required: presence != Presence::Perhaps,
    }
}

/// What the firmware has said once.
#[derive(Debug, Default)]
struct Found {
    /// The values that may be there, and are.
    seen: Vec<Id>,
    revision: Option<Revision>,
    serial: Option<u64>,
    /// Seconds since 1970.
    made: Option<u32>,
    /// °C that the processor may have.
    hottest: Option<f64>,
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The firmware on a board.
struct Fitted {
    id: Id,
    name: String,
    chassis: Id,
    values: Vec<(Value, Sensor)>,
    found: Arc<Mutex<Found>>,
    driver: Option<Pi>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let found = lock(&self.found);
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        for (value, sensor) in &self.values {
            let shown = match value.presence {
                Presence::Always => true,
                Presence::Perhaps => found.seen.contains(&sensor.id),
                // The kernel may have drivers for it.
                Presence::Poe => !has_poe(chassis, value.kind),
            };
            if !shown {
                continue;
            }
            let mut sensor = sensor.clone();
            if value.tag == TEMPERATURE {
                sensor.thresholds.upper_critical = found.hottest;
            }
            if value.tag == POE && value.of == POE_FAN {
                chassis.fans.push(Fan {
                    id: super::segment(&format!("{} PoE Fan", self.id)).into(),
                    name: format!("{} PoE Fan", self.name),
                    speed: None,
                    duty: Some(sensor.id.clone()),
                });
            }
            chassis.sensors.push(sensor);
        }
        let Some(system) = chassis.systems.first().cloned() else { return };
        let mut systems = inventory.systems.iter_mut();
        if let Some(system) = systems.find(|it| it.id == system) {
            found.tell(system);
        }
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }
}

/// Whether the kernel shows the `PoE` HAT's fan or current itself.
fn has_poe(chassis: &Chassis, kind: SensorKind) -> bool {
    let mut sensors = chassis.sensors.iter();
    sensors.any(|it| it.kind == kind && it.id.contains("rpi-poe"))
}

impl Found {
    /// Adds to `system` what nobody else has said of it.
    fn tell(&self, system: &mut System) {
        system.tells_throttling = true;
        if system.bios_version.is_none() {
            let made = self.made.map(i64::from);
            let made = made.and_then(|at| DateTime::from_timestamp(at, 0));
            system.bios_version =
                made.map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        }
        let board = &mut system.board;
        if board.serial_number.is_none() {
            let serial = self.serial.filter(|it| *it != 0);
            board.serial_number = serial.map(|it| format!("{it:016x}"));
        }
        let Some(revision) = self.revision else { return };
        if board.model.is_none() {
            board.model = revision.name();
        }
        if board.manufacturer.is_none() {
            board.manufacturer = revision.maker.map(str::to_owned);
        }
        if let [memory] = &mut system.memory[..]
            && memory.kind.is_none()
        {
            memory.kind = Some(revision.memory_kind);
            memory.capacity = revision.memory;
        }
    }
}

/// What asks the firmware.
struct Pi {
    name: String,
    id: Id,
    chassis: Id,
    firmware: Firmware,
    /// The tree of a machine of which nobody knows whether it is one.
    to_check: Option<Tree>,
    values: Vec<(Value, Sensor)>,
    found: Arc<Mutex<Found>>,
    /// What was throttled at the last look.
    before: Option<u32>,
    system: Option<Id>,
}

impl Driver for Pi {
    fn name(&self) -> &str {
        &self.name
    }

    fn see(&mut self, known: &Snapshot) {
        let chassis = known.chassis(&self.chassis);
        self.system = chassis.and_then(|it| it.systems.first().cloned());
    }

    fn poll(&mut self) -> Batch {
        let mut batch = Batch::default();
        let looked = self.check().and_then(|()| {
            self.look(&mut batch).map_err(|error| error.to_string())
        });
        if let Err(reason) = looked {
            let required = self.values.iter().filter(|(_, it)| it.required);
            let failed =
                required.map(|(_, it)| Sample::failed(&it.id, &reason));
            batch.samples = failed.collect();
            self.before = None;
            self.post(&mut batch, None);
        }
        batch
    }
}

impl Pi {
    /// Checks that the machine is a Raspberry Pi, before its firmware is asked.
    fn check(&mut self) -> Result<(), String> {
        let Some(tree) = &self.to_check else { return Ok(()) };
        if device_tree::is_compatible(tree, "raspberrypi,") {
            self.to_check = None;
            return Ok(());
        }
        Err(match device_tree::model(tree) {
            Some(model) => format!("this machine is no Raspberry Pi: {model}"),
            None => "this machine is no Raspberry Pi: it has no device tree"
                .to_owned(),
        })
    }

    fn look(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let [throttled] = self.firmware.ask(THROTTLED, [0])?;
        self.post(batch, Some(throttled));
        self.before = Some(throttled);
        self.learn();
        for (value, sensor) in &self.values {
            let Value { tag, of, kind, factor, presence, .. } = *value;
            let said = if tag == POE {
                let said = self.firmware.ask(tag, [of, 0, 0]);
                said.and_then(|[_, count, error]| {
                    let absent = Error::Absent { tag, of, value: error };
                    if error == 0 { Ok(count) } else { Err(absent) }
                })
            } else {
                self.firmware.number(tag, of)
            };
            let mut found = lock(&self.found);
            let known = found.seen.contains(&sensor.id);
            batch.samples.push(match said {
                Ok(value) => {
                    if !known {
                        found.seen.push(sensor.id.clone());
                    }
                    let value = (f64::from(value) * factor * 1e3).round() / 1e3;
                    let value = Quantity::new(kind, value);
                    Sample::good(&sensor.id, value, good_for(INTERVAL))
                }
                Err(error @ Error::Mailbox { .. }) => return Err(error),
                Err(_) if presence == Presence::Perhaps && !known => continue,
                Err(error) => Sample::failed(&sensor.id, &error.to_string()),
            });
        }
        Ok(())
    }

    /// Asks once for what does not change. What is not known stays so.
    fn learn(&mut self) {
        let mut found = lock(&self.found);
        let firmware = &mut self.firmware;
        if found.made.is_some() {
            return;
        }
        if let Ok([code]) = firmware.ask(REVISION, [0]) {
            found.revision = Revision::read(code);
        }
        if let Ok([low, high]) = firmware.ask(SERIAL, [0, 0]) {
            found.serial = Some(u64::from(high) << 32 | u64::from(low));
        }
        if let Ok(milli) = firmware.number(MAX_TEMPERATURE, 0) {
            found.hottest = Some(f64::from(milli) / 1e3).filter(|it| *it > 0.0);
        }
        if let Ok([made]) = firmware.ask(FIRMWARE, [0]) {
            found.made = Some(made);
        }
    }

    fn post(&self, batch: &mut Batch, throttled: Option<u32>) {
        let Some(system) = &self.system else { return };
        let said = throttled.map(|it| throttled::troubles(it, self.before));
        let whose = Whose::System(system.clone());
        let troubles = said.unwrap_or_default();
        batch.troubles.push((whose, self.id.clone(), troubles));
    }
}
