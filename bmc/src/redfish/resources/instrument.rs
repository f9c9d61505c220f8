//! The instruments of a `Chassis`, and what else we say of one, beyond the
//! standard.

use chrono::Weekday;
use serde_json::{Map, Value, json};

use super::allowable;
use crate::model::{Chassis, Health, Id, PowerSchedule, Snapshot};

/// What we say of a chassis, where there is something.
pub(super) fn about(chassis: &Chassis, snapshot: &Snapshot) -> Option<Value> {
    let schedules = &chassis.power_schedules;
    if chassis.instruments.is_empty() && schedules.is_empty() {
        return None;
    }
    let instruments = chassis.instruments.iter().map(|it| {
        let health = match health(&it.sensors, chassis, snapshot) {
            Health::Ok => "OK",
            Health::Warning => "Warning",
            Health::Critical => "Critical",
        };
        let (slowest, fastest) = it.rates;
        let mut about = json!({
            "Id": it.id,
            "Name": it.name,
            "Channels": CHANNELS,
            "RangesVolts": it.ranges,
            "TraceModes": it.modes,
            "MinSampleRateHz": slowest,
            "MaxSampleRateHz": fastest,
            "MaxSamples": it.depth,
            "Health": health,
        });
        if let (Some(about), Some(model)) = (about.as_object_mut(), &it.model) {
            about.insert("Model".to_owned(), (&**model).into());
        }
        about
    });
    let mut about = Map::new();
    let of = "#OnPremChassis.v1_0_0.OnPrem";
    about.insert("@odata.type".to_owned(), of.into());
    if !chassis.instruments.is_empty() {
        about.insert("Instruments".to_owned(), instruments.collect());
    }
    if !schedules.is_empty() {
        let schedules = schedules.iter().map(schedule).collect();
        about.insert("PowerSchedules".to_owned(), schedules);
    }
    Some(json!({ "OnPrem": about }))
}

fn schedule(it: &PowerSchedule) -> Value {
    let mut about = json!({
        "Id": it.id,
        "KeptBy": it.kept_by,
        "ResetType": it.action.as_str(),
    });
    let more = if let Some(second) = it.second_of_day {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let days: Vec<&str> = it.days.iter().copied().map(full_name).collect();
        json!({
            "TimeOfDay": format!("{hour:02}:{minute:02}:00Z"),
            "EnabledDaysOfWeek": days,
        })
    } else {
        json!({ "RecurrenceMinutes": it.every_minutes })
    };
    if let (Some(about), Value::Object(more)) = (about.as_object_mut(), more) {
        about.extend(more);
    }
    about
}

fn full_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

/// The worst health of these sensors.
pub(super) fn health(
    sensors: &[Id],
    chassis: &Chassis,
    snapshot: &Snapshot,
) -> Health {
    let sensors = sensors.iter().filter_map(|id| chassis.sensor(id));
    let health = sensors.map(|sensor| snapshot.sensor_health(sensor));
    health.max().unwrap_or_default()
}

const CHANNELS: [&str; 10] =
    ["A", "B", "L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7"];

/// What the parameters of `Capture` can be.
pub(super) fn parameters(chassis: &Chassis) -> Map<String, Value> {
    let mut about = allowable("Channels", &CHANNELS);
    let ids: Vec<&str> = chassis.instruments.iter().map(|it| &*it.id).collect();
    about.extend(allowable("Instrument", &ids));
    if let Some(first) = chassis.instruments.first() {
        about.extend(allowable("TraceMode", &first.modes));
    }
    about
}
