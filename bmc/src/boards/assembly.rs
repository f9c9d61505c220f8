//! A board that a file describes: a machine, simulated or the host itself,
//! with parts beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Board, Controls, Instruments, Modems, Naming, NoSwitches, Power,
    PowerModes, Scan, Switches, Volumes,
    file::{BoardError, BusSection, PartSection, Source, no_segment},
    host::Host,
    part::{BusKind, Buses, Far, Fitting, KINDS, Part, SimulatedBuses, Tapes},
    simulated::Simulated,
    wires::Wires,
};
use crate::{
    bus::replay::Recording,
    commands::{CommandError, ResetType},
    console::Line,
    drivers::{segment, tree::Tree},
    fabric::Wiring,
    model::{
        Capture, CaptureAsked, CaptureError, CaptureRequest, Chassis, Id,
        Inventory, Manager, PartSettings, PowerModels, PowerState, System,
    },
    node_agent::Target,
    sim::Simulation,
};

/// A machine with parts beside it.
pub struct Assembly {
    machine: Box<dyn Board>,
    parts: Vec<Box<dyn Part>>,
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
        let said = source.board.host.as_ref();
        let said = said.filter(|said| *said.as_ref());
        if let Some(said) = said
            && !source.board.system.is_empty()
        {
            let reason = "a board is the host, or has systems of its own";
            return Err(source.wrong(said, reason.to_owned()));
        }
        if said.is_some() {
            only_a_host(&source)?;
        }
        tapes_fit(&source, path, &tapes)?;
        let mut simulation = None;
        let mut switches = None;
        // What the board will be, as far as its file says it.
        let mut described = Inventory::default();
        let machine: Box<dyn Board> = if said.is_some() {
            let id = super::host::CHASSIS.into();
            described.chassis.push(Chassis { id, ..Chassis::default() });
            Box::new(host(naming.clone()))
        } else {
            let board = Simulated::build(&source, naming)?;
            simulation = Some(board.simulation().clone());
            switches = Some(board.switches());
            described.clone_from(board.inventory());
            Box::new(board)
        };
        source.check(&described)?;
        let recording = tapes.recording.clone();
        let mut buses = Buses::new(tree.clone(), tapes);
        let mut names = Vec::new();
        for section in &source.board.bus {
            let name = section.id.as_ref();
            if names.contains(&name) {
                let reason = format!("a second bus `{name}`");
                return Err(source.wrong(&section.id, reason));
            }
            names.push(name);
            buses.add(name, bus(&source, section, recording.as_ref())?);
            if let (Some(path), None) = (&section.i2c, &recording) {
                buses.number(name, path);
            }
        }
        let identity = naming.serial_number.as_ref();
        let identity = identity.unwrap_or(&naming.fallback_identity).clone();
        let ids = Vec::new();
        let machine_is = simulation.as_ref();
        let mut fitter =
            Fitter { source: &source, buses, ids, identity, machine_is };
        let sections = source.board.part.iter();
        let mut parts = Vec::new();
        let mut consoles = Vec::new();
        for section in sections {
            let mut part = fitter.fit(section)?;
            part.describe(&mut described);
            if let Some(id) = twice(&described) {
                let reason = format!("a second `{id}`");
                return Err(source.wrong(&section.id, reason));
            }
            for (system, _) in part.consoles() {
                let here = |it: &System| it.id == system;
                // What the host is called is not known yet.
                let missing =
                    said.is_none() && !described.systems.iter().any(here);
                if missing || consoles.contains(&system) {
                    let word =
                        if missing { "no" } else { "a second console of" };
                    let reason = format!("{word} system `{system}`");
                    return Err(source.wrong(&section.id, reason));
                }
                consoles.push(system);
            }
            parts.push(part);
        }
        if let Some((id, reason)) = unknown(&described)
            && let Some(section) =
                source.board.part.iter().find(|it| it.id.as_ref() == id)
        {
            return Err(source.wrong(&section.id, reason));
        }
        if said.is_none() && described.systems.is_empty() {
            let reason = "it has no system, and does not say `host = true`";
            return Err(source.empty(reason));
        }
        let mut simulated = fitter.buses.simulated();
        simulated.switches = switches;
        let wires = if said.is_some() {
            Wires::of_host(tree.clone())
        } else {
            Wires::default()
        };
        let wires = Arc::new(fitter.buses.wires(wires));
        let started = false;
        Ok(Self { machine, parts, wires, simulation, simulated, started })
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

struct Fitter<'a> {
    source: &'a Source,
    buses: Buses,
    ids: Vec<Id>,
    identity: String,
    /// The machine, where it is simulated.
    machine_is: Option<&'a Simulation>,
}

