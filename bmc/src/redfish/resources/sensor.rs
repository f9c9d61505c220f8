//! `Sensor`: one reading with its unit, and the excerpts of it elsewhere.

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::{
    message::resource_event,
    schema::{
        FiniteF64,
        physical_context::PhysicalContext,
        resource::{self, State},
        sensor::{
            self, ReadingType, SensorExcerpt, SensorExcerptArray,
            SensorExcerptCurrent, SensorExcerptPower, SensorExcerptVoltage,
            Threshold, ThresholdActivation, Thresholds,
        },
    },
};

use super::{With as _, health, number};
use crate::{
    model::{self, Quality, Reading, SensorKind, Snapshot},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/Chassis/{ChassisId}/Sensors/{SensorId}`
pub(crate) struct Sensor;

impl Resource for Sensor {
    fn uri(&self) -> &'static str {
        uri::SENSOR
    }

    fn kind(&self) -> &'static str {
        "Sensor"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Reading
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let it = view.chassis(ids)?.sensor(id)?;
        let snapshot = view.snapshot;
        let reading = snapshot.reading(id);
        let at = reading.map(|reading| {
            reading.at.to_rfc3339_opts(SecondsFormat::Millis, true)
        });
        let low = it.range.and_then(|(low, _)| number(low));
        let high = it.range.and_then(|(_, high)| number(high));
        let interval = it.interval.as_secs_f64();
        let body = sensor::Sensor::new("", &**id, &*it.name)
            .description(format!("Source: {}", it.source))
            .reading_null()
            .with(value(snapshot, id), sensor::Sensor::reading)
            .with(reading_type(it.kind), sensor::Sensor::reading_type)
            .reading_units(it.kind.unit())
            .physical_context(physical_context(it.context))
            .with(low, sensor::Sensor::reading_range_min)
            .with(high, sensor::Sensor::reading_range_max)
            .with(thresholds(&it.thresholds), sensor::Sensor::thresholds)
            .with(at, sensor::Sensor::reading_time)
            .sensing_interval(format!("PT{interval}S"))
            .status(status(snapshot, it));
        Some(answer(body))
    }
}

fn status(snapshot: &Snapshot, it: &model::Sensor) -> resource::Status {
    let quality = snapshot.reading(&it.id).map(|reading| &reading.quality);
    let state = match quality {
        Some(Quality::Good) => State::Enabled,
        Some(Quality::Stale) => State::Degraded,
        Some(Quality::Failed(_)) => State::UnavailableOffline,
        None => State::Starting,
    };
    let well = health(snapshot.sensor_health(it));
    let reading = snapshot.reading(&it.id);
    let condition = reading.and_then(|reading| why_failed(reading, well));
    resource::Status::new()
        .state(state)
        .health(well)
        .with(condition, |status, why| status.conditions([why]))
}

/// Why a sensor says nothing, in the driver's words.
fn why_failed(
    reading: &Reading,
    well: resource::Health,
) -> Option<resource::Condition> {
    let Quality::Failed(why) = &reading.quality else { return None };
    Some(condition("Reading", why, reading.at, well))
}

/// `status` with these conditions, if there are any.
pub(super) fn with_conditions(
    status: resource::Status,
    conditions: impl IntoIterator<Item = resource::Condition>,
) -> resource::Status {
    let mut conditions = conditions.into_iter().peekable();
    if conditions.peek().is_none() {
        return status;
    }
    status.conditions(conditions)
}

/// What is wrong with a part that no sensor measures.
pub(super) fn trouble(known: &model::Known) -> resource::Condition {
    let model::Trouble { word, text, health: well, .. } = &known.trouble;
    condition(word, text, known.since, health(*well))
}

/// What is wrong with `what`, and why, since `at`.
pub(super) fn condition(
    what: &str,
    why: &str,
    at: DateTime<Utc>,
    well: resource::Health,
) -> resource::Condition {
    let message = resource_event::resource_errors_detected(what, why);
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    resource::Condition::new(message.id())
        .message(message.text())
        .message_args(message.arguments().to_vec())
        .resolution(message.resolution())
        .severity(well)
        .timestamp(at)
}

fn thresholds(of: &model::Thresholds) -> Option<Thresholds> {
    if *of == model::Thresholds::default() {
        return None;
    }
    let above = |limit: f64| threshold(limit, ThresholdActivation::Increasing);
    let below = |limit: f64| threshold(limit, ThresholdActivation::Decreasing);
    let thresholds = Thresholds::new()
        .with(of.upper_caution.map(above), Thresholds::upper_caution)
        .with(of.upper_critical.map(above), Thresholds::upper_critical)
        .with(of.upper_fatal.map(above), Thresholds::upper_fatal)
        .with(of.lower_caution.map(below), Thresholds::lower_caution)
        .with(of.lower_critical.map(below), Thresholds::lower_critical);
    Some(thresholds)
}

fn threshold(limit: f64, activation: ThresholdActivation) -> Threshold {
    Threshold::new()
        .with(number(limit), Threshold::reading)
        .activation(activation)
}

/// The last value of the sensor `id`, if it has one.
pub(super) fn value(snapshot: &Snapshot, id: &str) -> Option<FiniteF64> {
    number(snapshot.reading(id)?.number()?)
}

/// Where the sensor `id` of `chassis` lives.
pub(super) fn at(chassis: &str, id: &str) -> String {
    uri::of(uri::SENSOR, &[chassis, id])
}

macro_rules! excerpts {
    ($($(#[$doc:meta])* $name:ident: $excerpt:ident;)*) => {
        $($(#[$doc])*
        pub(super) fn $name(
            snapshot: &Snapshot,
            chassis: &str,
            id: &str,
        ) -> $excerpt {
            $excerpt::new()
                .data_source_uri(at(chassis, id))
                .reading_null()
                .with(value(snapshot, id), $excerpt::reading)
        })*
    };
}

excerpts! {
    /// What other resources show of a sensor.
    excerpt: SensorExcerpt;
    /// What they show of one among several.
    item: SensorExcerptArray;
    /// What they show of a current.
    current: SensorExcerptCurrent;
    /// What they show of a power.
    power: SensorExcerptPower;
    /// What they show of a voltage.
    voltage: SensorExcerptVoltage;
}

/// The word of the schema for what a sensor measures; it has none for time.
fn reading_type(kind: SensorKind) -> Option<ReadingType> {
    Some(match kind {
        SensorKind::Temperature => ReadingType::Temperature,
        SensorKind::Rotation => ReadingType::Rotational,
        SensorKind::Percent => ReadingType::Percent,
        SensorKind::Voltage => ReadingType::Voltage,
        SensorKind::Current => ReadingType::Current,
        SensorKind::Power => ReadingType::Power,
        SensorKind::Frequency => ReadingType::Frequency,
        SensorKind::Offset | SensorKind::Signal => return None,
    })
}

/// The word of the schema for what a sensor looks at.
pub(super) fn physical_context(of: model::PhysicalContext) -> PhysicalContext {
    match of {
        model::PhysicalContext::Cpu => PhysicalContext::Cpu,
        model::PhysicalContext::Gpu => PhysicalContext::Gpu,
        model::PhysicalContext::Memory => PhysicalContext::Memory,
        model::PhysicalContext::SystemBoard => PhysicalContext::SystemBoard,
        model::PhysicalContext::Asic => PhysicalContext::Asic,
        model::PhysicalContext::Fan => PhysicalContext::Fan,
        model::PhysicalContext::VoltageRegulator => {
            PhysicalContext::VoltageRegulator
        }
        model::PhysicalContext::PowerSupply => PhysicalContext::PowerSupply,
        model::PhysicalContext::StorageDevice => PhysicalContext::StorageDevice,
        model::PhysicalContext::Battery => PhysicalContext::Battery,
        model::PhysicalContext::NetworkingDevice => {
            PhysicalContext::NetworkingDevice
        }
        model::PhysicalContext::Intake => PhysicalContext::Intake,
        model::PhysicalContext::Chassis => PhysicalContext::Chassis,
    }
}
