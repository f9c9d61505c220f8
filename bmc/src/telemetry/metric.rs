//! The metrics there are: one for each kind of sensor that the board has.

use std::time::Duration;

use crate::{
    model::{Chassis, PhysicalContext, Sensor, SensorKind, Snapshot},
    redfish::uri,
};

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
        (SensorKind::Signal, _) => ("Signal", "Signal strength"),
        (SensorKind::Offset, _) => ("ClockOffset", "Clock offset"),
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

/// A `MetricDefinition` of a property in the manager's diagnostic data.
#[derive(Debug)]
pub(crate) struct OfManager {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// The unit in UCUM.
    pub(crate) unit: &'static str,
    pub(crate) form: Form,
    /// A JSON pointer in `ManagerDiagnosticData`.
    pub(crate) pointer: &'static str,
}

/// How a value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It goes up and down between 0 and 100.
    Percent,
    /// It goes up and down.
    Amount,
    /// It only goes up, until it begins anew.
    Counter,
}

/// What the agent knows of itself and of the machine it runs on.
static OF_MANAGER: &[OfManager] = &[
    OfManager {
        id: "ManagerKernelLoad",
        name: "Time of the agent's processors in the kernel",
        unit: "%",
        form: Form::Percent,
        pointer: "/ProcessorStatistics/KernelPercent",
    },
    OfManager {
        id: "ManagerMemoryAvailable",
        name: "Memory that is left on the agent's machine",
        unit: "By",
        form: Form::Amount,
        pointer: "/MemoryStatistics/AvailableBytes",
    },
    OfManager {
        id: "ManagerStorageFree",
        name: "Room that is left for the agent's state",
        unit: "KiBy",
        form: Form::Amount,
        pointer: "/FreeStorageSpaceKiB",
    },
    OfManager {
        id: "ManagerUptime",
        name: "Time since the agent started",
        unit: "s",
        form: Form::Counter,
        pointer: "/ServiceRootUptimeSeconds",
    },
    OfManager {
        id: "ManagerUserLoad",
        name: "Time of the agent's processors in programs",
        unit: "%",
        form: Form::Percent,
        pointer: "/ProcessorStatistics/UserPercent",
    },
];

impl OfManager {
    /// `/redfish/v1/Managers/bmc/ManagerDiagnosticData#/…`
    pub(crate) fn path(&self, snapshot: &Snapshot) -> String {
        let manager = &snapshot.inventory.manager.id;
        let uri = uri::of(uri::MANAGER_DIAGNOSTIC_DATA, &[manager]);
        format!("{uri}#{}", self.pointer)
    }
}

/// The metric of the manager with this id.
pub(crate) fn of_manager(id: &str) -> Option<&'static OfManager> {
    OF_MANAGER.iter().find(|metric| metric.id == id)
}

/// The metric of the manager whose property is at `path`.
pub(crate) fn at(snapshot: &Snapshot, path: &str) -> Option<&'static str> {
    let mut all = OF_MANAGER.iter();
    let found = all.find(|metric| {
        path.ends_with(metric.pointer) && path == metric.path(snapshot)
    });
    found.map(|metric| metric.id)
}

/// The ids of all metrics there are.
pub(crate) fn ids(snapshot: &Snapshot) -> Vec<String> {
    let sensors = all(snapshot).into_iter().map(|metric| metric.id);
    let manager = OF_MANAGER.iter().map(|metric| metric.id);
    sensors.chain(manager).map(str::to_owned).collect()
}
