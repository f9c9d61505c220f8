//! The instrument: carries out plans, and turns what it sends into volts.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::time::Instant;

use super::{
    generator::{self, Tone},
    mode::{Range, dump_mode, ranges},
    plan::Plan,
    register as reg,
    vm::{Error, Vm, hex},
};
use crate::model::{
    Capture, CaptureAsked as Asked, CaptureError, CaptureRequest, Input,
    LogicSeries, Reduction, Series,
};

/// How often somebody who waits for a trigger looks whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// How much longer than it should a recording may take.
const SLACK: Duration = Duration::from_secs(2);
/// The dump channel of the logic inputs.
const LOGIC: u8 = 128;

/// What the trace command says: it waits; it is done; its time was over; it
/// was stopped.
const WAITING: u32 = 2;
const DONE: u32 = 0;
const OVER: u32 = 1;
const STOPPED: u32 = 3;

impl From<Error> for CaptureError {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What the generator does.
enum Voice {
    AsBefore,
    Off,
    Tone(Tone),
}

/// The instrument.
#[derive(Debug)]
pub(crate) struct Scope {
    vm: Vm,
    identity: Option<String>,
    /// The bit of the generator, where it makes something.
    generator: u8,
}

impl Scope {
    pub(crate) fn new(vm: Vm) -> Self {
        Self { vm, identity: None, generator: 0 }
    }

    /// Who it is. It is asked after each failure, which resets it.
    ///
    /// # Errors
    /// It does not answer, or is none that is known.
    pub(crate) fn identity(&mut self) -> Result<&str, Error> {
        if self.identity.is_none() {
            let found = self.vm.identify()?;
            if ranges(&found).is_none() {
                return Err(Error::WrongPart { found });
            }
            self.generator = 0;
            self.identity = Some(found);
        }
        Ok(self.identity.as_deref().unwrap_or_default())
    }

    /// Records what `request` says.
    ///
    /// # Errors
    /// See [`CaptureError`]. Before a value is refused, nothing is changed.
    pub(crate) fn capture(
        &mut self,
        request: &CaptureRequest,
        asked: &Asked<'_>,
    ) -> Result<Capture, CaptureError> {
        let identity = self.identity()?.to_owned();
        let plan = Plan::new(request, &identity)?;
        let voice = match &request.generator {
            Some(wanted) => Tone::new(wanted)?.map_or(Voice::Off, Voice::Tone),
            None => Voice::AsBefore,
        };
        let done = self.carry_out(&plan, &voice, request.patience, asked);
        if let Err(error) = &done
            && !matches!(error, CaptureError::NoTrigger(_))
        {
            // Whatever it is doing now ends with the next reset.
            self.identity = None;
        }
        let mut capture = done?;
        capture.model = identity;
        Ok(capture)
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        voice: &Voice,
        patience: Duration,
        asked: &Asked<'_>,
    ) -> Result<Capture, CaptureError> {
        match voice {
            Voice::Tone(tone) => {
                tone.start(&mut self.vm)?;
                self.generator = reg::GENERATOR;
            }
            Voice::Off => {
                generator::stop(&mut self.vm)?;
                self.generator = 0;
            }
            Voice::AsBefore => {}
        }
        (asked.progress)(5);
        self.vm.set(&plan.registers(self.generator), ">UD")?;
        (asked.progress)(10);
        let (triggered, address) = self.wait(plan, patience, asked)?;
        let automatic = plan.trigger.as_ref().is_some_and(|it| it.automatic);
        if !triggered && !automatic {
            return Err(CaptureError::NoTrigger(patience));
        }
        let rate = plan.mode.rate(plan.clock);
        let after = f64::from(plan.samples - plan.before) / rate;
        #[expect(clippy::cast_possible_truncation, reason = "hours at most")]
        let after = TimeDelta::nanoseconds((after * 1e9) as i64);
        let at = Utc::now() - after;
        (asked.progress)(50);
        let mut capture = Capture {
            model: String::new(),
            mode: plan.mode.name.to_owned(),
            reduction: plan.reduction,
            block: plan.block,
            rate: rate / f64::from(plan.block),
            range: plan.range.0,
            triggered,
            trigger: plan.before / plan.block,
            at,
            analog: Vec::new(),
            logic: Vec::new(),
            lines: plan.lines,
        };
        for (channel, input) in (0..).zip(&plan.analog) {
            let bytes = self.dump(&plan.dump(address, channel), plan)?;
            capture.analog.extend(analog(*input, &bytes, plan));
            (asked.progress)(50 + 15 * (channel + 1));
        }
        if plan.lines != 0 {
            capture.logic = self.logic(plan, address)?;
        }
        (asked.progress)(90);
        Ok(capture)
    }

    fn dump(
        &mut self,
        registers: &[(reg::Register, u32)],
        plan: &Plan,
    ) -> Result<Vec<u8>, Error> {
        let mut count = plan.values() as usize * plan.width();
        for (register, value) in registers {
            if *register == reg::DUMP_COUNT {
                count = *value as usize * plan.width();
            }
        }
        self.vm.set(registers, ">A")?;
        self.vm.bytes(count)
    }

