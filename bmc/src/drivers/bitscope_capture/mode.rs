//! What the instrument can do: trace modes with their clocks, buffers, ranges
//! (VM01B, "Trace Modes", "Buffer Modes"; ranges of VM05 and VM10).

use crate::model::Reduction;

/// The converter's clock, in ticks a second.
pub(crate) const CLOCK: f64 = 40e6;
/// What the sample memory holds, in bytes.
pub(crate) const MEMORY: u32 = 12 << 10;
/// The fastest rate at which what is before a trigger is kept, in samples a
/// second of all analog inputs together. Seen by others on a BS05.
pub(crate) const FASTEST_BEFORE: f64 = 5e6;

/// How the sample memory is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    /// One input has all of it.
    Single = 0,
    /// Two analog inputs take turns.
    Chop = 1,
    /// An analog input has one half, the logic inputs the other.
    Dual = 2,
    /// Two analog inputs take turns in one half.
    ChopDual = 3,
    /// One input has all of it, 16 bits a sample.
    Macro = 4,
    /// Two analog inputs take turns, 16 bits a sample.
    MacroChop = 5,
}

impl Buffer {
    /// How many samples fit, of all analog inputs together.
    pub(crate) fn size(self) -> u32 {
        match self {
            Self::Single | Self::Chop => MEMORY,
            _ => MEMORY / 2,
        }
    }

    /// Whether two inputs take turns.
    pub(crate) fn chops(self) -> bool {
        matches!(self, Self::Chop | Self::ChopDual | Self::MacroChop)
    }

    /// Whether samples have 16 bits.
    pub(crate) fn is_wide(self) -> bool {
        matches!(self, Self::Macro | Self::MacroChop)
    }
}

/// A trace mode.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) number: u8,
    /// How many analog inputs it records.
    pub(crate) analog: usize,
    pub(crate) logic: bool,
    pub(crate) buffer: Buffer,
    /// The clock's ticks from sample to sample.
    pub(crate) ticks: (u16, u16),
    /// By how much that can be multiplied.
    pub(crate) scale: u16,
}

const fn mode(
    name: &'static str,
    number: u8,
    analog: usize,
    logic: bool,
    buffer: Buffer,
    ticks: (u16, u16),
    scale: u16,
) -> Mode {
    Mode { name, number, analog, logic, buffer, ticks, scale }
}

/// By how much a slow clock can be divided again.
const DIVIDED: u16 = 16 << 10;
/// Not at all.
const AS_IS: u16 = 1;

/// All modes; the first that fits is taken where nobody says which.
pub(crate) static MODES: [Mode; 17] = {
    use Buffer::{Chop, ChopDual, Dual, Macro, MacroChop, Single};
    [
        mode("Analog", 0, 1, false, Single, (15, 40), DIVIDED),
        mode("AnalogFast", 4, 1, false, Single, (8, 14), AS_IS),
        mode("AnalogShot", 11, 1, false, Single, (2, 5), AS_IS),
        mode("AnalogChop", 2, 2, false, Chop, (13, 40), DIVIDED),
        mode("AnalogFastChop", 6, 2, false, Chop, (8, 40), AS_IS),
        mode("AnalogShotChop", 16, 2, false, Chop, (4, 5), AS_IS),
        mode("Mixed", 1, 1, true, Dual, (15, 40), DIVIDED),
        mode("MixedFast", 5, 1, true, Dual, (8, 14), AS_IS),
        mode("MixedShot", 12, 1, true, Dual, (2, 5), AS_IS),
        mode("MixedChop", 3, 2, true, ChopDual, (13, 40), DIVIDED),
        mode("MixedFastChop", 7, 2, true, ChopDual, (8, 40), AS_IS),
        mode("MixedShotChop", 17, 2, true, ChopDual, (4, 5), AS_IS),
        mode("Logic", 14, 0, true, Single, (5, 16384), AS_IS),
        mode("LogicFast", 15, 0, true, Single, (4, 4), AS_IS),
        mode("LogicShot", 13, 0, true, Single, (1, 3), AS_IS),
        mode("Macro", 18, 1, false, Macro, (40, 65535), AS_IS),
        mode("MacroChop", 19, 2, false, MacroChop, (40, 65535), AS_IS),
    ]
};

impl Mode {
    /// How many samples it takes for one of each input.
    pub(crate) fn turns(&self) -> u32 {
        if self.buffer.chops() { 2 } else { 1 }
    }

    /// How many samples of each input fit.
    pub(crate) fn depth(&self) -> u32 {
        self.buffer.size() / self.turns()
    }

