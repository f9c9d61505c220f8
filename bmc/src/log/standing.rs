//! How a sensor is doing, in the words of the hardware log.

use onprem_redfish::message::{Message, sensor_event};

use super::entry::{Condition, Entry};
use crate::{
    model::{Chassis, Quality, Sensor, SensorKind, Snapshot},
    redfish::uri,
};

/// How a sensor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Normal,
    LowerCaution,
    LowerCritical,
    UpperCaution,
    UpperCritical,
    UpperFatal,
    /// It does not answer.
    Lost,
}

pub(super) fn standing(snapshot: &Snapshot, sensor: &Sensor) -> Standing {
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
    if above(limits.upper_fatal) {
        Standing::UpperFatal
    } else if above(limits.upper_critical) {
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

pub(super) fn crossed(
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
        (_, Standing::UpperFatal) => (
            sensor_event::reading_above_upper_fatal_threshold(
                name,
                value,
                unit,
                limit(limits.upper_fatal),
            ),
            "Upper Non-recoverable - going high",
        ),
        (
            Standing::UpperFatal,
            Standing::UpperCritical | Standing::UpperCaution,
        ) => (
            sensor_event::reading_below_upper_fatal_threshold(
                name,
                value,
                unit,
                limit(limits.upper_fatal),
            ),
            "Upper Non-recoverable - going low",
        ),
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
                Standing::UpperFatal => "Upper Non-recoverable - going low",
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

pub(super) fn entry(
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

/// That the machine was reset by its watchdog.
pub(crate) fn of_watchdog(message: &Message, uri: &str) -> Entry {
    entry(message, "State Asserted", "Watchdog", None, uri)
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
        "Upper Non-recoverable - going low" => "0x010AFFFF",
        "Upper Non-recoverable - going high" => "0x010BFFFF",
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
