//! The waveform generator: a table, a wave made of it, and a clock that sends
//! it out (VM01B, commands `Y`, `X` and `Z`; the values that the documents do
//! not give are those which others drive a BS05 with).

use super::{
    register::{self as reg, Register},
    vm::{Error, Vm},
};
use crate::model::{CaptureFault, Generator, Wave};

/// The generator's clock, in ticks a second.
const CLOCK: f64 = 40e6;
/// The fewest ticks from sample to sample.
const FASTEST: u32 = 33;
/// How many samples its memory and its table have.
const MEMORY: f64 = 1024.0;
/// The fewest samples of a period.
const COARSEST: f64 = 20.0;
/// The highest voltage that it makes; the lowest is 0 V.
pub(crate) const HIGHEST: f64 = 3.33;
/// How far a frequency may be from what was asked for, as a part of it.
const NEAR: f64 = 1e-3;

/// [`reg::GENERATOR_COMMAND`]: make a table or a wave; stop; go.
const MAKE: u32 = 0;
const STOP: u32 = 1;
const GO: u32 = 2;
/// What a real one is set to beside what matters.
const OPTION: u32 = 0x8004;
const REST: u32 = 0x7f00;
const MARK: u32 = 10;
const SPACE: u32 = 1;

/// A wave in the generator's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    wave: Wave,
    duty: f64,
    volts: f64,
    offset: f64,
    /// Ticks from sample to sample.
    clock: u32,
    /// Samples in memory, and whole periods of them.
    size: u32,
    periods: u32,
}

fn fault(
    field: &'static str,
    value: f64,
    allowed: impl Into<String>,
) -> CaptureFault {
    CaptureFault { field, value: value.to_string(), allowed: allowed.into() }
}

impl Tone {
    /// What `wanted` comes to; nothing where it is to be silent.
    ///
    /// # Errors
    /// It names the value that cannot be.
    pub(crate) fn new(
        wanted: &Generator,
    ) -> Result<Option<Self>, CaptureFault> {
        let Generator::On { wave, hertz, volts, offset, duty } = *wanted else {
            return Ok(None);
        };
        if !(volts > 0.0 && volts <= HIGHEST) {
            let allowed = format!("more than 0 and up to {HIGHEST}");
            return Err(fault("GeneratorLevelVolts", volts, allowed));
        }
        let room = (HIGHEST - volts) / 2.0;
        if offset.is_nan() || offset.abs() > room + 1e-9 {
            let allowed = format!("-{room:.3} to {room:.3} at this level");
            return Err(fault("GeneratorOffsetVolts", offset, allowed));
        }
        if !(0.0..=100.0).contains(&duty) {
            return Err(fault("GeneratorDutyPercent", duty, "0 to 100"));
        }
        let (clock, size, periods) = clock(hertz).ok_or_else(|| {
            let most = CLOCK / f64::from(FASTEST) / COARSEST;
            let least = CLOCK / f64::from(u16::MAX) / MEMORY;
            let allowed = format!("{least:.1} to {most:.0}");
            fault("GeneratorFrequencyHz", hertz, allowed)
        })?;
        Ok(Some(Self { wave, duty, volts, offset, clock, size, periods }))
    }

    /// Starts it.
    ///
    /// # Errors
    /// What came back.
    pub(crate) fn start(&self, vm: &mut Vm) -> Result<(), Error> {
        vm.set(&self.table(), "Y")?;
        vm.set(&self.translation(), "X")?;
        vm.set(&self.generation(), "Z")?;
        vm.set(&[(reg::KITCHEN_SINK_B, reg::GENERATOR.into())], "U")
    }

    fn table(&self) -> [(Register, u32); 3] {
        let mode = match self.wave {
            Wave::Sine => 0,
            Wave::Triangle => 1,
            Wave::Exponential => 2,
            Wave::Square => 3,
        };
        [
            (reg::GENERATOR_COMMAND, MAKE),
            (reg::GENERATOR_MODE, mode),
            (reg::GENERATOR_RATIO, fixed(self.duty / 100.0)),
        ]
    }

    fn translation(&self) -> [(Register, u32); 8] {
        let step = f64::from(self.periods) * MEMORY / f64::from(self.size);
        let level = fixed(self.volts / HIGHEST).min(0xffff);
        [
            (reg::GENERATOR_COMMAND, MAKE),
            (reg::GENERATOR_MODE, 0),
            (reg::GENERATOR_LEVEL, level),
            (reg::GENERATOR_OFFSET, fixed(self.offset / HIGHEST) & 0xffff),
            (reg::GENERATOR_RATIO, fixed(step)),
            (reg::GENERATOR_INDEX, 0),
            (reg::GENERATOR_ADDRESS, 0),
            (reg::GENERATOR_SIZE, self.size),
        ]
    }

    fn generation(&self) -> [(Register, u32); 8] {
        [
            (reg::GENERATOR_COMMAND, GO),
            (reg::GENERATOR_MODE, 0),
            (reg::GENERATOR_CLOCK, self.clock),
            (reg::GENERATOR_MODULO, self.size),
            (reg::GENERATOR_MARK, MARK),
            (reg::GENERATOR_SPACE, SPACE),
            (reg::GENERATOR_REST, REST),
            (reg::GENERATOR_OPTION, OPTION),
        ]
    }
}

/// Silences it.
///
/// # Errors
/// What came back.
pub(crate) fn stop(vm: &mut Vm) -> Result<(), Error> {
    let stop = [(reg::GENERATOR_COMMAND, STOP), (reg::GENERATOR_MODE, 0)];
    vm.set(&stop, "Z")?;
    vm.set(&[(reg::KITCHEN_SINK_B, 0)], "U")
}

/// A number with 16 bits behind the point, as its two's complement.
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
fn fixed(number: f64) -> u32 {
    ((number * 65536.0).round() as i32).cast_unsigned()
}

/// Ticks, samples and periods that make `hertz`: the finest that are near
/// enough.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples are at most 1,024"
)]
fn clock(hertz: f64) -> Option<(u32, u32, u32)> {
    if !hertz.is_finite() || hertz <= 0.0 {
        return None;
    }
    for clock in FASTEST..=u32::from(u16::MAX) {
        let period = CLOCK / hertz / f64::from(clock);
        if period > MEMORY {
            continue;
        }
        if period < COARSEST {
            return None;
        }
        let periods = (MEMORY / period).floor();
        let size = (periods * period).round();
        if (size / periods / period - 1.0).abs() <= NEAR {
            return Some((clock, size as u32, periods as u32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_near_enough_or_refused() {
        for hertz in [0.7, 50.0, 1e3, 12_345.0, 60e3] {
            let (clock, size, periods) = clock(hertz).unwrap();
            let made =
                CLOCK / f64::from(clock) / f64::from(size) * f64::from(periods);
            assert!((made / hertz - 1.0).abs() <= NEAR, "{hertz}: {made}");
        }
        for hertz in [0.0, -1.0, 0.5, 70e3, f64::NAN] {
            assert_eq!(clock(hertz), None, "{hertz}");
        }
    }

    #[test]
    fn values_are_refused_by_name() {
        let on = Generator::On {
            wave: Wave::Sine,
            hertz: 1e3,
            volts: 2.0,
            offset: 0.7,
            duty: 50.0,
        };
        let error = Tone::new(&on).unwrap_err().to_string();
        let said =
            "`GeneratorOffsetVolts` is 0.7; -0.665 to 0.665 at this level";
        assert_eq!(error, said);
    }
}
