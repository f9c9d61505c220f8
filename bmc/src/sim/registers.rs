//! A simulated part that is a few registers of 16 bits, the high byte first,
//! as those of the INA family are.

use std::collections::BTreeMap;

use super::i2c::I2cPart;

/// The part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    words: BTreeMap<u8, u16>,
    /// What it has in them when it gets its power.
    first: BTreeMap<u8, u16>,
    /// The register that a master can write.
    writable: u8,
    at: u8,
}

impl Registers {
    /// One with these registers, of which a master can write `writable`.
    #[must_use]
    pub fn new<const N: usize>(writable: u8, first: [(u8, u16); N]) -> Self {
        let first = BTreeMap::from(first);
        Self { words: first.clone(), first, writable, at: 0 }
    }

    /// Puts `word` into `register`, as the part does when it measures.
    pub fn set(&mut self, register: u8, word: u16) {
        self.words.insert(register, word);
    }

    /// What is in `register`.
    #[must_use]
    pub fn get(&self, register: u8) -> u16 {
        self.words.get(&register).copied().unwrap_or_default()
    }
}

impl I2cPart for Registers {
    fn write(&mut self, bytes: &[u8]) -> bool {
        match *bytes {
            [register] => self.at = register,
            [register, high, low] => {
                self.at = register;
                if register == self.writable {
                    self.set(register, u16::from_be_bytes([high, low]));
                }
            }
            _ => {}
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let word = self.get(self.at);
        word.to_be_bytes().into_iter().cycle().take(count).collect()
    }

    fn restart(&mut self) {
        self.words.clone_from(&self.first);
        self.at = 0;
    }
}
