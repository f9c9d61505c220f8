//! From changes of the model to events.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use onprem_redfish::message::{Message, resource_event, sensor_event};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{super::uri, Events, wires};
use crate::model::{
    Change, Chassis, Health, Id, Inventory, Model, Part, PowerState, Quality,
    Sensor, Snapshot, Told, Turn,
};

/// Sends an event for each change that someone may want to hear of.
pub(super) async fn follow(
    model: Model,
    events: Arc<Events>,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    let snapshot = model.snapshot();
    let mut known = Known::of(&snapshot);
    // Who was not told by the last run of the agent hears it from this one.
    let mut first = |message: Message, uri: String| events.send(&message, &uri);
    known.troubles(&snapshot, &mut first);
    known.readings(&snapshot, None, &mut first);
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let snapshot = model.snapshot();
        let mut send =
            |message: Message, uri: String| events.send(&message, &uri);
        match change {
            Ok(Change::Inventory) => known.parts(&snapshot, &mut send),
            Ok(Change::Settings(part)) => {
                let uri = uri::of_part(&part);
                send(resource_event::resource_changed(), uri);
            }
            Ok(Change::Boot(id)) => {
                let message = resource_event::resource_changed();
                send(message, uri::of(uri::SYSTEM, &[&id]));
            }
            Ok(Change::Contact(id)) => {
                if let Some(system) = snapshot.system(&id) {
                    let uri = uri::of(uri::SYSTEM, &[&id]);
                    send(status(&uri, snapshot.system_health(system)), uri);
                }
            }
            Ok(Change::Control(chassis, control)) => {
                let message = resource_event::resource_changed();
                send(message, uri::of(uri::CONTROL, &[&chassis, &control]));
            }
            Ok(Change::Trouble(_)) => known.troubles(&snapshot, &mut send),
            Ok(Change::Input(id, active)) => {
                input_changed(&snapshot, &id, active, &mut send);
            }
            Ok(Change::Supply(chassis, id)) => {
                known.input(&snapshot, &chassis, &id, &mut send);
            }
            Ok(Change::Network) => known.network(&snapshot, &mut send),
            Ok(Change::Power(id)) => power_changed(&snapshot, &id, &mut send),
            Ok(Change::Readings(ids)) => {
                known.readings(&snapshot, Some(&ids), &mut send);
            }
            Ok(Change::Quality(id)) => {
                known.readings(&snapshot, Some(&[id]), &mut send);
            }
            Err(RecvError::Lagged(_)) => {
                known.parts(&snapshot, &mut send);
                known.troubles(&snapshot, &mut send);
                known.network(&snapshot, &mut send);
                known.readings(&snapshot, None, &mut send);
            }
            Ok(Change::Switched(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends that the input, a sensor, is active or not.
fn input_changed(
    snapshot: &Snapshot,
    id: &Id,
    active: bool,
    send: &mut impl FnMut(Message, String),
) {
    let mut chassis = snapshot.inventory.chassis.iter();
    let Some(of) = chassis.find(|it| it.sensor(id).is_some()) else { return };
    let uri = uri::of(uri::SENSOR, &[&of.id, id]);
    let state = if active { "Active" } else { "Inactive" };
    send(resource_event::resource_state_changed(&uri, state), uri);
}

fn power_changed(
    snapshot: &Snapshot,
    id: &Id,
    send: &mut impl FnMut(Message, String),
) {
    let uri = uri::of(uri::SYSTEM, &[id]);
    let message = match snapshot.power_state(id) {
        PowerState::On => resource_event::resource_powered_on(&uri),
        PowerState::Off => resource_event::resource_powered_off(&uri),
        PowerState::PoweringOn => resource_event::resource_powering_on(&uri),
        PowerState::PoweringOff => resource_event::resource_powering_off(&uri),
    };
    send(message, uri);
}

/// What a sensor says of what it watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    None,
    /// It cannot be read.
    Failed,
    UpperCaution,
    UpperCritical,
    UpperFatal,
    LowerCaution,
    LowerCritical,
}

/// What those who listen know already.
#[derive(Default)]
struct Known {
    alarms: HashMap<Id, Alarm>,
    health: HashMap<Id, Health>,
    parts: BTreeSet<String>,
    troubles: Told,
    network: wires::Known,
}

impl Known {
    fn of(snapshot: &Snapshot) -> Self {
        let mut network = wires::Known::default();
        network.compare(snapshot, &mut |_, _| {});
        let parts = parts(&snapshot.inventory);
        Self { parts, network, ..Self::default() }
    }

    /// Sends an event for each part that came or went; one for the systems,
    /// where parts are merely different.
    fn parts(
        &mut self,
        snapshot: &Snapshot,
        send: &mut impl FnMut(Message, String),
    ) {
        let now = parts(&snapshot.inventory);
        let before = std::mem::replace(&mut self.parts, now);
        let sensors = |id: &Id| snapshot.readings.contains_key(id);
        self.alarms.retain(|id, _| sensors(id));
        for gone in before.difference(&self.parts) {
            send(resource_event::resource_removed(), gone.clone());
        }
        for new in self.parts.difference(&before) {
            send(resource_event::resource_created(), new.clone());
        }
        if before == self.parts {
            for system in &snapshot.inventory.systems {
                let uri = uri::of(uri::SYSTEM, &[&system.id]);
                send(resource_event::resource_changed(), uri);
            }
        }
    }

    /// Sends an event for each port that has another link, or is in other
    /// VLANs, or has somebody else at its other end.
    fn network(
        &mut self,
        snapshot: &Snapshot,
        send: &mut impl FnMut(Message, String),
    ) {
        self.network.compare(snapshot, send);
    }

    /// Sends that a power supply lost its input, or has it again.
    fn input(
        &mut self,
        snapshot: &Snapshot,
        chassis: &Id,
        id: &Id,
        send: &mut impl FnMut(Message, String),
    ) {
        let uri = uri::of(uri::SUPPLY, &[chassis, id]);
        send(status(&uri, snapshot.input_health(id)), uri);
        if let Some(chassis) = snapshot.chassis(chassis) {
            self.chassis(snapshot, chassis, send);
        }
    }

    /// Sends what is wrong that no sensor measures, and what of it is over,
    /// with the health that follows.
    fn troubles(
        &mut self,
        snapshot: &Snapshot,
        send: &mut impl FnMut(Message, String),
    ) {
        let mut parts = BTreeSet::new();
        for Turn { part, word, text, health } in self.troubles.turns(snapshot) {
            let message = match health {
                Some(_) => {
                    resource_event::resource_errors_detected(word, &text)
                }
                None => resource_event::resource_errors_corrected(word, &text),
            };
            send(message, uri::of_part(&part));
            parts.insert(part);
        }
        for part in parts {
            let Part::System(id) = &part else {
                let health = snapshot.trouble_health(&part);
                let uri = uri::of_part(&part);
                send(status(&uri, health), uri);
                continue;
            };
            let Some(system) = snapshot.system(id) else { continue };
            let uri = uri::of_part(&part);
            send(status(&uri, snapshot.system_health(system)), uri);
            for id in &system.chassis {
                if let Some(chassis) = snapshot.chassis(id) {
                    self.chassis(snapshot, chassis, send);
                }
            }
        }
    }

    /// Sends the health of `chassis` where it is another.
    fn chassis(
        &mut self,
        snapshot: &Snapshot,
        chassis: &Chassis,
        send: &mut impl FnMut(Message, String),
    ) {
        let health = snapshot.chassis_health(chassis);
        let before = self.health.insert(chassis.id.clone(), health);
        if before.unwrap_or(Health::Ok) != health {
            let uri = uri::of(uri::CHASSIS, &[&chassis.id]);
            send(status(&uri, health), uri);
        }
    }

    /// Sends an event for each sensor, of `ids` or of all, that says
    /// something else of what it watches, and for each chassis whose health
    /// is another for it.
    fn readings(
        &mut self,
        snapshot: &Snapshot,
        ids: Option<&[Id]>,
        send: &mut impl FnMut(Message, String),
    ) {
        for chassis in &snapshot.inventory.chassis {
            let mut moved = false;
            for sensor in &chassis.sensors {
                if ids.is_some_and(|ids| !ids.contains(&sensor.id)) {
                    continue;
                }
                let Some((alarm, value)) = alarm(snapshot, sensor) else {
                    continue;
                };
                let before = self.alarms.insert(sensor.id.clone(), alarm);
                let before = before.unwrap_or(Alarm::None);
                if before == alarm {
                    continue;
                }
                moved = true;
                let uri = uri::of(uri::SENSOR, &[&chassis.id, &sensor.id]);
                for message in messages(sensor, before, alarm, value) {
                    send(message, uri.clone());
                }
            }
            if !moved {
                continue;
            }
            self.chassis(snapshot, chassis, send);
        }
    }
}

fn status(uri: &str, health: Health) -> Message {
    match health {
        Health::Ok => resource_event::resource_status_changed_ok(uri, "OK"),
        Health::Warning => {
            resource_event::resource_status_changed_warning(uri, "Warning")
        }
        Health::Critical => {
            resource_event::resource_status_changed_critical(uri, "Critical")
        }
    }
}

/// What `sensor` says, and the value it goes by; nothing as long as it has
/// not been read.
fn alarm(snapshot: &Snapshot, sensor: &Sensor) -> Option<(Alarm, f64)> {
    let reading = snapshot.reading(&sensor.id)?;
    let (Quality::Good, Some(value)) = (&reading.quality, reading.number())
    else {
        return Some((Alarm::Failed, f64::NAN));
    };
    let limits = &sensor.thresholds;
    let above = |limit: Option<f64>| limit.is_some_and(|it| value >= it);
    let below = |limit: Option<f64>| limit.is_some_and(|it| value <= it);
    let alarm = if above(limits.upper_fatal) {
        Alarm::UpperFatal
    } else if above(limits.upper_critical) {
        Alarm::UpperCritical
    } else if below(limits.lower_critical) {
        Alarm::LowerCritical
    } else if above(limits.upper_caution) {
        Alarm::UpperCaution
    } else if below(limits.lower_caution) {
        Alarm::LowerCaution
    } else {
        Alarm::None
    };
    Some((alarm, value))
}

/// The messages for a sensor that said `before` and now says `now`.
fn messages(
    sensor: &Sensor,
    before: Alarm,
    now: Alarm,
    value: f64,
) -> Vec<Message> {
    use Alarm::{
        Failed, LowerCaution, LowerCritical, None as Normal, UpperCaution,
        UpperCritical, UpperFatal,
    };
    let (name, unit) = (&sensor.name, sensor.kind.unit());
    let limits = &sensor.thresholds;
    // Without a limit there is no alarm for it.
    let limit = |limit: Option<f64>| limit.unwrap_or(f64::NAN);
    let mut messages = Vec::new();
    if before == Failed {
        messages.push(sensor_event::sensor_restored(name));
    }
    messages.push(match (before, now) {
        (Failed, Normal) => return messages,
        (_, Failed) => sensor_event::sensor_failure(name),
        (_, Normal) => {
            sensor_event::sensor_reading_normal_range(name, value, unit)
        }
        (_, UpperFatal) => {
            let limit = limit(limits.upper_fatal);
            sensor_event::reading_above_upper_fatal_threshold(
                name, value, unit, limit,
            )
        }
        (UpperFatal, UpperCritical | UpperCaution) => {
            let limit = limit(limits.upper_fatal);
            sensor_event::reading_below_upper_fatal_threshold(
                name, value, unit, limit,
            )
        }
        (UpperCritical, UpperCaution) => {
            let limit = limit(limits.upper_critical);
            sensor_event::reading_below_upper_critical_threshold(
                name, value, unit, limit,
            )
        }
        (LowerCritical, LowerCaution) => {
            let limit = limit(limits.lower_critical);
            sensor_event::reading_above_lower_critical_threshold(
                name, value, unit, limit,
            )
        }
        (_, UpperCaution) => {
            let limit = limit(limits.upper_caution);
            sensor_event::reading_above_upper_caution_threshold(
                name, value, unit, limit,
            )
        }
        (_, UpperCritical) => {
            let limit = limit(limits.upper_critical);
            sensor_event::reading_above_upper_critical_threshold(
                name, value, unit, limit,
            )
        }
        (_, LowerCaution) => {
            let limit = limit(limits.lower_caution);
            sensor_event::reading_below_lower_caution_threshold(
                name, value, unit, limit,
            )
        }
        (_, LowerCritical) => {
            let limit = limit(limits.lower_critical);
            sensor_event::reading_below_lower_critical_threshold(
                name, value, unit, limit,
            )
        }
    });
    messages
}

/// The URIs of the parts that can come and go.
fn parts(inventory: &Inventory) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for chassis in &inventory.chassis {
        let id = &chassis.id;
        found.insert(uri::of(uri::CHASSIS, &[id]));
        let mut below = |pattern: &str, part: &Id| {
            found.insert(uri::of(pattern, &[id, part]));
        };
        chassis.sensors.iter().for_each(|it| below(uri::SENSOR, &it.id));
        chassis.fans.iter().for_each(|it| below(uri::FAN, &it.id));
        chassis.power_supplies.iter().for_each(|it| below(uri::SUPPLY, &it.id));
        chassis.batteries.iter().for_each(|it| below(uri::BATTERY, &it.id));
    }
    for system in &inventory.systems {
        let id = &system.id;
        found.insert(uri::of(uri::SYSTEM, &[id]));
        let mut below = |pattern: &str, part: &Id| {
            found.insert(uri::of(pattern, &[id, part]));
        };
        system.memory.iter().for_each(|it| below(uri::MEMORY, &it.id));
        system.storage.iter().for_each(|it| below(uri::STORAGE, &it.id));
        system
            .interfaces
            .iter()
            .for_each(|it| below(uri::SYSTEM_INTERFACE, &it.id));
    }
    found
}
