//! Parts beside the machine: HATs, control buses, sensors on a wire. A board
//! file names them; [`KINDS`] says which there are.

use std::sync::Arc;

pub use super::fitting::Fitting;
use super::{
    Controls, Instruments, Modems, Power, PowerModes, Switches,
    names::Reference,
};
use crate::{
    console::Line,
    drivers::{
        Driver, ads1115, argon, bitscope, bitscope_capture, gpio_input,
        gpio_output, ina219, ina226, ina3221_direct, jetson, lm75, modem,
        pcf8563, pwm_fan, rpi, serial_console, sixfab_ups, ssd1306, tmp117,
    },
    model::{Chassis, Id, Inventory},
    node_agent::Target,
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
