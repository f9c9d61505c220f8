//! From changes of the model to events.

use std::{collections::HashMap, sync::Arc};

use onprem_redfish::message::{Message, resource_event};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{event::Events, uri};
use crate::model::{Change, Health, Id, Model, Part, PowerState, Snapshot};

/// Sends an event for each change that someone may want to hear of.
pub(crate) async fn follow(
    model: Model,
    events: Arc<Events>,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    let mut known = HashMap::new();
    // What is not well from the start is no news.
    sensors_changed(&model.snapshot(), None, &mut known, &mut |_, _| {});
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let snapshot = model.snapshot();
        let mut send =
            |message: Message, uri: String| events.send(&message, &uri);
        match change {
            Ok(Change::Inventory) => {
                let message = resource_event::resource_changed();
                send(message, uri::SYSTEMS.to_owned());
            }
            Ok(Change::Settings(part)) => {
                send(resource_event::resource_changed(), at(&part));
            }
            Ok(Change::Boot(id)) => {
                let message = resource_event::resource_changed();
                send(message, uri::of(uri::SYSTEM, &[&id]));
            }
            Ok(Change::Control(chassis, control)) => {
                let message = resource_event::resource_changed();
                send(message, uri::of(uri::CONTROL, &[&chassis, &control]));
            }
            Ok(Change::Power(id)) => power_changed(&snapshot, &id, &mut send),
            Ok(Change::Readings(ids)) => {
                sensors_changed(&snapshot, Some(&ids), &mut known, &mut send);
            }
            Ok(Change::Quality(id)) => {
                let ids = [id];
                sensors_changed(&snapshot, Some(&ids), &mut known, &mut send);
            }
            Err(RecvError::Lagged(_)) => {
                sensors_changed(&snapshot, None, &mut known, &mut send);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn at(part: &Part) -> String {
    match part {
        Part::System(id) => uri::of(uri::SYSTEM, &[id]),
        Part::Chassis(id) => uri::of(uri::CHASSIS, &[id]),
        Part::Manager(id) => uri::of(uri::MANAGER, &[id]),
    }
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
        PowerState::PoweringOn | PowerState::PoweringOff => {
            resource_event::resource_changed()
        }
    };
    send(message, uri);
}

/// Sends an event for each sensor, of `ids` or of all, whose health is not
/// what it was.
fn sensors_changed(
    snapshot: &Snapshot,
    ids: Option<&[Id]>,
    known: &mut HashMap<Id, Health>,
    send: &mut impl FnMut(Message, String),
) {
    for chassis in &snapshot.inventory.chassis {
        for sensor in &chassis.sensors {
            if ids.is_some_and(|ids| !ids.contains(&sensor.id)) {
                continue;
            }
            let health = snapshot.sensor_health(sensor);
            let before = known.insert(sensor.id.clone(), health);
            if before.unwrap_or(Health::Ok) == health {
                continue;
            }
            let uri = uri::of(uri::SENSOR, &[&chassis.id, &sensor.id]);
            let message = match health {
                Health::Ok => {
                    resource_event::resource_status_changed_ok(&uri, "OK")
                }
                Health::Warning => {
                    resource_event::resource_status_changed_warning(
                        &uri, "Warning",
                    )
                }
                Health::Critical => {
                    resource_event::resource_status_changed_critical(
                        &uri, "Critical",
                    )
                }
            };
            send(message, uri);
        }
    }
}
