//! The host: the machine the agent runs on, whatever it is.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use onprem_link::id::device_uuid;

use super::{
    Board, Controls, Naming, Power, Scan, Volumes,
    hand::Hand,
    next_boot::NextBoot,
    power::{HostPower, RESET_TYPES},
    volumes::{HostVolumes, OVERHEAD, RAID_TYPES},
    wires::Wires,
};
use crate::{
    drivers::{
        Driver,
        channel::{Actuator, Channels, Group},
        device_tree, dmi, efi, hwmon, identity, ina3221, jetson, load, memory,
        network, os, power_supply, processor, serial, storage, thermal,
        tree::Tree,
        virtual_machine,
    },
    fabric::{NoWiring, Wiring, kernel::Kernel},
    model::{
        Battery, BoardIdentity, BootMode, BootSource, Chassis, ChassisKind,
        Control, Fan, Id, Inventory, Manager, PowerSupply, Sensor, Storage,
        System, SystemKind,
    },
};

/// The id of the system that a host is.
pub(crate) const SYSTEM: &str = "host";
/// The id of the chassis that a host is.
pub(super) const CHASSIS: &str = "host";

/// The id of the one manager an agent is.
pub const MANAGER: &str = "bmc";

/// The machine the agent runs on.
pub struct Host {
    tree: Tree,
    naming: Naming,
    allow_power: bool,
    allow_volumes: bool,
    wiring: Arc<dyn Wiring>,
    started: bool,
    /// Where the machine can be told to start from, and how.
    boot_sources: Vec<BootSource>,
    next_boot: Option<Arc<NextBoot>>,
    /// What was there once stays, so that a part that vanishes is seen to
    /// have failed.
    sensors: Vec<Sensor>,
    fans: Vec<Fan>,
    power_supplies: Vec<PowerSupply>,
    batteries: Vec<Battery>,
    controls: Vec<Control>,
    actuators: Arc<Actuators>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("tree", &self.tree)
            .field("sensors", &self.sensors.len())
            .finish_non_exhaustive()
    }
}

/// The outputs that can be driven by hand, by control.
#[derive(Debug, Default)]
struct Actuators {
    all: Mutex<BTreeMap<Id, Actuator>>,
    hand: Hand,
}

impl Controls for Actuators {
    fn drive(&self, control: &Id, percent: Option<f64>) -> io::Result<()> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let actuator = all.get(control).cloned();
        drop(all);
        let actuator = actuator.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no such output")
        })?;
        self.hand.drive(&actuator, percent)
    }
}

impl Host {
    /// The host that `tree` shows, whose outputs are taken into `hand`.
    #[must_use]
    pub fn new(
        tree: Tree,
        naming: Naming,
        allow_power: bool,
        hand: Hand,
    ) -> Self {
        let actuators = Actuators { hand, ..Actuators::default() };
        Self {
            sensors: load::sensors(&tree),
            tree,
            naming,
            allow_power,
            allow_volumes: false,
            wiring: Arc::new(NoWiring),
            started: false,
            boot_sources: Vec::new(),
            next_boot: None,
            fans: Vec::new(),
            power_supplies: Vec::new(),
            batteries: Vec::new(),
            controls: Vec::new(),
            actuators: Arc::new(actuators),
        }
    }

    /// The same host, whose firmware is told by `next` where to start from,
    /// where its power may be switched at all.
    #[must_use]
    pub fn starting(self, next: NextBoot) -> Self {
        if !self.allow_power {
            return self;
        }
        let boot_sources = efi::sources(&self.tree);
        Self { boot_sources, next_boot: Some(Arc::new(next)), ..self }
    }

    /// Whether volumes may be made of the host's drives, and removed.
    #[must_use]
    pub fn allow_volumes(self, allow_volumes: bool) -> Self {
        Self { allow_volumes, ..self }
    }

    /// The same host with the wires of the kernel that the agent runs on.
    #[must_use]
    pub fn wired(self, allow_changes: bool, lldp: bool) -> Self {
        let tree = self.tree.clone();
        let (system, chassis) = (SYSTEM.into(), CHASSIS.into());
        let kernel = Kernel::new(tree, system, chassis, allow_changes, lldp);
        Self { wiring: Arc::new(kernel), ..self }
    }

    /// The storage subsystems, and what volumes can be made in them.
    fn storage(&self) -> Vec<Storage> {
        let mut all = storage::read(&self.tree);
        if HostVolumes::can_make(&self.tree, self.allow_volumes) {
            for storage in &mut all {
                storage.raid_types = RAID_TYPES.to_vec();
                storage.overhead = OVERHEAD;
            }
        }
        all
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups = hwmon::read(&self.tree);
        groups.push(thermal::read(&self.tree));
        groups.extend(ina3221::read(&self.tree));
        groups.extend(jetson::fan::read(&self.tree));
        groups.extend(power_supply::read(&self.tree));
        groups
    }

    /// Takes in chips that were not there before, and makes their drivers.
    fn discover(&mut self) -> Vec<Box<dyn Driver>> {
        let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
        if !self.started {
            self.started = true;
            drivers.push(Box::new(load::Load::new(self.tree.clone())));
            let system = Id::from(SYSTEM);
            drivers.push(Box::new(os::Os::new(system, self.tree.clone())));
        }
        for mut group in self.groups() {
            let has = |id: &Id| self.sensors.iter().any(|s| s.id == *id);
            group.channels.retain(|channel| !has(&channel.sensor.id));
            if group.channels.is_empty() {
                // A mains adapter may have nothing to measure.
                let new = |s: &PowerSupply| !self.power_supplies.contains(s);
                group.power_supplies.retain(new);
                self.power_supplies.append(&mut group.power_supplies);
                continue;
            }
            let sensors = group.channels.iter().map(|c| c.sensor.clone());
            self.sensors.extend(sensors);
            self.take_controls(&group);
            self.fans.append(&mut group.fans);
            self.power_supplies.append(&mut group.power_supplies);
            self.batteries.append(&mut group.batteries);
            let channels = Channels::new(group.name, group.channels);
            drivers.push(Box::new(channels));
        }
        drivers
    }

