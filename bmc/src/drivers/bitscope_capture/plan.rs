//! From what somebody asks for to what the registers are set to.

use std::fmt::Display;

use super::{
    mode::{
        CLOCK, FASTEST_BEFORE, MODES, Mode, Range, ranges, trigger_level, width,
    },
    register::{
        self as reg, COMPARATOR, COMPARATOR_A, COMPARATOR_B, FILTER, INVERT,
        Register, SOURCE_B,
    },
};
use crate::model::{
    CaptureFault, CaptureRequest, Input, Reduction, Slope, Source, Trigger,
};

/// How far the rate may be from what was asked for, as a part of it.
const NEAR: f64 = 0.01;
/// The instrument's own time-out, in seconds a step, and its longest.
const TIMEOUT_STEP: f64 = 6.4e-6;
const TIMEOUT_LONGEST: f64 = 0.4;
/// The most samples that a trigger's level can be asked to last.
const FILTER_LONGEST: u16 = 1000;
/// The longest a trigger can be delayed, in microseconds.
const DELAY_LONGEST: u32 = 10_000_000;
/// The largest block whose sum fits.
const BLOCK: u32 = 128;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mode: &'static Mode,
    pub(crate) clock: (u16, u16),
    /// The analog inputs, in the order of their dump channels.
    pub(crate) analog: Vec<Input>,
    /// The logic inputs, by bit.
    pub(crate) lines: u8,
    /// How many samples of each input.
    pub(crate) samples: u32,
    /// How many of them are before the trigger.
    pub(crate) before: u32,
    pub(crate) range: Range,
    pub(crate) reduction: Reduction,
    pub(crate) block: u32,
    pub(crate) trigger: Option<Trigger>,
    /// The instrument's own time-out; 0 for none.
    timeout: u16,
}

fn fault(
    field: &'static str,
    value: &dyn Display,
    allowed: impl Into<String>,
) -> CaptureFault {
    CaptureFault { field, value: format!("{value}"), allowed: allowed.into() }
}

