//! How a board file becomes a board.

use std::{path::Path, sync::Arc};

use super::{Assembly, Awaited, buses, fitter::Fitter};
use crate::{
    boards::{
        Board, Naming,
        buses::Tapes,
        file::{BoardError, PartSection, Source},
        host::{self, Host},
        names::Referred,
        part::Part,
        simulated::Simulated,
        wires::Wires,
    },
    drivers::tree::Tree,
    model::{Chassis, Id, Inventory, System},
    sim::{Simulation, switch::SimulatedWiring},
};

impl Assembly {
    /// The board that the file at `path` describes, named as `naming` says.
    /// Where it says `host = true`, the machine is what `host` makes. The
    /// device files of buses are those of `tree`; none is opened. What is said
    /// on them goes to `tapes`, or comes from there.
    ///
    /// # Errors
    /// See [`BoardError`]; it names the line.
    pub fn load(
        path: &Path,
        naming: &Naming,
        tree: &Tree,
        tapes: Tapes,
        host: impl FnOnce(Naming) -> Host,
    ) -> Result<Self, BoardError> {
        let source = Source::read(path)?;
        let own = is_host(&source)?;
        let machine = if own {
            Machine::of_host(host(naming.clone()))
        } else {
            Machine::simulated(&source, naming)?
        };
        let Machine { board: machine, simulation, switches, described } =
            machine;
        source.check(&described)?;
        let identity = naming.serial_number.as_ref();
        let identity = identity.unwrap_or(&naming.fallback_identity).clone();
        let mut fitter = Fitter {
            source: &source,
            buses: buses::build(&source, path, tree, tapes)?,
            identity,
            simulation: simulation.as_ref(),
            described,
            ids: Vec::new(),
            consoles: Vec::new(),
        };
        let mut parts = Vec::new();
        let mut sites = Vec::new();
        for section in &source.board.part {
            let placed = fitter.take(section)?;
            parts.push(placed.part);
            sites.push((section, placed.chassis));
        }
        fitter.check_faults()?;
        let described = &fitter.described;
        let awaited = awaited(&source, &parts, sites, described, own)?;
        if described.systems.is_empty() {
            let reason = "it has no system, and does not say `host = true`";
            return Err(source.empty(reason));
        }
        let mut simulated = fitter.buses.simulated();
        simulated.switches = switches;
        let wires =
            if own { Wires::of_host(tree.clone()) } else { Wires::default() };
        let wires = Arc::new(fitter.buses.wires(wires));
        let started = false;
        Ok(Self {
            machine,
            parts,
            awaited,
            wires,
            simulation,
            simulated,
            started,
        })
    }
}

/// The machine of a board.
struct Machine {
    board: Box<dyn Board>,
    simulation: Option<Simulation>,
    switches: Option<Arc<SimulatedWiring>>,
    /// What it will be, as far as the board file says it.
    described: Inventory,
}

impl Machine {
    fn of_host(host: Host) -> Self {
        let mut described = Inventory::default();
        let id = host::CHASSIS.into();
        described.chassis.push(Chassis { id, ..Chassis::default() });
        let id = host::SYSTEM.into();
        described.systems.push(System { id, ..System::default() });
        let board = Box::new(host);
        Self { board, simulation: None, switches: None, described }
    }

    fn simulated(source: &Source, naming: &Naming) -> Result<Self, BoardError> {
        let board = Simulated::build(source, naming)?;
        Ok(Self {
            simulation: Some(board.simulation().clone()),
            switches: Some(board.switches()),
            described: board.inventory().clone(),
            board: Box::new(board),
        })
    }
}

/// Checks what parts name elsewhere on the board. What is awaited is what only
/// a look at a machine, which the board may be, can find.
fn awaited(
    source: &Source,
    parts: &[Box<dyn Part>],
    sites: Vec<(&PartSection, Id)>,
    described: &Inventory,
    own: bool,
) -> Result<Vec<Awaited>, BoardError> {
    let mut awaited = Vec::new();
    for (part, (section, chassis)) in parts.iter().zip(sites) {
        let id = section.id.as_ref();
        for reference in part.refers() {
            if own && reference.to == Referred::Sensor {
                let (part, chassis) = (id.clone(), chassis.clone());
                awaited.push(Awaited { part, chassis, reference });
            } else if let Err(reason) = reference.find(described) {
                let reason = format!("part `{id}`: {reason}");
                return Err(source.wrong(&section.id, reason));
            }
        }
    }
    Ok(awaited)
}

/// Whether the machine is the host, which then describes nothing more.
fn is_host(source: &Source) -> Result<bool, BoardError> {
    let Some(said) = source.board.host.as_ref().filter(|it| *it.as_ref())
    else {
        return Ok(false);
    };
    if !source.board.system.is_empty() {
        let reason = "a board is the host, or has systems of its own";
        return Err(source.wrong(said, reason.to_owned()));
    }
    only_a_host(source)?;
    Ok(true)
}

/// Checks that a board that is the host describes nothing that only a
/// simulated machine has.
fn only_a_host(source: &Source) -> Result<(), BoardError> {
    let board = &source.board;
    let not_here =
        |what: &str, why: &str| format!("{what} beside `host = true`: {why}");
    if let Some(switch) = board.switch.first() {
        let what = format!("switch `{}`", switch.id.as_ref());
        let why = "the bridges of a host are those that its kernel has";
        return Err(source.wrong(&switch.id, not_here(&what, why)));
    }
    if let (Some(chassis), Some(said)) = (board.chassis.first(), &board.host) {
        let what = format!("chassis `{}`", chassis.id);
        let why = "a host is one chassis, which it finds out about itself";
        return Err(source.wrong(said, not_here(&what, why)));
    }
    if let Some(fault) = board.fault.iter().flatten().next() {
        let what = format!("a fault of `{}`", fault.part.as_ref());
        let why = "only simulated parts fail when they are told to";
        return Err(source.wrong(&fault.part, not_here(&what, why)));
    }
    Ok(())
}
