//! GPIO lines, found by the name of the line or the label of their chip:
//! numbers of chips move from kernel to kernel.

use std::{fmt, io, path::Path, time::Duration};

use gpiocdev::{
    Request,
    chip::{Chip, chips},
    line::{EdgeDetection, EdgeKind, Offset, Value},
    request::Config,
};
use serde::{Deserialize, Serialize};

/// Which line: by its name, or by its number on a chip with that label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum LineName {
    /// `GPIO4`.
    Named(String),
    /// `{ chip = "pinctrl-rp1", line = 4 }`.
    Numbered {
        /// The label of the chip.
        chip: String,
        /// The number of the line on it.
        line: u32,
    },
}

impl fmt::Display for LineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Numbered { chip, line } => write!(f, "{chip}:{line}"),
        }
    }
}

/// The level of a line came to be this, at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Whether the line is active now.
    pub active: bool,
    /// When, by the kernel's monotonic clock.
    pub at: Duration,
}

/// A line that is driven. Dropping it leaves the line to the kernel.
pub trait Output: fmt::Debug + Send {
    /// Drives the line.
    ///
    /// # Errors
    /// What the kernel said.
    fn set(&mut self, active: bool) -> io::Result<()>;
}

/// A line that is watched.
pub trait Input: fmt::Debug + Send {
    /// Whether the line is active now.
    ///
    /// # Errors
    /// What the kernel said.
    fn level(&mut self) -> io::Result<bool>;

    /// The next edge, waiting for it at most `patience`.
    ///
    /// # Errors
    /// What the kernel said.
    fn edge(&mut self, patience: Duration) -> io::Result<Option<Edge>>;

    /// Whether edges were lost, for want of room, since this was last asked.
    fn lost(&mut self) -> bool {
        false
    }
}

/// Where lines are taken from.
pub trait GpioLines: fmt::Debug + Send + Sync {
    /// Takes `line` to drive it, first as `active`.
    ///
    /// # Errors
    /// There is no such line, or somebody else has it.
    fn output(
        &self,
        line: &LineName,
        polarity: Polarity,
        active: bool,
    ) -> io::Result<Box<dyn Output>>;

    /// Takes `line` to watch it.
    ///
    /// # Errors
    /// There is no such line, or somebody else has it.
    fn input(
        &self,
        line: &LineName,
        polarity: Polarity,
    ) -> io::Result<Box<dyn Input>>;

    /// Takes `line` to watch it, and says whether who has the lines leaves out
    /// levels that did not last for `period`: its edges are then late by that.
    ///
    /// # Errors
    /// There is no such line, or somebody else has it.
    fn debounced(
        &self,
        line: &LineName,
        polarity: Polarity,
        period: Duration,
    ) -> io::Result<(Box<dyn Input>, bool)> {
        let _ = period;
        Ok((self.input(line, polarity)?, false))
    }
}

/// Which voltage means active.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// The high one.
    #[default]
    ActiveHigh,
    /// The low one.
    ActiveLow,
}

/// The lines of the kernel's chips, `/dev/gpiochip*`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelGpio;

/// Who has our lines, as `gpioinfo` shows it.
const CONSUMER: &str = "onprem-bmc";

impl KernelGpio {
    fn find(line: &LineName) -> io::Result<(Chip, Offset)> {
        let known = chips().map_err(io::Error::other)?;
        let opened = known.iter().filter_map(|path| open(path));
        let mut busy = false;
        for (chip, label) in opened {
            let offset = match line {
                LineName::Named(name) => {
                    chip.find_line_info(name).map(|info| info.offset)
                }
                LineName::Numbered { chip, line } => {
                    (*chip == label).then_some(*line)
                }
            };
            let Some(offset) = offset else { continue };
            match chip.line_info(offset) {
                Ok(info) if info.used => busy = true,
                Ok(_) => return Ok((chip, offset)),
                Err(_) => {}
            }
        }
        let (kind, why) = if busy {
            (io::ErrorKind::ResourceBusy, "is taken by somebody else")
        } else {
            (io::ErrorKind::NotFound, "is on no chip of this machine")
        };
        Err(io::Error::new(kind, format!("line {line} {why}")))
    }

