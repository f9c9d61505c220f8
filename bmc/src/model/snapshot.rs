//! A snapshot: all that is known at one moment, which does not change in its
//! reader's hand.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    Announcement, Boot, Cellular, Chassis, Contact, ControlState, Counters, Id,
    Inventory, Known, Neighbours, Network, NodeAgent, Part, PowerModels,
    PowerState, Reading, Settings, Shelves, Staged, SwitchState, System,
    Vitals, Volume, WatchdogState,
};
use crate::commands::ResetType;

/// All that is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with each change of anything.
    pub version: u64,
    /// Grows with each change of what is not live: inventory, settings and
    /// power states. What was made from these stays valid as long as this
    /// number does.
    pub fixed_version: u64,
    /// The parts.
    pub inventory: Arc<Inventory>,
    /// What people set.
    pub settings: Arc<Settings>,
    /// The last reading of each sensor, by the sensor's id.
    pub readings: Arc<BTreeMap<Id, Reading>>,
    /// The power state of each system, by its id.
    pub power: Arc<BTreeMap<Id, PowerState>>,
    /// What control buses say of the systems on them, by the system's id.
    pub contacts: Arc<BTreeMap<Id, Contact>>,
    /// What each modem said last, by its id.
    pub modems: Arc<BTreeMap<Id, Cellular>>,
    /// The power models that systems can run in, by the system's id.
    pub power_models: Arc<BTreeMap<Id, PowerModels>>,
    /// How each system starts, by its id.
    pub boots: Arc<BTreeMap<Id, Boot>>,
    /// When systems last started, where the agent saw it, by the system's id.
    pub resets: Arc<BTreeMap<Id, DateTime<Utc>>>,
    /// What each control does that does not do as always, by its id.
    pub controls: Arc<BTreeMap<Id, ControlState>>,
    /// What each switch is, by its id.
    pub switches: Arc<BTreeMap<Id, SwitchState>>,
    /// Since when power supplies have no input, by their ids.
    pub outages: Arc<BTreeMap<Id, DateTime<Utc>>>,
    /// The volumes, by system and storage.
    pub volumes: Arc<Shelves>,
    /// What the operating system of each system says, by the system's id.
    pub vitals: Arc<BTreeMap<Id, Vitals>>,
    /// When a time server, or a person, last said that the machine's clock is
    /// right, or set it.
    pub clock_confirmed: Option<Instant>,
    /// What the hardware watchdog does that the agent feeds, if it feeds one.
    pub watchdog: Option<WatchdogState>,
    /// What is wrong with parts, or was since they started.
    pub troubles: Arc<BTreeMap<Part, Vec<Known>>>,
    /// What joins the systems.
    pub network: Arc<Network>,
    /// Who is at the other ends of wires, by LLDP.
    pub neighbours: Arc<Neighbours>,
    /// What counts on each wire.
    pub counters: Arc<BTreeMap<Id, Counters>>,
    /// Whether the agent says by LLDP who it is, and what it says, by wire.
    pub announced: Arc<BTreeMap<Id, Announcement>>,
    /// Whether it is listened who is at the other ends of wires.
    pub hears_lldp: bool,
    /// The change of the network that waits to be confirmed.
    pub staged: Option<Arc<Staged>>,
    /// How the agents stand that nodes have of their own, by the system's id.
    pub agents: Arc<BTreeMap<Id, NodeAgent>>,
    /// How often systems were switched, or seen to be, since the agent
    /// started.
    pub turns: Arc<BTreeMap<Id, u64>>,
    /// How often systems may still be started within the hour, where that has
    /// a limit, by the system's id.
    pub starts_left: Arc<BTreeMap<Id, usize>>,
}

impl Snapshot {
    /// The system `id`.
    #[must_use]
    pub fn system(&self, id: &str) -> Option<&System> {
        self.inventory.systems.iter().find(|s| &*s.id == id)
    }

    /// The ways the system can be reset now: its own, and those that its own
    /// agent brings as long as it can be reached and the power is on.
    #[must_use]
    pub fn reset_types(&self, system: &System) -> Vec<ResetType> {
        let mut all = system.reset_types.clone();
        let on = self.seen_power(&system.id) == Some(PowerState::On);
        let agent = self.agents.get(&system.id).filter(|_| on);
        for kind in agent.into_iter().flat_map(|agent| &agent.kinds) {
            if !all.contains(kind) {
                all.push(*kind);
            }
        }
        all
    }

    /// The chassis `id`.
    #[must_use]
    pub fn chassis(&self, id: &str) -> Option<&Chassis> {
        self.inventory.chassis.iter().find(|c| &*c.id == id)
    }

    /// The volumes in a storage subsystem of a system.
    #[must_use]
    pub fn volumes(&self, system: &str, storage: &str) -> &[Volume] {
        let key = (Id::from(system), Id::from(storage));
        self.volumes.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What is wrong with `part` now.
    pub fn troubles(&self, part: &Part) -> impl Iterator<Item = &Known> {
        let all = self.troubles.get(part).into_iter().flatten();
        all.filter(|known| !known.trouble.over)
    }

    /// The last reading of the sensor `id`.
    #[must_use]
    pub fn reading(&self, id: &str) -> Option<&Reading> {
        self.readings.get(id)
    }

    /// The power state of the system `id`, where it is known: of one on a
    /// control bus, only the bus tells.
    #[must_use]
    pub fn seen_power(&self, id: &str) -> Option<PowerState> {
        let on_bus = self.system(id).is_some_and(|it| it.bay.is_some());
        let state = self.power.get(id).copied();
        if on_bus { state } else { Some(self.power_state(id)) }
    }

    /// How often the system `id` was switched, or seen to be, since the agent
    /// started.
    #[must_use]
    pub fn turns(&self, id: &str) -> u64 {
        self.turns.get(id).copied().unwrap_or_default()
    }

    /// The power state of the system `id`; a system nobody said anything
    /// about is on.
    #[must_use]
    pub fn power_state(&self, id: &str) -> PowerState {
        self.power.get(id).copied().unwrap_or(PowerState::On)
    }
}
