//! A simulated BitScope BS05: a virtual machine with registers, sample memory
//! and a generator, and signals on its inputs.
//!
//! It knows nothing of the driver's tables: what it is told in registers is
//! what it does. Registers count where the documents say that they are taken:
//! the trigger's and the sample address at `>`, the analog side at `U`.

mod memory;
mod signal;

use std::time::Duration;

use tokio::time::Instant;

use self::memory::{Format, Memory};
pub use self::signal::{Inputs, Signal};
use super::serial::SerialPart;

/// Seconds a tick of the clock.
const TICK: f64 = 25e-9;
/// Seconds a step of the time-out.
const STEP: f64 = 6.4e-6;
/// How many samples are looked through for a trigger.
const SEARCH: u32 = 1 << 18;
/// The bytes of the generator's table and of its wave.
const TABLE: usize = 1024;
/// What the generator's full level is, in volts.
const FULL: f64 = 3.33;
/// The comparator's level in volts: its zero, and its whole.
const LEVEL: (f64, f64) = (-7.5, 18.36);

/// How it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It says nothing.
    Silent,
    /// It echoes other bytes than it got.
    WrongEcho,
    /// It sends so many bytes fewer than it should.
    ShortDump(usize),
    /// It answers a trace with what is no number.
    Garbage,
    /// It never ends a trace, and cannot be stopped.
    Stuck,
}

/// A trace under way, or over.
#[derive(Clone, Copy, Debug)]
struct Trace {
    /// When it is over; never where it waits for a trigger.
    over: Option<Instant>,
    code: u8,
    timestamp: u32,
    address: u32,
}

/// The instrument.
#[derive(Debug)]
pub struct Scope {
    /// What it says it is.
    pub identity: String,
    /// What is on its inputs.
    pub inputs: Inputs,
    /// How it misbehaves, if it does.
    pub trouble: Option<Trouble>,
    r0: u8,
    r1: u8,
    registers: [u8; 256],
    /// As they were at the last `>`.
    engine: [u8; 256],
    /// As they were at the last `U`.
    config: [u8; 256],
    memory: Memory,
    table: Vec<f64>,
    wave: Vec<f64>,
    /// Ticks from sample to sample, and samples, while it runs.
    running: Option<(u32, usize)>,
    trace: Option<Trace>,
    /// Its own clock, in ticks.
    now: u64,
    out: Vec<u8>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            identity: "BS000501".to_owned(),
            inputs: Inputs::default(),
            trouble: None,
            r0: 0,
            r1: 0,
            registers: [0; 256],
            engine: [0; 256],
            config: [0; 256],
            memory: Memory::default(),
            table: Vec::new(),
            wave: Vec::new(),
            running: None,
            trace: None,
            now: 0,
            out: Vec::new(),
        }
    }
}

/// A number of `count` bytes, the lowest first.
fn number(registers: &[u8; 256], at: u8, count: u8) -> u32 {
    let bytes = (0..count).map(|byte| {
        let register = registers.get(usize::from(at.wrapping_add(byte)));
        u32::from(register.copied().unwrap_or_default()) << (8 * byte)
    });
    bytes.sum()
}

