//! From what becomes of the hardware to the hardware log.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use onprem_redfish::message::{Message, resource_event, sensor_event};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{
    Kind, Logs,
    entry::{Condition, Entry},
};
use crate::{
    model::{
        Change, Chassis, Id, Model, PowerState, Quality, Sensor, SensorKind,
        Snapshot,
    },
    redfish::uri,
};

/// How a sensor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Normal,
    LowerCaution,
    LowerCritical,
    UpperCaution,
    UpperCritical,
    /// It does not answer.
    Lost,
}

/// Notes power changes, thresholds that are crossed and sensors that fail,
/// until `stop`.
pub(crate) async fn follow(
    model: Model,
    logs: Arc<Logs>,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    let mut known = Known::default();
    known.sensors(&model.snapshot(), None, &mut |_, _| {});
    known.power(&model.snapshot(), &mut |_, _| {});
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let snapshot = model.snapshot();
        let mut note = |systems: &[Id], entry: Entry| {
            let logs = match systems {
                [] => vec![logs.of(Kind::Hardware)],
                of => of.iter().map(|it| logs.of_system(it)).collect(),
            };
            for log in logs {
                log.append(entry.clone());
            }
        };
        match change {
            Ok(Change::Power(_)) => known.power(&snapshot, &mut note),
            Ok(Change::Supply(..)) => known.inputs(&snapshot, &mut note),
            Ok(Change::Readings(ids)) => {
                known.sensors(&snapshot, Some(&ids), &mut note);
            }
            Ok(Change::Quality(id)) => {
                known.sensors(&snapshot, Some(&[id]), &mut note);
            }
            Err(RecvError::Lagged(_)) => {
                known.power(&snapshot, &mut note);
                known.inputs(&snapshot, &mut note);
                known.sensors(&snapshot, None, &mut note);
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// What was noted last.
#[derive(Default)]
struct Known {
    power: HashMap<Id, PowerState>,
    sensors: HashMap<Id, Standing>,
    /// The power supplies without input.
    outages: HashSet<Id>,
}

impl Known {
    fn power(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for system in &snapshot.inventory.systems {
            let now = snapshot.power_state(&system.id);
            let before = self.power.insert(system.id.clone(), now);
            if before == Some(now) {
                continue;
            }
            let uri = uri::of(uri::SYSTEM, &[&system.id]);
            let (message, code) = match now {
                PowerState::On => (
                    resource_event::resource_powered_on(&uri),
                    "Transition to Running",
                ),
                PowerState::Off => (
                    resource_event::resource_powered_off(&uri),
                    "Transition to Power Off",
                ),
                PowerState::PoweringOn | PowerState::PoweringOff => continue,
            };
            let entry =
                entry(&message, code, "System ACPI PowerState", None, &uri);
            note(std::slice::from_ref(&system.id), entry);
        }
    }

    fn inputs(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for chassis in &snapshot.inventory.chassis {
            for supply in &chassis.power_supplies {
                let lost = snapshot.outages.contains_key(&supply.id);
                let uri = uri::of(uri::SUPPLY, &[&chassis.id, &supply.id]);
                let (message, code) = if lost {
                    if !self.outages.insert(supply.id.clone()) {
                        continue;
                    }
                    let warning = "Warning";
                    let status =
                        resource_event::resource_status_changed_warning;
                    (status(&uri, warning), "State Asserted")
                } else {
                    if !self.outages.remove(&supply.id) {
                        continue;
                    }
                    let status = resource_event::resource_status_changed_ok;
                    (status(&uri, "OK"), "State Deasserted")
                };
                let kind = "Power Supply / Converter";
                let entry = entry(&message, code, kind, None, &uri);
                note(&chassis.systems, entry);
            }
        }
    }

    /// Looks at the sensors `ids`, or at all.
    fn sensors(
        &mut self,
        snapshot: &Snapshot,
        ids: Option<&[Id]>,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for chassis in &snapshot.inventory.chassis {
            for (at, sensor) in chassis.sensors.iter().enumerate() {
                if ids.is_some_and(|ids| !ids.contains(&sensor.id)) {
                    continue;
                }
                let now = standing(snapshot, sensor);
                let before = self.sensors.insert(sensor.id.clone(), now);
                let before = before.unwrap_or(Standing::Normal);
                if before != now {
                    let number = u32::try_from(at + 1).ok();
                    let entry =
                        crossed(snapshot, chassis, sensor, number, before, now);
                    // It matters to whatever is in the chassis.
                    note(&chassis.systems, entry);
                }
            }
        }
    }
}

fn standing(snapshot: &Snapshot, sensor: &Sensor) -> Standing {
    let Some(reading) = snapshot.reading(&sensor.id) else {
        return Standing::Normal;
    };
    let (Quality::Good, Some(value)) = (&reading.quality, reading.number())
    else {
        return Standing::Lost;
    };
    let limits = &sensor.thresholds;
    let above = |limit: Option<f64>| limit.is_some_and(|it| value >= it);
    let below = |limit: Option<f64>| limit.is_some_and(|it| value <= it);
    if above(limits.upper_critical) {
        Standing::UpperCritical
    } else if below(limits.lower_critical) {
        Standing::LowerCritical
    } else if above(limits.upper_caution) {
        Standing::UpperCaution
    } else if below(limits.lower_caution) {
        Standing::LowerCaution
    } else {
        Standing::Normal
    }
}

fn crossed(
    snapshot: &Snapshot,
    chassis: &Chassis,
    sensor: &Sensor,
    number: Option<u32>,
    before: Standing,
    now: Standing,
) -> Entry {
    let name = &sensor.name;
    let unit = sensor.kind.unit();
    let reading = snapshot.reading(&sensor.id);
    let value = reading.and_then(crate::model::Reading::number);
    let value = value.unwrap_or_default();
    let limits = &sensor.thresholds;
    let limit = |limit: Option<f64>| limit.unwrap_or_default();
    let (message, code): (Message, _) = match (before, now) {
        (_, Standing::Lost) => {
            (sensor_event::sensor_failure(name), "State Asserted")
        }
        (Standing::Lost, Standing::Normal) => {
            (sensor_event::sensor_restored(name), "State Deasserted")
        }
        (_, Standing::UpperCritical) => (
            sensor_event::reading_above_upper_critical_threshold(
                name,
                value,
                unit,
                limit(limits.upper_critical),
            ),
            "Upper Critical - going high",
        ),
        (_, Standing::LowerCritical) => (
            sensor_event::reading_below_lower_critical_threshold(
                name,
                value,
                unit,
                limit(limits.lower_critical),
            ),
            "Lower Critical - going low",
        ),
        (_, Standing::UpperCaution) => (
            sensor_event::reading_above_upper_caution_threshold(
                name,
                value,
                unit,
                limit(limits.upper_caution),
            ),
            match before {
                Standing::UpperCritical => "Upper Critical - going low",
                _ => "Upper Non-critical - going high",
            },
        ),
        (_, Standing::LowerCaution) => (
            sensor_event::reading_below_lower_caution_threshold(
                name,
                value,
                unit,
                limit(limits.lower_caution),
            ),
            match before {
                Standing::LowerCritical => "Lower Critical - going high",
                _ => "Lower Non-critical - going low",
            },
        ),
        (_, Standing::Normal) => (
            sensor_event::sensor_reading_normal_range(name, value, unit),
            match before {
                Standing::UpperCritical => "Upper Critical - going low",
                Standing::UpperCaution => "Upper Non-critical - going low",
                Standing::LowerCritical => "Lower Critical - going high",
                _ => "Lower Non-critical - going high",
            },
        ),
    };
    let uri = uri::of(uri::SENSOR, &[&chassis.id, &sensor.id]);
    entry(&message, code, kind(sensor.kind), number, &uri)
}

fn entry(
    message: &Message,
    code: &str,
    sensor: &str,
    number: Option<u32>,
    uri: &str,
) -> Entry {
    let entry = Entry::of(message).origin(uri).condition(Condition {
        code: code.to_owned(),
        sensor: sensor.to_owned(),
        number,
    });
    Entry { message: Some(event_data(code).to_owned()), ..entry }
}

/// Bytes 13 to 16 of the record in an IPMI system event log: event type and
/// event data (IPMI 2.0, tables 32-1, 42-1 to 42-3); `FF` is unspecified.
fn event_data(code: &str) -> &'static str {
    match code {
        "Lower Non-critical - going low" => "0x0100FFFF",
        "Lower Non-critical - going high" => "0x0101FFFF",
        "Lower Critical - going low" => "0x0102FFFF",
        "Lower Critical - going high" => "0x0103FFFF",
        "Upper Non-critical - going low" => "0x0106FFFF",
        "Upper Non-critical - going high" => "0x0107FFFF",
        "Upper Critical - going low" => "0x0108FFFF",
        "Upper Critical - going high" => "0x0109FFFF",
        "State Deasserted" => "0x0300FFFF",
        "State Asserted" => "0x0301FFFF",
        "Transition to Running" => "0x0A00FFFF",
        "Transition to Power Off" => "0x0A02FFFF",
        _ => "0xFFFFFFFF",
    }
}

/// `SensorType` of `LogEntry`.
fn kind(kind: SensorKind) -> &'static str {
    match kind {
        SensorKind::Temperature => "Temperature",
        SensorKind::Voltage => "Voltage",
        SensorKind::Current => "Current",
        SensorKind::Rotation => "Fan",
        _ => "Other Units-based Sensor",
    }
}
