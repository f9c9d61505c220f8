//! The buses of a board: what is at their far sides, who is on them, and what
//! can be told to misbehave.

use std::{
    any::Any,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::wires::Wires;
use crate::{
    bus::{
        I2cBus, KernelI2c, SmBus,
        gpio::{GpioLines, KernelGpio},
        record::Recorder,
        replay::Recording,
    },
    drivers::tree::Tree,
    gather,
    model::Id,
    sim::{
        self, bitscope::Rack, gpio::SimulatedGpio, i2c::SimulatedI2c,
        pwm_fan::PwmFan, serial::LineFaults, switch::SimulatedWiring,
    },
};

/// A bus as a board file describes it.
#[derive(Clone, Debug)]
pub(super) enum BusKind {
    I2c(Far),
    Serial { far: Far, baud: u32 },
    Gpio { simulated: Option<Vec<String>> },
}

/// What is at the far side of a bus.
#[derive(Clone, Debug)]
pub(super) enum Far {
    /// The parts that the kernel's device file leads to.
    Kernel(PathBuf),
    /// Simulated parts.
    Simulated,
    /// What was recorded.
    Recorded(Recording),
}

/// What is noted of buses, and what is played back on them.
#[derive(Clone, Debug, Default)]
pub struct Tapes {
    /// Notes what is said on the I²C buses and serial lines of a board.
    pub recorder: Option<Recorder>,
    /// What is played back on all of them, whatever the board file says is at
    /// their far sides; no line of this machine is touched then.
    pub recording: Option<Recording>,
}

/// The buses of a board.
#[derive(Debug)]
pub(super) struct Buses {
    pub(super) tree: Tree,
    pub(super) i2c: BTreeMap<String, I2cBus>,
    pub(super) serial: BTreeMap<String, (Far, u32)>,
    pub(super) tapes: Tapes,
    pub(super) gpio: BTreeMap<String, Arc<dyn GpioLines>>,
    pub(super) simulated: SimulatedBuses,
    /// Buses and addresses that parts are at, and which.
    pub(super) taken: BTreeMap<(String, u8), Id>,
    /// The serial lines that parts have.
    pub(super) taken_lines: Vec<String>,
    /// Parts that can be told to misbehave.
    pub(super) told: Vec<Id>,
    /// The numbers that the kernel has for buses.
    pub(super) numbers: BTreeMap<String, u32>,
}

/// The far sides of those buses of a board that are simulated, to be told to
/// misbehave.
#[derive(Clone, Debug, Default)]
pub struct SimulatedBuses {
    pub(super) i2c: BTreeMap<String, SimulatedI2c>,
    pub(super) lines: BTreeMap<String, LineFaults>,
    pub(super) gpio: BTreeMap<String, SimulatedGpio>,
    pub(super) racks: BTreeMap<String, Rack>,
    pub(super) pis: BTreeMap<Id, sim::rpi::Firmware>,
    /// By the ids of the parts.
    pub(super) fans: BTreeMap<Id, PwmFan>,
    pub(super) jetsons: BTreeMap<Id, sim::jetson::Nvpmodel>,
    pub(super) parts: BTreeMap<String, Arc<dyn Any + Send + Sync>>,
    pub(super) switches: Option<Arc<SimulatedWiring>>,
}

impl SimulatedBuses {
    /// The rack on the serial line `name`.
    #[must_use]
    pub fn rack(&self, name: &str) -> Option<&Rack> {
        self.racks.get(name)
    }

    /// The firmware of the Raspberry Pi that is the part `id`.
    #[must_use]
    pub fn pi(&self, id: &str) -> Option<&sim::rpi::Firmware> {
        self.pis.get(id)
    }

    /// The `nvpmodel` of the Jetson that is the part `id`.
    #[must_use]
    pub fn jetson(&self, id: &str) -> Option<&sim::jetson::Nvpmodel> {
        self.jetsons.get(id)
    }

    /// The part of this sort on the serial line `name`.
    #[must_use]
    pub fn part<P: Send + 'static>(&self, name: &str) -> Option<Arc<Mutex<P>>> {
        let part = Arc::clone(self.parts.get(name)?);
        part.downcast().ok()
    }

    /// The switches of a board, where they are simulated.
    #[must_use]
    pub fn switches(&self) -> Option<&SimulatedWiring> {
        self.switches.as_deref()
    }

    /// The I²C bus `name`.
    #[must_use]
    pub fn i2c(&self, name: &str) -> Option<&SimulatedI2c> {
        self.i2c.get(name)
    }

    /// What goes wrong on the serial line `name`, once a part has it.
    #[must_use]
    pub fn line(&self, name: &str) -> Option<&LineFaults> {
        self.lines.get(name)
    }

    /// The fan on a PWM output that is the part `id`.
    #[must_use]
    pub fn fan(&self, id: &str) -> Option<&PwmFan> {
        self.fans.get(id)
    }

    /// The lines `name`.
    #[must_use]
    pub fn gpio(&self, name: &str) -> Option<&SimulatedGpio> {
        self.gpio.get(name)
    }
}

