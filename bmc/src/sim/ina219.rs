//! A simulated INA219 that watches 5.1 V and 0.8 A through 0.1 Ω.

use super::registers::Registers;

/// The part when it gets its power.
#[must_use]
pub fn ina219() -> Registers {
    Registers::new(0x00, [(0x00, 0x399f), (0x01, 8000), (0x02, 1275 << 3)])
}
