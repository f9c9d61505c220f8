//! A simulated Argon ONE or Fan HAT, with either of its firmwares.

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon {
    /// Whether its firmware has registers, or takes bytes as they come.
    pub registers: bool,
    /// How hard the fan is driven, in percent.
    pub duty: u8,
    /// Whether it has cut the power.
    pub cut: bool,
    register: Option<u8>,
}

impl Argon {
    /// One with registers or without, its fan still.
    #[must_use]
    pub fn new(registers: bool) -> Self {
        Self { registers, duty: 0, cut: false, register: None }
    }

    /// What the firmware without registers does with each byte.
    fn take(&mut self, byte: u8) {
        match byte {
            0xff => self.cut = true,
            0..=100 => self.duty = byte,
            _ => {}
        }
    }
}

impl I2cPart for Argon {
    fn write(&mut self, bytes: &[u8]) -> bool {
        if !self.registers {
            for byte in bytes {
                self.take(*byte);
            }
            return true;
        }
        match *bytes {
            [register] => self.register = Some(register),
            [0x80, duty @ 0..=100] => self.duty = duty,
            [0x86, 1] => self.cut = true,
            _ => {}
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let byte = match self.register {
            Some(0x80) => self.duty,
            Some(0x81) => 0x12,
            _ => 0,
        };
        vec![byte; count]
    }

    fn restart(&mut self) {
        *self = Self::new(self.registers);
    }
}
