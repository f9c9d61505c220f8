//! A board that a file describes: a machine, simulated or the host itself,
//! with parts beside it.

mod buses;
mod by_part;
mod fitter;
mod load;

use std::{collections::BTreeMap, sync::Arc};

use self::by_part::ByPart;
use super::{
    Board, Controls, Instruments, Modems, NoSwitches, Power, PowerModes, Scan,
    Switches, Volumes, buses::SimulatedBuses, names::Reference, part::Part,
    wires::Wires,
};
use crate::{
    console::Line,
    fabric::Wiring,
    model::{Health, Id, Inventory, Manager, Part as Whose, Trouble},
    node_agent::Target,
    sim::Simulation,
};

/// A machine with parts beside it.
pub struct Assembly {
    machine: Box<dyn Board>,
    parts: Vec<Box<dyn Part>>,
    /// What parts name that only a look at the machine may find.
    awaited: Vec<Awaited>,
    wires: Arc<Wires>,
    simulation: Option<Simulation>,
    simulated: SimulatedBuses,
    started: bool,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembly")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl Assembly {
    /// What is wrong with chassis whose parts name what is not there.
    fn troubles(&self, inventory: &Inventory) -> Vec<(Whose, Vec<Trouble>)> {
        let mut missing: BTreeMap<&Id, Vec<String>> = BTreeMap::new();
        for Awaited { part, chassis, reference } in &self.awaited {
            let reasons = missing.entry(chassis).or_default();
            if let Err(reason) = reference.find(inventory) {
                reasons.push(format!("part `{part}`: {reason}"));
            }
        }
        let troubles = missing.into_iter().map(|(chassis, reasons)| {
            let trouble = (!reasons.is_empty()).then(|| Trouble {
                word: "BoardFile",
                text: reasons.join("; ").into(),
                health: Health::Warning,
                slows: None,
                over: false,
            });
            (Whose::Chassis(chassis.clone()), trouble.into_iter().collect())
        });
        troubles.collect()
    }

    /// What is below the drivers of a simulated machine, to be told to
    /// misbehave.
    #[must_use]
    pub fn simulation(&self) -> Option<&Simulation> {
        self.simulation.as_ref()
    }

    /// The far sides of the simulated buses.
    #[must_use]
    pub fn buses(&self) -> &SimulatedBuses {
        &self.simulated
    }
}

/// Something that a part names, until the machine has it.
#[derive(Debug)]
struct Awaited {
    part: Id,
    /// The chassis that the part sits in.
    chassis: Id,
    reference: Reference,
}

impl Board for Assembly {
    fn scan(&mut self) -> Scan {
        let Scan { mut inventory, mut drivers, mut troubles } =
            self.machine.scan();
        for part in &mut self.parts {
            part.describe(&mut inventory);
            if !self.started {
                drivers.extend(part.drivers());
            }
        }
        self.started = true;
        join(&mut inventory);
        troubles.extend(self.troubles(&inventory));
        Scan { inventory, drivers, troubles }
    }

    fn power(&self) -> Arc<dyn Power> {
        let brought = self.parts.iter().filter_map(|part| part.power());
        Arc::new(ByPart::new(brought, self.machine.power()))
    }

    fn controls(&self) -> Arc<dyn Controls> {
        let brought = self.parts.iter().filter_map(|part| part.controls());
        Arc::new(ByPart::new(brought, self.machine.controls()))
    }

    fn wires(&self) -> Arc<Wires> {
        Arc::clone(&self.wires)
    }

    fn switches(&self) -> Arc<dyn Switches> {
        let brought = self.parts.iter().filter_map(|part| part.switches());
        Arc::new(ByPart::new(brought, Arc::new(NoSwitches)))
    }

    fn volumes(&self) -> Arc<dyn Volumes> {
        self.machine.volumes()
    }

    fn consoles(&self) -> Vec<(Id, Line)> {
        self.parts.iter().flat_map(|part| part.consoles()).collect()
    }

    fn agents(&self) -> Vec<(Id, Target)> {
        self.parts.iter().flat_map(|part| part.agents()).collect()
    }

    fn modems(&self) -> Arc<dyn Modems> {
        let brought = self.parts.iter().filter_map(|part| part.modems());
        Arc::new(ByPart::new(brought, self.machine.modems()))
    }

    fn power_modes(&self) -> Arc<dyn PowerModes> {
        let brought = self.parts.iter().filter_map(|part| part.power_modes());
        let own = brought
            .flat_map(|(ids, by)| {
                ids.into_iter().map(move |id| (id, Arc::clone(&by)))
            })
            .collect();
        Arc::new(ByPart { own, machine: self.machine.power_modes() })
    }

    fn instruments(&self) -> Arc<dyn Instruments> {
        let brought = self.parts.iter().filter_map(|part| part.instruments());
        Arc::new(ByPart::new(brought, self.machine.instruments()))
    }

    fn wiring(&self) -> Arc<dyn Wiring> {
        self.machine.wiring()
    }
}

/// Puts right what follows from several parts together.
fn join(inventory: &mut Inventory) {
    for system in &mut inventory.systems {
        let holds =
            inventory.chassis.iter().filter(|c| c.systems.contains(&system.id));
        system.chassis = holds.map(|chassis| chassis.id.clone()).collect();
    }
    for chassis in &mut inventory.chassis {
        // A part may come before what it follows, or follow nobody.
        let sensors = &chassis.sensors;
        for control in &mut chassis.controls {
            let there = |id: &Id| sensors.iter().any(|it| it.id == *id);
            control.watched = control.watched.take().filter(there);
        }
    }
    // Where the machine is no system itself, the first it looks after stands
    // for it.
    if inventory.manager.id.is_empty() {
        let first = inventory.systems.first();
        inventory.manager = first.map(Manager::of).unwrap_or_default();
    }
}
