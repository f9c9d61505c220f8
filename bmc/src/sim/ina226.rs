//! A simulated INA226 that watches 12 V and 1.5 A through 10 mΩ.

use super::registers::Registers;

/// The part when it gets its power.
#[must_use]
pub fn ina226() -> Registers {
    Registers::new(
        0x00,
        [
            (0x00, 0x4127),
            (0x01, 6000),
            (0x02, 9600),
            (0xfe, 0x5449),
            (0xff, 0x2260),
        ],
    )
}