    /// Samples a second of each input: the fewest, and the most.
    pub(crate) fn rates(&self) -> (f64, f64) {
        let (fast, slow) = self.ticks;
        let one = CLOCK / f64::from(self.turns());
        let slowest = f64::from(slow) * f64::from(self.scale);
        (one / slowest, one / f64::from(fast))
    }

    /// The clock for so many samples a second of each input: ticks, and their
    /// multiplier, as near as it can be.
    pub(crate) fn clock(&self, rate: f64) -> (u16, u16) {
        let wanted = CLOCK / (rate * f64::from(self.turns()));
        let (fast, slow) = self.ticks;
        let scale = (wanted / f64::from(slow)).ceil();
        let scale = whole(scale.clamp(1.0, self.scale.into()));
        let ticks = (wanted / f64::from(scale)).round();
        (whole(ticks.clamp(fast.into(), slow.into())), scale)
    }

    /// What a clock gives, in samples a second of each input.
    pub(crate) fn rate(&self, (ticks, scale): (u16, u16)) -> f64 {
        CLOCK / f64::from(ticks) / f64::from(scale) / f64::from(self.turns())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is clamped to what fits"
)]
fn whole(number: f64) -> u16 {
    number.clamp(0.0, f64::from(u16::MAX)) as u16
}

/// A range: volts from its bottom to its top, half of them below zero, and
/// what the converter's references are set to.
pub(crate) type Range = (f64, u16, u16);

const VM05: &[Range] = &[
    (1.1, 0x65d6, 0x69bc),
    (3.5, 0x5262, 0x7d3f),
    (5.2, 0x4468, 0x8aff),
    (11.0, 0x126a, 0xba8c),
];
const VM10: &[Range] = &[
    (0.52, 0x6554, 0x6c96),
    (1.1, 0x6147, 0x70a2),
    (3.5, 0x5086, 0x8164),
    (5.2, 0x44a7, 0x8d42),
    (11.0, 0x1c28, 0xb5c1),
];

/// The ranges of the model with this identity: `BS0005…` is a BS05, `BS0010…`
/// a BS10.
pub(crate) fn ranges(identity: &str) -> Option<&'static [Range]> {
    match identity.get(..6)? {
        "BS0005" => Some(VM05),
        "BS0010" => Some(VM10),
        _ => None,
    }
}

/// What the trigger's comparator is set to at 0 V, and a volt, in parts of
/// its whole. Measured by others on a BS05; a BS10 is taken to be the same.
const TRIGGER_ZERO: f64 = 7.5 / 18.36;
const TRIGGER_VOLT: f64 = 1.0 / 18.36;

/// The register of a trigger level, of 16 bits.
pub(crate) fn trigger_level(volts: f64) -> u16 {
    whole(((volts * TRIGGER_VOLT + TRIGGER_ZERO) * 65536.0).round())
}

/// The number of a dump mode (VM01B, "Dump Modes"; 1 is for streams).
pub(crate) fn dump_mode(reduction: Reduction) -> u8 {
    match reduction {
        Reduction::Raw => 0,
        Reduction::Summed => 2,
        Reduction::MinMax => 3,
        Reduction::AndOr => 4,
        Reduction::Native => 5,
        Reduction::Filter => 6,
        Reduction::Span => 7,
    }
}

/// How many bytes a value has on the line.
pub(crate) fn width(reduction: Reduction) -> usize {
    match reduction {
        Reduction::Raw | Reduction::Span => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_as_fast_as_the_table_says() {
        let rates = |name: &str| {
            let mode = MODES.iter().find(|mode| mode.name == name).unwrap();
            mode.rates().1 * f64::from(mode.turns())
        };
        for (name, most) in [
            ("Analog", 2.66e6),
            ("AnalogFast", 5e6),
            ("AnalogShot", 20e6),
            ("AnalogChop", 3.08e6),
            ("AnalogShotChop", 10e6),
            ("Logic", 8e6),
            ("LogicFast", 10e6),
            ("LogicShot", 40e6),
            ("Macro", 1e6),
        ] {
            assert!((rates(name) / most - 1.0).abs() < 0.01, "{name}");
        }
    }

    #[test]
    fn clocks_are_as_near_as_they_can_be() {
        let [analog, .., macro_chop] = &MODES;
        assert_eq!(analog.clock(1e6), (40, 1));
        assert_eq!(analog.clock(20e3), (40, 50));
        assert_eq!(analog.clock(1.0), (40, 16384));
        assert_eq!(analog.clock(1e9), (15, 1));
        assert_eq!(macro_chop.clock(500e3), (40, 1));
        let clock = analog.clock(33_333.0);
        assert!((analog.rate(clock) / 33_333.0 - 1.0).abs() < 0.02);
    }
}
