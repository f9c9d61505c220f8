//! Parts beside the machine: HATs, control buses, sensors on a wire. A board
//! file names them; [`KINDS`] says which there are.

use std::{
    any::Any,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::de::DeserializeOwned;

use super::{
    Controls, Instruments, Modems, Power, PowerModes, Switches,
    names::{self, Reference},
    wires::Wires,
};
use crate::{
    bus::{
        Chip, I2cBus, KernelI2c, SmBus,
        gpio::{GpioLines, KernelGpio, LineName},
        record::Recorder,
        replay::Recording,
        serial::{KernelSerial, SerialLink},
    },
    console::Line,
    drivers::{
        Driver, ads1115, argon, bitscope, bitscope_capture, gpio_input,
        gpio_output, ina219, ina226, ina3221_direct, jetson, lm75, modem,
        pcf8563, pwm_fan, rpi, serial_console, sixfab_ups, ssd1306, tmp117,
        tree::Tree,
    },
    gather,
    model::{Chassis, Id, Inventory},
    node_agent::Target,
    sim::{
        self, Simulation,
        bitscope::Rack,
        gpio::SimulatedGpio,
        i2c::{I2cPart, SimulatedI2c},
        pwm_fan::PwmFan,
        serial::{LineFaults, SerialPart, SimulatedSerial},
        switch::SimulatedWiring,
    },
};

/// The kinds of parts that a board file can name.
pub const KINDS: &[Kind] = &[
    ads1115::KIND,
    ads1115::KIND_OF_12_BITS,
    argon::KIND,
    bitscope::KIND,
    bitscope_capture::KIND,
    gpio_input::KIND,
    gpio_output::KIND,
    ina219::KIND,
    ina226::KIND,
    ina3221_direct::KIND,
    jetson::KIND,
    lm75::KIND,
    modem::KIND,
    pcf8563::KIND,
    pwm_fan::KIND,
    rpi::KIND,
    serial_console::KIND,
    sixfab_ups::KIND,
    ssd1306::KIND,
    tmp117::KIND,
];

/// A kind of part.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What a board file calls it.
    pub word: &'static str,
    /// Makes one. It touches no bus: a part that is missing is one that is
    /// seen to be missing.
    pub fit: fn(&mut Fitting<'_>) -> Result<Box<dyn Part>, String>,
}

/// A part beside the machine.
pub trait Part: Send {
    /// Adds to `inventory` what the part brings. It does not wait for the
    /// part.
    fn describe(&mut self, inventory: &mut Inventory);

    /// What of the board the part names: sensors, outputs, systems. Names that
    /// nothing has are seen by the board, which says so.
    fn refers(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// What has to be asked again and again. It is asked for once.
    fn drivers(&mut self) -> Vec<Box<dyn Driver>>;

    /// What switches the systems that the part brings, with their ids.
    fn power(&self) -> Option<(Vec<Id>, Arc<dyn Power>)> {
        None
    }

    /// The serial consoles of systems.
    fn consoles(&self) -> Vec<(Id, Line)> {
        Vec::new()
    }

    /// The agents that systems of the part have of their own.
    fn agents(&self) -> Vec<(Id, Target)> {
        Vec::new()
    }

    /// What puts the switches that the part brings, with their ids.
    fn switches(&self) -> Option<(Vec<Id>, Arc<dyn Switches>)> {
        None
    }

    /// What records with the instruments that the part brings, with their
    /// ids.
    fn instruments(&self) -> Option<(Vec<Id>, Arc<dyn Instruments>)> {
        None
    }

    /// What starts the modems anew that the part brings, with their ids.
    fn modems(&self) -> Option<(Vec<Id>, Arc<dyn Modems>)> {
        None
    }

    /// What chooses the power models of systems, with their ids.
    fn power_modes(&self) -> Option<(Vec<Id>, Arc<dyn PowerModes>)> {
        None
    }

    /// What drives the controls that the part brings, with their ids.
    fn controls(&self) -> Option<(Vec<Id>, Arc<dyn Controls>)> {
        None
    }
}

/// The chassis `id` of an inventory, for a part that sits in it.
///
/// A board file is checked for it before; what a machine shows may change.
pub fn chassis_of<'a>(
    inventory: &'a mut Inventory,
    id: &Id,
) -> Option<&'a mut Chassis> {
    inventory.chassis.iter_mut().find(|chassis| chassis.id == *id)
}

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
    tree: Tree,
    i2c: BTreeMap<String, I2cBus>,
    serial: BTreeMap<String, (Far, u32)>,
    tapes: Tapes,
    gpio: BTreeMap<String, Arc<dyn GpioLines>>,
    simulated: SimulatedBuses,
    /// Buses and addresses that parts are at, and which.
    taken: BTreeMap<(String, u8), Id>,
    /// The serial lines that parts have.
    taken_lines: Vec<String>,
    /// Parts that can be told to misbehave.
    pub(super) told: Vec<Id>,
    /// The numbers that the kernel has for buses.
    numbers: BTreeMap<String, u32>,
}

