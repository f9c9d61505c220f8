//! A simulated PCF8563.

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Timelike, Utc};

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcf8563 {
    /// Its registers; those of the time are what they were when it stopped.
    pub bytes: [u8; 16],
    /// How far it is ahead of this machine's clock, where it runs.
    pub ahead: Option<TimeDelta>,
    at: usize,
}

impl Default for Pcf8563 {
    /// One that has the time.
    fn default() -> Self {
        Self { bytes: [0; 16], ahead: Some(TimeDelta::zero()), at: 0 }
    }
}

impl Pcf8563 {
    /// One whose cell was empty.
    #[must_use]
    pub fn empty() -> Self {
        let mut part = Self { ahead: None, ..Self::default() };
        part.put(2, 0x80);
        part
    }

    fn put(&mut self, at: usize, byte: u8) {
        if let Some(register) = self.bytes.get_mut(at) {
            *register = byte;
        }
    }

    fn numbers(&self) -> Option<[u32; 7]> {
        let bytes = self.bytes.get(2..9)?;
        let number =
            |byte: &u8| u32::from(byte >> 4) * 10 + u32::from(byte & 0xf);
        let numbers: Vec<u32> = bytes.iter().map(number).collect();
        numbers.try_into().ok()
    }

    /// It goes on from what was written.
    fn start(&mut self) {
        let Some([second, minute, hour, day, _, month, year]) = self.numbers()
        else {
            return;
        };
        let date =
            NaiveDate::from_ymd_opt(2000 + year.cast_signed(), month, day);
        let time = date.and_then(|date| date.and_hms_opt(hour, minute, second));
        let ahead = |time: DateTime<Utc>| {
            let now = Utc::now();
            time - now.with_nanosecond(0).unwrap_or(now)
        };
        self.ahead = time.map(|time| ahead(time.and_utc()));
    }

    fn show(&mut self) {
        let Some(ahead) = self.ahead else { return };
        let now = Utc::now() + ahead;
        let numbers = [
            now.second(),
            now.minute(),
            now.hour(),
            now.day(),
            now.weekday().num_days_from_sunday(),
            now.month(),
            now.year().unsigned_abs() % 100,
        ];
        for (at, number) in (2..).zip(numbers) {
            let number = u8::try_from(number).unwrap_or_default();
            self.put(at, ((number / 10) << 4) | (number % 10));
        }
    }
}

impl I2cPart for Pcf8563 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        let Some((at, bytes)) = bytes.split_first() else { return true };
        self.at = usize::from(*at % 16);
        self.show();
        for byte in bytes {
            self.put(self.at, *byte);
            self.at = (self.at + 1) % 16;
        }
        if bytes.len() > 6 {
            self.start();
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.bytes.iter().cycle().skip(self.at).take(count);
        bytes.copied().collect()
    }
}
