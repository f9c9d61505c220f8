//! The parts: systems, chassis, the manager, and what is in them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    BootMode, BootSource, Control, Health, Id, Instrument, Modem,
    NetworkInterface, PartSettings, PowerRestorePolicy, RaidType, SensorKind,
    Switch,
};
use crate::commands::ResetType;

/// All parts one agent looks after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Computers.
    pub systems: Vec<System>,
    /// Things one can touch.
    pub chassis: Vec<Chassis>,
    /// The agent itself.
    pub manager: Manager,
}

/// Who made a thing, and which one it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoardIdentity {
    /// The maker.
    pub manufacturer: Option<String>,
    /// The maker's name for it.
    pub model: Option<String>,
    /// Its own number.
    pub serial_number: Option<String>,
    /// The maker's part number.
    pub part_number: Option<String>,
    /// The maker's order number.
    pub sku: Option<String>,
}

/// Whether a system is a machine or only looks like one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemKind {
    /// A machine.
    #[default]
    Physical,
    /// A virtual machine.
    Virtual,
}

/// A computer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Machine or virtual machine.
    pub kind: SystemKind,
    /// Who made it.
    pub board: BoardIdentity,
    /// What the maker sells the module as that it is made of.
    pub sub_model: Option<String>,
    /// Stable over re-installation; see [`onprem_link::id::device_uuid`].
    pub uuid: Uuid,
    /// The host name its operating system has.
    pub host_name: Option<String>,
    /// Version of the firmware that starts it.
    pub bios_version: Option<String>,
    /// Its processors, one a socket.
    pub processors: Vec<Processor>,
    /// Its memory modules; one that stands for all where they cannot be told
    /// apart.
    pub memory: Vec<MemoryModule>,
    /// Usable memory in bytes.
    pub memory_total: u64,
    /// Its storage subsystems.
    pub storage: Vec<Storage>,
    /// Its network interfaces, without the loopback.
    pub interfaces: Vec<NetworkInterface>,
    /// What runs on it.
    pub os: Option<OperatingSystem>,
    /// The ways it can be reset; empty where it cannot.
    pub reset_types: Vec<ResetType>,
    /// Where it can be told to start from; empty where it cannot be told.
    pub boot_sources: Vec<BootSource>,
    /// The kind of firmware that starts it, where one can choose a source.
    pub boot_mode: Option<BootMode>,
    /// Whether the agent decides what it does when the power comes back.
    pub restores_power: bool,
    /// What it does then where nobody has said so.
    pub restore_default: PowerRestorePolicy,
    /// How often an hour it may be started again, where that has a limit.
    pub cycles_per_hour: Option<usize>,
    /// Whether it is known when its processors are slowed down.
    pub tells_throttling: bool,
    /// How long its watchdog waits, where it has one that the agent sets.
    pub watchdog: Option<Duration>,
    /// When it started, where it says so itself.
    pub last_reset: Option<DateTime<Utc>>,
    /// The chassis it sits in.
    pub chassis: Vec<Id>,
    /// Whether the agent runs on it.
    pub hosts_manager: bool,
    /// Where it is on a control bus, if it is on one.
    pub bay: Option<Bay>,
}

impl System {
    /// What it does when the power comes back, with these `settings`.
    #[must_use]
    pub fn restore_policy(
        &self,
        settings: &PartSettings,
    ) -> PowerRestorePolicy {
        settings.power_restore_policy.unwrap_or(self.restore_default)
    }
}

/// A place on a control bus, over which a system is switched and seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bay {
    /// The address on the bus.
    pub address: u8,
    /// What people call the place: `B3`.
    pub label: Arc<str>,
}

/// An operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatingSystem {
    /// `Debian GNU/Linux`.
    pub name: String,
    /// `12 (bookworm)`.
    pub version: Option<String>,
    /// `6.12.47-v8+`.
    pub kernel: Option<String>,
}

/// What a processor understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    X86,
    /// Arm.
    Arm,
    /// RISC-V.
    RiscV,
}

/// How wide a processor's registers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitWidth {
    /// 32 bits.
    Bits32,
    /// 64 bits.
    #[default]
    Bits64,
}

/// A processor in a socket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processor {
    /// Segment of its URI.
    pub id: Id,
    /// Where it sits.
    pub socket: String,
    /// The maker.
    pub manufacturer: Option<String>,
    /// `Cortex-A72`.
    pub model: Option<String>,
    /// What it understands.
    pub architecture: Architecture,
    /// How wide.
    pub width: BitWidth,
    /// Cores.
    pub cores: u32,
    /// Threads over all cores.
    pub threads: u32,
    /// The fastest clock in MHz.
    pub max_speed_mhz: Option<u32>,
}

