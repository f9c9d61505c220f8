//! What the agent knows: drivers post into it, everyone else reads snapshots.

mod boot;
mod capture;
mod control;
mod fabric;
mod health;
mod inventory;
mod modem;
mod network;
mod node_agent;
mod power_model;
mod quantity;
mod reading;
mod settings;
mod switch;
mod trouble;
mod volume;
mod watchdog;

use std::{
    collections::BTreeMap,
    mem::discriminant,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::{sync::broadcast, time::Instant};

use crate::commands::ResetType;

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
    switch::{FirstState, Switch, SwitchState},
    trouble::{Known, Throttle, Told, Trouble, Turn},
    volume::{RaidType, Volume, VolumeFault, VolumeWish},
    watchdog::WatchdogState,
};

/// The id of a part: unique among its kind in one agent, and a segment of its
/// URI. Sensors share one name space over all chassis.
pub type Id = Arc<str>;

/// How many changes a slow listener may fall behind before it loses some.
const CHANGES: usize = 256;

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

/// What changed; a listener reads the new state from a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Parts came, went, or became different.
    Inventory,
    /// A setting of a part.
    Settings(Part),
    /// The power state of the system.
    Power(Id),
    /// Somebody has the system switched.
    Switched(Id),
    /// How far the start of the system has come.
    Boot(Id),
    /// The system answers on its control bus, or does not.
    Contact(Id),
    /// What a control does: its chassis, and itself.
    Control(Id, Id),
    /// An input became active, or inactive: a sensor, and whether it is now.
    Input(Id, bool),
    /// A power supply lost its input, or has it again: its chassis, and
    /// itself.
    Supply(Id, Id),
    /// Something is wrong with the part, or is no more.
    Trouble(Part),
    /// New values of these sensors.
    Readings(Arc<[Id]>),
    /// A sensor became trustworthy, stale or failed.
    Quality(Id),
    /// Something about a port or a switch, or who is at the other end.
    Network,
}

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

/// The agent's knowledge. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    now: ArcSwap<Snapshot>,
    /// Writers take turns, so that no change is lost.
    writing: Mutex<()>,
    changes: broadcast::Sender<Change>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(Inventory::default(), Settings::default())
    }
}

impl Model {
    /// A model of these parts with these settings, and no readings yet.
    #[must_use]
    pub fn new(inventory: Inventory, settings: Settings) -> Self {
        let mut snapshot = Snapshot { version: 1, ..Snapshot::default() };
        snapshot.fixed_version = 1;
        snapshot.inventory = Arc::new(inventory);
        snapshot.settings = Arc::new(settings);
        let (changes, _) = broadcast::channel(CHANGES);
        let now = ArcSwap::from_pointee(snapshot);
        let inner = Inner { now, writing: Mutex::new(()), changes };
        Self { inner: Arc::new(inner) }
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.now.load_full()
    }

    /// What changes from now on. A listener that falls behind is told how
    /// much it missed, and reads a snapshot.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Takes new readings.
    pub fn post(&self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let ids: Arc<[Id]> = samples.iter().map(|s| s.id.clone()).collect();
        let mut changes = vec![Change::Readings(ids)];
        self.write(|next| {
            let readings = Arc::make_mut(&mut next.readings);
            for sample in samples {
                let Sample { id, mut reading } = sample;
                reading.version = next.version;
                let before = readings.insert(id.clone(), reading.clone());
                // A part that fails in ever new words fails once.
                let before = before.map_or(Quality::Good, |r| r.quality);
                if discriminant(&before) != discriminant(&reading.quality) {
                    changes.push(Change::Quality(id));
                }
            }
            changes
        });
    }

    /// Marks as stale what is older than its driver promised.
    pub fn expire(&self, now: Instant) {
        self.expire_contacts(now);
        let overdue: Vec<Id> = self
            .snapshot()
            .readings
            .iter()
            .filter(|(_, reading)| reading.is_overdue(now))
            .map(|(id, _)| id.clone())
            .collect();
        if overdue.is_empty() {
            return;
        }
        self.write(|next| {
            let readings = Arc::make_mut(&mut next.readings);
            let mut changes = Vec::new();
            for id in overdue {
                // A driver may have been faster.
                if let Some(reading) = readings.get_mut(&id)
                    && reading.is_overdue(now)
                {
                    reading.quality = Quality::Stale;
                    reading.version = next.version;
                    changes.push(Change::Quality(id));
                }
            }
            changes
        });
    }

