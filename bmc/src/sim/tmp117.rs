//! A simulated TMP117: registers of 16 bits, the high byte first.

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tmp117 {
    /// What it measures.
    pub celsius: f64,
    /// What it says it is.
    pub id: u16,
    /// How it measures.
    pub configuration: u16,
    register: u8,
    /// What it measured last, where it was told to measure no more.
    last: Option<f64>,
}

impl Default for Tmp117 {
    fn default() -> Self {
        Self {
            celsius: 25.0,
            id: 0x0117,
            configuration: 0x0220,
            register: 0,
            last: None,
        }
    }
}

/// Of its configuration: what a master can write, and that it is off.
const WRITABLE: u16 = 0x0ffc;
const OFF: (u16, u16) = (0x0c00, 0x0400);

impl I2cPart for Tmp117 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        if let Some(register) = bytes.first() {
            self.register = *register;
        }
        if let [0x01, high, low] = *bytes {
            let word = u16::from_be_bytes([high, low]);
            self.configuration = word & WRITABLE;
            if self.configuration & OFF.0 == OFF.1 {
                self.last.get_or_insert(self.celsius);
            } else {
                self.last = None;
            }
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let celsius = self.last.unwrap_or(self.celsius);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the part has no more bits"
        )]
        let steps = (celsius / 7.812_5e-3).round() as i16;
        let word = match self.register {
            0x00 => steps.cast_unsigned(),
            0x01 => self.configuration,
            0x0f => self.id,
            _ => 0,
        };
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }

    fn restart(&mut self) {
        let (celsius, id) = (self.celsius, self.id);
        *self = Self { celsius, id, ..Self::default() };
    }
}
