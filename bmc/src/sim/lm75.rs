//! A simulated LM75, TMP75 or TMP102.

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lm75 {
    /// What it measures.
    pub celsius: f64,
    /// How it measures.
    pub configuration: u16,
    /// Whether its configuration has two bytes, as that of a TMP102.
    wide: bool,
    register: u8,
    /// What it measured last, where it was told to measure no more.
    last: Option<f64>,
}

impl Lm75 {
    /// One that has just got its power.
    #[must_use]
    pub fn new(wide: bool) -> Self {
        let configuration = if wide { 0x60a0 } else { 0 };
        Self { celsius: 31.5, configuration, wide, register: 0, last: None }
    }
}

impl I2cPart for Lm75 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        match *bytes {
            [register] => self.register = register,
            [1, byte] if !self.wide => self.configuration = byte.into(),
            [1, high, low] => {
                self.configuration = u16::from_be_bytes([high, low]);
            }
            _ => {}
        }
        let off = if self.wide { 0x0100 } else { 0x01 };
        if self.configuration & off == 0 {
            self.last = None;
        } else {
            self.last.get_or_insert(self.celsius);
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the part has no more bits"
        )]
        let steps = (self.last.unwrap_or(self.celsius) * 256.0).round() as i16;
        let word = match self.register {
            0 => steps.cast_unsigned(),
            1 if self.wide => self.configuration,
            1 => self.configuration << 8 | self.configuration,
            2 => 0x4b00,
            3 => 0x5000,
            _ => 0,
        };
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }

    fn restart(&mut self) {
        *self = Self { celsius: self.celsius, ..Self::new(self.wide) };
    }
}