impl Fitter<'_> {
    fn fit(
        &mut self,
        section: &PartSection,
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
        let kind = KINDS.iter().find(|kind| kind.word == word);
        let Some(kind) = kind else {
            let known: Vec<&str> = KINDS.iter().map(|k| k.word).collect();
            let reason = format!(
                "`{word}` is no kind of part; there are {}",
                known.join(", ")
            );
            return Err(self.source.wrong(&section.kind, reason));
        };
        let chassis = self.chassis(section)?;
        let mut fitting = Fitting {
            id: id.clone(),
            chassis,
            identity: self.identity.clone(),
            bus: section.bus.as_deref().unwrap_or_default(),
            address: section.address,
            options: section.options.clone().unwrap_or_default(),
            simulation: self.machine_is,
            buses: &mut self.buses,
        };
        let part = (kind.fit)(&mut fitting);
        part.map_err(|reason| {
            self.source.wrong(&section.id, format!("part `{id}`: {reason}"))
        })
    }

    /// The chassis that a part sits in: the one it names, or the first.
    fn chassis(&self, section: &PartSection) -> Result<Id, BoardError> {
        let mut own = self.source.board.chassis.iter();
        let Some(named) = &section.chassis else {
            let first = own.next().map(|chassis| chassis.id.clone());
            return Ok(first.unwrap_or_else(|| super::host::CHASSIS.into()));
        };
        let known = own.any(|chassis| chassis.id == *named.as_ref())
            || &**named.as_ref() == super::host::CHASSIS;
        if !known {
            let reason = format!("no chassis `{}`", named.as_ref());
            return Err(self.source.wrong(named, reason));
        }
        Ok(named.as_ref().clone())
    }
}

/// A switch that is interlocked with what nobody has.
fn unknown(inventory: &Inventory) -> Option<(&Id, String)> {
    let chassis = || inventory.chassis.iter();
    let mut all = chassis().flat_map(|it| &it.switches);
    all.find_map(|switch| {
        let known = |id: &&Id| chassis().any(|it| it.sensor(id).is_some());
        let sensor = switch.needs.iter().find(|id| !known(id));
        let others = || chassis().flat_map(|it| &it.switches);
        let other = |id: &&Id| others().any(|it| it.id == **id);
        let other = switch.never_with.iter().find(|id| !other(id));
        let reason = match (sensor, other) {
            (Some(id), _) => format!("`needs`: no sensor `{id}`"),
            (None, Some(id)) => format!("`never_with`: no output `{id}`"),
            (None, None) => return None,
        };
        Some((&switch.id, format!("part `{}`: {reason}", switch.id)))
    })
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

/// Checks that the board has buses that can be noted, or are played back.
fn tapes_fit(
    source: &Source,
    path: &Path,
    tapes: &Tapes,
) -> Result<(), BoardError> {
    let mut buses = source.board.bus.iter().filter(|it| is_recorded(it));
    if tapes.recorder.is_some() && buses.clone().next().is_none() {
        let board = path.display();
        tracing::warn!(%board, "no I²C bus, no serial line, no record");
    }
    let Some(recording) = &tapes.recording else { return Ok(()) };
    let known = |it: &str| recording.buses().any(|bus| bus == it);
    if buses.any(|it| known(it.id.as_ref())) {
        return Ok(());
    }
    let there: Vec<&str> = recording.buses().collect();
    let reason = format!(
        "the recording is of other buses than those of the board: {}",
        there.join(", ")
    );
    Err(source.empty(&reason))
}

/// Whether what is said on a bus goes into a recording.
fn is_recorded(section: &BusSection) -> bool {
    section.i2c.is_some() || section.serial.is_some()
}

/// What a section says about a bus.
fn bus(
    source: &Source,
    section: &BusSection,
    recording: Option<&Recording>,
) -> Result<BusKind, BoardError> {
    let simulated = section.simulated.unwrap_or(false);
    let wrong = |reason: &str| {
        let reason = format!("bus `{}`: {reason}", section.id.as_ref());
        source.wrong(&section.id, reason)
    };
    let one = || wrong("say one of `i2c`, `serial` and `gpio`");
    let given = [
        section.i2c.is_some(),
        section.serial.is_some(),
        section.gpio.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(one());
    }
    let far = |device: &PathBuf| match (&section.replay, simulated, recording) {
        (Some(_), true, _) => Err(wrong("say `simulated` or `replay`")),
        (_, _, Some(whole)) => Ok(Far::Recorded(whole.clone())),
        (Some(file), false, _) => match Recording::read(&source.beside(file)) {
            Ok(recording) => Ok(Far::Recorded(recording)),
            Err(error) => {
                Err(wrong(&format!("recording {}: {error}", file.display())))
            }
        },
        (None, true, _) => Ok(Far::Simulated),
        (None, false, _) => Ok(Far::Kernel(device.clone())),
    };
    if let Some(lines) = &section.gpio {
        if !simulated && !lines.is_empty() {
            return Err(wrong("`gpio` names lines where they are simulated"));
        }
        let simulated = simulated.then(|| lines.clone());
        return Ok(BusKind::Gpio { simulated });
    }
    if let Some(device) = &section.serial {
        let baud = section.baud.unwrap_or(115_200);
        return Ok(BusKind::Serial { far: far(device)?, baud });
    }
    let device = section.i2c.as_ref().ok_or_else(one)?;
    Ok(BusKind::I2c(far(device)?))
}

impl Board for Assembly {
    fn scan(&mut self) -> Scan {
        let Scan { mut inventory, mut drivers } = self.machine.scan();
        for part in &mut self.parts {
            part.describe(&mut inventory);
            if !self.started {
                drivers.extend(part.drivers());
            }
        }
        self.started = true;
        join(&mut inventory);
        Scan { inventory, drivers }
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
    // Where the machine is no system itself, the first it looks after stands
    // for it.
    if inventory.manager.id.is_empty() {
        let first = inventory.systems.first();
        inventory.manager = first.map(Manager::of).unwrap_or_default();
    }
}

/// Sends what is asked to the part that brought what it is about.
struct ByPart<T: ?Sized> {
    own: BTreeMap<Id, Arc<T>>,
    machine: Arc<T>,
}

impl<T: ?Sized> std::fmt::Debug for ByPart<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.own.keys().collect::<Vec<_>>();
        f.debug_struct("ByPart").field("parts", &parts).finish_non_exhaustive()
    }
}