/// Numbers for people, without what does not matter.
fn shown(number: f64) -> String {
    if number >= 100.0 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Plan {
    /// What `request` comes to on the model that says `identity`.
    ///
    /// # Errors
    /// It names the first value that cannot be.
    pub(crate) fn new(
        request: &CaptureRequest,
        identity: &str,
    ) -> Result<Self, CaptureFault> {
        let analog: Vec<Input> = [Input::A, Input::B]
            .into_iter()
            .filter(|input| request.inputs.contains(input))
            .collect();
        let lines = request.inputs.iter().fold(0, |lines, input| match input {
            Input::Logic(line) => lines | 1 << line,
            _ => lines,
        });
        if request.inputs.is_empty() {
            let allowed = "name some of A, B and L0 to L7";
            return Err(fault("Channels", &"empty", allowed));
        }
        let mode = mode(request, analog.len(), lines != 0)?;
        let clock = mode.clock(request.rate);
        let depth = mode.depth();
        if !(1..=depth).contains(&request.samples) {
            let allowed = format!("mode {} has 1 to {depth}", mode.name);
            return Err(fault("Samples", &request.samples, allowed));
        }
        let (reduction, block) = reduction(request, mode)?;
        let before = request.before;
        if before > request.samples {
            let allowed = format!("0 to `Samples`, {}", request.samples);
            return Err(fault("PreTriggerSamples", &before, allowed));
        }
        let fastest = mode.rate(clock) * f64::from(mode.turns());
        if before > 0 && fastest > FASTEST_BEFORE {
            let rate = shown(fastest);
            let allowed = format!(
                "0 at {rate} samples a second: above 5000000 nothing is kept before the trigger"
            );
            return Err(fault("PreTriggerSamples", &before, allowed));
        }
        let known = ranges(identity).unwrap_or_default();
        let range = known.iter().find(|range| same(range.0, request.range));
        let Some(range) = range else {
            let all: Vec<_> = known.iter().map(|it| shown(it.0)).collect();
            let allowed = format!("one of {}", all.join(", "));
            return Err(fault("RangeVolts", &shown(request.range), allowed));
        };
        if let Some(trigger) = &request.trigger {
            check(trigger, range.0)?;
            let room = request.samples - before;
            if u32::from(trigger.filter) > room {
                let allowed = format!("1 to {room}, what is after the trigger");
                let field = "TriggerFilterSamples";
                return Err(fault(field, &trigger.filter, allowed));
            }
            if trigger.delay_us > 0 && before > 0 {
                let allowed = "0 where the recording is delayed";
                return Err(fault("PreTriggerSamples", &before, allowed));
            }
        } else if before > 0 {
            let allowed = "0 without a trigger";
            return Err(fault("PreTriggerSamples", &before, allowed));
        }
        let mut plan = Self {
            mode,
            clock,
            analog,
            lines,
            samples: request.samples,
            before,
            range: *range,
            reduction,
            block,
            trigger: request.trigger.clone(),
            timeout: 0,
        };
        // What the instrument cannot wait out, whoever asked does.
        let patience = request.patience.as_secs_f64() + plan.seconds();
        if plan.trigger.is_some() && patience <= TIMEOUT_LONGEST {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is at most 62,500"
            )]
            let steps = (patience / TIMEOUT_STEP).ceil() as u16;
            plan.timeout = steps.max(1);
        }
        Ok(plan)
    }

    /// How long the recording takes, in seconds, without the wait.
    pub(crate) fn seconds(&self) -> f64 {
        let delay = self.trigger.as_ref().map_or(0, |it| it.delay_us);
        f64::from(self.samples) / self.mode.rate(self.clock)
            + f64::from(delay) * 1e-6
    }

    /// Samples of all analog inputs together.
    pub(crate) fn total(&self) -> u32 {
        self.samples * self.mode.turns()
    }

    /// How many values of each series are sent.
    pub(crate) fn values(&self) -> u32 {
        (self.samples / self.block).max(1)
    }

    /// Bytes of a value.
    pub(crate) fn width(&self) -> usize {
        width(self.reduction)
    }

    /// What the registers are set to for the recording, where the generator
    /// has its pin or not.
    pub(crate) fn registers(&self, generator: u8) -> Vec<(Register, u32)> {
        let (ticks, scale) = self.clock;
        let (_, low, high) = self.range;
        let enable = self.analog.iter().fold(0, |enable, input| {
            enable | if *input == Input::B { 2 } else { 1 }
        });
        let filter = if self.analog.is_empty() { 0 } else { FILTER };
        let mut values = vec![
            (reg::TRACE_MODE, self.mode.number.into()),
            (reg::BUFFER_MODE, self.mode.buffer as u32),
            (reg::SAMPLE_ADDRESS, 0),
            (reg::CLOCK_TICKS, ticks.into()),
            (reg::CLOCK_SCALE, scale.into()),
            (reg::TIMEOUT, self.timeout.into()),
            (reg::PRELUDE, 0),
            (reg::CONVERTER_LOW, low.into()),
            (reg::CONVERTER_HIGH, high.into()),
            (reg::ANALOG_ENABLE, enable),
            (reg::DIGITAL_ENABLE, self.lines.into()),
            (reg::KITCHEN_SINK_B, u32::from(filter | generator)),
        ];
        values.extend(self.trigger_registers());
        values
    }

    /// What is about the trigger. What its filter looks at is recorded as
    /// well, and counts neither before nor after it.
    fn trigger_registers(&self) -> [(Register, u32); 10] {
        let (mut logic, mut mask, mut option) = (0_u8, u8::MAX, 0_u8);
        let (mut level, mut comparators) = (0, 0);
        let (mut delay, mut intro, mut outro) = (0, 0, 0);
        if let Some(trigger) = &self.trigger {
            match trigger.source {
                Source::Analog(input, volts) => {
                    let line = if input == Input::B {
                        option |= SOURCE_B;
                        COMPARATOR_B
                    } else {
                        COMPARATOR_A
                    };
                    (option, comparators) = (option | COMPARATOR, line);
                    (logic, mask) = (line, !line);
                    level = trigger_level(volts);
                }
                Source::Pattern(pattern) => {
                    for (bit, wanted) in pattern.iter().rev().enumerate() {
                        let Some(wanted) = wanted else { continue };
                        mask &= !(1 << bit);
                        logic |= u8::from(*wanted) << bit;
                    }
                }
            }
            if matches!(trigger.slope, Slope::Falling | Slope::Low) {
                option |= INVERT;
            }
            delay = trigger.delay_us;
            outro = trigger.filter;
            if matches!(trigger.slope, Slope::Rising | Slope::Falling) {
                intro = outro;
            }
        }
        let before = self.before * self.mode.turns();
        let mut after = self.total() - before;
        if delay == 0 {
            after = after.saturating_sub(outro.into());
        }
        [
            (reg::TRACE_INTRO, before.saturating_sub(intro.into())),
            (reg::TRACE_OUTRO, after),
            (reg::TRIGGER_LOGIC, logic.into()),
            (reg::TRIGGER_MASK, mask.into()),
            (reg::SPOCK_OPTION, option.into()),
            (reg::TRIGGER_LEVEL, level.into()),
            (reg::KITCHEN_SINK_A, comparators.into()),
            (reg::TRACE_DELAY, delay),
            (reg::TRIGGER_INTRO, intro.into()),
            (reg::TRIGGER_OUTRO, outro.into()),
        ]
    }

    /// What the registers are set to for sending what was recorded by
    /// `channel` before the address that the instrument came to.
    pub(crate) fn dump(
        &self,
        address: u32,
        channel: u8,
    ) -> [(Register, u32); 8] {
        let size = self.mode.buffer.size();
        let address = address - address % self.mode.turns();
        let start = (address + size - self.total() % size) % size;
        [
            (reg::SAMPLE_ADDRESS, start),
            (reg::BUFFER_MODE, self.mode.buffer as u32),
            (reg::DUMP_MODE, super::mode::dump_mode(self.reduction).into()),
            (reg::DUMP_CHANNEL, channel.into()),
            (reg::DUMP_COUNT, self.values()),
            (reg::DUMP_REPEAT, 1),
            (reg::DUMP_SEND, self.block),
            (reg::DUMP_SKIP, 0),
        ]
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

/// The mode that fits.
fn mode(
    request: &CaptureRequest,
    analog: usize,
    logic: bool,
) -> Result<&'static Mode, CaptureFault> {
    if let Some(name) = &request.mode
        && !MODES.iter().any(|mode| mode.name == name)
    {
        let names: Vec<_> = MODES.iter().map(|mode| mode.name).collect();
        let allowed = format!("one of {}", names.join(", "));
        return Err(fault("TraceMode", &name, allowed));
    }
    let named = |mode: &&Mode| match &request.mode {
        Some(name) => mode.name == name,
        // More bits are asked for by name.
        None => !mode.buffer.is_wide(),
    };
    let fits = |mode: &&Mode| mode.analog == analog && mode.logic == logic;
    let fitting: Vec<_> = MODES.iter().filter(named).filter(fits).collect();
    if fitting.is_empty() {
        let name = request.mode.clone().unwrap_or_default();
        let of = MODES.iter().find(|mode| mode.name == name);
        let (wanted, lines) = of.map_or((0, false), |it| (it.analog, it.logic));
        let lines = if lines { " and logic channels" } else { "" };
        let allowed = format!("it records {wanted} analog channels{lines}");
        return Err(fault("TraceMode", &name, allowed));
    }
    let near = |mode: &&&Mode| {
        let rate = mode.rate(mode.clock(request.rate));
        (rate / request.rate - 1.0).abs() <= NEAR
    };
    let enough = |mode: &&&Mode| request.samples <= mode.depth();
    let mut found = fitting.iter().filter(near);
    let first = found.clone().next();
    if let Some(mode) = found.find(enough).or(first) {
        return Ok(mode);
    }
    let bounds: Vec<_> = fitting
        .iter()
        .map(|mode| {
            let (least, most) = mode.rates();
            let (least, most) = (shown(least), shown(most));
            format!("{least} to {most} in mode {}", mode.name)
        })
        .collect();
    let mut allowed = bounds.join(", ");
    let rates = fitting.iter().map(|it| it.rate(it.clock(request.rate)));
    let nearest = rates.min_by(|a, b| {
        let off = |rate: f64| (rate - request.rate).abs();
        off(*a).total_cmp(&off(*b))
    });
    if let Some(nearest) = nearest {
        allowed = format!("{allowed}; the nearest is {}", shown(nearest));
    }
    Err(fault("SampleRateHz", &shown(request.rate), allowed))
}