/// The kind of a memory module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// DDR3.
    Ddr3,
    /// DDR4.
    Ddr4,
    /// DDR5.
    Ddr5,
    /// Low-power DDR2.
    Lpddr2,
    /// Low-power DDR4.
    Lpddr4,
    /// Low-power DDR5.
    Lpddr5,
}

/// A memory module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryModule {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Size in bytes.
    pub capacity: u64,
    /// Its kind, where known.
    pub kind: Option<MemoryKind>,
    /// Transfers a second, in millions.
    pub speed_mts: Option<u32>,
    /// Who made it.
    pub board: BoardIdentity,
    /// The slot as printed on the board.
    pub locator: Option<String>,
}

/// A storage subsystem: a controller with its drives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Its drives.
    pub drives: Vec<Drive>,
    /// The volumes that can be made of them; empty where none can.
    pub raid_types: Vec<RaidType>,
    /// What a volume takes of each drive for itself, in bytes.
    pub overhead: u64,
}

/// How a drive keeps data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// On spinning platters.
    Hdd,
    /// In flash.
    Ssd,
}

/// How a drive is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NVMe` over PCI Express.
    Nvme,
    /// SATA.
    Sata,
    /// SCSI over whatever carries it.
    Scsi,
    /// USB mass storage.
    Usb,
    /// SD card.
    Sd,
    /// Embedded MMC.
    Emmc,
    /// A paravirtual disk.
    Virtio,
}

/// A drive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drive {
    /// Segment of its URI; the kernel's name on a Linux host.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Size in bytes.
    pub capacity: u64,
    /// Who made it.
    pub board: BoardIdentity,
    /// Version of its firmware.
    pub revision: Option<String>,
    /// How it keeps data, where known.
    pub media: Option<MediaType>,
    /// How it is spoken to.
    pub protocol: Option<Protocol>,
    /// Bytes a block.
    pub block_size: u32,
    /// Whether a person can take it out while it runs.
    pub removable: bool,
}

/// The shape of a chassis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChassisKind {
    /// A single board in a rack of such.
    Blade,
    /// A bare board or a part of a larger thing.
    Module,
    /// What holds other chassis.
    Enclosure,
    /// What blades or servers are in.
    Rack,
    /// A server in a rack.
    RackMount,
    /// It stands by itself.
    #[default]
    StandAlone,
}

/// A thing one can touch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chassis {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Its shape.
    pub kind: ChassisKind,
    /// Who made it.
    pub board: BoardIdentity,
    /// Systems in it.
    pub systems: Vec<Id>,
    /// The chassis it is in.
    pub contained_by: Option<Id>,
    /// Where it is in there: what people call the place, and its number.
    pub place: Option<(Arc<str>, u8)>,
    /// Its sensors.
    pub sensors: Vec<Sensor>,
    /// Its fans.
    pub fans: Vec<Fan>,
    /// Its power supplies.
    pub power_supplies: Vec<PowerSupply>,
    /// Its batteries.
    pub batteries: Vec<Battery>,
    /// What in it can be driven by hand.
    pub controls: Vec<Control>,
    /// What in it is on or off.
    pub switches: Vec<Switch>,
    /// The sensors that say that it is open.
    pub intrusion: Vec<Id>,
    /// What in it records signals.
    pub instruments: Vec<Instrument>,
    /// What in it speaks with cellular networks.
    pub modems: Vec<Modem>,
    /// What a part of it does to its systems by a clock of its own.
    pub power_schedules: Vec<PowerSchedule>,
}

impl Chassis {
    /// The sensor `id`.
    #[must_use]
    pub fn sensor(&self, id: &str) -> Option<&Sensor> {
        self.sensors.iter().find(|s| &*s.id == id)
    }
}

/// What a sensor looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhysicalContext {
    /// A processor.
    Cpu,
    /// A graphics processor.
    Gpu,
    /// Memory.
    Memory,
    /// The board.
    SystemBoard,
    /// A chip beside the processor.
    Asic,
    /// A fan.
    Fan,
    /// What turns one voltage into another.
    VoltageRegulator,
    /// What comes in from the mains or an adapter.
    PowerSupply,
    /// A drive.
    StorageDevice,
    /// A battery.
    Battery,
    /// A network part.
    NetworkingDevice,
    /// Air that comes in.
    Intake,
    /// The chassis as a whole.
    #[default]
    Chassis,
}

