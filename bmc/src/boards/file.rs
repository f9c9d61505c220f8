//! Board files: a simulated board described in TOML.

use std::{fs, io, net::Ipv4Addr, path::Path, path::PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::names;
use crate::{
    drivers::segment,
    model::{
        Architecture, BootMode, BootSource, ChassisKind, Id, Inventory,
        LinkState, MediaType, MemoryKind, Protocol, RaidType, SupplyKind,
    },
    sim::{Fault, Measure},
};

/// Why a board file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// It cannot be read.
    #[error("cannot read the board file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It is no TOML, or has a key or a value that a board file does not.
    #[error("cannot understand the board file {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It says something that cannot be.
    #[error("{path}, line {line}: {reason}")]
    Meaning {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// Seconds, as written in a board file.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(transparent)]
pub(super) struct Seconds(f64);

impl Seconds {
    pub(super) fn duration(self) -> std::time::Duration {
        // What is no time is none; a century is for good.
        let seconds = self.0.clamp(0.0, 3.2e9);
        std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

macro_rules! section {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
        }
    )*};
}

section! {
    /// Who made a part.
    Maker {
        manufacturer: Option<String>,
        model: Option<String>,
        serial_number: Option<String>,
        part_number: Option<String>,
        sku: Option<String>,
    }
    /// A computer.
    SystemSection {
        id: Id,
        name: String,
        board: Maker,
        host_name: Option<String>,
        bios_version: Option<String>,
        os: Option<OsSection>,
        boot: Option<BootSection>,
        watchdog_seconds: Option<Seconds>,
        power: PowerSection,
        thermal: ThermalSection,
        processor: Option<Vec<ProcessorSection>>,
        memory: Option<Vec<MemorySection>>,
        storage: Option<Vec<StorageSection>>,
        interface: Option<Vec<InterfaceSection>>,
    }
    /// What runs on it.
    OsSection {
        name: String,
        version: Option<String>,
        kernel: Option<String>,
    }
    /// Where it can start from; the first source is the usual one.
    BootSection {
        sources: Vec<BootSource>,
        mode: Option<BootMode>,
    }
    /// What it takes, and how long it needs to come and go.
    PowerSection {
        volts: f64,
        idle_watts: f64,
        busy_watts: f64,
        boot_seconds: Seconds,
        shutdown_seconds: Seconds,
        cycles_per_hour: Option<usize>,
    }
    /// How it gets warm.
    ThermalSection {
        ambient: f64,
        capacity: Spanned<f64>,
        resistance_still: Spanned<f64>,
        resistance_full: Spanned<f64>,
        load: Vec<(f64, f64)>,
    }
    /// A processor.
    ProcessorSection {
        id: Id,
        manufacturer: Option<String>,
        model: Option<String>,
        architecture: ArchitectureWord,
        cores: u32,
        threads: Option<u32>,
        min_speed_mhz: Option<u32>,
        max_speed_mhz: Option<u32>,
    }
    /// A memory module.
    MemorySection {
        id: Id,
        name: Option<String>,
        capacity_mib: u64,
        kind: Option<MemoryWord>,
        speed_mts: Option<u32>,
        locator: Option<String>,
        board: Option<Maker>,
    }
    /// A storage subsystem, and what volumes its controller makes.
    StorageSection {
        id: Id,
        name: String,
        volumes: Option<Vec<RaidType>>,
        drive: Vec<DriveSection>,
    }
    /// A drive.
    DriveSection {
        id: Id,
        capacity_bytes: u64,
        board: Maker,
        revision: Option<String>,
        media: Option<MediaWord>,
        protocol: Option<ProtocolWord>,
        removable: Option<bool>,
    }
    /// A network interface. Its hardware address is the maker's prefix and
    /// three bytes that follow from the serial number; its IPv4 address is
    /// what a DHCP server of that network gives to that hardware address.
    InterfaceSection {
        id: Id,
        mac_prefix: Spanned<String>,
        mtu: Option<u32>,
        speed_mbps: Option<u32>,
        link: Option<LinkWord>,
        network: Option<Ipv4Addr>,
        gateway: Option<Ipv4Addr>,
        name_servers: Option<Vec<String>>,
    }
    /// A thing one can touch.
    ChassisSection {
        id: Id,
        name: String,
        kind: ChassisWord,
        board: Maker,
        systems: Option<Vec<Spanned<Id>>>,
        contained_by: Option<Spanned<Id>>,
        sensor: Option<Vec<SensorSection>>,
        fan: Option<Vec<FanSection>>,
        power_supply: Option<Vec<PowerSupplySection>>,
    }
    /// A sensor.
    SensorSection {
        id: Id,
        name: String,
        of: Spanned<Id>,
        measures: Measure,
        bus: Option<String>,
        range: Option<(f64, f64)>,
        upper_caution: Option<f64>,
        upper_critical: Option<f64>,
        upper_fatal: Option<f64>,
        lower_caution: Option<f64>,
        lower_critical: Option<f64>,
    }
    /// A fan; its speed and duty become the sensors `<id>_Speed` and
    /// `<id>_Duty`.
    FanSection {
        id: Id,
        name: String,
        cools: Spanned<Id>,
        full_speed_rpm: Spanned<f64>,
        full_watts: f64,
        curve: Vec<(f64, f64)>,
    }
    /// A power supply with the sensors that watch it.
    PowerSupplySection {
        id: Id,
        name: String,
        kind: Option<SupplyWord>,
        board: Maker,
        capacity_watts: Option<f64>,
        voltage: Option<Spanned<Id>>,
        current: Option<Spanned<Id>>,
        power: Option<Spanned<Id>>,
    }
    /// A switch. It is a fabric of the chassis that it is in.
    SwitchSection {
        id: Spanned<Id>,
        name: Option<String>,
        model: Option<String>,
        chassis: Option<Spanned<Id>>,
        filters: Option<bool>,
        port: Vec<SwitchPortSection>,
    }
    /// A port of a switch: what is at its other end, and the VLANs that it is
    /// in: one without a tag, others with.
    SwitchPortSection {
        id: Spanned<Id>,
        system: Option<Spanned<Id>>,
        interface: Option<Spanned<Id>>,
        uplink: Option<bool>,
        enabled: Option<bool>,
        link: Option<LinkWord>,
        speed_mbps: Option<u32>,
        vlan: Option<Spanned<u16>>,
        tagged: Option<Spanned<Vec<u16>>>,
        neighbour: Option<NeighbourSection>,
    }
    /// Somebody at the other end who says by LLDP who he is.
    NeighbourSection {
        chassis_id: String,
        port_id: String,
        system_name: Option<String>,
        system_description: Option<String>,
        address: Option<Ipv4Addr>,
        vlan: Option<u16>,
        ttl_seconds: Option<u16>,
    }
    /// A part that will misbehave.
    FaultSection {
        part: Spanned<Id>,
        kind: Fault,
        after_seconds: Seconds,
        for_seconds: Option<Seconds>,
    }
    /// A bus with parts on it. One of `i2c`, `serial` (device files) and
    /// `gpio` (line names, where they are simulated) says of what sort;
    /// `replay` is a recording, which then is all there is.
    BusSection {
        id: Spanned<String>,
        i2c: Option<PathBuf>,
        serial: Option<PathBuf>,
        gpio: Option<Vec<String>>,
        baud: Option<u32>,
        simulated: Option<bool>,
        replay: Option<PathBuf>,
    }
    /// A part on a bus.
    PartSection {
        id: Spanned<Id>,
        kind: Spanned<String>,
        bus: Option<String>,
        address: Option<u8>,
        chassis: Option<Spanned<Id>>,
        options: Option<toml::Table>,
    }
}

/// A board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoardFile {
    /// Whether the machine is the host itself.
    pub(super) host: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) system: Vec<SystemSection>,
    #[serde(default)]
    pub(super) chassis: Vec<ChassisSection>,
    #[serde(default)]
    pub(super) switch: Vec<SwitchSection>,
    pub(super) fault: Option<Vec<FaultSection>>,
    #[serde(default)]
    pub(super) bus: Vec<BusSection>,
    #[serde(default)]
    pub(super) part: Vec<PartSection>,
}