fn reduction(
    request: &CaptureRequest,
    mode: &Mode,
) -> Result<(Reduction, u32), CaptureFault> {
    use Reduction::{AndOr, Native, Raw};
    let usual = if mode.buffer.is_wide() { Native } else { Raw };
    let reduction = request.reduction.unwrap_or(usual);
    let fits = match reduction {
        Raw => true,
        AndOr => mode.analog == 0,
        _ => !mode.logic,
    };
    if !fits {
        let allowed = match (mode.analog, mode.logic) {
            (0, _) => "Raw or AndOr for logic channels",
            (_, true) => "Raw for analog and logic channels together",
            _ => {
                "Raw, Native, Summed, MinMax, Filter or Span for analog channels"
            }
        };
        return Err(fault("DumpMode", &reduction.as_str(), allowed));
    }
    let one = matches!(reduction, Raw | Native);
    let block = request.block.unwrap_or(if one { 1 } else { 16 });
    let most = BLOCK.min(request.samples);
    let allowed = if one { 1..=1 } else { 1..=most };
    if !allowed.contains(&block) {
        let said = format!(
            "{} to {} in dump mode {}",
            allowed.start(),
            allowed.end(),
            reduction.as_str()
        );
        return Err(fault("SamplesPerValue", &block, said));
    }
    Ok((reduction, block))
}

