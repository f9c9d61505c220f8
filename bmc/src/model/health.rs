//! Health: what readings say about the parts they belong to.

use super::{Chassis, Quality, Sensor, Snapshot, System};

/// How a part is doing; sorts from well to badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing to do.
    Ok,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Critical,
}

impl Snapshot {
    /// The health of `sensor`: what its thresholds say of a value, a warning
    /// where there is none, and worse where there has to be one.
    #[must_use]
    pub fn sensor_health(&self, sensor: &Sensor) -> Health {
        let Some(reading) = self.reading(&sensor.id) else {
            return Health::Ok;
        };
        match (&reading.quality, reading.number()) {
            (Quality::Good, Some(value)) => sensor.thresholds.health(value),
            (Quality::Failed(_), _) if sensor.required => Health::Critical,
            _ => Health::Warning,
        }
    }

    /// The worst health in the chassis.
    #[must_use]
    pub fn chassis_health(&self, chassis: &Chassis) -> Health {
        let sensors = chassis.sensors.iter().map(|s| self.sensor_health(s));
        sensors.max().unwrap_or(Health::Ok)
    }

    /// The worst health of the chassis that hold the system.
    #[must_use]
    pub fn system_health(&self, system: &System) -> Health {
        let chassis = system.chassis.iter().filter_map(|id| self.chassis(id));
        let worst = chassis.map(|c| self.chassis_health(c)).max();
        worst.unwrap_or(Health::Ok)
    }
}
