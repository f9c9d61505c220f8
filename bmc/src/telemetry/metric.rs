//! The metrics there are: one for each kind of sensor that the board has.

use std::time::Duration;

use crate::model::{Chassis, PhysicalContext, Sensor, SensorKind, Snapshot};

/// A `MetricDefinition`, made from the sensors of one kind.
#[derive(Debug)]
pub(crate) struct Metric<'a> {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: SensorKind,
    /// The sensors, by chassis; there is one at least.
    pub(crate) sensors: Vec<(&'a Chassis, Vec<&'a Sensor>)>,
}

impl<'a> Metric<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Sensor> {
        self.sensors.iter().flat_map(|(_, sensors)| sensors.iter().copied())
    }

    /// How often the fastest of its sensors is read.
    pub(crate) fn interval(&self) -> Duration {
        self.all().map(|it| it.interval).min().unwrap_or_default()
    }

    /// What its sensors can say, where that is known of all of them.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let mut ranges = self.all().map(|it| it.range);
        let first = ranges.next()??;
        ranges.try_fold(first, |(low, high), range| {
            let range = range?;
            Some((low.min(range.0), high.max(range.1)))
        })
    }

    /// What its sensors look at, if that is the same for all.
    pub(crate) fn context(&self) -> Option<PhysicalContext> {
        let mut contexts = self.all().map(|it| it.context);
        let first = contexts.next()?;
        contexts.all(|it| it == first).then_some(first)
    }

    /// Is the value worked out rather than measured?
    pub(crate) fn is_synthesized(&self) -> bool {
        self.kind == SensorKind::Percent
    }

    /// Does the sum over several sensors mean anything?
    pub(crate) fn is_summable(&self) -> bool {
        self.kind == SensorKind::Power
    }
}

/// The id and the name of the metric that `sensor` belongs to.
pub(crate) fn of(sensor: &Sensor) -> (&'static str, &'static str) {
    match (sensor.kind, sensor.context) {
        (SensorKind::Temperature, _) => ("Temperature", "Temperature"),
        (SensorKind::Rotation, _) => ("FanSpeed", "Fan speed"),
        (SensorKind::Voltage, _) => ("Voltage", "Voltage"),
        (SensorKind::Current, _) => ("Current", "Current"),
        (SensorKind::Power, _) => ("Power", "Power"),
        (SensorKind::Frequency, _) => ("Frequency", "Frequency"),
        (SensorKind::Percent, PhysicalContext::Cpu) => {
            ("ProcessorLoad", "Processor load")
        }
        (SensorKind::Percent, PhysicalContext::Gpu) => {
            ("GraphicsLoad", "Graphics processor load")
        }
        (SensorKind::Percent, PhysicalContext::Memory) => {
            ("MemoryUsed", "Memory used")
        }
        (SensorKind::Percent, PhysicalContext::Fan) => ("FanDuty", "Fan duty"),
        (SensorKind::Percent, PhysicalContext::Battery) => {
            ("BatteryCharge", "Battery charge")
        }
        (SensorKind::Percent, _) => ("Share", "Share of a whole"),
    }
}

/// All metrics that the parts of `snapshot` have, by id.
pub(crate) fn all(snapshot: &Snapshot) -> Vec<Metric<'_>> {
    let mut metrics: Vec<Metric<'_>> = Vec::new();
    for chassis in &snapshot.inventory.chassis {
        for sensor in &chassis.sensors {
            let (id, name) = of(sensor);
            let known = metrics.iter().position(|it| it.id == id);
            let index = known.unwrap_or_else(|| {
                let kind = sensor.kind;
                metrics.push(Metric { id, name, kind, sensors: Vec::new() });
                metrics.len() - 1
            });
            let Some(metric) = metrics.get_mut(index) else { continue };
            match metric.sensors.last_mut() {
                Some((last, sensors)) if last.id == chassis.id => {
                    sensors.push(sensor);
                }
                _ => metric.sensors.push((chassis, vec![sensor])),
            }
        }
    }
    metrics.sort_by_key(|metric| metric.id);
    metrics
}

/// The metric with this id.
pub(crate) fn named<'a>(
    snapshot: &'a Snapshot,
    id: &str,
) -> Option<Metric<'a>> {
    all(snapshot).into_iter().find(|metric| metric.id == id)
}