    fn request(line: &LineName, mut config: Config) -> io::Result<Request> {
        let (chip, offset) = Self::find(line)?;
        config.with_line(offset);
        Request::from_config(config)
            .on_chip(chip.path())
            .with_consumer(CONSUMER)
            .request()
            .map_err(|error| told(line, &error))
    }
}

fn open(path: &Path) -> Option<(Chip, String)> {
    let chip = Chip::from_path(path).ok()?;
    let label = chip.info().ok()?.label;
    Some((chip, label))
}

fn told(line: &LineName, error: &gpiocdev::Error) -> io::Error {
    io::Error::other(format!("line {line}: {error}"))
}

fn configured(polarity: Polarity) -> Config {
    let mut config = Config::default();
    match polarity {
        Polarity::ActiveHigh => config.as_active_high(),
        Polarity::ActiveLow => config.as_active_low(),
    };
    config
}

impl GpioLines for KernelGpio {
    fn output(
        &self,
        line: &LineName,
        polarity: Polarity,
        active: bool,
    ) -> io::Result<Box<dyn Output>> {
        let mut config = configured(polarity);
        config.as_output(active.into());
        let request = Self::request(line, config)?;
        Ok(Box::new(KernelLine::new(line, request)))
    }

    fn input(
        &self,
        line: &LineName,
        polarity: Polarity,
    ) -> io::Result<Box<dyn Input>> {
        let mut config = configured(polarity);
        config.as_input().with_edge_detection(EdgeDetection::BothEdges);
        let request = Self::request(line, config)?;
        Ok(Box::new(KernelLine::new(line, request)))
    }

    fn debounced(
        &self,
        line: &LineName,
        polarity: Polarity,
        period: Duration,
    ) -> io::Result<(Box<dyn Input>, bool)> {
        if period.is_zero() {
            return Ok((self.input(line, polarity)?, true));
        }
        let mut config = configured(polarity);
        config
            .as_input()
            .with_edge_detection(EdgeDetection::BothEdges)
            .with_debounce_period(period);
        match Self::request(line, config) {
            Ok(request) => Ok((Box::new(KernelLine::new(line, request)), true)),
            // Kernels before 5.10 have no word for it. Whatever else is wrong
            // is wrong without it as well.
            Err(error) => {
                let input = self.input(line, polarity)?;
                tracing::debug!(%line, %error, "not debounced by the kernel");
                Ok((input, false))
            }
        }
    }
}

/// A line of the kernel that is ours.
#[derive(Debug)]
struct KernelLine {
    line: LineName,
    request: Request,
    /// The number of the last edge, where the kernel counts them.
    number: u32,
    lost: bool,
}

impl KernelLine {
    fn new(line: &LineName, request: Request) -> Self {
        Self { line: line.clone(), request, number: 0, lost: false }
    }
}

impl Output for KernelLine {
    fn set(&mut self, active: bool) -> io::Result<()> {
        let set = self.request.set_lone_value(active.into());
        set.map_err(|error| told(&self.line, &error))
    }
}

impl Input for KernelLine {
    fn level(&mut self) -> io::Result<bool> {
        let value = self.request.lone_value();
        let value = value.map_err(|error| told(&self.line, &error))?;
        Ok(value == Value::Active)
    }

    fn edge(&mut self, patience: Duration) -> io::Result<Option<Edge>> {
        let told = |error| told(&self.line, &error);
        if !self.request.wait_edge_event(patience).map_err(told)? {
            return Ok(None);
        }
        // Room for one: `read_edge_event` of gpiocdev reads up to eight and
        // says the first only, unless both kernel interfaces are built in.
        let mut room = vec![0; self.request.edge_event_u64_size()];
        let request = &self.request;
        let read = request.read_edge_events_into_slice(&mut room);
        let read = read.map_err(told)?;
        let event = room.get(..read).unwrap_or_default();
        let event = request.edge_event_from_slice(event).map_err(told)?;
        // The first edge is number 1; an old kernel says 0 each time.
        let next = self.number.wrapping_add(1);
        self.lost |= event.line_seqno != 0 && event.line_seqno != next;
        self.number = event.line_seqno;
        Ok(Some(Edge {
            active: event.kind == EdgeKind::Rising,
            at: Duration::from_nanos(event.timestamp_ns),
        }))
    }

    fn lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}
