//! Boards: which parts sit where.

pub mod assembly;
pub mod buses;
pub mod file;
mod fitting;
pub mod hand;
pub mod host;
pub mod names;
pub mod next_boot;
pub mod part;
mod parts;
pub mod power;
pub mod simulated;
mod switches;
pub mod volumes;
pub mod wires;

use std::{io, path::Path, sync::Arc};

use crate::{
    commands::{CommandError, ResetType},
    console::Line,
    drivers::Driver,
    fabric::Wiring,
    model::{
        Capture, CaptureAsked, CaptureError, CaptureRequest, Id, Inventory,
        Model, Part, PartSettings, PowerModels, PowerState, Trouble, Volume,
        VolumeWish,
    },
    node_agent::Target,
    state::StateError,
};

pub use crate::model::Shelves;

/// What one look at a board found.
#[derive(Default)]
pub struct Scan {
    /// The parts.
    pub inventory: Inventory,
    /// Drivers of parts that were not there at the look before.
    pub drivers: Vec<Box<dyn Driver>>,
    /// What is wrong with parts of the machine as the board sees it: all of
    /// it, of each that may have something.
    pub troubles: Vec<(Part, Vec<Trouble>)>,
}

impl Scan {
    /// Tells `model` what is wrong with parts.
    pub fn tell_troubles(troubles: Vec<(Part, Vec<Trouble>)>, model: &Model) {
        for (part, troubles) in troubles {
            model.post_troubles(&part, &SOURCE.into(), troubles);
        }
    }
}

/// Who says what is wrong with parts of a board.
const SOURCE: &str = "board";

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let drivers: Vec<&str> =
            self.drivers.iter().map(|driver| driver.name()).collect();
        f.debug_struct("Scan")
            .field("inventory", &self.inventory)
            .field("drivers", &drivers)
            .field("troubles", &self.troubles)
            .finish()
    }
}

/// What one look at `board` finds, with its I²C buses. May block.
pub fn look(board: &mut dyn Board) -> Scan {
    let mut scan = board.scan();
    scan.inventory.manager.i2c = board.wires().known();
    scan
}

/// A machine the agent looks after.
pub trait Board: Send + 'static {
    /// Looks what is there. May block.
    fn scan(&mut self) -> Scan;

    /// What switches the power of the board's systems.
    fn power(&self) -> Arc<dyn Power>;

    /// What drives the board's controls.
    fn controls(&self) -> Arc<dyn Controls>;

    /// The I²C buses that can be looked at from afar.
    fn wires(&self) -> Arc<wires::Wires> {
        Arc::default()
    }

    /// What puts the board's switches.
    fn switches(&self) -> Arc<dyn Switches> {
        Arc::new(NoSwitches)
    }

    /// What makes volumes of the board's drives.
    fn volumes(&self) -> Arc<dyn Volumes>;

    /// The serial consoles of the board's systems.
    fn consoles(&self) -> Vec<(Id, Line)> {
        Vec::new()
    }

    /// The agents that systems have of their own.
    fn agents(&self) -> Vec<(Id, Target)> {
        Vec::new()
    }

    /// What joins the board's systems.
    fn wiring(&self) -> Arc<dyn Wiring>;

    /// What records signals.
    fn instruments(&self) -> Arc<dyn Instruments> {
        Arc::new(NoInstruments)
    }

    /// What chooses the power models of the board's systems.
    fn power_modes(&self) -> Arc<dyn PowerModes> {
        Arc::new(NoInstruments)
    }

    /// What starts modems anew.
    fn modems(&self) -> Arc<dyn Modems> {
        Arc::new(NoInstruments)
    }
}

/// What chooses the power models that systems run in.
pub trait PowerModes: std::fmt::Debug + Send + Sync + 'static {
    /// Has the system run in the power model `name`, and says how it is then.
    /// Blocks for some seconds.
    ///
    /// # Errors
    /// See [`CommandError`].
    fn choose(
        &self,
        system: &Id,
        name: &str,
    ) -> Result<PowerModels, CommandError>;
}

impl PowerModes for NoInstruments {
    fn choose(
        &self,
        system: &Id,
        _: &str,
    ) -> Result<PowerModels, CommandError> {
        let part = Part::System(system.clone());
        Err(CommandError::Unsupported { part, what: "PowerModel" })
    }
}

/// What starts modems anew.
pub trait Modems: std::fmt::Debug + Send + Sync + 'static {
    /// Starts the modem anew: by a command, or by cutting its power. Blocks
    /// for some seconds.
    ///
    /// # Errors
    /// What the modem or the line of its power said.
    fn restart(&self, modem: &Id, cut: bool) -> io::Result<()>;
}

impl Modems for NoInstruments {
    fn restart(&self, modem: &Id, _: bool) -> io::Result<()> {
        let reason = format!("there is no modem `{modem}`");
        Err(io::Error::new(io::ErrorKind::NotFound, reason))
    }
}

