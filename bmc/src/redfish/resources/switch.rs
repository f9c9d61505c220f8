//! `Control` of an output that is on or off. The schema has no word for such
//! a thing: it is a percentage that can be 0 or 100.

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        control::{self, ImplementationType, SetPointType},
        sensor::SensorExcerpt,
    },
};
use serde_json::Value;

use super::{With as _, enabled, number, sensor};
use crate::{
    commands::SwitchChange,
    model::{Chassis, Health, Part, Snapshot, Switch},
    redfish::{
        error::Error,
        resource::{Answer, Write, answer},
    },
};

const MODE: &str = "/ControlMode";
const SET_POINT: &str = "/SetPoint";

/// The switch `id` of a chassis.
pub(super) fn find<'a>(chassis: &'a Chassis, id: &str) -> Option<&'a Switch> {
    chassis.switches.iter().find(|it| &*it.id == id)
}

/// What is said of a switch.
pub(super) fn show(
    snapshot: &Snapshot,
    chassis: &Chassis,
    it: &Switch,
) -> Answer {
    let state = snapshot.switches.get(&it.id);
    let reading = SensorExcerpt::new()
        .data_source_uri(sensor::at(&chassis.id, &it.sensor))
        .reading_null()
        .with(sensor::value(snapshot, &it.sensor), SensorExcerpt::reading);
    let well = match chassis.sensor(&it.sensor) {
        // What was switched off for its own good deserves a look.
        _ if state.is_some_and(|it| it.opened_for.is_some()) => Health::Warning,
        Some(sensor) => snapshot.sensor_health(sensor),
        None => Health::Ok,
    };
    let needed = it.needs.iter().map(|id| sensor::at(&chassis.id, id));
    let needed: Vec<_> = needed.collect();
    let percent = state.map(|it| if it.on { 100.0 } else { 0.0 });
    let since =
        state.map(|it| it.since.to_rfc3339_opts(SecondsFormat::Secs, true));
    let both = [0.0, 100.0].into_iter().filter_map(number);
    let body = control::Control::new("", &*it.id, &*it.name)
        .control_type(control::ControlType::Percent)
        .set_point_type(SetPointType::Single)
        .control_mode(control::ControlMode::Manual)
        .set_point_null()
        .with(percent.and_then(number), control::Control::set_point)
        .set_point_units("%")
        .allowable_numeric_values(both)
        .with(since, control::Control::set_point_update_time)
        .implementation(ImplementationType::Programmable)
        .sensor(reading)
        .with(
            (!needed.is_empty()).then_some(needed),
            control::Control::associated_sensors,
        )
        .status(enabled(well));
    let mut answer = answer(body);
    let name = "ControlMode@Redfish.AllowableValues".to_owned();
    answer.body.insert(name, ["Manual"][..].into());
    answer.volatile(&["Sensor", "Status"])
}

/// Switches `id` as a client wants it.
pub(super) async fn patch(write: &Write<'_>, id: &str) -> Result<(), Error> {
    let mut wrong = Vec::new();
    if let Some(mode) = write.values.get(MODE)
        && mode.as_str() != Some("Manual")
    {
        let word = mode.as_str().unwrap_or("null");
        let message = base::property_value_not_in_list(word, "ControlMode");
        let advice = "A switch is on or off as it was told: `Manual`.";
        wrong.push(message.about(MODE).resolved_by(advice));
    }
    let wanted = write.values.get(SET_POINT);
    let on = match wanted.map(Value::as_f64) {
        None => None,
        Some(Some(0.0)) => Some(false),
        Some(Some(100.0)) => Some(true),
        Some(value) => {
            let text = value.map_or("null".to_owned(), |v| v.to_string());
            let message = base::property_value_not_in_list(text, "SetPoint");
            let advice = "Send 100 for on, or 0 for off.";
            wrong.push(message.about(SET_POINT).resolved_by(advice));
            None
        }
    };
    if !wrong.is_empty() {
        return Err(Error::bad(wrong));
    }
    let Some(on) = on else { return Ok(()) };
    let change = SwitchChange { switch: id.into(), on };
    let part = Part::Chassis(write.id(0).into());
    Ok(write.service.commands.switch(part, change).await?)
}
