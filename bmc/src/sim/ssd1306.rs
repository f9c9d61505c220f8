//! A simulated SSD1306.

use super::i2c::I2cPart;
use crate::drivers::ssd1306::font;

/// The part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssd1306 {
    /// Whether it is on.
    pub lit: bool,
    pages: Vec<[u8; 128]>,
    page: usize,
    column: usize,
    /// Whether the next page follows a page, and none can be chosen.
    flows: bool,
}

impl Default for Ssd1306 {
    /// One that has just got its power: dark, with anything in its memory.
    fn default() -> Self {
        let pages = vec![[0x55; 128]; 8];
        Self { lit: false, pages, page: 0, column: 0, flows: false }
    }
}

impl Ssd1306 {
    /// What its lines read as.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        self.pages.iter().map(font::text).collect()
    }

    fn command(&mut self, bytes: &mut impl Iterator<Item = u8>) {
        let Some(byte) = bytes.next() else { return };
        match byte {
            0x00..=0x1f | 0xb0..=0xb7 if self.flows => {}
            0x00..=0x0f => {
                self.column = self.column & 0xf0 | usize::from(byte);
            }
            0x10..=0x1f => {
                self.column =
                    self.column & 0x0f | usize::from(byte & 0x0f) << 4;
            }
            0xae | 0xaf => self.lit = byte == 0xaf,
            0xb0..=0xb7 => self.page = usize::from(byte & 7),
            // Only the third has pages to be chosen (section 10.1.3).
            0x20 => self.flows = bytes.next() != Some(2),
            // These have a byte after them.
            0x81 | 0x8d | 0xa8 | 0xd3 | 0xd5 | 0xd9 | 0xda | 0xdb => {
                bytes.next();
            }
            _ => {}
        }
    }
}

impl I2cPart for Ssd1306 {
    fn write(&mut self, bytes: &[u8]) -> bool {
        match bytes.split_first() {
            Some((0x00, commands)) => {
                let mut commands = commands.iter().copied().peekable();
                while commands.peek().is_some() {
                    self.command(&mut commands);
                }
            }
            Some((0x40, points)) => {
                for points in points {
                    let page = self.pages.get_mut(self.page);
                    let byte = page.and_then(|it| it.get_mut(self.column));
                    if let Some(byte) = byte {
                        *byte = *points;
                    }
                    self.column = (self.column + 1) % 128;
                    if self.flows && self.column == 0 {
                        self.page = (self.page + 1) % 8;
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        vec![if self.lit { 0x03 } else { 0x43 }; count]
    }

    fn restart(&mut self) {
        *self = Self::default();
    }
}