/// What records signals.
pub trait Instruments: std::fmt::Debug + Send + Sync + 'static {
    /// Records what `request` says. Blocks until it is done, or not wanted
    /// any more.
    ///
    /// # Errors
    /// See [`CaptureError`].
    fn capture(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
        asked: &CaptureAsked<'_>,
    ) -> Result<Capture, CaptureError>;

    /// Whether the instrument could record that. It asks no instrument.
    ///
    /// # Errors
    /// It names the value that cannot be.
    fn check(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
    ) -> Result<(), CaptureError>;
}

/// A board on which nothing records.
#[derive(Clone, Copy, Debug)]
pub struct NoInstruments;

impl Instruments for NoInstruments {
    fn capture(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
        _: &CaptureAsked<'_>,
    ) -> Result<Capture, CaptureError> {
        self.check(instrument, request)?;
        Err(CaptureError::Busy)
    }

    fn check(
        &self,
        instrument: &Id,
        _: &CaptureRequest,
    ) -> Result<(), CaptureError> {
        let reason = format!("there is no instrument `{instrument}`");
        Err(CaptureError::Failed(reason))
    }
}

/// What makes volumes of drives.
pub trait Volumes: Send + Sync + 'static {
    /// Takes up what it keeps in `folder`. Only boards whose drives are
    /// simulated have to keep anything.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, folder: &Path) -> Result<(), StateError> {
        let _ = folder;
        Ok(())
    }

    /// The volumes that there are. May block for a moment.
    fn list(&self, inventory: &Inventory) -> Shelves;

    /// Makes a volume of `capacity` bytes, and says its id; the wish has been
    /// checked against the inventory. May block for some seconds.
    ///
    /// # Errors
    /// See [`CommandError`].
    fn create(
        &self,
        system: &Id,
        storage: &Id,
        wish: &VolumeWish,
        capacity: u64,
    ) -> Result<Id, CommandError>;

    /// Removes a volume with all that is on it. May block for some seconds.
    ///
    /// # Errors
    /// See [`CommandError`].
    fn delete(
        &self,
        system: &Id,
        storage: &Id,
        volume: &Volume,
    ) -> Result<(), CommandError>;
}

/// What drives parts by hand.
pub trait Controls: Send + Sync + 'static {
    /// Drives the control by `percent`, or leaves it to its own loop where
    /// there is nothing. May block for a moment.
    ///
    /// # Errors
    /// What the part said.
    fn drive(&self, control: &Id, percent: Option<f64>) -> io::Result<()>;

    /// Does what is safe now that the agent ends and nobody looks after the
    /// control: only for parts without a loop of their own. May block for a
    /// moment.
    ///
    /// # Errors
    /// What the part said.
    fn leave(&self, control: &Id) -> io::Result<()> {
        let _ = control;
        Ok(())
    }
}

/// What puts switches.
pub trait Switches: Send + Sync + 'static {
    /// Switches `switch` on or off. May block for a moment.
    ///
    /// # Errors
    /// What the part said.
    fn put(&self, switch: &Id, on: bool) -> io::Result<()>;
}

/// There are none.
pub(crate) struct NoSwitches;

impl Switches for NoSwitches {
    fn put(&self, _: &Id, _: bool) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no such switch"))
    }
}

/// What switches power.
pub trait Power: Send + Sync + 'static {
    /// Begins the change of power, and says the power state then, where it
    /// is known. May block for a moment.
    ///
    /// # Errors
    /// See [`CommandError`].
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError>;

    /// Takes what people set for the system, as far as the board has it, and
    /// says how often the system has started. May block for a moment.
    ///
    /// # Errors
    /// See [`CommandError`].
    fn configure(
        &self,
        system: &Id,
        settings: &PartSettings,
    ) -> Result<u64, CommandError> {
        let _ = (system, settings);
        Ok(0)
    }

    /// Puts the system into the state it shall have now that the power is
    /// back, if it was `lost`. Where it was not, only a simulated system, which
    /// has gone with the agent, has something to do.
    fn restore(&self, system: &Id, on: bool, lost: bool) {
        let _ = (system, on, lost);
    }

    /// Goes on with what was under way when the agent before this one ended,
    /// which is to leave the system on, or off.
    fn resume(&self, system: &Id, on: bool) {
        let _ = (system, on);
    }

    /// Takes back a cut of the power that was begun and not done: whether the
    /// system was left on all along. It waits for nothing.
    fn withdraw(&self, system: &Id) -> bool {
        let _ = system;
        false
    }

    /// Whether the system is on its way to what it was told. It waits for
    /// nothing.
    fn is_moving(&self, system: &Id) -> bool {
        let _ = system;
        false
    }
}

/// What the configuration says about the machine as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What people call it, instead of its host name.
    pub name: Option<String>,
    /// Its serial number, instead of the one the board file gives.
    pub serial_number: Option<String>,
    /// What identifies a machine that has nothing that does.
    pub fallback_identity: String,
}
