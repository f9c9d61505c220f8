//! `Control`: what drives a fan, by itself or as a person says.

use std::{ops::RangeInclusive, time::Duration};

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        control::{self, ImplementationType, SetPointType},
        physical_context::PhysicalContext,
        sensor::SensorExcerpt,
    },
};
use serde_json::{Map, Value, json};

use super::{With as _, enabled, number, sensor, switch};
use crate::{
    commands::ControlChange,
    model::{ControlMode, Health, Id, Part, Snapshot},
    redfish::{
        error::Error,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

const MODE: &str = "/ControlMode";
const SET_POINT: &str = "/SetPoint";
/// For how many seconds a person has the control, who then has to say so
/// again.
const LEASE: &str = "/Oem/OnPrem/ManualSeconds";
const LEASES: RangeInclusive<u64> = 1..=86_400;
const OEM_TYPE: &str = "#OnPremControl.v1_0_0.OnPrem";
const MODES: [&str; 2] = ["Automatic", "Manual"];

/// `/redfish/v1/Chassis/{ChassisId}/Controls/{ControlId}`
pub(crate) struct Control;

impl Resource for Control {
    fn uri(&self) -> &'static str {
        uri::CONTROL
    }

    fn kind(&self) -> &'static str {
        "Control"
    }

    fn freshness(&self) -> Freshness {
        // It shows the reading of its sensor.
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [chassis, id] = ids else { return None };
        let inside = view.chassis(ids)?;
        let snapshot = view.snapshot;
        if let Some(it) = switch::find(inside, id) {
            return Some(switch::show(snapshot, inside, it));
        }
        let it = inside.controls.iter().find(|it| &*it.id == *id)?;
        let state = snapshot.controls.get(&it.id).cloned();
        let state = state.unwrap_or_default();
        let reading = SensorExcerpt::new()
            .data_source_uri(sensor::at(chassis, &it.sensor))
            .reading_null()
            .with(sensor::value(snapshot, &it.sensor), SensorExcerpt::reading);
        let well = match inside.sensor(&it.sensor) {
            // What had to be taken back deserves a look.
            _ if state.taken_back_for.is_some() => Health::Warning,
            Some(sensor) => snapshot.sensor_health(sensor),
            None => Health::Ok,
        };
        let fan = uri::of(uri::FAN, &[chassis, &*it.fan]);
        let watched = it.watched.iter().map(|id| sensor::at(chassis, id));
        let watched: Vec<_> = watched.collect();
        let since = state.since.filter(|_| state.set_point.is_some());
        let body = control::Control::new("", *id, &*it.name)
            .control_type(control::ControlType::Percent)
            .set_point_type(SetPointType::Single)
            .control_mode(match state.mode {
                ControlMode::Automatic => control::ControlMode::Automatic,
                ControlMode::Manual => control::ControlMode::Manual,
                ControlMode::Override => control::ControlMode::Override,
            })
            .set_point_null()
            .with(state.set_point.and_then(number), control::Control::set_point)
            .set_point_units("%")
            .with(number(0.0), control::Control::allowable_min)
            .with(number(100.0), control::Control::allowable_max)
            .with(
                since.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
                control::Control::set_point_update_time,
            )
            .implementation(ImplementationType::Programmable)
            .physical_context(PhysicalContext::Fan)
            .sensor(reading)
            .with(
                (!watched.is_empty()).then_some(watched),
                control::Control::associated_sensors,
            )
            .related_item([Reference::new(fan)])
            .status(enabled(well));
        let mut answer = answer(body);
        let name = "ControlMode@Redfish.AllowableValues".to_owned();
        answer.body.insert(name, MODES[..].into());
        let mut about = Map::new();
        about.insert("@odata.type".to_owned(), OEM_TYPE.into());
        if let Some(until) = state.until {
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            about.insert("ManualUntil".to_owned(), until.into());
        }
        if let Some(sensor) = &state.taken_back_for {
            let holder = holder(snapshot, sensor).unwrap_or(chassis);
            let uri = sensor::at(holder, sensor);
            about.insert("TakenFor".to_owned(), json!({ "@odata.id": uri }));
        }
        if about.len() > 1 {
            answer.body.insert("Oem".to_owned(), json!({ "OnPrem": about }));
        }
        Some(answer.volatile(&["Sensor", "Status"]))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[MODE, SET_POINT, LEASE]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async move {
            let [chassis, id] = [write.id(0), write.id(1)];
            let snapshot = write.service.model.snapshot();
            let inside = snapshot.chassis(chassis);
            if inside.is_some_and(|it| switch::find(it, id).is_some()) {
                return switch::patch(write, id).await;
            }
            let change = wanted(write)?;
            let part = Part::Chassis(write.id(0).into());
            let done = write.service.commands.control(part, change).await;
            Ok(done?)
        })
    }
}

