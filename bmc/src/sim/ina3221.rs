//! A simulated INA3221 that watches 5.1, 3.3 and 12 V through 100 mΩ each.

use super::registers::Registers;

/// The part when it gets its power.
#[must_use]
pub fn ina3221() -> Registers {
    Registers::new(
        0x00,
        [
            (0x00, 0x7127),
            (0x01, 1500 << 3),
            (0x02, 637 << 3),
            (0x03, 500 << 3),
            (0x04, 412 << 3),
            (0x05, 250 << 3),
            (0x06, 1500 << 3),
            (0xfe, 0x5449),
            (0xff, 0x3220),
        ],
    )
}