impl Scope {
    /// A BS05 with these signals.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        Self { inputs, ..Self::default() }
    }

    /// The generator's level now, where its pin is on.
    fn generator(&self, seconds: f64) -> f64 {
        let Some((clock, modulo)) = self.running else { return 0.0 };
        if self.config.get(0x7c).is_none_or(|sink| sink & 0x40 == 0) {
            return 0.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "time goes forward"
        )]
        let at = (seconds / TICK / f64::from(clock)) as usize;
        let wave = self.wave.get(at % modulo.max(1));
        wave.copied().unwrap_or_default()
    }

    /// The volts on an analog input.
    fn volts(&self, b: bool, seconds: f64) -> f64 {
        let signal = if b { &self.inputs.b } else { &self.inputs.a };
        signal.volts(seconds).unwrap_or_else(|| self.generator(seconds))
    }

    /// The logic inputs; the comparators take the places of two of them.
    fn logic(&self, seconds: f64) -> u8 {
        let mut bits = self.inputs.logic(seconds);
        let sink = self.config.get(0x7b).copied().unwrap_or_default();
        let part = f64::from(number(&self.config, 0x68, 2)) / 65536.0;
        let level = LEVEL.0 + part * LEVEL.1;
        for (b, bit) in [(false, 0x80), (true, 0x40)] {
            if sink & bit != 0 {
                let above = self.volts(b, seconds) > level;
                bits = if above { bits | bit } else { bits & !bit };
            }
        }
        bits
    }

    /// Whether the trigger's condition holds.
    fn holds(&self, seconds: f64) -> bool {
        let engine = |at| number(&self.engine, at, 1);
        let (logic, minded) = (engine(0x05), !engine(0x06) & 0xff);
        let bits = u32::from(self.logic(seconds));
        let met = bits & minded == logic & minded;
        met != (engine(0x07) & 0x40 != 0 && minded != 0)
    }

    /// The command `D`: records, as if it took no time, and says when it will
    /// be over.
    fn record(&mut self) {
        self.trace = None;
        let engine = self.engine;
        let register = |at, count| number(&engine, at, count);
        let buffer = register(0x31, 1);
        let Some(format) = Format::of(buffer, register(0x21, 1), &self.config)
        else {
            return;
        };
        let each = register(0x2e, 2) * register(0x14, 2);
        if each == 0 {
            return;
        }
        let begun = self.now;
        let at = |sample: u32| {
            let ticks = begun + u64::from(sample) * u64::from(each);
            #[expect(clippy::cast_precision_loss, reason = "years at most")]
            let seconds = ticks as f64 * TICK;
            seconds
        };
        let (before, after) = (register(0x26, 2), register(0x2a, 2));
        let (intro, outro) = (register(0x32, 2), register(0x34, 2));
        let delay = f64::from(register(0x22, 4)) * 1e-6;
        let timeout = f64::from(register(0x2c, 2)) * STEP;
        let last = if timeout > 0.0 {
            ticks_of(timeout / TICK / f64::from(each)).min(SEARCH)
        } else {
            SEARCH
        };
        let (mut low, mut high, mut found) = (0, 0, None);
        for sample in before..last.max(before + 1) {
            if low >= intro && high >= outro {
                found = Some(sample);
                break;
            }
            if self.holds(at(sample)) {
                high = if low >= intro { high + 1 } else { 0 };
            } else {
                low = if high > 0 { 1 } else { low + 1 };
                high = 0;
            }
        }
        let skipped = ticks_of(delay / TICK / f64::from(each));
        let (code, end) = match found {
            Some(sample) => (0, sample + skipped + after),
            None => (1, last),
        };
        let size = format.size();
        let start = register(0x08, 3) % size;
        // What is older has been written over.
        for sample in end.saturating_sub(size)..end {
            let seconds = at(sample);
            let (a, b) =
                (self.volts(false, seconds), self.volts(true, seconds));
            let logic = self.logic(seconds);
            let address = (start + sample) % size;
            self.memory.write(&format, address, a, b, logic);
        }
        let took = u64::from(end) * u64::from(each);
        self.now += took;
        let wall = Duration::from_nanos(took * 25);
        #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
        let timestamp = self.now as u32;
        let address = (start + end) % size;
        let forever = found.is_none() && timeout == 0.0;
        let over = (!forever).then(|| Instant::now() + wall);
        self.trace = Some(Trace { over, code, timestamp, address });
        self.out.extend(format!("02\r{timestamp:08x}\r").into_bytes());
    }

    /// The end of a trace.
    fn end(&mut self, code: u8, trace: Trace) {
        let Trace { timestamp, address, .. } = trace;
        if self.trouble == Some(Trouble::Garbage) {
            self.out.extend(b"\xff\x00zz\r");
            return;
        }
        let text = format!("{code:02x}\r{timestamp:08x}\r{address:06x}\r");
        self.out.extend(text.into_bytes());
    }

    /// The command `A`: sends what is in memory.
    fn dump(&mut self) {
        let register = |at, count| number(&self.engine, at, count);
        let buffer = register(0x31, 1);
        let mode = register(0x21, 1);
        let Some(format) = Format::of(buffer, mode, &self.config) else {
            return;
        };
        let mut bytes = self.memory.dump(
            &format,
            register(0x30, 1),
            register(0x1e, 1),
            register(0x08, 3),
            [register(0x1c, 2), register(0x18, 2), register(0x1a, 2)],
        );
        if let Some(Trouble::ShortDump(fewer)) = self.trouble {
            bytes.truncate(bytes.len().saturating_sub(fewer));
        }
        self.out.extend(bytes);
    }

    /// The command `Y`: fills the table, from -1 to 1.
    fn synthesize(&mut self) {
        let duty = f64::from(number(&self.registers, 0x5a, 4)) / 65536.0;
        let duty = duty.clamp(1e-3, 1.0 - 1e-3);
        let mode = number(&self.registers, 0x47, 1);
        let part = |at: usize| {
            #[expect(clippy::cast_precision_loss, reason = "1,024 at most")]
            let part = at as f64 / TABLE as f64;
            part
        };
        let value = |x: f64| match mode {
            0 => (std::f64::consts::TAU * x).sin(),
            1 if x < duty => 2.0 * x / duty - 1.0,
            1 => 1.0 - 2.0 * (x - duty) / (1.0 - duty),
            2 if x < duty => 1.0 - 2.0 * (-5.0 * x / duty).exp(),
            2 => 2.0 * (-5.0 * (x - duty) / (1.0 - duty)).exp() - 1.0,
            _ if x < duty => 1.0,
            _ => -1.0,
        };
        self.table = (0..TABLE).map(|at| value(part(at))).collect();
    }

    /// The command `X`: makes a wave of the table, in volts.
    fn translate(&mut self) {
        let register = |at, count| number(&self.registers, at, count);
        let level = f64::from(register(0x54, 2)) / 65536.0;
        #[expect(clippy::cast_possible_truncation, reason = "16 bits")]
        let offset = (register(0x56, 2) as u16).cast_signed();
        let offset = f64::from(offset) / 65536.0;
        let step = f64::from(register(0x5a, 4)) / 65536.0;
        let size = register(0x4a, 2).min(1024);
        let value = |at: u32| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "both are positive"
            )]
            let place = (f64::from(at) * step) as usize % TABLE;
            let value = self.table.get(place).copied().unwrap_or_default();
            FULL * (0.5 + offset + level * value / 2.0)
        };
        self.wave = (0..size).map(value).collect();
    }

    /// The command `Z`: starts or stops the generator.
    fn generate(&mut self) {
        let register = |at, count| number(&self.registers, at, count);
        let modulo = register(0x52, 2) as usize;
        self.running = (register(0x46, 1) == 2 && !self.wave.is_empty())
            .then(|| (register(0x50, 2).max(1), modulo));
    }

    fn store(&mut self) {
        if let Some(register) = self.registers.get_mut(usize::from(self.r1)) {
            *register = self.r0;
        }
    }

    fn run(&mut self, command: u8) {
        if self.trouble == Some(Trouble::Silent) {
            return;
        }
        let busy = self.trace.is_some();
        if busy && !matches!(command, b'K' | b'!') {
            return;
        }
        let stuck = self.trouble == Some(Trouble::Stuck);
        let wrong = self.trouble == Some(Trouble::WrongEcho);
        self.out.push(if wrong { command ^ 1 } else { command });
        match command {
            b'!' => {
                (self.r0, self.r1, self.registers) = (0, 0, [0; 256]);
                (self.trace, self.running) = (None, None);
            }
            b'?' => {
                let text = format!("\r{}\r", self.identity);
                self.out.extend(text.into_bytes());
            }
            b'[' => self.r0 = 0,
            b'0'..=b'9' => self.r0 = self.r0 << 4 | (command - b'0'),
            b'a'..=b'f' => self.r0 = self.r0 << 4 | (command - b'a' + 10),
            b'@' => self.r1 = self.r0,
            b's' => self.store(),
            b'z' => {
                self.store();
                self.r1 = self.r1.wrapping_add(1);
            }
            b'n' => self.r1 = self.r1.wrapping_add(1),
            b'p' => {
                let value = number(&self.registers, self.r1, 1);
                self.out.extend(format!("\r{value:02x}\r").into_bytes());
            }
            b'>' => self.engine = self.registers,
            b'U' => self.config = self.registers,
            b'D' => self.record(),
            b'K' if !stuck => {
                if let Some(trace) = self.trace.take() {
                    self.end(3, trace);
                }
            }
            b'A' => self.dump(),
            b'Y' => self.synthesize(),
            b'X' => self.translate(),
            b'Z' => self.generate(),
            _ => {}
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded to what there is"
)]
fn ticks_of(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX >> 2)) as u32
}

impl SerialPart for Scope {
    fn receive(&mut self, bytes: &[u8]) {
        for command in bytes {
            self.run(*command);
        }
    }

    fn send(&mut self) -> Vec<u8> {
        if let Some(trace) = self.trace
            && trace.over.is_some_and(|over| Instant::now() >= over)
            && self.trouble != Some(Trouble::Stuck)
        {
            self.trace = None;
            self.end(trace.code, trace);
        }
        std::mem::take(&mut self.out)
    }
}