    /// Takes in what of a new chip can be driven by hand.
    fn take_controls(&mut self, group: &Group) {
        for channel in &group.channels {
            let Some(actuator) = &channel.actuator else { continue };
            let sensor = &channel.sensor.id;
            let mut fans = group.fans.iter();
            let fan = fans.find(|fan| fan.duty.as_ref() == Some(sensor));
            let Some(fan) = fan else { continue };
            let mut all = self
                .actuators
                .all
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.insert(fan.id.clone(), actuator.clone());
            self.controls.push(Control {
                id: fan.id.clone(),
                name: fan.name.clone(),
                fan: fan.id.clone(),
                sensor: sensor.clone(),
                watched: None,
            });
        }
    }

    fn inventory(&self) -> Inventory {
        let tree = &self.tree;
        let dmi = dmi::read(tree);
        let board = device_tree::read(tree);
        let interfaces = network::read(tree);
        let identity =
            identity::of_host(tree, board.as_ref(), dmi.as_ref(), &interfaces);
        let identity = identity.as_ref();
        let uuid =
            device_uuid(identity.unwrap_or(&self.naming.fallback_identity));
        let named =
            |b: &BoardIdentity| b.manufacturer.is_some() && b.model.is_some();
        let mut maker = board
            .as_ref()
            .map(|b| b.identity.clone())
            .or_else(|| dmi.as_ref().map(|d| d.board.clone()))
            .filter(named)
            .unwrap_or_else(|| virtual_machine::describe(tree));
        if let Some(number) = &self.naming.serial_number {
            maker.serial_number = Some(number.clone());
        }
        let host_name = os::host_name(tree);
        let name = self.naming.name.clone().or_else(|| host_name.clone());
        let name = name.unwrap_or_else(|| "This host".to_owned());
        let is_virtual = virtual_machine::is_virtual(tree);
        let system = System {
            id: SYSTEM.into(),
            name: name.clone(),
            kind: if is_virtual {
                SystemKind::Virtual
            } else {
                SystemKind::Physical
            },
            board: maker.clone(),
            sub_model: jetson::sold_as(&maker),
            uuid,
            host_name: host_name.clone(),
            bios_version: dmi.as_ref().and_then(|d| d.bios_version.clone()),
            processors: processor::read(tree),
            memory: memory::modules(tree, board.as_ref()),
            memory_total: memory::usage(tree).map_or(0, |usage| usage.total),
            storage: self.storage(),
            interfaces: interfaces.clone(),
            os: Some(os::read(tree)),
            reset_types: RESET_TYPES.to_vec(),
            hosts_manager: true,
            boot_sources: self.boot_sources.clone(),
            boot_mode: (!self.boot_sources.is_empty())
                .then_some(BootMode::Uefi),
            last_reset: os::started(tree),
            chassis: vec![CHASSIS.into()],
            ..System::default()
        };
        let shape = dmi.and_then(|dmi| dmi.chassis);
        let chassis = Chassis {
            id: CHASSIS.into(),
            name: name.clone(),
            kind: shape.unwrap_or(match board {
                Some(_) => ChassisKind::Module,
                None => ChassisKind::StandAlone,
            }),
            board: maker,
            systems: vec![SYSTEM.into()],
            contained_by: None,
            sensors: self.sensors.clone(),
            fans: self.fans.clone(),
            power_supplies: self.power_supplies.clone(),
            batteries: self.batteries.clone(),
            controls: self.controls.clone(),
            ..Chassis::default()
        };
        let mut manager = Manager::of(&system);
        manager.serial = serial::read(tree);
        Inventory { systems: vec![system], chassis: vec![chassis], manager }
    }
}

impl Board for Host {
    fn scan(&mut self) -> Scan {
        let drivers = self.discover();
        Scan { inventory: self.inventory(), drivers, ..Scan::default() }
    }

    fn power(&self) -> Arc<dyn Power> {
        let next = self.next_boot.clone();
        Arc::new(HostPower::new(self.tree.clone(), self.allow_power, next))
    }

    fn controls(&self) -> Arc<dyn Controls> {
        Arc::clone(&self.actuators) as Arc<dyn Controls>
    }

    fn wires(&self) -> Arc<Wires> {
        Arc::new(Wires::of_host(self.tree.clone()))
    }

    fn volumes(&self) -> Arc<dyn Volumes> {
        let tree = self.tree.clone();
        Arc::new(HostVolumes::new(tree, self.allow_volumes))
    }

    fn wiring(&self) -> Arc<dyn Wiring> {
        Arc::clone(&self.wiring)
    }
}

impl Manager {
    /// The manager that looks after `system`.
    #[must_use]
    pub fn of(system: &System) -> Self {
        Self {
            id: MANAGER.into(),
            name: "On-prem agent".into(),
            model: "onprem-bmc".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            uuid: device_uuid(&format!("{} {MANAGER}", system.uuid)),
            interfaces: system.interfaces.clone(),
            host_name: system.host_name.clone(),
            serial: Vec::new(),
            i2c: Vec::new(),
        }
    }
}
