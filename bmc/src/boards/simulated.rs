//! A simulated board, built from its file.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use onprem_link::id::device_uuid;
use toml::Spanned;

use super::{
    Board, Controls, Naming, Power, Scan, Volumes,
    file::{
        BoardError, ChassisSection, FanSection, Seconds, SensorSection, Source,
        SystemSection,
    },
    parts::{identity, interface, memory, processors, storage},
    switches,
};
use crate::{
    commands::ResetType,
    drivers::{
        Driver, INTERVAL,
        channel::{Channel, Channels, Source as ChannelSource},
        jetson,
    },
    fabric::Wiring,
    model::{
        Chassis, Control, Fan, Id, Inventory, Manager, NetworkInterface,
        OperatingSystem, PowerSupply, Sensor, SensorKind, System, Thresholds,
    },
    sim::{
        self, Fault, Measure, Node, Plant, Scheduled, SimulatedAttribute,
        SimulatedNode, Simulation, Timing, switch::SimulatedWiring,
        volumes::SimulatedVolumes,
    },
};

/// A board that a file describes.
#[derive(Debug)]
pub struct Simulated {
    inventory: Inventory,
    simulation: Simulation,
    /// Channels by the bus they share; taken at the first scan.
    buses: BTreeMap<String, Vec<Channel>>,
    volumes: Arc<SimulatedVolumes>,
    wiring: Arc<SimulatedWiring>,
    started: bool,
}

impl Simulated {
    /// The machine that the file `source` describes, named as `naming` says.
    pub(super) fn build(
        source: &Source,
        naming: &Naming,
    ) -> Result<Self, BoardError> {
        let mut builder = Builder {
            source,
            naming,
            nodes: BTreeMap::new(),
            fans: BTreeMap::new(),
            sensors: Vec::new(),
        };
        let sections = source.board.system.iter().enumerate();
        let mut systems: Vec<System> = sections
            .map(|(index, section)| builder.system(section, index == 0))
            .collect::<Result<_, _>>()?;
        let chassis: Vec<Chassis> = source
            .board
            .chassis
            .iter()
            .map(|section| builder.chassis(section))
            .collect::<Result<_, _>>()?;
        for system in &mut systems {
            let holds = |c: &&Chassis| c.systems.contains(&system.id);
            let holding = chassis.iter().filter(holds);
            system.chassis = holding.map(|c| c.id.clone()).collect();
        }
        let wiring = switches::build(source, &systems, &chassis)?;
        let faults = builder.faults()?;
        let manager = systems.first().map(Manager::of).unwrap_or_default();
        let Builder { nodes, fans, sensors, .. } = builder;
        let simulation = Simulation::new(nodes, fans, faults);
        let mut buses: BTreeMap<String, Vec<Channel>> = BTreeMap::new();
        for Wired { bus, sensor, of, measure } in sensors {
            let (_, factor, _) = measure.facts();
            let attribute = SimulatedAttribute::new(
                simulation.clone(),
                sensor.id.clone(),
                of,
                measure,
            );
            let source = ChannelSource::One(Box::new(attribute), factor);
            buses.entry(bus).or_default().push(Channel {
                sensor,
                source,
                actuator: None,
            });
        }
        let inventory = Inventory { systems, chassis, manager };
        let volumes = Arc::default();
        let wiring = Arc::new(wiring);
        let started = false;
        Ok(Self { inventory, simulation, buses, volumes, wiring, started })
    }

    /// What the file says is there.
    pub(super) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The switches, to be told to misbehave.
    pub(super) fn switches(&self) -> Arc<SimulatedWiring> {
        Arc::clone(&self.wiring)
    }

    /// What is below the drivers, to be told to misbehave.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }
}

impl Board for Simulated {
    fn scan(&mut self) -> Scan {
        let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
        for (bus, channels) in std::mem::take(&mut self.buses) {
            drivers.push(Box::new(Channels::new(bus, channels)));
        }
        if !self.started {
            self.started = true;
            for system in &self.inventory.systems {
                let simulation = self.simulation.clone();
                let node = SimulatedNode::new(simulation, system.id.clone());
                drivers.push(Box::new(node));
            }
        }
        let inventory = self.inventory.clone();
        Scan { inventory, drivers, ..Scan::default() }
    }

