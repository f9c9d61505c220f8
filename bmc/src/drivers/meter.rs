//! Meters: chips on an I²C bus that say several values in one go, and that
//! can forget how they were set up, or be set up otherwise by another master.
//!
//! Each exchange names its register, so that nobody who moves a chip's pointer
//! in between makes one value look like another.

use std::{fmt, io, time::Duration};

use serde::Deserialize;

use super::{Batch, Driver, INTERVAL, good_for, segment};
use crate::{
    boards::{
        names::Reference,
        part::{Part, chassis_of},
    },
    bus::{Chip, I2cError},
    model::{
        Id, Inventory, PhysicalContext, PowerSupply, Quantity, Sample, Sensor,
        SensorKind, Thresholds,
    },
};

/// What goes wrong with a chip that measures.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Bus(#[from] I2cError),
    #[error("register {register:#04x} at {place} is {found:#x}: not this part")]
    WrongPart { register: u8, place: String, found: u16 },
    #[error(
        "register {register:#04x} at {place} was {found:#06x}, not \
         {wanted:#06x}: somebody else set it, it is mended"
    )]
    Changed { register: u8, place: String, found: u16, wanted: u16 },
    #[error(
        "register {register:#04x} at {place} is {found:#06x}: beyond its range"
    )]
    OverRange { register: u8, place: String, found: u16 },
    #[error(
        "register {register:#04x} at {place} is {found:#06x}, though \
         {wanted:#06x} was written: it does not keep it, or somebody else \
         sets it again and again"
    )]
    NotKept { register: u8, place: String, found: u16, wanted: u16 },
    #[error("{place} has not measured in {waited:?}")]
    Late { place: String, waited: Duration },
    #[error("{place} has not measured yet")]
    NothingYet { place: String },
    #[error("all registers at {place} are 0: the bus is low, or not this part")]
    Low { place: String },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// What one of a chip's values is, or why there is none.
pub(super) type Value = Result<f64, Error>;

/// A chip that measures.
pub(super) trait Meter: fmt::Debug + Send + 'static {
    /// A value for each of its sensors, in their order and units; none at all
    /// as long as it has not measured. May block for a moment. It is asked
    /// again after [`INTERVAL`], in which those measure anew that take less.
    ///
    /// # Errors
    /// Nothing that it says can be believed.
    fn measure(&mut self) -> Result<Vec<Value>, Error>;

    /// It did not answer: whoever comes back may be another part, and has
    /// forgotten how it was set up.
    fn lost(&mut self);
}

/// A register that says how a chip measures. It is read before each value: a
/// chip that was without power has its default in it, and another master may
/// have written to it.
#[derive(Debug)]
pub(super) struct Setup {
    register: u8,
    /// These bits of it have to be `wanted`; the others are left as they are.
    mask: u16,
    wanted: u16,
    /// Whether it was as it shall be when it was last read.
    known: bool,
    /// Whether it has been told since.
    told: bool,
}

impl Setup {
    pub(super) fn new(register: u8, mask: u16, wanted: u16) -> Self {
        Self { register, mask, wanted, known: false, told: false }
    }

    /// Whether the chip measured as it shall when it was last asked.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whoever answers next may be another chip.
    pub(super) fn forget(&mut self) {
        (self.known, self.told) = (false, false);
    }

    /// Whether the chip measures as it shall. Where it does not, it is told
    /// to; what it has measured until then is nothing. The register has two
    /// bytes, the high one first.
    pub(super) fn is_done(&mut self, chip: &Chip) -> Result<bool, Error> {
        let found = chip.read_word_swapped(self.register)?;
        self.is(chip, found, |register, word| {
            chip.write_word_swapped(register, word)
        })
    }

    /// The same of a register that was `found`, and is written by `write`.
    pub(super) fn is(
        &mut self,
        chip: &Chip,
        found: u16,
        write: impl FnOnce(u8, u16) -> Result<(), I2cError>,
    ) -> Result<bool, Error> {
        let Self { register, mask, wanted, .. } = *self;
        if found & mask == wanted {
            (self.known, self.told) = (true, false);
            return Ok(true);
        }
        let wanted = found & !mask | wanted;
        write(register, wanted)?;
        let place = chip.place();
        if std::mem::replace(&mut self.told, true) {
            return Err(Error::NotKept { register, place, found, wanted });
        }
        if std::mem::take(&mut self.known) {
            return Err(Error::Changed { register, place, found, wanted });
        }
        Ok(false)
    }
}

