//! Captures: what an instrument is asked to record, and what it recorded.

use std::{fmt, str::FromStr, sync::atomic::AtomicBool, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Id;

/// Something that records signals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instrument {
    /// The segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Which model it says it is, once it was asked.
    pub model: Option<String>,
    /// The sensors that say whether it is there.
    pub sensors: Vec<Id>,
    /// The ranges it has, in volts from the bottom to the top.
    pub ranges: Vec<f64>,
    /// Its trace modes.
    pub modes: Vec<&'static str>,
    /// Samples a second: the fewest, and the most.
    pub rates: (f64, f64),
    /// The most samples that one capture has.
    pub depth: u32,
}

/// An input of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// The first analog one.
    A,
    /// The second analog one.
    B,
    /// One of eight logic ones.
    Logic(u8),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A => f.write_str("A"),
            Self::B => f.write_str("B"),
            Self::Logic(line) => write!(f, "L{line}"),
        }
    }
}

impl FromStr for Input {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "A" => Ok(Self::A),
            "B" => Ok(Self::B),
            _ => {
                let line = text.strip_prefix('L').ok_or(())?;
                let line: u8 = line.parse().map_err(|_| ())?;
                if line < 8 { Ok(Self::Logic(line)) } else { Err(()) }
            }
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$about])* $word,)* }

        impl $name {
            /// The one that Redfish calls so.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                match word {
                    $(stringify!($word) => Some(Self::$word),)*
                    _ => None,
                }
            }

            /// What Redfish calls it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)* }
            }
        }
    };
}

words! {
    /// What becomes of the samples on their way out of the instrument.
    Reduction {
        /// Each is sent, as 8 bits.
        Raw,
        /// Each is sent, as 16 bits.
        Native,
        /// The sum of a block of them, shown as its mean.
        Summed,
        /// The lowest and the highest of a block.
        MinMax,
        /// What all of a block have set, and what any has: logic inputs.
        AndOr,
        /// A block, low-pass filtered.
        Filter,
        /// How far the highest of a block is above the lowest.
        Span,
    }
}

words! {
    /// What makes a trigger.
    Slope {
        /// The signal comes from below and stays above.
        Rising,
        /// The signal comes from above and stays below.
        Falling,
        /// The signal is above.
        High,
        /// The signal is below.
        Low,
    }
}

words! {
    /// A wave that a generator makes.
    Wave {
        /// A sine.
        Sine,
        /// Up and down in straight lines.
        Triangle,
        /// Charged and discharged.
        Exponential,
        /// High and low.
        Square,
    }
}

/// What starts a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// An analog input crosses a level in volts.
    Analog(Input, f64),
    /// Logic inputs are as the pattern says, the input 7 first.
    Pattern([Option<bool>; 8]),
}

/// When to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// What is looked at.
    pub source: Source,
    /// What it has to do.
    pub slope: Slope,
    /// How many samples a level has to last to count.
    pub filter: u16,
    /// How much later the recording begins, in microseconds.
    pub delay_us: u32,
    /// Record what there is when nothing comes in time.
    pub automatic: bool,
}

/// What the generator of an instrument shall do from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Generator {
    /// Nothing.
    Off,
    /// A wave.
    On {
        /// Its shape.
        wave: Wave,
        /// How often a second.
        hertz: f64,
        /// From the bottom to the top, in volts.
        volts: f64,
        /// Where its middle is, in volts.
        offset: f64,
        /// How much of a period it is high or rises, in percent.
        duty: f64,
    },
}

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureRequest {
    /// From which inputs.
    pub inputs: Vec<Input>,
    /// Samples a second of each.
    pub rate: f64,
    /// How many of each.
    pub samples: u32,
    /// How many of them before the trigger.
    pub before: u32,
    /// From the bottom to the top of what can be told apart, in volts.
    pub range: f64,
    /// How the instrument shall record; what fits where nothing is said.
    pub mode: Option<String>,
    /// What shall be sent of it.
    pub reduction: Option<Reduction>,
    /// How many samples make one value, where they are reduced.
    pub block: Option<u32>,
    /// When to record; at once where nothing is said.
    pub trigger: Option<Trigger>,
    /// How long to wait for it.
    pub patience: Duration,
    /// What the generator does; as before where nothing is said.
    pub generator: Option<Generator>,
}

/// A value of a request that the instrument cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}; {allowed}")]
pub struct CaptureFault {
    /// The parameter, as Redfish calls it.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What it could be.
    pub allowed: String,
}

/// Somebody who asked for a capture: whether it is still wanted, and how far
/// it is.
pub struct CaptureAsked<'a> {
    /// Set when nobody wants it any more.
    pub cancelled: &'a AtomicBool,
    /// Told how much is done, in percent.
    pub progress: &'a dyn Fn(u8),
}

impl fmt::Debug for CaptureAsked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureAsked").finish_non_exhaustive()
    }
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It cannot be.
    #[error(transparent)]
    Fault(#[from] CaptureFault),
    /// It records for somebody else.
    #[error("the instrument is busy")]
    Busy,
    /// What it should be triggered by did not come.
    #[error("there was no trigger within {} s", .0.as_secs_f64())]
    NoTrigger(Duration),
    /// Nobody wants it any more.
    #[error("it was cancelled")]
    Cancelled,
    /// The instrument did not do what it should.
    #[error("{0}")]
    Failed(String),
}

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// Which model recorded it.
    pub model: String,
    /// How.
    pub mode: String,
    /// What was sent of it.
    pub reduction: Reduction,
    /// How many samples make one value.
    pub block: u32,
    /// Values a second of each series.
    pub rate: f64,
    /// From the bottom to the top, in volts.
    pub range: f64,
    /// Whether the trigger came, or nobody had asked for one.
    pub triggered: bool,
    /// Which value is the first after the trigger.
    pub trigger: u32,
    /// When that was, by this machine's clock.
    pub at: DateTime<Utc>,
    /// The analog series.
    pub analog: Vec<Series>,
    /// The logic series, eight inputs a byte.
    pub logic: Vec<LogicSeries>,
    /// The logic inputs that were recorded, by bit.
    pub lines: u8,
}

impl Capture {
    /// How many values each series has.
    #[must_use]
    pub fn values(&self) -> usize {
        let analog = self.analog.iter().map(|series| series.volts.len());
        let logic = self.logic.iter().map(|series| series.bits.len());
        analog.chain(logic).max().unwrap_or_default()
    }
}

/// Values of one analog input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The input, and what was reduced.
    pub name: String,
    /// The values.
    pub volts: Vec<f32>,
}

/// Values of the logic inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicSeries {
    /// What was reduced, if anything.
    pub name: String,
    /// The values, the input 0 in the lowest bit.
    pub bits: Vec<u8>,
}