/// The chassis that a sensor is in.
fn holder<'a>(snapshot: &'a Snapshot, sensor: &Id) -> Option<&'a str> {
    let mut all = snapshot.inventory.chassis.iter();
    let holder = all.find(|it| it.sensor(sensor).is_some())?;
    Some(&holder.id)
}

fn wanted(write: &Write<'_>) -> Result<ControlChange, Error> {
    let mut wrong = Vec::new();
    let mode = match write.values.get(MODE) {
        None => None,
        Some(Value::String(word)) if word == "Automatic" => {
            Some(ControlMode::Automatic)
        }
        Some(Value::String(word)) if word == "Manual" => {
            Some(ControlMode::Manual)
        }
        Some(other) => {
            let word = other.as_str().unwrap_or("null");
            let message = base::property_value_not_in_list(word, "ControlMode");
            let advice = format!("Send one of these: {}.", MODES.join(", "));
            wrong.push(message.about(MODE).resolved_by(advice));
            None
        }
    };
    let set_point = match write.values.get(SET_POINT).map(Value::as_f64) {
        None => None,
        Some(Some(percent)) if (0.0..=100.0).contains(&percent) => {
            Some(percent)
        }
        Some(value) => {
            let text = value.map_or("null".to_owned(), |v| v.to_string());
            let message = base::property_value_out_of_range(text, "SetPoint");
            let advice = "Send a number from 0 to 100.";
            wrong.push(message.about(SET_POINT).resolved_by(advice));
            None
        }
    };
    let seconds = write.values.get(LEASE).map(Value::as_u64);
    let lease = match seconds {
        None => None,
        Some(Some(seconds)) if LEASES.contains(&seconds) => {
            Some(Duration::from_secs(seconds))
        }
        Some(value) => {
            let text = value.map_or("null".to_owned(), |v| v.to_string());
            let message =
                base::property_value_out_of_range(text, "ManualSeconds");
            let [least, most] = [LEASES.start(), LEASES.end()];
            let advice = format!("Send a whole number from {least} to {most}.");
            wrong.push(message.about(LEASE).resolved_by(advice));
            None
        }
    };
    let id = write.id(1).into();
    let now = write.service.model.snapshot();
    let now = now.controls.get(&id).map(|state| state.mode);
    let after = mode.or(now).unwrap_or_default();
    if set_point.is_some() && after == ControlMode::Automatic {
        let message = base::property_value_conflict("SetPoint", "ControlMode");
        let advice = "Send `ControlMode` `Manual` with it.";
        wrong.push(message.about(SET_POINT).resolved_by(advice));
    }
    if lease.is_some() && after == ControlMode::Automatic {
        let message =
            base::property_value_conflict("ManualSeconds", "ControlMode");
        let advice = "Send `ControlMode` `Manual` with it.";
        wrong.push(message.about(LEASE).resolved_by(advice));
    }
    if wrong.is_empty() {
        Ok(ControlChange { control: id, mode, set_point, lease })
    } else {
        Err(Error::bad(wrong))
    }
}