/// Asks a meter again and again.
#[derive(Debug)]
pub(super) struct Metering<M> {
    place: String,
    meter: M,
    sensors: Vec<(Id, SensorKind)>,
}

impl<M: Meter> Driver for Metering<M> {
    fn name(&self) -> &str {
        &self.place
    }

    fn poll(&mut self) -> Batch {
        let sensors = self.sensors.iter();
        let samples = match self.meter.measure() {
            Ok(values) => sensors
                .zip(values)
                .map(|((id, kind), value)| match value {
                    Ok(value) => {
                        // Nothing here is better than a millionth.
                        let value = (value * 1e6).round() / 1e6;
                        let value = Quantity::new(*kind, value);
                        Sample::good(id, value, good_for(INTERVAL))
                    }
                    Err(error) => Sample::failed(id, &error.to_string()),
                })
                .collect(),
            Err(error) => {
                match error {
                    Error::Changed { .. } => {
                        tracing::warn!(%error, "part set up anew");
                    }
                    // It is there, and is told again.
                    Error::NotKept { .. } => {}
                    _ => self.meter.lost(),
                }
                let why = error.to_string();
                sensors.map(|(id, _)| Sample::failed(id, &why)).collect()
            }
        };
        Batch { samples, ..Batch::default() }
    }
}

/// Where a value starts to be a worry, in the unit of its sensor.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    lower_critical: Option<f64>,
    lower_caution: Option<f64>,
    upper_caution: Option<f64>,
    upper_critical: Option<f64>,
    upper_fatal: Option<f64>,
}

impl From<Limits> for Thresholds {
    fn from(limits: Limits) -> Self {
        Self {
            upper_caution: limits.upper_caution,
            upper_critical: limits.upper_critical,
            upper_fatal: limits.upper_fatal,
            lower_caution: limits.lower_caution,
            lower_critical: limits.lower_critical,
        }
    }
}

/// The sensor `word` of the part or channel `id`, which people call `name`.
/// It has to be there.
pub(super) fn sensor(
    id: &str,
    name: &str,
    word: &str,
    kind: SensorKind,
    source: &str,
) -> Sensor {
    Sensor {
        id: segment(&format!("{id} {word}")).into(),
        name: format!("{name} {word}").trim().to_owned(),
        kind,
        context: PhysicalContext::SystemBoard,
        range: None,
        thresholds: Thresholds::default(),
        interval: INTERVAL,
        source: source.into(),
        required: true,
    }
}

/// A part that brings sensors, and perhaps supplies that they watch.
pub(super) struct Fitted {
    chassis: Id,
    sensors: Vec<Sensor>,
    supplies: Vec<PowerSupply>,
    refers: Vec<Reference>,
    driver: Option<Box<dyn Driver>>,
}

impl Fitted {
    /// What `meter` measures in `chassis`, sensor by sensor.
    pub(super) fn new<M: Meter>(
        chassis: Id,
        place: String,
        meter: M,
        sensors: Vec<Sensor>,
    ) -> Self {
        let values = sensors.iter().map(|it| (it.id.clone(), it.kind));
        let values = values.collect();
        Self::driven(
            chassis,
            sensors,
            Metering { place, meter, sensors: values },
        )
    }

    /// Sensors in `chassis` that `driver` reads.
    pub(super) fn driven(
        chassis: Id,
        sensors: Vec<Sensor>,
        driver: impl Driver,
    ) -> Self {
        let driver = Some(Box::new(driver) as Box<dyn Driver>);
        let (supplies, refers) = (Vec::new(), Vec::new());
        Self { chassis, sensors, supplies, refers, driver }
    }

    /// The same, with what of the board it names.
    pub(super) fn referring(mut self, refers: Vec<Reference>) -> Self {
        self.refers = refers;
        self
    }

    /// The same, with what feeds the chassis.
    pub(super) fn feeding(mut self, supplies: Vec<PowerSupply>) -> Self {
        self.supplies = supplies;
        self
    }
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        if let Some(chassis) = chassis_of(inventory, &self.chassis) {
            chassis.sensors.extend(self.sensors.iter().cloned());
            chassis.power_supplies.extend(self.supplies.iter().cloned());
        }
    }

    fn refers(&self) -> Vec<Reference> {
        self.refers.clone()
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        self.driver.take().into_iter().collect()
    }
}
