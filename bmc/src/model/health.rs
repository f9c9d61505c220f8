//! Health: what readings say about the parts they belong to.

use super::{Chassis, Id, Part, Quality, Sensor, Snapshot, System};

/// How a part is doing; sorts from well to badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing to do.
    #[default]
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

    /// The health of the power supply `id` as far as its input says it.
    #[must_use]
    pub fn input_health(&self, id: &str) -> Health {
        let lost = self.outages.contains_key(id);
        if lost { Health::Warning } else { Health::Ok }
    }

    /// The worst health in the chassis: of its sensors, and of its systems as
    /// far as no sensor says it.
    #[must_use]
    pub fn chassis_health(&self, chassis: &Chassis) -> Health {
        let systems = chassis.systems.iter().map(|id| self.own_health(id));
        systems.fold(self.sensors_health(chassis), Health::max)
    }

    fn sensors_health(&self, chassis: &Chassis) -> Health {
        let sensors = chassis.sensors.iter().map(|s| self.sensor_health(s));
        let supplies = chassis.power_supplies.iter();
        let inputs = supplies.map(|supply| self.input_health(&supply.id));
        let own = self.trouble_health(&Part::Chassis(chassis.id.clone()));
        sensors.chain(inputs).max().unwrap_or(Health::Ok).max(own)
    }

    /// How well the system is seen on its control bus, if it is on one.
    fn contact_health(&self, system: &str) -> Health {
        match self.contacts.get(system).map(|contact| &contact.quality) {
            None | Some(Quality::Good) => Health::Ok,
            Some(Quality::Stale) => Health::Warning,
            Some(Quality::Failed(_)) => Health::Critical,
        }
    }

    /// How the part is by what is wrong with it that no sensor measures.
    #[must_use]
    pub fn trouble_health(&self, part: &Part) -> Health {
        let all = self.troubles(part).map(|known| known.trouble.health);
        all.max().unwrap_or_default()
    }

    /// How the system is beside what sensors say.
    fn own_health(&self, system: &Id) -> Health {
        let trouble = self.trouble_health(&Part::System(system.clone()));
        self.contact_health(system).max(trouble)
    }

    /// The health of the system itself, and the worst of the sensors in the
    /// chassis that hold it.
    #[must_use]
    pub fn system_health(&self, system: &System) -> Health {
        let chassis = system.chassis.iter().filter_map(|id| self.chassis(id));
        let worst = chassis.map(|c| self.sensors_health(c));
        worst.fold(self.own_health(&system.id), Health::max)
    }
}
