//! A simulated TMP117: registers of 16 bits, the high byte first. A conversion
//! takes the part its time (datasheet SNOSD82D, sections 7.3.1, 7.3.2 and 7.6.1).

use std::time::Duration;

use tokio::time::Instant;

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tmp117 {
    /// What it would measure now.
    pub celsius: f64,
    /// What it says it is.
    pub id: u16,
    /// How it measures.
    pub configuration: u16,
    /// Whether no conversion of it comes to an end.
    pub stuck: bool,
    register: u8,
    /// What came of the last conversion, in steps.
    result: u16,
    /// Whether nobody has been told of that.
    ready: bool,
    /// Since when it converts as it does; not yet said of one that has had its
    /// power for long when it is first spoken to.
    since: Option<Instant>,
    /// How many conversions have ended since then.
    ended: u128,
}

impl Default for Tmp117 {
    fn default() -> Self {
        Self {
            celsius: 25.0,
            id: 0x0117,
            configuration: 0x0220,
            stuck: false,
            register: 0,
            result: NOTHING_YET,
            ready: false,
            since: None,
            ended: 0,
        }
    }
}

/// The result before there is one (section 7.6.1.1).
const NOTHING_YET: u16 = 0x8000;
/// Of its configuration: what a master can write, and that a result is new,
/// until it or this is read (section 7.6.1.2).
const WRITABLE: u16 = 0x0ffc;
const DATA_READY: u16 = 0x2000;
/// That it is off, and that it is after the next conversion.
const MODE: u16 = 0x0c00;
const OFF: u16 = 0x0400;
const ONE_SHOT: u16 = 0x0c00;

/// How long a conversion of 1, 8, 32 and 64 samples takes, in units of 0.5 ms,
/// and from the begin of one to that of the next at least (table 7-7).
const ACTIVE: [u32; 4] = [31, 250, 1000, 2000];
const CYCLE: [u32; 8] = [31, 250, 500, 1000, 2000, 8000, 16_000, 32_000];

impl Tmp117 {
    /// How long a conversion takes, and from the begin of one to the next.
    fn times(&self) -> [Duration; 2] {
        let of = |table: &[u32], bits: u16| {
            let units = table.get(usize::from(bits)).copied();
            Duration::from_micros(500) * units.unwrap_or_default()
        };
        let active = of(&ACTIVE, self.configuration >> 5 & 3);
        let cycle = of(&CYCLE, self.configuration >> 7 & 7);
        [active, cycle.max(active)]
    }

    /// What has come to an end by now.
    fn convert(&mut self) {
        let [active, cycle] = self.times();
        let now = Instant::now();
        let long_ago = || now.checked_sub(active).unwrap_or(now);
        let since = *self.since.get_or_insert_with(long_ago);
        let mode = self.configuration & MODE;
        let busy = (now - since).checked_sub(active);
        let Some(busy) = busy.filter(|_| mode != OFF && !self.stuck) else {
            return;
        };
        let ended = 1 + busy.as_nanos() / cycle.as_nanos();
        if ended > self.ended {
            self.ended = ended;
            self.ready = true;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the part has no more bits"
            )]
            let steps = (self.celsius / 7.812_5e-3).round() as i16;
            self.result = steps.cast_unsigned();
        }
        if mode == ONE_SHOT {
            self.configuration = self.configuration & !MODE | OFF;
        }
    }
}

impl I2cPart for Tmp117 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.convert();
        if let Some(register) = bytes.first() {
            self.register = *register;
        }
        if let [0x01, high, low] = *bytes {
            let word = u16::from_be_bytes([high, low]);
            self.configuration = word & WRITABLE;
            (self.since, self.ended) = (Some(Instant::now()), 0);
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        self.convert();
        let ready = if self.ready { DATA_READY } else { 0 };
        let word = match self.register {
            0x00 => self.result,
            0x01 => self.configuration | ready,
            0x0f => self.id,
            _ => 0,
        };
        if self.register <= 0x01 {
            self.ready = false;
        }
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }

    fn restart(&mut self) {
        let Self { celsius, id, stuck, .. } = *self;
        let since = Some(Instant::now());
        *self = Self { celsius, id, stuck, since, ..Self::default() };
    }
}
