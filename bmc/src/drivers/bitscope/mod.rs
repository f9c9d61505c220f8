//! `BitScope` Cluster Blades: racks of nodes that are switched over one
//! serial control bus, as a part for board files.

mod bus;
mod console;
mod node;
mod power;
mod protocol;

use std::{fs, sync::Arc, time::Duration};

use tokio::time::Instant;

#[cfg(any(test, fuzzing))]
pub(crate) use self::protocol::converse;
use self::{
    bus::{Bus, Goal, Refusal, SWEEP, Timing},
    console::{Consoles, speed},
    node::{Node, Options, SLOTS, row},
    protocol::{Secret, Wire},
};
use super::{Batch, Driver, good_for};
use crate::{
    boards::{
        Power, names,
        part::{Fitting, Kind, Part, chassis_of},
    },
    commands::{CommandError, ResetType},
    console::Line,
    model::{
        Amperes, BoardIdentity, Chassis, ChassisKind, Contact, Id, Inventory,
        Part as ModelPart, PowerState, Quality, Quantity, Rpm, Sample,
    },
    node_agent::Target,
    sim::bitscope::Rack,
};

/// The least time without power that makes a node start anew.
const DWELL: f64 = 2.0;
/// The part for board files.
pub const KIND: Kind = Kind { word: "bitscope", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let secret = match &options.unlock_file {
        None => Secret::default(),
        Some(file) => {
            let text = fs::read_to_string(file);
            let wrong = |why: String| {
                format!("`unlock_file` {}: {why}", file.display())
            };
            let text = text.map_err(|error| wrong(error.to_string()))?;
            Secret::new(&text)
                .ok_or_else(|| wrong("no line of 1 to 64 letters".into()))?
        }
    };
    let seconds = |name: &str, value: Option<f64>, usual: f64, low: f64| {
        let value = value.unwrap_or(usual);
        if (low..=600.0).contains(&value) {
            return Ok(Duration::from_secs_f64(value));
        }
        Err(format!("`{name}` is {value}: {low} to 600 seconds are possible"))
    };
    let timing = Timing {
        stagger: seconds("stagger_seconds", options.stagger_seconds, 1.0, 0.0)?,
        dwell: seconds("dwell_seconds", options.dwell_seconds, 3.0, DWELL)?,
    };
    let identity = options.serial_number.as_ref();
    let identity = identity.unwrap_or(&fitting.identity).clone();
    let mut nodes: Vec<Node> = Vec::new();
    for said in &options.nodes {
        let node = Node::new(said, &identity, &options)?;
        let twice = |other: &Node| {
            other.address == node.address || other.system.id == node.system.id
        };
        if nodes.iter().any(twice) {
            let id = &node.system.id;
            return Err(format!("node {:#04x} `{id}` twice", node.address));
        }
        nodes.push(node);
    }
    nodes.sort_by_key(|node| node.address);
    let last = nodes.last().ok_or("it has no nodes")?.address;
    let rack = Rack::new(last + 1);
    let simulated = fitting.is_simulated().then(|| rack.clone());
    let link = fitting.serial(|| rack.clone())?;
    if let Some(rack) = &simulated {
        fitting.keep_rack(rack.clone());
    }
    let addresses: Vec<u8> = nodes.iter().map(|node| node.address).collect();
    let baud = options.console_baud.unwrap_or(115_200);
    let speed = speed(baud).ok_or_else(|| {
        format!("`console_baud` is {baud}: 115200, 57600, 19200 and 9600 exist")
    })?;
    let resident = options.console.as_ref().map(|id| {
        let node = nodes.iter().find(|node| node.system.id == *id);
        let known = nodes.iter().map(|it| &*it.system.id);
        let known = names::check("node", id, known);
        known.map_err(|reason| format!("`console`: {reason}"))?;
        let node = node.ok_or("`console` names no node")?;
        Ok::<_, String>(node.address)
    });
    let consoles = Consoles::new(&addresses, resident.transpose()?, speed);
    let lines = consoles.lines();
    let bus = Bus::start(Wire::new(link, secret), consoles, timing)?;
    let name = options.name.unwrap_or_else(|| "BitScope Rack".into());
    let board = BoardIdentity {
        manufacturer: Some("BitScope".into()),
        model: options.model,
        serial_number: options.serial_number,
        ..BoardIdentity::default()
    };
    let id = fitting.id.clone();
    let inside = (fitting.chassis != id).then(|| fitting.chassis.clone());
    let rack = Chassis {
        id,
        name,
        kind: ChassisKind::Rack,
        board,
        ..Chassis::default()
    };
    let cut = options.cut_at_restore.unwrap_or(false);
    let shared = Shared { nodes, bus, lines, simulated, cut };
    Ok(Box::new(Fitted { rack, inside, shared: Arc::new(shared) }))
}

