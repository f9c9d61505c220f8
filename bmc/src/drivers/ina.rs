//! What the monitors of rails of Texas Instruments' have in common: a register
//! that says how they measure, and two for each rail, of what falls through
//! its resistor and of its voltage.

use super::{
    meter::{Error, Fitted, Meter, Setup, Value},
    rail::{Brought, Rail},
};
use crate::{
    boards::part::{Fitting, Part},
    bus::Chip,
    sim::registers::Registers,
};

/// How it measures.
pub(super) const CONFIGURATION: u8 = 0x00;
/// What falls through the resistor of the first rail; its voltage is in the
/// register after it, and so on for the others.
pub(super) const SHUNT: u8 = 0x01;
/// Who made it, and which part it is.
pub(super) const MANUFACTURER_ID: u8 = 0xfe;
pub(super) const DIE_ID: u8 = 0xff;
/// What it says of its maker: "TI".
const TEXAS: u16 = 0x5449;
/// Where it is if its address pins are low.
pub(super) const ADDRESS: u8 = 0x40;

/// What tells one of them from the others.
#[derive(Debug)]
pub(super) struct Facts {
    /// What board files call it.
    pub(super) word: &'static str,
    /// To [`CONFIGURATION`].
    pub(super) setup: u16,
    /// Which bits of [`DIE_ID`] say which part it is, and what they say; some
    /// do not say it.
    pub(super) identity: Option<(u16, u16)>,
    /// The volts of a rail, of its register.
    pub(super) volts: fn(u16) -> f64,
    /// The volts that fall through a resistor, of its register; none where
    /// they are beyond its range.
    pub(super) drop: fn(u16) -> Option<f64>,
    /// The most that the part stands, in volts.
    pub(super) most_volts: f64,
    /// The most that falls through a resistor, in volts.
    pub(super) most_drop: f64,
    pub(super) simulator: fn() -> Registers,
}

/// One on its bus.
#[derive(Debug)]
pub(super) struct Ina {
    facts: &'static Facts,
    chip: Chip,
    setup: Setup,
    /// With their numbers, from 0 on.
    rails: Vec<(u8, Rail)>,
}

impl Ina {
    /// The chip that is to watch `rails` as `setup` tells it to.
    pub(super) fn new(
        facts: &'static Facts,
        chip: Chip,
        setup: u16,
        rails: Vec<(u8, Rail)>,
    ) -> Self {
        let setup = Setup::new(CONFIGURATION, u16::MAX, setup);
        Self { facts, chip, setup, rails }
    }

    /// Checks that the chip is the part.
    fn identify(&self, (mask, wanted): (u16, u16)) -> Result<(), Error> {
        for (register, mask, wanted) in
            [(MANUFACTURER_ID, u16::MAX, TEXAS), (DIE_ID, mask, wanted)]
        {
            let found = self.chip.read_word_swapped(register)?;
            if found & mask != wanted {
                let place = self.chip.place();
                return Err(Error::WrongPart { register, place, found });
            }
        }
        Ok(())
    }
}

impl Meter for Ina {
    fn measure(&mut self) -> Result<Vec<Value>, Error> {
        if let Some(identity) = self.facts.identity
            && !self.setup.is_known()
        {
            self.identify(identity)?;
        }
        if !self.setup.is_done(&self.chip)? {
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        for (number, rail) in &self.rails {
            let register = SHUNT + 2 * number;
            let shunt = self.chip.read_word_swapped(register)?;
            let bus = self.chip.read_word_swapped(register + 1)?;
            let over = || Error::OverRange {
                register,
                place: self.chip.place(),
                found: shunt,
            };
            let (volts, drop) = (self.facts.volts, self.facts.drop);
            values.extend(rail.values(volts(bus), drop(shunt), over));
        }
        Ok(values)
    }

    fn lost(&mut self) {
        self.setup.forget();
    }
}

/// Fits one that watches one rail.
pub(super) fn fit_one(
    fitting: &mut Fitting<'_>,
    facts: &'static Facts,
) -> Result<Box<dyn Part>, String> {
    let rail: Rail = fitting.options()?;
    rail.check()?;
    let id = fitting.id.to_string();
    let rails = vec![(0, id, String::new(), rail)];
    fit(fitting, facts, facts.setup, rails)
}

/// Fits one that watches `rails`, each with its number, its id, and what is
/// said of where it is.
pub(super) fn fit(
    fitting: &mut Fitting<'_>,
    facts: &'static Facts,
    setup: u16,
    rails: Vec<(u8, String, String, Rail)>,
) -> Result<Box<dyn Part>, String> {
    let chip = fitting.i2c(ADDRESS, facts.simulator)?;
    let place = format!("{} {}", facts.word, chip.place());
    let (mut sensors, mut supplies) = (Vec::new(), Vec::new());
    for (_, id, at, rail) in &rails {
        let source = format!("{place}{at}");
        let Brought { sensors: own, supply } =
            rail.describe(id, &source, facts.most_volts, facts.most_drop);
        sensors.extend(own);
        supplies.extend(supply);
    }
    let rails = rails.into_iter().map(|(number, .., rail)| (number, rail));
    let meter = Ina::new(facts, chip, setup, rails.collect());
    let chassis = fitting.chassis.clone();
    let fitted = Fitted::new(chassis, place, meter, sensors);
    Ok(Box::new(fitted.feeding(supplies)))
}