    /// The logic inputs. Where two analog inputs take turns, these are
    /// recorded at each turn: every second sample is at the time of the first.
    fn logic(
        &mut self,
        plan: &Plan,
        address: u32,
    ) -> Result<Vec<LogicSeries>, Error> {
        let turns = plan.mode.turns();
        let mut registers = plan.dump(address, LOGIC);
        for (register, value) in &mut registers {
            match *register {
                reg::DUMP_COUNT => *value *= turns,
                reg::DUMP_MODE if plan.mode.analog > 0 => {
                    *value = dump_mode(Reduction::Raw).into();
                }
                _ => {}
            }
        }
        let bytes = self.dump(&registers, plan)?;
        if plan.reduction != Reduction::AndOr {
            let bits = bytes.into_iter().step_by(turns as usize).collect();
            let name = String::new();
            return Ok(vec![LogicSeries { name, bits }]);
        }
        let every = |at: usize, name: &str| LogicSeries {
            name: name.to_owned(),
            bits: bytes.iter().copied().skip(at).step_by(2).collect(),
        };
        Ok(vec![every(0, "all"), every(1, "any")])
    }

    /// Waits until it has recorded: whether it was triggered, and the address
    /// it came to.
    fn wait(
        &mut self,
        plan: &Plan,
        patience: Duration,
        asked: &Asked<'_>,
    ) -> Result<(bool, u32), CaptureError> {
        let recording = Duration::from_secs_f64(plan.seconds());
        let triggered = plan.trigger.is_some();
        let begun = Instant::now();
        let mut stopping = None;
        loop {
            if let Some(line) = self.vm.line_within('D', LOOK)? {
                // A stop is echoed before what it leads to.
                let code = hex('D', line.trim_start_matches('K'))?;
                let _timestamp = self.vm.number('D')?;
                match code {
                    WAITING => {}
                    DONE | OVER | STOPPED => {
                        let address = self.vm.number('D')?;
                        if asked.cancelled.load(Ordering::Relaxed) {
                            return Err(CaptureError::Cancelled);
                        }
                        if address >= plan.mode.buffer.size() {
                            let got = format!("address {address:#x}");
                            return Err(Error::Answer { to: 'D', got }.into());
                        }
                        return Ok((code == DONE, address));
                    }
                    _ => {
                        let got = line;
                        return Err(Error::Answer { to: 'D', got }.into());
                    }
                }
            }
            let waited = begun.elapsed();
            if stopping.is_some_and(|since| waited > since + SLACK) {
                return Err(Error::Silent { sent: "K".to_owned() }.into());
            }
            let cancelled = asked.cancelled.load(Ordering::Relaxed);
            let over = triggered && waited > patience + recording;
            if stopping.is_none() && (cancelled || over) {
                self.vm.stop()?;
                stopping = Some(waited);
            }
            if waited > patience + recording + SLACK * 2 {
                return Err(Error::Silent { sent: "D".to_owned() }.into());
            }
        }
    }
}

/// The volts that a part of the whole range is.
fn volts((span, ..): Range, part: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "it has 16 bits")]
    let volts = ((part - 0.5) * span) as f32;
    volts
}

/// What was sent for an analog input, as volts.
fn analog(input: Input, bytes: &[u8], plan: &Plan) -> Vec<Series> {
    let range = plan.range;
    let byte = |byte: u8| volts(range, f64::from(byte) / 256.0);
    let words = bytes.chunks_exact(2).map(|pair| {
        let mut pair = pair.iter().copied();
        let mut next = || pair.next().unwrap_or_default();
        [next(), next()]
    });
    let series = |what: &str, volts: Vec<f32>| Series {
        name: format!("{input}{what}"),
        volts,
    };
    let signed = |word: [u8; 2]| f64::from(i16::from_be_bytes(word));
    match plan.reduction {
        Reduction::Raw => {
            vec![series("", bytes.iter().copied().map(byte).collect())]
        }
        Reduction::Span => {
            let whole = |it: &u8| byte(*it) - byte(0);
            vec![series(" span", bytes.iter().map(whole).collect())]
        }
        Reduction::MinMax => {
            let words: Vec<_> = words.collect();
            let lowest = words.iter().map(|[low, _]| byte(*low)).collect();
            let highest = words.iter().map(|[_, high]| byte(*high)).collect();
            vec![series(" min", lowest), series(" max", highest)]
        }
        Reduction::Summed => {
            let block = f64::from(plan.block) * 256.0;
            let mean = |word| volts(range, signed(word) / block);
            vec![series("", words.map(mean).collect())]
        }
        // Signed, with 15 bits behind the point: 0 is the middle.
        Reduction::Native | Reduction::Filter => {
            let value = |word| volts(range, signed(word) / 65536.0 + 0.5);
            vec![series("", words.map(value).collect())]
        }
        Reduction::AndOr => Vec::new(),
    }
}