impl Buses {
    /// No buses yet; device files are below the root of `tree`, and what will
    /// be said on them goes to `tapes`, or comes from there.
    pub(super) fn new(tree: Tree, tapes: Tapes) -> Self {
        Self {
            tree,
            i2c: BTreeMap::new(),
            serial: BTreeMap::new(),
            tapes,
            gpio: BTreeMap::new(),
            simulated: SimulatedBuses::default(),
            taken: BTreeMap::new(),
            taken_lines: Vec::new(),
            told: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Adds the bus `name`.
    pub(super) fn add(&mut self, name: &str, kind: BusKind) {
        let tree = self.tree.clone();
        let below = |path: &Path| tree.path(path.to_str().unwrap_or_default());
        let name = name.to_owned();
        match kind {
            BusKind::I2c(far) => {
                let link: Box<dyn SmBus> = match far {
                    Far::Kernel(path) => {
                        Box::new(KernelI2c::new(&below(&path)))
                    }
                    Far::Recorded(recording) => recording.i2c(&name),
                    Far::Simulated => {
                        let sim = SimulatedI2c::default();
                        self.simulated.i2c.insert(name.clone(), sim.clone());
                        Box::new(sim)
                    }
                };
                let link = match &self.tapes.recorder {
                    Some(recorder) => recorder.i2c(&name, link),
                    None => link,
                };
                self.i2c.insert(name.clone(), I2cBus::new(&name, link));
            }
            BusKind::Serial { far, baud } => {
                let far = match far {
                    Far::Kernel(path) => Far::Kernel(below(&path)),
                    other => other,
                };
                self.serial.insert(name, (far, baud));
            }
            BusKind::Gpio { simulated: None } => {
                let lines = self.own_lines();
                self.gpio.insert(name, lines);
            }
            BusKind::Gpio { simulated: Some(lines) } => {
                let lines = lines.iter().map(String::as_str);
                let sim = SimulatedGpio::new(lines);
                self.simulated.gpio.insert(name.clone(), sim.clone());
                self.gpio.insert(name, Arc::new(sim));
            }
        }
    }

    /// The GPIO lines of this machine; none where a recording stands for it.
    pub(super) fn own_lines(&self) -> Arc<dyn GpioLines> {
        if self.tapes.recording.is_some() {
            return Arc::new(SimulatedGpio::new([]));
        }
        Arc::new(KernelGpio)
    }

    /// Notes that the bus `name` is the kernel's at `path`.
    pub(super) fn number(&mut self, name: &str, path: &Path) {
        let file = path.file_name().and_then(|file| file.to_str());
        let number = file.and_then(|file| file.strip_prefix("i2c-"));
        if let Some(number) = number.and_then(|it| it.parse().ok()) {
            self.numbers.insert(name.to_owned(), number);
        }
    }

    /// `wires` with the I²C buses, and the parts on them.
    pub(super) fn wires(&self, mut wires: Wires) -> Wires {
        for (name, number) in &self.numbers {
            let Some(bus) = self.i2c.get(name) else { continue };
            let parts = self.taken.iter().filter(|((on, _), _)| on == name);
            let parts = parts.map(|((_, address), id)| {
                (*address, format!("part `{id}` of the board file"))
            });
            wires = wires.with(*number, bus.clone(), gather::map(parts));
        }
        wires
    }

    /// The far sides of those that are simulated.
    pub(super) fn simulated(&self) -> SimulatedBuses {
        self.simulated.clone()
    }
}