    fn expire_contacts(&self, now: Instant) {
        if !self.snapshot().contacts.values().any(|it| it.is_overdue(now)) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.contacts);
            let overdue = all.iter_mut().filter(|(_, it)| it.is_overdue(now));
            let stale = |(id, contact): (&Id, &mut Contact)| {
                contact.quality = Quality::Stale;
                Change::Contact(id.clone())
            };
            overdue.map(stale).collect()
        });
    }

    /// Takes what a control bus says of the systems on it.
    pub fn post_contacts(&self, contacts: Vec<(Id, Contact)>) {
        if contacts.is_empty() {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.contacts);
            let mut changes = Vec::new();
            for (id, contact) in contacts {
                let quality = discriminant(&contact.quality);
                let before = all.insert(id.clone(), contact);
                let before = before.map_or(Quality::Good, |it| it.quality);
                if discriminant(&before) != quality {
                    changes.push(Change::Contact(id));
                }
            }
            changes
        });
    }

    /// Takes what modems say.
    pub fn post_modems(&self, modems: Vec<(Id, Cellular)>) {
        let known = self.snapshot();
        let new =
            |(id, now): &(Id, Cellular)| known.modems.get(id) != Some(now);
        if !modems.iter().any(new) {
            return;
        }
        self.write(|next| {
            Arc::make_mut(&mut next.modems).extend(modems);
            Vec::new()
        });
    }

    /// Takes the power models that a system can run in.
    pub fn post_power_models(&self, system: &Id, models: PowerModels) {
        if self.snapshot().power_models.get(system) == Some(&models) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.power_models);
            all.insert(system.clone(), models);
            Vec::new()
        });
    }

    /// Takes what an operating system says of itself.
    pub fn post_vitals(&self, system: &Id, vitals: Vitals) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.vitals);
            all.insert(system.clone(), vitals);
            Vec::new()
        });
    }

    /// Takes a system's power state.
    pub fn post_power(&self, system: &Id, state: PowerState) {
        if self.snapshot().power.get(system) == Some(&state) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.power);
            if all.insert(system.clone(), state).is_some() {
                turn(next, system);
            }
            next.fixed_version += 1;
            vec![Change::Power(system.clone())]
        });
    }

    /// Takes that somebody has the system switched, whatever comes of it.
    pub(crate) fn post_switched(&self, system: &Id) {
        self.write(|next| {
            turn(next, system);
            vec![Change::Switched(system.clone())]
        });
    }

    /// Takes how often a system may still be started within the hour.
    pub(crate) fn post_starts(&self, system: &Id, left: usize) {
        if self.snapshot().starts_left.get(system) == Some(&left) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.starts_left);
            all.insert(system.clone(), left);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes how the agent of a node's own stands.
    pub(crate) fn post_agent(&self, system: &Id, agent: NodeAgent) {
        let snapshot = self.snapshot();
        let before = snapshot.agents.get(system);
        let same = |it: &NodeAgent| {
            (&it.url, &it.kinds, &it.why)
                == (&agent.url, &agent.kinds, &agent.why)
        };
        if before.is_some_and(same) {
            return;
        }
        self.write(|next| {
            Arc::make_mut(&mut next.agents).insert(system.clone(), agent);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes when a system was last started.
    pub(crate) fn post_reset(&self, system: &Id, at: DateTime<Utc>) {
        self.write(|next| {
            Arc::make_mut(&mut next.resets).insert(system.clone(), at);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes what a board says about the start of a system.
    pub fn post_boot(&self, system: &Id, started: Started) {
        let before = self.snapshot().boots.get(system).copied();
        if before.is_some_and(|boot| boot.started == started) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.boots);
            // What was so when the agent came is older than anyone knows.
            let since = before.map(|_| Utc::now());
            let again =
                before.is_some_and(|it| started.count > it.started.count);
            if again {
                let resets = Arc::make_mut(&mut next.resets);
                resets.insert(system.clone(), Utc::now());
            }
            all.insert(system.clone(), Boot { started, since });
            next.fixed_version += 1;
            vec![Change::Boot(system.clone())]
        });
    }

    /// Takes what a control in `chassis` does.
    pub(crate) fn post_control(
        &self,
        chassis: &Id,
        control: &Id,
        state: ControlState,
    ) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.controls);
            all.insert(control.clone(), state);
            next.fixed_version += 1;
            vec![Change::Control(chassis.clone(), control.clone())]
        });
    }

    /// Takes what a switch in `chassis` is.
    pub(crate) fn post_switch(
        &self,
        chassis: &Id,
        switch: &Id,
        state: SwitchState,
    ) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.switches);
            all.insert(switch.clone(), state);
            next.fixed_version += 1;
            vec![Change::Control(chassis.clone(), switch.clone())]
        });
    }

    /// Tells that inputs became active or inactive; what they are now is in
    /// their readings.
    pub(crate) fn post_inputs(&self, inputs: Vec<(Id, bool)>) {
        if inputs.is_empty() {
            return;
        }
        let change = |(id, active)| Change::Input(id, active);
        self.write(|_| inputs.into_iter().map(change).collect());
    }

    /// Takes whether the power supply `supply` in `chassis` has its input.
    pub fn post_supply(&self, chassis: &Id, supply: &Id, fed: bool) {
        if self.snapshot().outages.contains_key(supply) != fed {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.outages);
            if fed {
                all.remove(supply);
            } else {
                all.insert(supply.clone(), Utc::now());
            }
            next.fixed_version += 1;
            vec![Change::Supply(chassis.clone(), supply.clone())]
        });
    }

    /// Takes what the hardware watchdog does.
    pub(crate) fn post_watchdog(&self, state: WatchdogState) {
        self.write(|next| {
            let before = next.watchdog.replace(state);
            let cause = |it: &WatchdogState| it.cause;
            if before.as_ref().map(cause) != next.watchdog.as_ref().map(cause) {
                next.fixed_version += 1;
            }
            Vec::new()
        });
    }

    /// Takes what `source` says is wrong with `part`; what it does not say any
    /// more is not so.
    pub fn post_troubles(
        &self,
        part: &Part,
        source: &Id,
        troubles: Vec<Trouble>,
    ) {
        let same = {
            let snapshot = self.snapshot();
            let said = snapshot.troubles.get(part).into_iter().flatten();
            let said = said.filter(|known| known.source == *source);
            said.map(|known| &known.trouble).eq(&troubles)
        };
        if same {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.troubles);
            let before = all.remove(part).unwrap_or_default();
            let now = trouble::renew(&before, source, troubles);
            if !now.is_empty() {
                all.insert(part.clone(), now);
            }
            next.fixed_version += 1;
            vec![Change::Trouble(part.clone())]
        });
    }

    /// Takes the volumes that there are, where they are different.
    pub(crate) fn post_volumes(&self, volumes: Shelves) {
        if *self.snapshot().volumes == volumes {
            return;
        }
        self.write(|next| {
            next.volumes = Arc::new(volumes);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes that the machine's clock is right now.
    pub fn confirm_clock(&self) {
        self.write(|next| {
            next.clock_confirmed = Some(Instant::now());
            Vec::new()
        });
    }

    /// Replaces the inventory where it is different; readings of sensors that
    /// are gone are forgotten.
    pub fn update_inventory(&self, inventory: Inventory) {
        if *self.snapshot().inventory == inventory {
            return;
        }
        self.write(|next| {
            let sensors = inventory.chassis.iter().flat_map(|c| &c.sensors);
            let known: Vec<Id> = sensors.map(|s| s.id.clone()).collect();
            Arc::make_mut(&mut next.readings)
                .retain(|id, _| known.contains(id));
            next.inventory = Arc::new(inventory);
            next.fixed_version += 1;
            vec![Change::Inventory]
        });
    }

    /// Takes the settings of `part`.
    pub(crate) fn update_settings(&self, part: &Part, settings: Settings) {
        self.write(|next| {
            next.settings = Arc::new(settings);
            next.fixed_version += 1;
            vec![Change::Settings(part.clone())]
        });
    }

    fn write(&self, change: impl FnOnce(&mut Snapshot) -> Vec<Change>) {
        let writing = self.inner.writing.lock();
        let _turn = writing.unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.inner.now.load());
        next.version += 1;
        let changes = change(&mut next);
        self.inner.now.store(Arc::new(next));
        for change in changes {
            // Without a listener there is nobody to tell.
            let _ = self.inner.changes.send(change);
        }
    }
}

fn turn(next: &mut Snapshot, system: &Id) {
    let all = Arc::make_mut(&mut next.turns);
    let turns = all.entry(system.clone()).or_default();
    *turns = turns.wrapping_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, value: f64) -> Sample {
        let celsius = Quantity::from(Celsius(value));
        Sample::good(&id.into(), celsius, Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_is_not_renewed_goes_stale_and_keeps_its_value() {
        let model = Model::default();
        let mut changes = model.changes();
        model.post(vec![sample("cpu", 40.0)]);
        model.expire(Instant::now() + Duration::from_secs(4));
        let quality =
            |m: &Model| m.snapshot().reading("cpu").unwrap().quality.clone();
        assert_eq!(quality(&model), Quality::Good);
        model.expire(Instant::now() + Duration::from_secs(6));
        assert_eq!(quality(&model), Quality::Stale);
        let value = model.snapshot().reading("cpu").unwrap().value;
        assert_eq!(value, Some(Celsius(40.0).into()));
        assert!(matches!(changes.try_recv(), Ok(Change::Readings(_))));
        assert_eq!(changes.try_recv(), Ok(Change::Quality("cpu".into())));
    }

    #[test]
    fn a_snapshot_does_not_change_in_the_readers_hand() {
        let model = Model::default();
        model.post(vec![sample("cpu", 40.0)]);
        let before = model.snapshot();
        model.post(vec![sample("cpu", 50.0)]);
        let value = |s: &Snapshot| s.reading("cpu").unwrap().value;
        assert_eq!(value(&before), Some(Celsius(40.0).into()));
        assert_eq!(value(&model.snapshot()), Some(Celsius(50.0).into()));
        assert_eq!(before.fixed_version, model.snapshot().fixed_version);
    }

    #[test]
    fn the_readings_of_a_sensor_leave_with_it() {
        let model = Model::default();
        model.post(vec![sample("cpu", 40.0)]);
        let chassis = vec![Chassis { id: "host".into(), ..Chassis::default() }];
        model.update_inventory(Inventory { chassis, ..Inventory::default() });
        assert_eq!(model.snapshot().reading("cpu"), None);
        assert_eq!(model.snapshot().fixed_version, 2);
    }
}
