//! The nodes of a rack, as a board file has them: nothing on the bus tells
//! which computer is at an address.

use std::path::PathBuf;

use onprem_link::id::device_uuid;
use serde::Deserialize;

use super::{super::segment, bus::SWEEP};
use crate::{
    commands::ResetType,
    model::{
        Bay, BoardIdentity, Id, PhysicalContext, PowerRestorePolicy, Sensor,
        SensorKind, System, Thresholds,
    },
    node_agent::{Options as AgentOptions, Target},
    sim::bitscope::NODES,
};

/// Nodes on a blade.
pub(super) const SLOTS: u8 = 4;
/// How often an hour a node may be started again, unless the board file says.
const CYCLES: usize = 4;
/// What a node can be told over the bus, which has no way to ask it to shut
/// down.
const RESET_TYPES: [ResetType; 4] = [
    ResetType::On,
    ResetType::ForceOff,
    ResetType::ForceRestart,
    ResetType::PowerCycle,
];

/// What a board file can say of a rack.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// What people call it.
    pub(super) name: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial_number: Option<String>,
    /// What is at which address: nothing on the bus tells.
    pub(super) nodes: Vec<NodeOptions>,
    /// The file with what unlocks the bus, where it was changed.
    pub(super) unlock_file: Option<PathBuf>,
    /// Seconds between two nodes that are switched on.
    pub(super) stagger_seconds: Option<f64>,
    /// For how many seconds a node is off when it is started again.
    pub(super) dwell_seconds: Option<f64>,
    /// How often an hour a node may be started again.
    pub(super) cycles_per_hour: Option<usize>,
    /// Whether a node that shall be off is cut when the manager starts.
    pub(super) cut_at_restore: Option<bool>,
    /// How fast the nodes speak on their consoles, in bits a second.
    pub(super) console_baud: Option<u32>,
    /// The node whose console is kept open while nobody looks at another.
    pub(super) console: Option<Id>,
    /// What a count of current stands for, in amperes.
    pub(super) current_amps_per_count: Option<f64>,
    /// What a count of fan speed stands for, in revolutions a minute.
    pub(super) fan_rpm_per_count: Option<f64>,
}

/// What a board file says of a node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeOptions {
    pub(super) address: u8,
    pub(super) id: Option<Id>,
    pub(super) name: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial_number: Option<String>,
    /// The agent that it runs itself.
    pub(super) agent: Option<AgentOptions>,
}

/// The letter of a row, A at the top, and its number where letters end.
pub(super) fn row(address: u8) -> String {
    let row = address / SLOTS;
    if row < 26 {
        char::from(b'A' + row).to_string()
    } else {
        format!("R{row}")
    }
}

/// A node as the board file has it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: u8,
    pub(super) system: System,
    /// The agent that it runs itself.
    pub(super) agent: Option<Target>,
    /// The sensors, where it is known what a count stands for.
    pub(super) current: Option<(Sensor, f64)>,
    pub(super) fan: Option<(Sensor, f64)>,
}

impl Node {
    pub(super) fn new(
        said: &NodeOptions,
        identity: &str,
        options: &Options,
    ) -> Result<Self, String> {
        let address = said.address;
        if address >= NODES {
            return Err(format!("address {address:#04x}: 0x00 to 0x7f exist"));
        }
        let label = format!("{}{}", row(address), address % SLOTS);
        let id = said.id.clone();
        let id = id.unwrap_or_else(|| label.to_lowercase().as_str().into());
        if id.is_empty() || segment(&id) != *id {
            return Err(format!("`{id}` cannot be the id of a node"));
        }
        let sensor = |word: &str, kind, context, scale: Option<f64>| {
            let Some(scale) = scale else { return Ok(None) };
            if !scale.is_finite() || scale <= 0.0 {
                return Err(format!("{scale} is no scale for a {word}"));
            }
            let sensor = Sensor {
                id: format!("{id}_{word}").into(),
                name: format!("{label} {word}"),
                kind,
                context,
                range: Some((0.0, 255.0 * scale)),
                thresholds: Thresholds::default(),
                interval: SWEEP,
                source: format!("bitscope {address:#04x}").into(),
                // Its system says so where it is missing.
                required: false,
            };
            Ok(Some((sensor, scale)))
        };
        let current = sensor(
            "Current",
            SensorKind::Current,
            PhysicalContext::SystemBoard,
            options.current_amps_per_count,
        )?;
        let fan = sensor(
            "Fan",
            SensorKind::Rotation,
            PhysicalContext::Fan,
            options.fan_rpm_per_count,
        )?;
        let system = System {
            id: id.clone(),
            name: said.name.clone().unwrap_or_else(|| label.clone()),
            board: BoardIdentity {
                manufacturer: said.manufacturer.clone(),
                model: said.model.clone(),
                serial_number: said.serial_number.clone(),
                ..BoardIdentity::default()
            },
            uuid: device_uuid(&format!("{identity} {address:02x}")),
            reset_types: RESET_TYPES.to_vec(),
            restores_power: true,
            // An outage switches nobody on whom somebody has switched off.
            restore_default: PowerRestorePolicy::LastState,
            cycles_per_hour: Some(options.cycles_per_hour.unwrap_or(CYCLES)),
            bay: Some(Bay { address, label: label.as_str().into() }),
            ..System::default()
        };
        let agent = said.agent.as_ref().map(AgentOptions::target).transpose();
        let agent = agent.map_err(|why| format!("`agent` of `{id}`: {why}"))?;
        Ok(Self { address, system, agent, current, fan })
    }
}
