//! DMI: what the firmware of a PC says about the machine.

use super::tree::Tree;
use crate::model::{BoardIdentity, ChassisKind};

const FOLDER: &str = "/sys/class/dmi/id";

/// What makers leave in fields they forget to fill.
const JUNK: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "o.e.m.",
    "oem",
    "default string",
    "system manufacturer",
    "system product name",
    "system version",
    "system serial number",
    "base board serial number",
    "chassis serial number",
    "serial number",
    "not specified",
    "not applicable",
    "not available",
    "unknown",
    "none",
    "n/a",
    "sku",
    "empty",
    "123456789",
    "1234567890",
    "0123456789",
    "03000200-0400-0500-0006-000700080009",
];

/// What DMI says about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dmi {
    /// Who made it.
    pub board: BoardIdentity,
    /// The UUID its maker gave it.
    pub uuid: Option<String>,
    /// The serial number of its main board.
    pub board_serial: Option<String>,
    /// The version of its firmware.
    pub bios_version: Option<String>,
    /// The shape of its case.
    pub chassis: Option<ChassisKind>,
}

/// Reads DMI; nothing where there is none.
#[must_use]
pub fn read(tree: &Tree) -> Option<Dmi> {
    if !tree.exists(FOLDER) {
        return None;
    }
    let field = |name: &str| {
        let text = tree.text(&format!("{FOLDER}/{name}"))?;
        is_meaningful(&text).then_some(text)
    };
    let board = BoardIdentity {
        manufacturer: field("sys_vendor").or_else(|| field("board_vendor")),
        model: field("product_name").or_else(|| field("board_name")),
        serial_number: field("product_serial")
            .or_else(|| field("board_serial"))
            .or_else(|| field("chassis_serial")),
        part_number: None,
        sku: field("product_sku"),
    };
    Some(Dmi {
        board,
        uuid: field("product_uuid"),
        board_serial: field("board_serial"),
        bios_version: field("bios_version"),
        chassis: tree
            .number(&format!("{FOLDER}/chassis_type"))
            .and_then(chassis_kind),
    })
}

/// Whether a maker meant this text; `To Be Filled By O.E.M.` and rows of one
/// character are no serial numbers.
#[must_use]
pub fn is_meaningful(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let mut marks = text.chars().filter(|c| c.is_alphanumeric());
    let Some(first) = marks.next() else { return false };
    let varied = marks.any(|c| c != first);
    (varied || text.len() == 1) && !JUNK.contains(&text.as_str())
}

/// The shapes of SMBIOS 7.4.1 that have a word of their own here.
fn chassis_kind(number: u8) -> Option<ChassisKind> {
    match number {
        17 | 23 | 25 => Some(ChassisKind::RackMount),
        28..=30 => Some(ChassisKind::Blade),
        3..=16 | 24 | 35 | 36 => Some(ChassisKind::StandAlone),
        34 => Some(ChassisKind::Module),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_makers_leave_unfilled() {
        for junk in [
            "",
            "  ",
            "To Be Filled By O.E.M.",
            "Default string",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "xxxxxxxx",
            "............",
        ] {
            assert!(!is_meaningful(junk), "{junk}");
        }
        for real in ["PF2ABCDE", "C02XL0GTJGH5", "7"] {
            assert!(is_meaningful(real), "{real}");
        }
    }
}
