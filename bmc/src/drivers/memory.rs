//! Memory: modules from DMI where firmware lists them, else one for all.

use super::{device_tree::Board, dmi::is_meaningful, tree::Tree};
use crate::model::{BoardIdentity, MemoryKind, MemoryModule};

const ENTRIES: &str = "/sys/firmware/dmi/entries";

/// How much memory there is and how much of it is free, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the kernel has.
    pub total: u64,
    /// What programs can still have.
    pub available: u64,
}

/// Memory now.
#[must_use]
pub fn usage(tree: &Tree) -> Option<Usage> {
    let text = tree.text("/proc/meminfo")?;
    let field = |name: &str| {
        let rest = text.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: u64 =
            rest.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    };
    let total = field("MemTotal:")?;
    let available = field("MemAvailable:").or_else(|| field("MemFree:"));
    Some(Usage { total, available: available.unwrap_or(0).min(total) })
}

/// The memory modules: those that DMI lists, else one that stands for what
/// the board or the kernel says.
#[must_use]
pub fn modules(tree: &Tree, board: Option<&Board>) -> Vec<MemoryModule> {
    let modules: Vec<MemoryModule> = tree
        .entries(ENTRIES)
        .iter()
        .filter(|name| name.starts_with("17-"))
        .filter_map(|name| {
            let raw = tree.bytes(&format!("{ENTRIES}/{name}/raw")).ok()?;
            module(&raw)
        })
        .collect();
    if !modules.is_empty() {
        return number(modules);
    }
    let soldered = board.and_then(|b| b.memory);
    let capacity = match soldered {
        Some((bytes, _)) => bytes,
        None => match usage(tree) {
            Some(usage) => usage.total,
            None => return Vec::new(),
        },
    };
    vec![MemoryModule {
        id: "memory0".into(),
        name: "Memory".into(),
        capacity,
        kind: soldered.map(|(_, kind)| kind),
        ..MemoryModule::default()
    }]
}

fn number(mut modules: Vec<MemoryModule>) -> Vec<MemoryModule> {
    for (index, module) in modules.iter_mut().enumerate() {
        module.id = format!("memory{index}").into();
    }
    modules
}

/// A memory device as in SMBIOS 7.18; nothing for an empty slot.
fn module(raw: &[u8]) -> Option<MemoryModule> {
    let length = usize::from(*raw.get(1)?);
    let body = raw.get(..length)?;
    let byte = |at: usize| body.get(at).copied();
    let word = |at: usize| {
        let bytes = body.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_le_bytes(bytes))
    };
    let capacity = match word(0x0c)? {
        0 | 0xffff => return None,
        // The size is too large for this field and stands in another.
        0x7fff => {
            let bytes = body.get(0x1c..0x20)?.try_into().ok()?;
            u64::from(u32::from_le_bytes(bytes) & 0x7fff_ffff) << 20
        }
        kib if kib & 0x8000 != 0 => u64::from(kib & 0x7fff) << 10,
        mib => u64::from(mib) << 20,
    };
    let strings: Vec<&[u8]> = raw.get(length..)?.split(|b| *b == 0).collect();
    let string = |at: usize| {
        let index = usize::from(byte(at)?).checked_sub(1)?;
        let text = String::from_utf8_lossy(strings.get(index)?);
        let text = text.trim();
        is_meaningful(text).then(|| text.to_owned())
    };
    let locator = string(0x10);
    let speed = |at| word(at).filter(|mts| !matches!(mts, 0 | 0xffff));
    Some(MemoryModule {
        id: "".into(),
        name: locator.clone().unwrap_or_else(|| "Memory".into()),
        capacity,
        kind: byte(0x12).and_then(kind),
        speed_mts: speed(0x20).or_else(|| speed(0x15)).map(u32::from),
        board: BoardIdentity {
            manufacturer: string(0x17),
            serial_number: string(0x18),
            part_number: string(0x1a),
            ..BoardIdentity::default()
        },
        locator,
    })
}

/// The types of SMBIOS 7.18.2 that have a word here.
fn kind(number: u8) -> Option<MemoryKind> {
    Some(match number {
        0x18 => MemoryKind::Ddr3,
        0x1a => MemoryKind::Ddr4,
        0x1c => MemoryKind::Lpddr2,
        0x1e => MemoryKind::Lpddr4,
        0x22 => MemoryKind::Ddr5,
        0x23 => MemoryKind::Lpddr5,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_slot_and_a_cut_table_are_no_module() {
        let mut raw = vec![0u8; 0x28];
        raw[1] = 0x28;
        assert_eq!(module(&raw), None);
        raw[0x0c] = 0xff;
        raw[0x0d] = 0x1f;
        let module_of_8_gib = module(&raw).unwrap();
        assert_eq!(module_of_8_gib.capacity, 8191 << 20);
        assert_eq!(module_of_8_gib.board, BoardIdentity::default());
        assert_eq!(module(&raw[..0x10]), None);
        assert_eq!(module(&[]), None);
    }
}