macro_rules! words {
    ($($name:ident => $type:ident { $($word:literal => $variant:ident,)* })*) => {$(
        #[doc = concat!("A word for a [`", stringify!($type), "`].")]
        #[derive(Clone, Copy, Debug, Deserialize)]
        pub(super) enum $name {
            $(#[serde(rename = $word)] $variant,)*
        }

        impl From<$name> for $type {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    )*};
}

words! {
    ArchitectureWord => Architecture {
        "x86" => X86,
        "arm" => Arm,
        "riscv" => RiscV,
    }
    MemoryWord => MemoryKind {
        "ddr3" => Ddr3,
        "ddr4" => Ddr4,
        "ddr5" => Ddr5,
        "lpddr2" => Lpddr2,
        "lpddr4" => Lpddr4,
        "lpddr5" => Lpddr5,
    }
    MediaWord => MediaType {
        "hdd" => Hdd,
        "ssd" => Ssd,
    }
    ProtocolWord => Protocol {
        "nvme" => Nvme,
        "sata" => Sata,
        "scsi" => Scsi,
        "usb" => Usb,
        "sd" => Sd,
        "emmc" => Emmc,
        "virtio" => Virtio,
    }
    LinkWord => LinkState {
        "up" => Up,
        "down" => Down,
        "no_link" => NoLink,
    }
    ChassisWord => ChassisKind {
        "blade" => Blade,
        "module" => Module,
        "enclosure" => Enclosure,
        "rack" => Rack,
        "rack_mount" => RackMount,
        "stand_alone" => StandAlone,
    }
    SupplyWord => SupplyKind {
        "ac" => Ac,
        "dc" => Dc,
    }
}

/// Why `id` is none that a URI can have.
pub(super) fn no_segment(id: &str) -> String {
    format!("`{id}` is no id: letters, digits, `-`, `_` and `.` are expected")
}

/// A board file with its text, so that errors can name the line.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    pub(super) board: BoardFile,
}

impl Source {
    /// Reads the board file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, BoardError> {
        let path = path.to_owned();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(BoardError::Read { path, source }),
        };
        match toml::from_str(&text) {
            Ok(board) => Ok(Self { path, text, board }),
            Err(source) => {
                let source = Box::new(source);
                Err(BoardError::Parse { path, source })
            }
        }
    }

    /// Where the file `path` is, which is named beside the board file.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Checks that every id of `inventory`, which is from this file, can be
    /// the segment of a URI.
    pub(super) fn check(
        &self,
        inventory: &Inventory,
    ) -> Result<(), BoardError> {
        let chassis = inventory.chassis.iter();
        let inside = inventory.chassis.iter().flat_map(|chassis| {
            let sensors = chassis.sensors.iter().map(|it| &it.id);
            let supplies = chassis.power_supplies.iter().map(|it| &it.id);
            sensors.chain(supplies).chain(chassis.fans.iter().map(|it| &it.id))
        });
        let systems = inventory.systems.iter().map(|it| &it.id);
        let mut all = systems.chain(chassis.map(|it| &it.id)).chain(inside);
        let Some(id) = all.find(|id| segment(id) != ***id) else {
            return Ok(());
        };
        let at = self.text.find(&format!("\"{id}\"")).unwrap_or_default();
        Err(self.wrong_at(at, no_segment(id)))
    }

    /// Checks that what `key` says is one of the ids `known` of what is a
    /// `what`.
    pub(super) fn names<'a>(
        &self,
        key: &str,
        what: &str,
        name: &Spanned<Id>,
        known: impl Iterator<Item = &'a Id>,
    ) -> Result<(), BoardError> {
        let found = names::check(what, name.as_ref(), known.map(|id| &**id));
        found.map_err(|why| self.wrong(name, format!("`{key}`: {why}")))
    }

    /// The error that the file describes too little, for `reason`.
    pub(super) fn empty(&self, reason: &str) -> BoardError {
        self.wrong_at(0, reason.to_owned())
    }

    /// The error that something at `place` cannot be, for `reason`.
    pub(super) fn wrong<T>(
        &self,
        place: &Spanned<T>,
        reason: String,
    ) -> BoardError {
        self.wrong_at(place.span().start, reason)
    }

    fn wrong_at(&self, at: usize, reason: String) -> BoardError {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        BoardError::Meaning { path: self.path.clone(), line, reason }
    }
}
