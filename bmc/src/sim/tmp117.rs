//! A simulated TMP117: two registers of 16 bits, the high byte first.

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tmp117 {
    /// What it measures.
    pub celsius: f64,
    /// What it says it is.
    pub id: u16,
    register: u8,
}

impl Default for Tmp117 {
    fn default() -> Self {
        Self { celsius: 25.0, id: 0x0117, register: 0 }
    }
}

impl I2cPart for Tmp117 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        if let Some(register) = bytes.first() {
            self.register = *register;
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the part has no more bits"
        )]
        let steps = (self.celsius / 7.812_5e-3).round() as i16;
        let word = match self.register {
            0x00 => steps.cast_unsigned(),
            0x0f => self.id,
            _ => 0,
        };
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }
}