    fn power(&self) -> Arc<dyn Power> {
        Arc::new(self.simulation.clone())
    }

    fn controls(&self) -> Arc<dyn Controls> {
        Arc::new(self.simulation.clone())
    }

    fn volumes(&self) -> Arc<dyn Volumes> {
        Arc::clone(&self.volumes) as Arc<dyn Volumes>
    }

    fn wiring(&self) -> Arc<dyn Wiring> {
        Arc::clone(&self.wiring) as Arc<dyn Wiring>
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.simulation.close();
    }
}

/// A sensor with the bus it is on and the part it looks at.
struct Wired {
    bus: String,
    sensor: Sensor,
    of: Id,
    measure: Measure,
}

struct Builder<'a> {
    source: &'a Source,
    naming: &'a Naming,
    nodes: BTreeMap<Id, Node>,
    fans: BTreeMap<Id, sim::Fan>,
    sensors: Vec<Wired>,
}

impl Builder<'_> {
    fn system(
        &mut self,
        section: &SystemSection,
        first: bool,
    ) -> Result<System, BoardError> {
        let node = self.node(section)?;
        self.nodes.insert(section.id.clone(), node);
        let mut board = identity(&section.board);
        let named = self.naming.name.clone().filter(|_| first);
        if first && let Some(number) = &self.naming.serial_number {
            board.serial_number = Some(number.clone());
        }
        let fallback =
            format!("{} {}", self.naming.fallback_identity, section.id);
        let identity = board.serial_number.clone().unwrap_or(fallback);
        let interfaces = section.interface.iter().flatten();
        let interfaces: Vec<NetworkInterface> = interfaces
            .map(|i| interface(self.source, i, &identity))
            .collect::<Result<_, _>>()?;
        let memory = memory(section);
        Ok(System {
            id: section.id.clone(),
            name: named.clone().unwrap_or_else(|| section.name.clone()),
            sub_model: jetson::sold_as(&board),
            board,
            uuid: device_uuid(&identity),
            host_name: named.or_else(|| section.host_name.clone()),
            bios_version: section.bios_version.clone(),
            processors: processors(section),
            memory_total: memory.iter().map(|m| m.capacity).sum(),
            memory,
            storage: storage(section),
            interfaces,
            os: section.os.as_ref().map(|os| OperatingSystem {
                name: os.name.clone(),
                version: os.version.clone(),
                kernel: os.kernel.clone(),
            }),
            reset_types: ResetType::ALL.to_vec(),
            boot_sources: section
                .boot
                .as_ref()
                .map(|boot| boot.sources.clone())
                .unwrap_or_default(),
            boot_mode: section.boot.as_ref().and_then(|boot| boot.mode),
            restores_power: true,
            cycles_per_hour: section.power.cycles_per_hour,
            watchdog: section.watchdog_seconds.map(Seconds::duration),
            ..System::default()
        })
    }

    fn node(&self, section: &SystemSection) -> Result<Node, BoardError> {
        let thermal = &section.thermal;
        for (name, number) in [
            ("capacity", &thermal.capacity),
            ("resistance_still", &thermal.resistance_still),
            ("resistance_full", &thermal.resistance_full),
        ] {
            self.positive(name, number)?;
        }
        let power = &section.power;
        let still = *thermal.resistance_still.as_ref();
        let plant = Plant {
            ambient: thermal.ambient,
            capacity: *thermal.capacity.as_ref(),
            resistance_still: still,
            resistance_full: *thermal.resistance_full.as_ref(),
            temperature: thermal.ambient + power.idle_watts * still,
        };
        let timing = Timing {
            boot: power.boot_seconds.duration(),
            shutdown: power.shutdown_seconds.duration(),
        };
        let processors = section.processor.iter().flatten();
        let mhz = |speed: Option<u32>| speed.map(|mhz| f64::from(mhz) * 1e6);
        let clock = processors.map(|p| {
            let fast = mhz(p.max_speed_mhz).unwrap_or_default();
            (mhz(p.min_speed_mhz).unwrap_or(fast), fast)
        });
        let mut node = Node::new(plant, timing);
        node.idle_watts = power.idle_watts;
        node.busy_watts = power.busy_watts;
        node.volts = power.volts;
        node.load.clone_from(&thermal.load);
        node.clock =
            clock.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        let sources = section.boot.iter().flat_map(|boot| &boot.sources);
        node.usual = sources.copied().next();
        node.patience = section.watchdog_seconds.map(Seconds::duration);
        node.memory = memory(section).iter().map(|m| m.capacity).sum();
        Ok(node)
    }

    fn positive(
        &self,
        name: &str,
        number: &Spanned<f64>,
    ) -> Result<(), BoardError> {
        let value = *number.as_ref();
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        let reason = format!("`{name}` is {value}; more than 0 is expected");
        Err(self.source.wrong(number, reason))
    }

    fn chassis(
        &mut self,
        section: &ChassisSection,
    ) -> Result<Chassis, BoardError> {
        let mut systems = Vec::new();
        for system in section.systems.iter().flatten() {
            self.known_system("systems", system)?;
            systems.push(system.as_ref().clone());
        }
        if let Some(outer) = &section.contained_by {
            let others = self.source.board.chassis.iter().map(|it| &it.id);
            let others = others.filter(|id| **id != section.id);
            let key = "contained_by";
            self.source.names(key, "other chassis", outer, others)?;
        }
        let mut sensors = Vec::new();
        for sensor in section.sensor.iter().flatten() {
            sensors.push(self.sensor(section, sensor)?);
        }
        let mut fans: Vec<Fan> = Vec::new();
        for fan in section.fan.iter().flatten() {
            fans.push(self.fan(fan, &mut sensors)?);
        }
        let controls = fans
            .iter()
            .zip(section.fan.iter().flatten())
            .filter_map(|(fan, section)| {
                let cools = |wired: &&Wired| {
                    wired.of == *section.cools.as_ref()
                        && wired.measure == Measure::ProcessorTemperature
                };
                let watched = self.sensors.iter().find(cools);
                Some(Control {
                    id: fan.id.clone(),
                    name: fan.name.clone(),
                    fan: fan.id.clone(),
                    sensor: fan.duty.clone()?,
                    watched: watched.map(|wired| wired.sensor.id.clone()),
                })
            })
            .collect();
        let mut board = identity(&section.board);
        let mut name = section.name.clone();
        let first = self.source.board.system.first();
        let holds_first = first.is_some_and(|s| systems.contains(&s.id));
        if holds_first && let Some(number) = &self.naming.serial_number {
            board.serial_number = Some(number.clone());
        }
        if holds_first && let Some(named) = &self.naming.name {
            name.clone_from(named);
        }
        let supplies = section.power_supply.iter().flatten();
        let power_supplies = supplies
            .map(|supply| {
                let sensor = |key, id: &Option<Spanned<Id>>| {
                    let Some(id) = id else { return Ok(None) };
                    let known = sensors.iter().map(|it| &it.id);
                    self.source.names(key, "sensor", id, known)?;
                    Ok(Some(id.as_ref().clone()))
                };
                Ok(PowerSupply {
                    id: supply.id.clone(),
                    name: supply.name.clone(),
                    kind: supply.kind.map(Into::into).unwrap_or_default(),
                    board: identity(&supply.board),
                    capacity_watts: supply.capacity_watts,
                    voltage: sensor("voltage", &supply.voltage)?,
                    current: sensor("current", &supply.current)?,
                    power: sensor("power", &supply.power)?,
                    ..PowerSupply::default()
                })
            })
            .collect::<Result<_, _>>()?;
        let outer = section.contained_by.as_ref();
        Ok(Chassis {
            id: section.id.clone(),
            name,
            kind: section.kind.into(),
            board,
            systems,
            contained_by: outer.map(|id| id.as_ref().clone()),
            place: None,
            sensors,
            fans,
            power_supplies,
            controls,
            ..Chassis::default()
        })
    }

    fn sensor(
        &mut self,
        chassis: &ChassisSection,
        section: &SensorSection,
    ) -> Result<Sensor, BoardError> {
        self.known_system("of", &section.of)?;
        let measure = section.measures;
        if matches!(measure, Measure::FanSpeed | Measure::FanDuty) {
            let reason = "a fan brings its own sensors".to_owned();
            return Err(self.source.wrong(&section.of, reason));
        }
        let bus = section.bus.clone();
        let bus = bus.unwrap_or_else(|| chassis.id.to_string());
        let of = section.of.as_ref().clone();
        let mut sensor = self.wire(
            &section.of,
            bus,
            (section.id.clone(), section.name.clone()),
            of,
            measure,
        )?;
        sensor.thresholds = Thresholds {
            upper_caution: section.upper_caution,
            upper_critical: section.upper_critical,
            upper_fatal: section.upper_fatal,
            lower_caution: section.lower_caution,
            lower_critical: section.lower_critical,
        };
        sensor.range = section.range.or(sensor.range);
        Ok(sensor)
    }

    fn wire(
        &mut self,
        place: &Spanned<Id>,
        bus: String,
        (id, name): (Id, String),
        of: Id,
        measure: Measure,
    ) -> Result<Sensor, BoardError> {
        if self.sensors.iter().any(|wired| wired.sensor.id == id) {
            let reason = format!("a second sensor `{id}`");
            return Err(self.source.wrong(place, reason));
        }
        let (kind, _, context) = measure.facts();
        let sensor = Sensor {
            source: format!("simulated {id} on {bus}").into(),
            id,
            name,
            kind,
            context,
            range: (kind == SensorKind::Percent).then_some((0.0, 100.0)),
            thresholds: Thresholds::default(),
            interval: INTERVAL,
            required: false,
        };
        self.sensors.push(Wired { bus, sensor: sensor.clone(), of, measure });
        Ok(sensor)
    }

    fn fan(
        &mut self,
        section: &FanSection,
        sensors: &mut Vec<Sensor>,
    ) -> Result<Fan, BoardError> {
        self.known_system("cools", &section.cools)?;
        self.positive("full_speed_rpm", &section.full_speed_rpm)?;
        let id = &section.id;
        let full_speed = *section.full_speed_rpm.as_ref();
        let fan = sim::Fan {
            cools: section.cools.as_ref().clone(),
            full_speed,
            full_watts: section.full_watts,
            curve: section.curve.clone(),
            manual: None,
            duty: 0.0,
            speed: 0.0,
            stuck: false,
        };
        self.fans.insert(id.clone(), fan);
        let mut wire = |word: &str, measure| {
            let name = format!("{} {word}", section.name);
            let names = (format!("{id}_{word}").into(), name);
            let bus = id.to_string();
            self.wire(&section.cools, bus, names, id.clone(), measure)
        };
        let mut speed = wire("Speed", Measure::FanSpeed)?;
        let duty = wire("Duty", Measure::FanDuty)?;
        speed.range = Some((0.0, full_speed * 1.2));
        let fan = Fan {
            id: id.clone(),
            name: section.name.clone(),
            speed: Some(speed.id.clone()),
            duty: Some(duty.id.clone()),
        };
        sensors.extend([speed, duty]);
        Ok(fan)
    }

    fn known_system(
        &self,
        key: &str,
        id: &Spanned<Id>,
    ) -> Result<(), BoardError> {
        self.source.names(key, "system", id, self.nodes.keys())
    }

    fn faults(&self) -> Result<Vec<Scheduled>, BoardError> {
        let sections = self.source.board.fault.iter().flatten();
        sections
            .map(|section| {
                let part = section.part.as_ref();
                let sensors = self.sensors.iter().map(|it| &it.sensor.id);
                // Those on buses say themselves whether they can be told to.
                let parts = self.source.board.part.iter();
                let parts = parts.map(|it| it.id.as_ref());
                let machine = self.nodes.keys().chain(self.fans.keys());
                let known = machine.chain(sensors).chain(parts);
                self.source.names("part", "part", &section.part, known)?;
                let fits = match section.kind {
                    Fault::Stick => self.fans.contains_key(part),
                    Fault::Hang => self.nodes.contains_key(part),
                    Fault::Unplug | Fault::Stall | Fault::Fail => true,
                };
                if !fits {
                    let reason = format!(
                        "`{part}`: only a fan can `stick`, only a system `hang`"
                    );
                    return Err(self.source.wrong(&section.part, reason));
                }
                let lasts: Option<Duration> =
                    section.for_seconds.map(Seconds::duration);
                Ok(Scheduled {
                    part: part.clone(),
                    fault: section.kind,
                    after: section.after_seconds.duration(),
                    lasts,
                })
            })
            .collect()
    }
}