impl<T: ?Sized> ByPart<T> {
    /// What is not about one of those `brought` is sent to `machine`.
    fn new(
        brought: impl Iterator<Item = (Vec<Id>, Arc<T>)>,
        machine: Arc<T>,
    ) -> Self {
        let mut own = BTreeMap::new();
        for (ids, by) in brought {
            own.extend(ids.into_iter().map(|id| (id, Arc::clone(&by))));
        }
        Self { own, machine }
    }

    fn of(&self, id: &Id) -> &Arc<T> {
        self.own.get(id).unwrap_or(&self.machine)
    }
}

impl Power for ByPart<dyn Power> {
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError> {
        self.of(system).reset(system, kind)
    }

    fn configure(
        &self,
        system: &Id,
        settings: &PartSettings,
    ) -> Result<u64, CommandError> {
        self.of(system).configure(system, settings)
    }

    fn restore(&self, system: &Id, on: bool, lost: bool) {
        self.of(system).restore(system, on, lost);
    }

    fn resume(&self, system: &Id, on: bool) {
        self.of(system).resume(system, on);
    }

    fn withdraw(&self, system: &Id) -> bool {
        self.of(system).withdraw(system)
    }

    fn is_moving(&self, system: &Id) -> bool {
        self.of(system).is_moving(system)
    }
}

impl Switches for ByPart<dyn Switches> {
    fn put(&self, switch: &Id, on: bool) -> io::Result<()> {
        self.of(switch).put(switch, on)
    }
}

impl Modems for ByPart<dyn Modems> {
    fn restart(&self, modem: &Id, cut: bool) -> io::Result<()> {
        self.of(modem).restart(modem, cut)
    }
}

impl PowerModes for ByPart<dyn PowerModes> {
    fn choose(
        &self,
        system: &Id,
        name: &str,
    ) -> Result<PowerModels, CommandError> {
        self.of(system).choose(system, name)
    }
}

impl Instruments for ByPart<dyn Instruments> {
    fn capture(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
        asked: &CaptureAsked<'_>,
    ) -> Result<Capture, CaptureError> {
        self.of(instrument).capture(instrument, request, asked)
    }

    fn check(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
    ) -> Result<(), CaptureError> {
        self.of(instrument).check(instrument, request)
    }
}

impl Controls for ByPart<dyn Controls> {
    fn drive(&self, control: &Id, percent: Option<f64>) -> io::Result<()> {
        self.of(control).drive(control, percent)
    }

    fn leave(&self, control: &Id) -> io::Result<()> {
        self.of(control).leave(control)
    }
}