#[derive(Debug)]
struct Shared {
    nodes: Vec<Node>,
    bus: Bus,
    /// The consoles, by the addresses of the nodes.
    lines: Vec<(u8, Line)>,
    simulated: Option<Rack>,
    /// Whether a node is cut that shall be off when the power comes back.
    cut: bool,
}

impl Shared {
    fn node(&self, system: &Id) -> Option<&Node> {
        self.nodes.iter().find(|node| node.system.id == *system)
    }
}

/// The rack on a board.
struct Fitted {
    rack: Chassis,
    /// The chassis that the rack is in.
    inside: Option<Id>,
    shared: Arc<Shared>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let inside = self.inside.as_ref();
        let inside = inside.filter(|id| chassis_of(inventory, id).is_some());
        let contained_by = inside.cloned();
        inventory.chassis.push(Chassis { contained_by, ..self.rack.clone() });
        for node in &self.shared.nodes {
            let letter = row(node.address);
            let id = format!("{}-{}", self.rack.id, letter.to_lowercase());
            let id: Id = id.into();
            if chassis_of(inventory, &id).is_none() {
                inventory.chassis.push(Chassis {
                    id: id.clone(),
                    name: format!("{} Blade {letter}", self.rack.name),
                    kind: ChassisKind::Blade,
                    board: BoardIdentity {
                        manufacturer: self.rack.board.manufacturer.clone(),
                        ..BoardIdentity::default()
                    },
                    contained_by: Some(self.rack.id.clone()),
                    place: Some((letter.as_str().into(), node.address / SLOTS)),
                    ..Chassis::default()
                });
            }
            let mut system = node.system.clone();
            let (known, _) = self.shared.bus.known(node.address);
            if known.own {
                // Who switches off the manager has nobody to switch it on.
                system.reset_types.clear();
                system.restores_power = false;
                system.hosts_manager = true;
            }
            if let Some(blade) = chassis_of(inventory, &id) {
                blade.systems.push(system.id.clone());
                let sensors = [&node.current, &node.fan].into_iter().flatten();
                blade.sensors.extend(sensors.map(|(sensor, _)| sensor.clone()));
            }
            inventory.systems.push(system);
        }
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let name = format!("bitscope {}", self.rack.id);
        let shared = Arc::clone(&self.shared);
        let posted = vec![None; shared.nodes.len()];
        vec![Box::new(Nodes { name, shared, posted })]
    }

    fn power(&self) -> Option<(Vec<Id>, Arc<dyn Power>)> {
        let nodes = self.shared.nodes.iter();
        let ids = nodes.map(|node| node.system.id.clone()).collect();
        Some((ids, Arc::new(Switches(Arc::clone(&self.shared)))))
    }

    fn agents(&self) -> Vec<(Id, Target)> {
        let of =
            |node: &Node| Some((node.system.id.clone(), node.agent.clone()?));
        self.shared.nodes.iter().filter_map(of).collect()
    }

    fn consoles(&self) -> Vec<(Id, Line)> {
        let of = |(address, line): &(u8, Line)| {
            let mut nodes = self.shared.nodes.iter();
            let node = nodes.find(|node| node.address == *address)?;
            Some((node.system.id.clone(), line.clone()))
        };
        self.shared.lines.iter().filter_map(of).collect()
    }
}

/// What is known of the nodes; it waits for no bus.
struct Nodes {
    name: String,
    shared: Arc<Shared>,
    /// Of when what was posted of each node is.
    posted: Vec<Option<Instant>>,
}

