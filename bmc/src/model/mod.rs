//! What the agent knows: drivers post into it, everyone else reads snapshots.

mod boot;
mod capture;
mod control;
mod fabric;
mod health;
mod inventory;
mod live;
mod modem;
mod network;
mod node_agent;
mod post;
mod power_model;
mod quantity;
mod reading;
mod settings;
mod snapshot;
mod switch;
mod trouble;
mod volume;
mod watchdog;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use self::{
    boot::{
        Boot, BootEnabled, BootMode, BootOverride, BootSource, BootStage,
        PowerRestorePolicy, Started, TimeoutAction, Watchdog,
    },
    capture::{
        Capture, CaptureAsked, CaptureError, CaptureFault, CaptureRequest,
        Generator, Input, Instrument, LogicSeries, Reduction, Series, Slope,
        Source, Trigger, Wave,
    },
    control::{Control, ControlMode, ControlState},
    fabric::{
        Announcement, Capability, Counters, Membership, Memberships, NameKind,
        Named, Neighbour, Neighbours, Network, NetworkSwitch, Staged,
        SwitchPort, VlanId, Wire,
    },
    health::Health,
    inventory::{
        Architecture, Battery, Bay, BitWidth, BoardIdentity, Chassis,
        ChassisKind, Drive, Fan, I2cBus, Inventory, Manager, MediaType,
        MemoryKind, MemoryModule, OperatingSystem, PhysicalContext,
        PowerSchedule, PowerSupply, Processor, Protocol, Sensor, SerialPort,
        Storage, SupplyKind, System, SystemKind, Thresholds,
    },
    live::{Change, Model},
    modem::{Cellular, Modem, Registration, SimState},
    network::{AddressState, IpAddress, LinkState, NetworkInterface, Origin},
    node_agent::NodeAgent,
    power_model::{PowerMode, PowerModels},
    quantity::{
        Amperes, Celsius, Hertz, Percent, Quantity, Rpm, Seconds, SensorKind,
        Volts, Watts,
    },
    reading::{Contact, Quality, Reading, Sample},
    settings::{Part, PartSettings, Settings},
    snapshot::Snapshot,
    switch::{FirstState, Switch, SwitchState},
    trouble::{Known, Throttle, Told, Trouble, Turn},
    volume::{RaidType, Volume, VolumeFault, VolumeWish},
    watchdog::WatchdogState,
};

/// The id of a part: unique among its kind in one agent, and a segment of its
/// URI. Sensors share one name space over all chassis.
pub type Id = Arc<str>;

/// Whether a system has power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// It runs.
    On,
    /// It is off.
    Off,
    /// It is on its way up.
    PoweringOn,
    /// It is on its way down.
    PoweringOff,
}

/// What a running operating system says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Time since the system started.
    pub uptime: Duration,
    /// Runnable tasks, averaged over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory the system has, in bytes.
    pub memory_total: u64,
    /// Memory that programs can still have, in bytes.
    pub memory_available: u64,
}

/// Volumes by the system and the storage subsystem they are in.
pub type Shelves = BTreeMap<(Id, Id), Vec<Volume>>;
