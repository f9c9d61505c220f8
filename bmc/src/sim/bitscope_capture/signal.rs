//! What is on the inputs of a simulated instrument.

use std::f64::consts::TAU;

use serde::Deserialize;

/// A signal, in volts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Signal {
    /// The output of the instrument's own generator.
    Generator,
    /// The same all the time.
    Level(f64),
    /// A sine.
    Sine {
        /// How often a second.
        hertz: f64,
        /// From its middle to its top.
        volts: f64,
        /// Where its middle is.
        #[serde(default)]
        offset: f64,
    },
    /// High and low for the same time; it begins high.
    Square {
        /// How often a second.
        hertz: f64,
        /// From its middle to its top.
        volts: f64,
        /// Where its middle is.
        #[serde(default)]
        offset: f64,
    },
    /// Anything between.
    Noise {
        /// From its middle to its top.
        volts: f64,
    },
}

impl Signal {
    /// Its level at a time; nothing where the generator makes it.
    #[must_use]
    pub fn volts(&self, seconds: f64) -> Option<f64> {
        Some(match self {
            Self::Generator => return None,
            Self::Level(volts) => *volts,
            Self::Sine { hertz, volts, offset } => {
                offset + volts * (TAU * hertz * seconds).sin()
            }
            Self::Square { hertz, volts, offset } => {
                let high = (hertz * seconds).fract() < 0.5;
                offset + if high { *volts } else { -volts }
            }
            Self::Noise { volts } => {
                // The same time has the same noise, whoever asks.
                let mut bits = seconds.to_bits();
                for _ in 0..3 {
                    bits ^= bits >> 29;
                    bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
                let part = f64::from((bits >> 48) as u16) / 65535.0;
                volts * (2.0 * part - 1.0)
            }
        })
    }
}

/// The signals on all inputs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// The first analog one.
    pub a: Signal,
    /// The second analog one.
    pub b: Signal,
    /// How fast the logic inputs count, in steps a second.
    pub count_hertz: f64,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            a: Signal::Sine { hertz: 1e3, volts: 2.0, offset: 0.0 },
            b: Signal::Generator,
            count_hertz: 10e3,
        }
    }
}

impl Inputs {
    /// The logic inputs: a counter.
    pub(super) fn logic(&self, seconds: f64) -> u8 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter of 8 bits goes round"
        )]
        let bits = (seconds * self.count_hertz) as u64 as u8;
        bits
    }
}