fn check(trigger: &Trigger, range: f64) -> Result<(), CaptureFault> {
    match &trigger.source {
        Source::Analog(_, volts) => {
            let half = range / 2.0;
            if !(-half..=half).contains(volts) {
                let allowed = format!(
                    "-{} to {} in this range",
                    shown(half),
                    shown(half)
                );
                return Err(fault(
                    "TriggerLevelVolts",
                    &shown(*volts),
                    allowed,
                ));
            }
        }
        Source::Pattern(pattern) => {
            if pattern.iter().all(Option::is_none) {
                let allowed = "say 0 or 1 for at least one channel";
                return Err(fault("TriggerPattern", &"xxxxxxxx", allowed));
            }
        }
    }
    if !(1..=FILTER_LONGEST).contains(&trigger.filter) {
        let allowed = format!("1 to {FILTER_LONGEST}");
        return Err(fault("TriggerFilterSamples", &trigger.filter, allowed));
    }
    if trigger.delay_us > DELAY_LONGEST {
        let allowed = format!("0 to {DELAY_LONGEST}");
        let field = "TriggerDelayMicroseconds";
        return Err(fault(field, &trigger.delay_us, allowed));
    }
    Ok(())
}

/// The slowest and fastest rates of all modes, in samples a second.
pub(crate) fn rates() -> (f64, f64) {
    let all = || MODES.iter().map(Mode::rates);
    let least = all().map(|it| it.0).fold(CLOCK, f64::min);
    (least, all().map(|it| it.1).fold(0.0, f64::max))
}