/// The far sides of those buses of a board that are simulated, to be told to
/// misbehave.
#[derive(Clone, Debug, Default)]
pub struct SimulatedBuses {
    i2c: BTreeMap<String, SimulatedI2c>,
    lines: BTreeMap<String, LineFaults>,
    gpio: BTreeMap<String, SimulatedGpio>,
    racks: BTreeMap<String, Rack>,
    pis: BTreeMap<Id, sim::rpi::Firmware>,
    /// By the ids of the parts.
    fans: BTreeMap<Id, PwmFan>,
    jetsons: BTreeMap<Id, sim::jetson::Nvpmodel>,
    parts: BTreeMap<String, Arc<dyn Any + Send + Sync>>,
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
    fn own_lines(&self) -> Arc<dyn GpioLines> {
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

/// What a part finds where it is to be fitted.
#[derive(Debug)]
pub struct Fitting<'a> {
    /// What the board file calls the part: unique on the board.
    pub id: Id,
    /// The chassis that it sits in.
    pub chassis: Id,
    /// What identifies the machine as a whole.
    pub identity: String,
    pub(super) bus: &'a str,
    pub(super) address: Option<u8>,
    pub(super) options: toml::Table,
    pub(super) simulation: Option<&'a Simulation>,
    pub(super) buses: &'a mut Buses,
}

impl Fitting<'_> {
    /// What the board file says of the part beyond where it is.
    ///
    /// # Errors
    /// It says what a part of this kind does not have.
    pub fn options<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let options = toml::Value::Table(std::mem::take(&mut self.options));
        options.try_into().map_err(|error| error.message().to_owned())
    }

    /// The part's place on its I²C bus: at `usual` unless the board file says
    /// another address. On a simulated bus, `simulator` is put there.
    ///
    /// # Errors
    /// The bus is none of this sort, or the address is taken.
    pub fn i2c<P: I2cPart + 'static>(
        &mut self,
        usual: u8,
        simulator: impl FnOnce() -> P,
    ) -> Result<Chip, String> {
        let address = self.address.unwrap_or(usual);
        self.named()?;
        let buses = self.buses.i2c.keys().map(|name| &**name);
        names::check("I²C bus", self.bus, buses)?;
        if !(0x03..=0x77).contains(&address) {
            return Err(format!(
                "`address` is {address:#04x}: 0x03 to 0x77 exist"
            ));
        }
        let place = (self.bus.to_owned(), address);
        let before = self.buses.taken.insert(place, self.id.clone());
        if before.is_some() {
            let at = format!("{address:#04x} of bus `{}`", self.bus);
            return Err(format!("another part is at {at}"));
        }
        if let Some(sim) = self.buses.simulated.i2c.get(self.bus) {
            sim.attach(address, simulator());
            if let Some(simulation) = self.simulation {
                sim.tell(address, simulation.part(&self.id));
                self.buses.told.push(self.id.clone());
            }
        }
        let bus = self.buses.i2c.get(self.bus);
        let bus = bus.ok_or_else(|| format!("no I²C bus `{}`", self.bus))?;
        Ok(bus.chip(address))
    }

    /// Checks that the board file says no bus and no address: there is one way
    /// to the part.
    ///
    /// # Errors
    /// It does.
    pub fn without_bus(&self) -> Result<(), String> {
        if self.bus.is_empty() && self.address.is_none() {
            return Ok(());
        }
        Err("it is on no bus, and has no address".to_owned())
    }

    /// The simulated firmware of a Raspberry Pi, with a `PoE` HAT or without.
    pub fn simulated_pi(&mut self, poe_hat: bool) -> sim::rpi::Firmware {
        let firmware = sim::rpi::Firmware::new(poe_hat);
        let pis = &mut self.buses.simulated.pis;
        pis.insert(self.id.clone(), firmware.clone());
        firmware
    }

    /// The simulated `nvpmodel` of a Jetson.
    pub fn simulated_jetson(&mut self) -> sim::jetson::Nvpmodel {
        let jetson = sim::jetson::Nvpmodel::default();
        let jetsons = &mut self.buses.simulated.jetsons;
        jetsons.insert(self.id.clone(), jetson.clone());
        jetson
    }

    /// Checks that the board file says which bus the part is on.
    fn named(&self) -> Result<(), String> {
        if self.bus.is_empty() {
            return Err("say which `bus` it is on".to_owned());
        }
        Ok(())
    }

    /// The part's serial line, which is its alone. Where it is simulated,
    /// `simulator` is at its far end.
    ///
    /// # Errors
    /// The bus is none of this sort, or another part has it.
    pub fn serial<P: SerialPart + 'static>(
        &mut self,
        simulator: impl FnOnce() -> P,
    ) -> Result<Box<dyn SerialLink>, String> {
        self.named()?;
        if self.buses.taken_lines.iter().any(|name| name == self.bus) {
            return Err(format!(
                "serial line `{}` is another part's",
                self.bus
            ));
        }
        let lines = self.buses.serial.keys().map(|name| &**name);
        names::check("serial line", self.bus, lines)?;
        let taken = self.buses.serial.remove(self.bus);
        let (far, baud) =
            taken.ok_or_else(|| format!("no serial line `{}`", self.bus))?;
        self.buses.taken_lines.push(self.bus.to_owned());
        let link: Box<dyn SerialLink> = match far {
            Far::Kernel(path) => Box::new(KernelSerial::new(&path, baud)),
            Far::Recorded(recording) => recording.serial(self.bus),
            Far::Simulated => {
                let line = SimulatedSerial::new(Box::new(simulator()));
                if let Some(simulation) = self.simulation {
                    line.faults().tell(simulation.part(&self.id));
                    self.buses.told.push(self.id.clone());
                }
                let lines = &mut self.buses.simulated.lines;
                lines.insert(self.bus.to_owned(), line.faults());
                Box::new(line)
            }
        };
        Ok(match &self.buses.tapes.recorder {
            Some(recorder) => recorder.serial(self.bus, link),
            None => link,
        })
    }

    /// Keeps the simulated rack on the part's line, to be told to misbehave.
    pub fn keep_rack(&mut self, rack: Rack) {
        self.buses.simulated.racks.insert(self.bus.to_owned(), rack);
    }

    /// Whether the board file says which bus the part is on.
    #[must_use]
    pub fn has_bus(&self) -> bool {
        !self.bus.is_empty()
    }

    /// Keeps the simulated part on the part's line, to be told to misbehave.
    pub fn keep<P: Send + 'static>(&mut self, part: Arc<Mutex<P>>) {
        self.buses.simulated.parts.insert(self.bus.to_owned(), part);
    }

    /// The GPIO lines called `bus`, those of this machine where that is empty,
    /// for a part that will take the line `wanted`.
    ///
    /// # Errors
    /// There is no such bus, or it is simulated, and has no such line. What
    /// lines a machine has is only known when one is taken.
    pub fn gpio(
        &self,
        bus: &str,
        wanted: Option<&LineName>,
    ) -> Result<Arc<dyn GpioLines>, String> {
        if bus.is_empty() {
            return Ok(self.buses.own_lines());
        }
        let buses = self.buses.gpio.keys().map(|name| &**name);
        names::check("bus of GPIO lines", bus, buses)?;
        if let (Some(simulated), Some(line)) =
            (self.buses.simulated.gpio.get(bus), wanted)
        {
            let known = simulated.names();
            let known = known.iter().map(|name| &**name);
            names::check("GPIO line", &line.to_string(), known)?;
        }
        let lines = self.buses.gpio.get(bus).cloned();
        Ok(lines.unwrap_or_else(|| self.buses.own_lines()))
    }

    /// The same of the bus that the part is on.
    ///
    /// # Errors
    /// See [`Self::gpio`].
    pub fn lines(
        &self,
        wanted: Option<&LineName>,
    ) -> Result<Arc<dyn GpioLines>, String> {
        self.gpio(self.bus, wanted)
    }

    /// A simulated fan, where the lines that the part is on are simulated; its
    /// tachometer is on a line, with so many pulses a turn.
    pub fn simulated_fan(
        &mut self,
        tachometer: Option<(String, u32)>,
    ) -> Option<PwmFan> {
        let simulated = &mut self.buses.simulated;
        let lines = simulated.gpio.get(self.bus)?.clone();
        let fan = PwmFan::new(lines, tachometer);
        simulated.fans.insert(self.id.clone(), fan.clone());
        Some(fan)
    }

    /// The files of the machine that the agent runs on.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.buses.tree
    }

    /// Whether the part sits in the machine that the agent runs on.
    #[must_use]
    pub fn is_on_host(&self) -> bool {
        *self.chassis == *super::host::CHASSIS
    }

    /// The machine that the part belongs to, where it is simulated.
    #[must_use]
    pub fn simulation(&self) -> Option<&Simulation> {
        self.simulation
    }

    /// Whether the part's bus is simulated, or a recording stands for it.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        let recorded = self.buses.tapes.recording.is_some();
        let spoken = self.buses.i2c.contains_key(self.bus)
            || self.buses.serial.contains_key(self.bus);
        (recorded && spoken)
            || self.buses.simulated.i2c.contains_key(self.bus)
            || self.buses.simulated.gpio.contains_key(self.bus)
            || matches!(
                self.buses.serial.get(self.bus),
                Some((Far::Simulated, _))
            )
    }
}
