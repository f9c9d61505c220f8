//! From what becomes of the hardware to the hardware log.
//!
//! What goes together is noted once: a bus with all that is on it, a part with
//! all its sensors.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use onprem_redfish::message::{resource_event, sensor_event};
use tokio::{
    sync::broadcast::error::{RecvError, TryRecvError},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Kind, Logs,
    entry::Entry,
    standing::{Standing, crossed, entry, standing},
};
use crate::{
    gather,
    model::{
        Change, Chassis, Id, Model, Part, PowerState, Quality, Snapshot, Told,
        Turn,
    },
    redfish::uri,
};

/// What changes within this time may go together.
const SETTLE: Duration = Duration::from_millis(50);
/// How long those on a bus that answers again have to answer as well.
const RETURN: Duration = Duration::from_secs(4);
/// So many sensors of a chassis that go at once are one matter.
const SET: usize = 3;

/// Notes power changes, thresholds that are crossed, and what does not answer
/// or answers again, until `stop`.
pub(crate) async fn follow(
    model: Model,
    logs: Arc<Logs>,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    let mut known = Known::default();
    known.sensors(&model.snapshot(), None, &mut |_, _| {});
    known.power(&model.snapshot(), &mut |_, _| {});
    known.troubles(&model.snapshot(), &mut |systems, entry| {
        note(&logs, systems, entry);
    });
    let mut returned = None;
    loop {
        let mut news = News::default();
        let late = async {
            match returned {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = late => {
                returned = None;
                news.contacts = true;
            }
            change = changes.recv() => match change {
                Ok(change) => news.take(change),
                Err(RecvError::Lagged(_)) => news.lost(),
                Err(RecvError::Closed) => return,
            },
        }
        if news == News::default() {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(SETTLE) => {}
        }
        loop {
            match changes.try_recv() {
                Ok(change) => news.take(change),
                Err(TryRecvError::Lagged(_)) => news.lost(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let snapshot = model.snapshot();
        let mut note =
            |systems: &[Id], entry: Entry| note(&logs, systems, entry);
        for (id, active) in &news.switched {
            switched(&snapshot, id, *active, &mut note);
        }
        if news.troubles {
            known.troubles(&snapshot, &mut note);
        }
        if news.inputs {
            known.inputs(&snapshot, &mut note);
        }
        match &news.sensors {
            Which::None => {}
            Which::Some(ids) => {
                known.sensors(&snapshot, Some(ids), &mut note);
            }
            Which::All => known.sensors(&snapshot, None, &mut note),
        }
        if news.contacts && known.contacts(&snapshot, &mut note) {
            returned = Some(Instant::now() + RETURN);
        }
        if news.power {
            known.power(&snapshot, &mut note);
        }
    }
}

/// Notes what is about `systems`; what is about several once, where all look
/// first.
fn note(logs: &Logs, systems: &[Id], entry: Entry) {
    let log = match systems {
        [system] => logs.of_system(system),
        _ => logs.of(Kind::Hardware),
    };
    log.append(entry);
}

/// How many inputs are remembered until they are noted.
const SWITCHED: usize = 256;

/// What has to be looked at.
#[derive(Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing to look at, and any of them can be"
)]
struct News {
    power: bool,
    inputs: bool,
    troubles: bool,
    contacts: bool,
    sensors: Which,
    /// Inputs that became active or inactive, in their order.
    switched: Vec<(Id, bool)>,
}

/// Which sensors.
#[derive(Debug, Default, PartialEq)]
enum Which {
    #[default]
    None,
    Some(BTreeSet<Id>),
    All,
}

impl Which {
    fn add(&mut self, ids: &[Id]) {
        let ids = ids.iter().cloned();
        match self {
            Self::None => *self = Self::Some(gather::set(ids)),
            Self::Some(known) => known.extend(ids),
            Self::All => {}
        }
    }
}

impl News {
    fn take(&mut self, change: Change) {
        match change {
            Change::Power(_) => self.power = true,
            Change::Input(id, active) if self.switched.len() < SWITCHED => {
                self.switched.push((id, active));
            }
            Change::Supply(..) => self.inputs = true,
            Change::Trouble(_) => self.troubles = true,
            Change::Contact(_) => self.contacts = true,
            Change::Readings(ids) => self.sensors.add(&ids),
            Change::Quality(id) => self.sensors.add(&[id]),
            Change::Inventory
            | Change::Settings(_)
            | Change::Boot(_)
            | Change::Switched(_)
            | Change::Input(..)
            | Change::Control(..)
            | Change::Network => {}
        }
    }

    /// Nobody knows what there was.
    fn lost(&mut self) {
        *self = Self {
            power: true,
            inputs: true,
            troubles: true,
            contacts: true,
            sensors: Which::All,
            switched: std::mem::take(&mut self.switched),
        };
    }
}

/// What was noted last.
#[derive(Default)]
struct Known {
    power: HashMap<Id, PowerState>,
    sensors: HashMap<Id, Standing>,
    /// The sensors that were lost together and are not back: those of a
    /// chassis.
    sets: BTreeMap<Id, BTreeSet<Id>>,
    /// The power supplies without input.
    outages: HashSet<Id>,
    /// What is wrong that no sensor measures.
    troubles: Told,
    /// The systems that do not answer on their bus.
    silent: BTreeSet<Id>,
    /// The chassis that have nobody who answers.
    dark: BTreeSet<Id>,
}

fn systems_of(part: &Part) -> &[Id] {
    match part {
        Part::System(id) => std::slice::from_ref(id),
        Part::Chassis(_) | Part::Manager(_) => &[],
    }
}

impl Known {
    fn troubles(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for turn in self.troubles.turns(snapshot) {
            let Turn { part, word, text, health } = turn;
            let detected = resource_event::resource_errors_detected;
            let corrected = resource_event::resource_errors_corrected;
            let (message, code) = match health {
                Some(_) => (detected(word, &text), "State Asserted"),
                None => (corrected(word, &text), "State Deasserted"),
            };
            let (uri, systems) = (uri::of_part(&part), systems_of(&part));
            let kind = "Management Subsystem Health";
            let entry = entry(&message, code, kind, None, &uri);
            let severity = health.unwrap_or_default().into();
            note(systems, Entry { severity, ..entry });
        }
    }

    fn power(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for system in &snapshot.inventory.systems {
            let now = snapshot.power_state(&system.id);
            let before = self.power.insert(system.id.clone(), now);
            if before == Some(now) {
                continue;
            }
            let uri = uri::of(uri::SYSTEM, &[&system.id]);
            let (message, code) = match now {
                PowerState::On => (
                    resource_event::resource_powered_on(&uri),
                    "Transition to Running",
                ),
                PowerState::Off => (
                    resource_event::resource_powered_off(&uri),
                    "Transition to Power Off",
                ),
                PowerState::PoweringOn | PowerState::PoweringOff => continue,
            };
            let entry =
                entry(&message, code, "System ACPI PowerState", None, &uri);
            note(std::slice::from_ref(&system.id), entry);
        }
    }

    fn inputs(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for chassis in &snapshot.inventory.chassis {
            for supply in &chassis.power_supplies {
                let lost = snapshot.outages.contains_key(&supply.id);
                let uri = uri::of(uri::SUPPLY, &[&chassis.id, &supply.id]);
                let (message, code) = if lost {
                    if !self.outages.insert(supply.id.clone()) {
                        continue;
                    }
                    let warning = "Warning";
                    let status =
                        resource_event::resource_status_changed_warning;
                    (status(&uri, warning), "State Asserted")
                } else {
                    if !self.outages.remove(&supply.id) {
                        continue;
                    }
                    let status = resource_event::resource_status_changed_ok;
                    (status(&uri, "OK"), "State Deasserted")
                };
                let kind = "Power Supply / Converter";
                let entry = entry(&message, code, kind, None, &uri);
                note(&chassis.systems, entry);
            }
        }
    }

    /// Notes whose bus says nothing of them any more, and who is back; whether
    /// those of a whole chassis are to be looked at again.
    fn contacts(
        &mut self,
        snapshot: &Snapshot,
        note: &mut impl FnMut(&[Id], Entry),
    ) -> bool {
        let mut returned = false;
        for (root, systems) in on_buses(snapshot) {
            let silent = |id: &&Id| {
                let contact = snapshot.contacts.get(*id);
                contact.is_some_and(|it| it.quality != Quality::Good)
            };
            let (silent, heard): (Vec<&Id>, Vec<&Id>) =
                systems.iter().partition(silent);
            if let Some(root) = &root
                && systems.len() > 1
            {
                if self.dark.contains(root) {
                    if heard.is_empty() {
                        continue;
                    }
                    self.dark.remove(root);
                    self.silent.retain(|id| !systems.contains(id));
                    let uri = uri::of(uri::CHASSIS, &[root]);
                    note(&[], answers(&uri));
                    returned = true;
                    continue;
                }
                let known = systems.iter().any(|it| self.silent.contains(it));
                if heard.is_empty() && !known {
                    self.dark.insert(root.clone());
                    self.silent.extend(systems.iter().cloned());
                    let uri = uri::of(uri::CHASSIS, &[root]);
                    note(&[], says_nothing(&uri));
                    continue;
                }
            }
            for id in silent {
                if self.silent.insert(id.clone()) {
                    let uri = uri::of(uri::SYSTEM, &[id]);
                    note(std::slice::from_ref(id), says_nothing(&uri));
                }
            }
            for id in heard {
                if self.silent.remove(id) {
                    let uri = uri::of(uri::SYSTEM, &[id]);
                    note(std::slice::from_ref(id), answers(&uri));
                }
            }
        }
        returned
    }

    /// Looks at the sensors `ids`, or at all.
    fn sensors(
        &mut self,
        snapshot: &Snapshot,
        ids: Option<&BTreeSet<Id>>,
        note: &mut impl FnMut(&[Id], Entry),
    ) {
        for chassis in &snapshot.inventory.chassis {
            let mut moved = Vec::new();
            for (at, sensor) in chassis.sensors.iter().enumerate() {
                if ids.is_some_and(|ids| !ids.contains(&sensor.id)) {
                    continue;
                }
                let now = standing(snapshot, sensor);
                let before = self.sensors.insert(sensor.id.clone(), now);
                let before = before.unwrap_or(Standing::Normal);
                if before != now {
                    moved.push((at, sensor, before, now));
                }
            }
            let lost = moved.iter().filter(|it| it.3 == Standing::Lost);
            if lost.count() >= SET {
                let set = self.sets.entry(chassis.id.clone()).or_default();
                let first = set.is_empty();
                moved.retain(|(_, sensor, _, now)| {
                    let lost = *now == Standing::Lost;
                    if lost {
                        set.insert(sensor.id.clone());
                    }
                    !lost
                });
                if first {
                    note(&chassis.systems, of_set(chassis, set.len(), true));
                }
            }
            for (at, sensor, before, now) in moved {
                let was_in_set = self.sets.get_mut(&chassis.id);
                let was_in_set =
                    was_in_set.is_some_and(|set| set.remove(&sensor.id));
                if was_in_set && now == Standing::Normal {
                    continue;
                }
                let number = u32::try_from(at + 1).ok();
                let entry =
                    crossed(snapshot, chassis, sensor, number, before, now);
                // It matters to whatever is in the chassis.
                note(&chassis.systems, entry);
            }
            if self.sets.get(&chassis.id).is_some_and(BTreeSet::is_empty) {
                self.sets.remove(&chassis.id);
                note(&chassis.systems, of_set(chassis, 0, false));
            }
        }
    }
}

/// Notes that an input, a sensor, is active or not.
fn switched(
    snapshot: &Snapshot,
    id: &Id,
    active: bool,
    note: &mut impl FnMut(&[Id], Entry),
) {
    let mut chassis = snapshot.inventory.chassis.iter();
    let Some(of) = chassis.find(|it| it.sensor(id).is_some()) else { return };
    let uri = uri::of(uri::SENSOR, &[&of.id, id]);
    let (state, code) = if active {
        ("Active", "State Asserted")
    } else {
        ("Inactive", "State Deasserted")
    };
    let message = resource_event::resource_state_changed(&uri, state);
    let number = of.sensors.iter().position(|it| it.id == *id);
    let number = number.and_then(|at| u32::try_from(at + 1).ok());
    note(&of.systems, entry(&message, code, "Button/Switch", number, &uri));
}

/// The systems on control buses, by the outermost chassis that they are in.
fn on_buses(snapshot: &Snapshot) -> BTreeMap<Option<Id>, Vec<Id>> {
    let mut found: BTreeMap<Option<Id>, Vec<Id>> = BTreeMap::new();
    let systems = snapshot.inventory.systems.iter();
    for system in systems.filter(|it| it.bay.is_some()) {
        let mut root = system.chassis.first().cloned();
        for _ in 0..snapshot.inventory.chassis.len() {
            let here = root.as_deref().and_then(|id| snapshot.chassis(id));
            match here.and_then(|here| here.contained_by.clone()) {
                Some(outer) => root = Some(outer),
                None => break,
            }
        }
        found.entry(root).or_default().push(system.id.clone());
    }
    found
}

fn says_nothing(uri: &str) -> Entry {
    let status = resource_event::resource_status_changed_critical;
    let kind = "Management Subsystem Health";
    entry(&status(uri, "Critical"), "State Asserted", kind, None, uri)
}

fn answers(uri: &str) -> Entry {
    let status = resource_event::resource_status_changed_ok;
    let kind = "Management Subsystem Health";
    entry(&status(uri, "OK"), "State Deasserted", kind, None, uri)
}

/// That so many sensors of `chassis` were lost together, or that those that
/// were are back.
fn of_set(chassis: &Chassis, count: usize, lost: bool) -> Entry {
    let uri = uri::of(uri::CHASSIS, &[&chassis.id]);
    let (message, code) = if lost {
        let which = format!("{count} sensors of {}", chassis.name);
        (sensor_event::sensor_failure(which), "State Asserted")
    } else {
        let which = format!("The sensors of {}", chassis.name);
        (sensor_event::sensor_restored(which), "State Deasserted")
    };
    let kind = "Other Units-based Sensor";
    entry(&message, code, kind, None, &uri)
}
