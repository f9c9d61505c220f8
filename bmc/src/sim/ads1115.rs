//! A simulated ADS1115.

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ads1115 {
    /// What is at its inputs.
    pub volts: [f64; 4],
    /// What another master writes to its configuration after the next
    /// conversion has begun.
    pub disturbed: Option<u16>,
    /// Whether conversions do not end.
    pub stuck: bool,
    configuration: u16,
    result: u16,
    register: u8,
}

impl Default for Ads1115 {
    fn default() -> Self {
        Self {
            volts: [3.3, 0.72, 1.21, 1.2],
            disturbed: None,
            stuck: false,
            configuration: 0x0583,
            result: 0,
            register: 0,
        }
    }
}

impl Ads1115 {
    fn convert(&mut self) {
        let [a, b, c, d] = self.volts;
        let volts = match self.configuration >> 12 & 7 {
            0 => a - b,
            1 => a - d,
            2 => b - d,
            3 => c - d,
            4 => a,
            5 => b,
            6 => c,
            _ => d,
        };
        let range = match self.configuration >> 9 & 7 {
            0 => 6.144,
            1 => 4.096,
            2 => 2.048,
            3 => 1.024,
            4 => 0.512,
            _ => 0.256,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as the part does, it stays at its limit"
        )]
        let steps = (volts / range * 32_768.0).round() as i16;
        self.result = steps.cast_unsigned();
    }
}

impl I2cPart for Ads1115 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        match *bytes {
            [register] => self.register = register,
            [1, high, low] => {
                let word = u16::from_be_bytes([high, low]);
                self.configuration = word & 0x7fff;
                if word & 0x8000 != 0 {
                    self.convert();
                }
                if let Some(word) = self.disturbed.take() {
                    self.configuration = word & 0x7fff;
                }
            }
            _ => {}
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let done = if self.stuck { 0 } else { 0x8000 };
        let word = match self.register {
            0 => self.result,
            1 => self.configuration | done,
            _ => 0,
        };
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }

    fn restart(&mut self) {
        *self = Self { volts: self.volts, ..Self::default() };
    }
}
