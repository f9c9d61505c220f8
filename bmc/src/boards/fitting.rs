//! What a part finds where it is to be fitted: its options, its place on a bus,
//! its lines.

use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;

use super::{
    buses::{Buses, Far},
    names,
};
use crate::{
    bus::{
        Chip,
        gpio::{GpioLines, LineName},
        serial::{KernelSerial, SerialLink},
    },
    drivers::tree::Tree,
    model::Id,
    sim::{
        self, Simulation,
        bitscope::Rack,
        i2c::I2cPart,
        pwm_fan::PwmFan,
        serial::{SerialPart, SimulatedSerial},
    },
};

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
