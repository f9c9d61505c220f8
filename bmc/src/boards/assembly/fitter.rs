//! Where the parts of a board file go, and which cannot be.

use std::collections::BTreeSet;

use crate::{
    boards::{
        buses::Buses,
        file::{BoardError, PartSection, Source, no_segment},
        host, names,
        part::{Fitting, KINDS, Part},
    },
    drivers::segment,
    model::{Id, Inventory},
    sim::Simulation,
};

/// Puts the parts of a board file where they belong.
pub(super) struct Fitter<'a> {
    pub(super) source: &'a Source,
    pub(super) buses: Buses,
    pub(super) identity: String,
    /// The machine, where it is simulated.
    pub(super) simulation: Option<&'a Simulation>,
    /// What the board is so far.
    pub(super) described: Inventory,
    /// The parts that were fitted.
    pub(super) ids: Vec<Id>,
    /// The systems whose consoles parts have.
    pub(super) consoles: Vec<Id>,
}

impl Fitter<'_> {
    /// Fits a part, and describes what it brings.
    pub(super) fn take(
        &mut self,
        section: &PartSection,
    ) -> Result<Placed, BoardError> {
        let chassis = self.chassis(section)?;
        let mut part = self.fit(section, &chassis)?;
        let described = &mut self.described;
        let count = |it: &Inventory| it.chassis.len() + it.systems.len();
        let before = count(described);
        part.describe(described);
        let brings = count(described) > before;
        let there = described.chassis.iter().any(|it| it.id == chassis);
        if !brings && !there && part.consoles().is_empty() {
            let id = section.id.as_ref();
            let known = described.chassis.iter().map(|it| &*it.id);
            let known = names::list(known);
            let reason = format!("part `{id}`: say its `chassis`; {known}");
            return Err(self.source.wrong(&section.id, reason));
        }
        if let Some(id) = twice(described) {
            let reason = format!("a second `{id}`");
            return Err(self.source.wrong(&section.id, reason));
        }
        for (system, _) in part.consoles() {
            if self.consoles.contains(&system) {
                let reason = format!("a second console of `{system}`");
                return Err(self.source.wrong(&section.id, reason));
            }
            self.consoles.push(system);
        }
        Ok(Placed { part, chassis })
    }

    /// Checks that each fault is of something that can be told to misbehave.
    pub(super) fn check_faults(&self) -> Result<(), BoardError> {
        for fault in self.source.board.fault.iter().flatten() {
            let id = fault.part.as_ref();
            if self.ids.contains(id) && !self.buses.told.contains(id) {
                let reason = format!(
                    "`{id}` cannot be told to misbehave: that can a part on a \
                     simulated I²C bus or serial line"
                );
                return Err(self.source.wrong(&fault.part, reason));
            }
        }
        Ok(())
    }

    fn fit(
        &mut self,
        section: &PartSection,
        chassis: &Id,
    ) -> Result<Box<dyn Part>, BoardError> {
        let wrong = |reason| self.source.wrong(&section.id, reason);
        let id = section.id.as_ref();
        if self.ids.contains(id) {
            return Err(wrong(format!("a second part `{id}`")));
        }
        self.ids.push(id.clone());
        if segment(id) != **id {
            return Err(wrong(no_segment(id)));
        }
        let word = section.kind.as_ref();
        let known = KINDS.iter().map(|kind| kind.word);
        names::check("kind of part", word, known)
            .map_err(|reason| self.source.wrong(&section.kind, reason))?;
        let mut kinds = KINDS.iter();
        let Some(kind) = kinds.find(|kind| kind.word == word) else {
            return Err(wrong(format!("`{word}` cannot be made")));
        };
        let mut fitting = Fitting {
            id: id.clone(),
            chassis: chassis.clone(),
            identity: self.identity.clone(),
            bus: section.bus.as_deref().unwrap_or_default(),
            address: section.address,
            options: section.options.clone().unwrap_or_default(),
            simulation: self.simulation,
            buses: &mut self.buses,
        };
        (kind.fit)(&mut fitting).map_err(|reason| {
            self.source.wrong(&section.id, format!("part `{id}`: {reason}"))
        })
    }

    /// The chassis that a part sits in: the one it names, which may be another
    /// part, or the first of the board.
    fn chassis(&self, section: &PartSection) -> Result<Id, BoardError> {
        let Some(named) = &section.chassis else {
            let first = self.source.board.chassis.first();
            let host = || host::CHASSIS.into();
            return Ok(first.map_or_else(host, |it| it.id.clone()));
        };
        let known = self.described.chassis.iter().map(|it| &*it.id);
        match names::check("chassis", named.as_ref(), known) {
            Ok(()) => Ok(named.as_ref().clone()),
            Err(reason) => {
                let order = "a part stands below what it sits in";
                Err(self.source.wrong(named, format!("{reason} ({order})")))
            }
        }
    }
}

/// A part in its place.
pub(super) struct Placed {
    pub(super) part: Box<dyn Part>,
    pub(super) chassis: Id,
}

/// An id that two systems, chassis or sensors have, or two fans of a chassis.
fn twice(inventory: &Inventory) -> Option<&Id> {
    fn again<'a>(ids: impl Iterator<Item = &'a Id>) -> Option<&'a Id> {
        let mut seen = BTreeSet::new();
        ids.into_iter().find(|id| !seen.insert(*id))
    }
    let chassis = || inventory.chassis.iter();
    again(inventory.systems.iter().map(|system| &system.id))
        .or_else(|| again(chassis().map(|chassis| &chassis.id)))
        .or_else(|| {
            again(chassis().flat_map(|c| &c.sensors).map(|sensor| &sensor.id))
        })
        .or_else(|| {
            let mut all = chassis();
            all.find_map(|c| again(c.fans.iter().map(|fan| &fan.id)))
        })
        .or_else(|| {
            let controls = chassis().flat_map(|c| &c.controls).map(|it| &it.id);
            let switches = chassis().flat_map(|c| &c.switches);
            again(controls.chain(switches.map(|it| &it.id)))
        })
}
