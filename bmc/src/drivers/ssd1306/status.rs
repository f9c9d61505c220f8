//! What the display says: who the device is, and how it is doing.

use crate::model::{
    Chassis, Health, Id, PhysicalContext, PowerState, Sensor, SensorKind,
    Snapshot,
};

/// What is shown of which chassis.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) chassis: Id,
    /// Sensors; where nothing is said, the first that fits.
    pub(super) temperature: Option<Id>,
    pub(super) power: Option<Id>,
}

impl Status {
    /// So many lines, the most important first.
    pub(super) fn lines(&self, known: &Snapshot, count: usize) -> Vec<String> {
        let chassis = known.chassis(&self.chassis);
        let system = chassis.and_then(|it| it.systems.first());
        let system = system.and_then(|id| known.system(id));
        let system = system.or_else(|| known.inventory.systems.first());
        let name = system.map_or("", |it| &*it.name).to_owned();
        let manager = &known.inventory.manager.interfaces;
        let own = system.map_or(&[][..], |it| &it.interfaces);
        let mut all = manager.iter().chain(own).flat_map(|it| &it.ipv4);
        let address = all.next().map(|it| it.address.to_string());
        let health = chassis.map(|it| known.chassis_health(it));
        let health = match health.unwrap_or_default() {
            Health::Ok => "OK",
            Health::Warning => "WARNING",
            Health::Critical => "CRITICAL",
        };
        let power = system.and_then(|it| known.seen_power(&it.id));
        let power = match power {
            Some(PowerState::On) => "on",
            Some(PowerState::Off) => "off",
            Some(PowerState::PoweringOn) => "starting",
            Some(PowerState::PoweringOff) => "stopping",
            None => "?",
        };
        let values = chassis.map_or_else(String::new, |it| {
            let warm = self.one(it, known, SensorKind::Temperature, " C");
            let watts = self.one(it, known, SensorKind::Power, " W");
            [warm, watts].into_iter().flatten().collect::<Vec<_>>().join("  ")
        });
        let mut lines = vec![
            name,
            address.unwrap_or_else(|| "no address".to_owned()),
            format!("{health}  {power}"),
            values,
        ];
        let worries = chassis.into_iter().flat_map(|it| worries(it, known));
        lines.extend(worries.map(|it| format!("! {}", it.name)));
        lines.resize(count, String::new());
        lines
    }

    fn one(
        &self,
        chassis: &Chassis,
        known: &Snapshot,
        kind: SensorKind,
        unit: &str,
    ) -> Option<String> {
        let said = match kind {
            SensorKind::Temperature => &self.temperature,
            _ => &self.power,
        };
        let fits = |it: &&Sensor| it.kind == kind;
        let sensors = || chassis.sensors.iter().filter(fits);
        let sensor = if let Some(id) = said {
            known.inventory.chassis.iter().find_map(|it| it.sensor(id))
        } else {
            use PhysicalContext::{Cpu, PowerSupply};
            let of = |context| sensors().find(move |it| it.context == context);
            of(Cpu).or_else(|| of(PowerSupply)).or_else(|| sensors().next())
        }?;
        let value = known.reading(&sensor.id)?.number()?;
        Some(format!("{value:.1}{unit}"))
    }
}

/// The sensors that somebody should look at, the worst first.
fn worries<'a>(
    chassis: &'a Chassis,
    known: &'a Snapshot,
) -> impl Iterator<Item = &'a Sensor> {
    let of = |health| {
        let sensors = chassis.sensors.iter();
        sensors.filter(move |it| known.sensor_health(it) == health)
    };
    of(Health::Critical).chain(of(Health::Warning))
}
