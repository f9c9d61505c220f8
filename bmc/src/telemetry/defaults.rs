//! What is defined before anyone defines anything, as it suits the board.

use std::collections::BTreeMap;

use super::{
    config::{
        Activation, Definition, Kind, Link, Links, Metric, MetricType,
        ReportUpdates, Schedule, Threshold, Thresholds, Trigger, TriggerAction,
        Wildcard,
    },
    metric, resolve,
};
use crate::{
    gather,
    model::{self, PhysicalContext, SensorKind, Snapshot},
    redfish::uri,
};

/// The entries of a default report that looks back.
const KEPT_ENTRIES: u64 = 480;

/// Reports on what the board has.
pub(super) fn definitions(snapshot: &Snapshot) -> BTreeMap<String, Definition> {
    let known: Vec<&str> =
        metric::all(snapshot).iter().map(|metric| metric.id).collect();
    let periodic = |id: &str, name: &str, interval: &str, ids: &[&str]| {
        let metrics = ids.iter().filter(|id| known.contains(id));
        let metrics: Vec<Metric> = metrics
            .map(|id| Metric {
                metric_id: Some((*id).to_owned()),
                ..Metric::default()
            })
            .collect();
        let schedule = Schedule {
            recurrence_interval: Some(interval.to_owned()),
            ..Schedule::default()
        };
        (!metrics.is_empty()).then(|| Definition {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: Kind::Periodic,
            schedule: Some(schedule),
            metrics,
            ..Definition::default()
        })
    };
    let power = periodic(
        "Power",
        "Power, voltage and current each minute, the last hours",
        "PT60S",
        &["Power", "Voltage", "Current"],
    );
    let all = Definition {
        id: "AllSensors".to_owned(),
        name: "All sensors at the moment of the request".to_owned(),
        kind: Kind::OnRequest,
        metric_properties: vec![
            resolve::reading("{Chassis}", "{Sensor}").to_string(),
        ],
        wildcards: ["Chassis", "Sensor"].map(wildcard).into(),
        ..Definition::default()
    };
    let all = (!known.is_empty()).then_some(all);
    let defined = [
        all,
        periodic(
            "Temperatures",
            "All temperatures each minute",
            "PT60S",
            &["Temperature"],
        ),
        periodic(
            "Fans",
            "Speed and duty of the fans each minute",
            "PT60S",
            &["FanSpeed", "FanDuty"],
        ),
        periodic(
            "Load",
            "Load of processors and memory each minute",
            "PT60S",
            &["ProcessorLoad", "GraphicsLoad", "MemoryUsed"],
        ),
        power.map(|power| Definition {
            report_updates: ReportUpdates::AppendWrapsWhenFull,
            append_limit: Some(KEPT_ENTRIES),
            ..power
        }),
    ];
    let defined = defined.into_iter().flatten();
    gather::map(defined.map(|it| (it.id.clone(), it)))
}

fn wildcard(name: &str) -> Wildcard {
    Wildcard { name: name.to_owned(), values: vec!["*".to_owned()] }
}

/// A watch over the processors' temperatures, by the limits they have.
pub(super) fn triggers(snapshot: &Snapshot) -> BTreeMap<String, Trigger> {
    let mut triggers = BTreeMap::new();
    for chassis in &snapshot.inventory.chassis {
        let hot = chassis.sensors.iter().filter(|sensor| {
            sensor.kind == SensorKind::Temperature
                && sensor.context == PhysicalContext::Cpu
        });
        for sensor in hot.take(4) {
            if let Some(trigger) = trigger(&chassis.id, sensor) {
                triggers.insert(trigger.id.clone(), trigger);
            }
        }
    }
    triggers
}

fn trigger(chassis: &str, sensor: &model::Sensor) -> Option<Trigger> {
    let limits = &sensor.thresholds;
    let above = |limit: Option<f64>| {
        limit.map(|limit| Threshold {
            reading: Some(limit),
            activation: Some(Activation::Increasing),
            dwell_time: Some("PT5S".to_owned()),
        })
    };
    let thresholds = Thresholds {
        upper_critical: above(limits.upper_critical),
        upper_warning: above(limits.upper_caution),
        ..Thresholds::default()
    };
    if thresholds == Thresholds::default() {
        return None;
    }
    let report = uri::of(uri::METRIC_REPORT_DEFINITION, &["Temperatures"]);
    Some(Trigger {
        id: sensor.id.to_string(),
        name: format!("{} is too high", sensor.name),
        metric_type: Some(MetricType::Numeric),
        trigger_actions: vec![
            TriggerAction::LogToLogService,
            TriggerAction::RedfishMetricReport,
        ],
        numeric_thresholds: Some(thresholds),
        metric_properties: vec![
            resolve::reading(chassis, &sensor.id).to_string(),
        ],
        hysteresis_reading: Some(-2.0),
        links: Links { metric_report_definitions: vec![Link { uri: report }] },
        ..Trigger::default()
    })
}
