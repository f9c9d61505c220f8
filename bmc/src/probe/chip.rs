//! What somebody at an address is.

use std::fmt::Write as _;

use crate::bus::{Chip, I2cError};

/// A part as it is proposed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    kind: &'static str,
    /// Where such parts can be.
    addresses: (u8, u8),
    /// What a board file has to say of it.
    options: &'static str,
    /// How it is known.
    pub(super) why: &'static str,
    look: Look,
}

/// How a part is told from others at its address.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// By what it says when it is read.
    Read(Test),
    /// By its registers, which have to be named first: a write.
    Registers(Test),
    /// Not at all.
    Never,
}

type Test = fn(&Chip) -> Result<bool, I2cError>;

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

const fn known(
    kind: &'static str,
    addresses: (u8, u8),
    options: &'static str,
    why: &'static str,
    look: Look,
) -> Known {
    Known { kind, addresses, options, why, look }
}

const ALL: [Known; 9] = [
    known(
        "ssd1306",
        (0x3c, 0x3d),
        "",
        "What it says when it is read is what a display says.",
        // The lower bits of its status (table 9-2) are those of no memory
        // that is at such an address.
        Look::Read(|it| Ok(matches!(it.receive_byte()? & 0x3f, 0x03 | 0x06))),
    ),
    known(
        "ina226",
        (0x40, 0x4f),
        SHUNT,
        "Its registers 0xfe and 0xff say what it is.",
        Look::Registers(|it| is_of_texas(it, 0xfff0, 0x2260)),
    ),
    known(
        "ina3221",
        (0x40, 0x43),
        RAILS,
        "Its registers 0xfe and 0xff say what it is.",
        Look::Registers(|it| is_of_texas(it, 0xffff, 0x3220)),
    ),
    known(
        "tmp117",
        (0x48, 0x4b),
        "",
        "Its register 0x0f says what it is.",
        Look::Registers(|it| {
            let id = it.read_word_swapped(0x0f)? & 0x0fff;
            Ok(matches!(id, 0x117 | 0x119))
        }),
    ),
    known(
        "ina219",
        (0x40, 0x4f),
        SHUNT,
        "Its register 0x00 is what such a part begins with.",
        Look::Registers(|it| {
            Ok(matches!(it.read_word_swapped(0x00)?, 0x399f | 0x3eef))
        }),
    ),
    known(
        "ads1115",
        (0x48, 0x4b),
        INPUTS,
        "Its register 0x01 is what such a part begins with; an ads1015 looks \
         the same.",
        Look::Registers(
            |it| Ok(it.read_word_swapped(0x01)? & 0x7fff == 0x0583),
        ),
    ),
    known(
        "lm75",
        (0x48, 0x4f),
        "",
        "Its limits, registers 0x02 and 0x03, are what such a part begins \
         with; options = { variant = \"tmp75\" } and others have more bits.",
        Look::Registers(|it| {
            Ok(it.read_word_swapped(0x02)? == 0x4b00
                && it.read_word_swapped(0x03)? == 0x5000)
        }),
    ),
    known(
        "pcf8563",
        (0x51, 0x51),
        "",
        "Its registers from 0x02 on are a time.",
        Look::Registers(|it| Ok(is_time(&it.read_block(0x02, 7)?))),
    ),
    known("sixfab-ups", (0x41, 0x41), "", "", Look::Never),
];

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
        let is_it = match guess.look {
            Look::Read(is_it) => is_it(chip)?,
            Look::Registers(is_it) if allow_writes => is_it(chip)?,
            Look::Registers(_) | Look::Never => false,
        };
        if is_it {
            return Ok(Some(guess));
        }
    }
    Ok(None)
}

/// Whether a part of Texas Instruments' says `wanted` of itself in the bits of
/// `mask`.
fn is_of_texas(chip: &Chip, mask: u16, wanted: u16) -> Result<bool, I2cError> {
    Ok(chip.read_word_swapped(0xfe)? == 0x5449
        && chip.read_word_swapped(0xff)? & mask == wanted)
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