impl Driver for Nodes {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        SWEEP / 4
    }

    fn poll(&mut self) -> Batch {
        let mut batch = Batch::default();
        let good_for = good_for(self.shared.bus.sweep());
        for (node, posted) in self.shared.nodes.iter().zip(&mut self.posted) {
            let id = &node.system.id;
            let (known, moving) = self.shared.bus.known(node.address);
            let on = known.last.map(|(on, ..)| on);
            let state = match (moving, on) {
                (Some(true), _) => Some(PowerState::PoweringOn),
                (Some(false), _) => Some(PowerState::PoweringOff),
                (None, Some(true)) => Some(PowerState::On),
                (None, Some(false)) => Some(PowerState::Off),
                (None, None) => None,
            };
            batch.power.extend(state.map(|state| (id.clone(), state)));
            let seen = known.seen.map(|(at, _)| at);
            let trouble = known.trouble();
            if trouble.is_none() && (seen.is_none() || seen == *posted) {
                // Nothing new: what was posted goes stale by itself.
                continue;
            }
            *posted = seen;
            let counts = known.last.map(|(_, current, fan)| (current, fan));
            let quality = trouble
                .map_or(Quality::Good, |why| Quality::Failed(Arc::clone(why)));
            let (taken, at) = known
                .seen
                .unwrap_or_else(|| (Instant::now(), chrono::Utc::now()));
            let contact = Contact { counts, at, taken, good_for, quality };
            batch.contacts.push((id.clone(), contact));
            let current: fn(f64) -> Quantity = |it| Amperes(it).into();
            let fan: fn(f64) -> Quantity = |it| Rpm(it).into();
            let values = [
                (&node.current, counts.map(|it| it.0), current),
                (&node.fan, counts.map(|it| it.1), fan),
            ];
            for (sensor, count, quantity) in values {
                let Some((sensor, scale)) = sensor else { continue };
                let id = &sensor.id;
                batch.samples.push(match (trouble, count) {
                    (Some(why), _) => Sample::failed(id, why),
                    (None, Some(count)) => {
                        let value = quantity(f64::from(count) * scale);
                        Sample::good(id, value, good_for)
                    }
                    (None, None) => continue,
                });
            }
        }
        batch
    }
}

/// What switches the nodes.
struct Switches(Arc<Shared>);

impl Power for Switches {
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError> {
        let part = ModelPart::System(system.clone());
        let Some(node) = self.0.node(system) else {
            return Err(CommandError::Unknown { part });
        };
        let goal = match kind {
            ResetType::On => Goal::On,
            ResetType::ForceOff => Goal::Off,
            ResetType::ForceRestart | ResetType::PowerCycle => Goal::Cycle,
            _ => {
                let what = kind.as_str();
                return Err(CommandError::Unsupported { part, what });
            }
        };
        if let Some(reason) = self.0.bus.gone(node.address) {
            let reason = format!("its bus is gone: {reason}");
            return Err(CommandError::Failed { part, reason });
        }
        match self.0.bus.reach(node.address, goal) {
            Ok(true) => Ok(Some(PowerState::PoweringOn)),
            Ok(false) => Ok(Some(PowerState::PoweringOff)),
            Err(Refusal::Busy) => Err(CommandError::Busy { part }),
            Err(Refusal::Own) => {
                let what = kind.as_str();
                Err(CommandError::Unsupported { part, what })
            }
        }
    }

    fn resume(&self, system: &Id, on: bool) {
        if let Some(node) = self.0.node(system) {
            self.0.bus.resume(node.address, on);
        }
    }

    fn withdraw(&self, system: &Id) -> bool {
        let node = self.0.node(system);
        node.is_some_and(|node| self.0.bus.withdraw(node.address))
    }

    fn is_moving(&self, system: &Id) -> bool {
        let node = self.0.node(system);
        node.is_some_and(|node| self.0.bus.known(node.address).1.is_some())
    }

    fn restore(&self, system: &Id, on: bool, lost: bool) {
        let Some(node) = self.0.node(system) else { return };
        if let Some(rack) = &self.0.simulated {
            // Simulated nodes have gone with the agent, or with the power.
            rack.set(node.address, on && !lost);
        } else if !lost {
            return;
        }
        if on {
            // It waits for its turn; one that is on is left alone.
            self.0.bus.restore(node.address);
        } else if self.0.cut {
            let _ = self.0.bus.reach(node.address, Goal::Off);
        }
    }
}