/// Where a value starts to be a worry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Above: somebody should look.
    pub upper_caution: Option<f64>,
    /// Above: somebody has to act.
    pub upper_critical: Option<f64>,
    /// Above: what it watches is about to be destroyed.
    pub upper_fatal: Option<f64>,
    /// Below: somebody should look.
    pub lower_caution: Option<f64>,
    /// Below: somebody has to act.
    pub lower_critical: Option<f64>,
}

impl Thresholds {
    /// What they say of `value`.
    #[must_use]
    pub fn health(&self, value: f64) -> Health {
        let above = |limit: Option<f64>| limit.is_some_and(|l| value >= l);
        let below = |limit: Option<f64>| limit.is_some_and(|l| value <= l);
        let fatal = above(self.upper_fatal);
        if fatal || above(self.upper_critical) || below(self.lower_critical) {
            Health::Critical
        } else if above(self.upper_caution) || below(self.lower_caution) {
            Health::Warning
        } else {
            Health::Ok
        }
    }
}

/// A sensor; its value is in the snapshot's readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    /// Segment of its URI; unique in one agent.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// What it measures, and thereby its unit.
    pub kind: SensorKind,
    /// What it looks at.
    pub context: PhysicalContext,
    /// The least and the most it can say.
    pub range: Option<(f64, f64)>,
    /// Where a value starts to be a worry.
    pub thresholds: Thresholds,
    /// How often it is read.
    pub interval: Duration,
    /// Where the value comes from: `hwmon cpu_thermal temp1`.
    pub source: Arc<str>,
    /// Whether somebody said that it is there, so that its absence is
    /// critical.
    pub required: bool,
}

/// A fan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fan {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// The sensor that says how fast it turns.
    pub speed: Option<Id>,
    /// The sensor that says how hard it is driven, in percent.
    pub duty: Option<Id>,
}

/// What a power supply is fed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SupplyKind {
    /// Alternating current.
    Ac,
    /// Direct current, as from a USB adapter or a backplane.
    #[default]
    Dc,
}

/// A power supply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerSupply {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// What it is fed with.
    pub kind: SupplyKind,
    /// Who made it.
    pub board: BoardIdentity,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// Whether it says when its input is lost.
    pub tells_input: bool,
    /// The most it can give, in watts.
    pub capacity_watts: Option<f64>,
    /// The sensor of its voltage.
    pub voltage: Option<Id>,
    /// The sensor of its current.
    pub current: Option<Id>,
    /// The sensor of its power.
    pub power: Option<Id>,
}

/// What a part does to the systems of its chassis by a clock of its own, even
/// while the agent is off.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerSchedule {
    /// What the part calls it.
    pub id: Arc<str>,
    /// The name of the part.
    pub kept_by: Arc<str>,
    /// What is done.
    pub action: ResetType,
    /// The second of the day, in UTC, at which it is.
    pub second_of_day: Option<u32>,
    /// After so many minutes it is, over and over.
    pub every_minutes: Option<u32>,
    /// The days on which it is.
    pub days: Vec<chrono::Weekday>,
}

/// A battery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Battery {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub board: BoardIdentity,
    /// The sensor of its charge, in percent.
    pub charge: Option<Id>,
    /// The sensor of what it can still hold, in percent of what it once could.
    pub health: Option<Id>,
    /// The sensor of its temperature.
    pub temperature: Option<Id>,
    /// The sensor of the voltage that charges it.
    pub input: Option<Id>,
    /// The sensor of its voltage.
    pub voltage: Option<Id>,
    /// The sensor of its current.
    pub current: Option<Id>,
}

/// The agent itself, seen as the machine's manager.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manager {
    /// Segment of its URI: `bmc`.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its own UUID, made from the machine's.
    pub uuid: Uuid,
    /// The interfaces it is reached on.
    pub interfaces: Vec<NetworkInterface>,
    /// The host name it answers to.
    pub host_name: Option<String>,
    /// The serial ports of the machine it runs on.
    pub serial: Vec<SerialPort>,
    /// The I²C buses that can be looked at.
    pub i2c: Vec<I2cBus>,
}

/// An I²C bus, as far as one knows without looking who is on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I2cBus {
    /// The number that the kernel has for it.
    pub number: u32,
    /// What its adapter is called.
    pub name: String,
    /// The addresses in use, and by whom.
    pub used: BTreeMap<u8, String>,
}

/// A serial port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SerialPort {
    /// Segment of its URI, and the kernel's name for it.
    pub id: Id,
    /// The kernel's driver of it.
    pub driver: Option<String>,
}
