//! What somebody at an address is.

use std::fmt::Write as _;

use crate::bus::{Chip, I2cError};

/// A part as it is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    kind: &'static str,
    /// Where such parts can be.
    addresses: (u8, u8),
    /// What a board file has to say of it.
    options: &'static str,
    /// How it is known.
    pub(super) why: &'static str,
}

impl Known {
    /// The section of a board file for it; each line begins with `mark`.
    pub(super) fn section(&self, bus: u32, address: u8, mark: &str) -> String {
        let Self { kind, options, .. } = self;
        let mut text = String::new();
        let id = format!("{kind}-{bus}-{address:02x}");
        for line in [
            "[[part]]".to_owned(),
            format!("id = \"{id}\""),
            format!("kind = \"{kind}\""),
            format!("bus = \"i2c-{bus}\""),
            format!("address = {address:#04x}"),
        ] {
            let _ = writeln!(text, "{mark}{line}");
        }
        if !options.is_empty() {
            let _ = writeln!(text, "{mark}{options}");
        }
        text
    }
}

/// A resistor that many boards have.
const SHUNT: &str = "options = { shunt_ohms = 0.1 } # R100; look at the board";
const RAILS: &str = "options.rails = { 1 = { shunt_ohms = 0.1 }, \
    2 = { shunt_ohms = 0.1 }, 3 = { shunt_ohms = 0.1 } } # look at the board";
const INPUTS: &str = "options.channels = { 0 = {}, 1 = {}, 2 = {}, 3 = {} }";

const DISPLAY: Known = Known {
    kind: "ssd1306",
    addresses: (0x3c, 0x3d),
    options: "",
    why: "What it says when it is read is what a display says.",
};
const INA226: Known = Known {
    kind: "ina226",
    addresses: (0x40, 0x4f),
    options: SHUNT,
    why: "Its registers 0xfe and 0xff say what it is.",
};
const INA3221: Known = Known {
    kind: "ina3221",
    addresses: (0x40, 0x43),
    options: RAILS,
    why: "Its registers 0xfe and 0xff say what it is.",
};
const TMP117: Known = Known {
    kind: "tmp117",
    addresses: (0x48, 0x4b),
    options: "",
    why: "Its register 0x0f says what it is.",
};
const INA219: Known = Known {
    kind: "ina219",
    addresses: (0x40, 0x4f),
    options: SHUNT,
    why: "Its register 0x00 is what such a part begins with.",
};
const ADS1115: Known = Known {
    kind: "ads1115",
    addresses: (0x48, 0x4b),
    options: INPUTS,
    why: "Its register 0x01 is what such a part begins with; an ads1015 \
          looks the same.",
};
const LM75: Known = Known {
    kind: "lm75",
    addresses: (0x48, 0x4f),
    options: "",
    why: "Its limits, registers 0x02 and 0x03, are what such a part begins \
          with; options = { variant = \"tmp75\" } and others have more bits.",
};
const PCF8563: Known = Known {
    kind: "pcf8563",
    addresses: (0x51, 0x51),
    options: "",
    why: "Its registers from 0x02 on are a time.",
};
const SIXFAB: Known =
    Known { kind: "sixfab-ups", addresses: (0x41, 0x41), options: "", why: "" };

const ALL: [Known; 9] =
    [DISPLAY, INA226, INA3221, TMP117, INA219, ADS1115, LM75, PCF8563, SIXFAB];

/// What can be at `address`.
pub(super) fn guesses(address: u8) -> impl Iterator<Item = Known> {
    ALL.into_iter().filter(move |it| {
        let (first, last) = it.addresses;
        (first..=last).contains(&address)
    })
}

/// What is at `address`, as far as it says so. Registers are named only where
/// that is allowed.
pub(super) fn identify(
    chip: &Chip,
    address: u8,
    allow_writes: bool,
) -> Result<Option<Known>, I2cError> {
    for guess in guesses(address) {
        let is_it = match guess.kind {
            // The lower bits of its status (table 9-2) are those of no memory
            // that is at such an address.
            "ssd1306" => matches!(chip.receive_byte()? & 0x3f, 0x03 | 0x06),
            _ if !allow_writes => false,
            "ina226" => {
                chip.read_word_swapped(0xfe)? == 0x5449
                    && chip.read_word_swapped(0xff)? & 0xfff0 == 0x2260
            }
            "ina3221" => {
                chip.read_word_swapped(0xfe)? == 0x5449
                    && chip.read_word_swapped(0xff)? == 0x3220
            }
            "tmp117" => {
                let id = chip.read_word_swapped(0x0f)? & 0x0fff;
                matches!(id, 0x117 | 0x119)
            }
            "ina219" => {
                matches!(chip.read_word_swapped(0x00)?, 0x399f | 0x3eef)
            }
            "ads1115" => chip.read_word_swapped(0x01)? & 0x7fff == 0x0583,
            "lm75" => {
                chip.read_word_swapped(0x02)? == 0x4b00
                    && chip.read_word_swapped(0x03)? == 0x5000
            }
            "pcf8563" => is_time(&chip.read_block(0x02, 7)?),
            _ => false,
        };
        if is_it {
            return Ok(Some(guess));
        }
    }
    Ok(None)
}

/// Seconds to years in decimal, each within its bounds.
fn is_time(bytes: &[u8]) -> bool {
    let bounds: [(u8, u8, u8); 7] = [
        (0x7f, 0x00, 0x59),
        (0x7f, 0x00, 0x59),
        (0x3f, 0x00, 0x23),
        (0x3f, 0x01, 0x31),
        (0x07, 0x00, 0x06),
        (0x1f, 0x01, 0x12),
        (0xff, 0x00, 0x99),
    ];
    bytes.len() == bounds.len()
        && bytes.iter().zip(bounds).all(|(byte, (mask, low, high))| {
            let byte = byte & mask;
            byte & 0xf < 10 && (low..=high).contains(&byte)
        })
}
