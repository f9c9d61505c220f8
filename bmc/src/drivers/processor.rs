//! Processors: one a socket, from `/proc/cpuinfo` and the topology in sysfs.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use crate::model::{Architecture, BitWidth, Processor};

const FOLDER: &str = "/sys/devices/system/cpu";

/// Arm's own cores by the part number in `/proc/cpuinfo`.
const ARM_PARTS: &[(u32, &str)] = &[
    (0xb76, "ARM1176"),
    (0xc07, "Cortex-A7"),
    (0xd03, "Cortex-A53"),
    (0xd04, "Cortex-A35"),
    (0xd05, "Cortex-A55"),
    (0xd07, "Cortex-A57"),
    (0xd08, "Cortex-A72"),
    (0xd0b, "Cortex-A76"),
    (0xd0c, "Neoverse N1"),
    (0xd41, "Cortex-A78"),
    (0xd42, "Cortex-A78AE"),
    (0xd49, "Neoverse N2"),
];

/// Who makes Arm processors, by the implementer code.
const ARM_MAKERS: &[(u32, &str)] = &[
    (0x41, "ARM"),
    (0x4e, "NVIDIA"),
    (0x51, "Qualcomm"),
    (0x61, "Apple"),
    (0xc0, "Ampere"),
];

type Fields<'a> = BTreeMap<&'a str, &'a str>;

/// The processors in their sockets.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Processor> {
    let text = tree.text("/proc/cpuinfo").unwrap_or_default();
    let threads = threads(&text);
    let mut sockets: BTreeMap<u32, Vec<(u32, &Fields<'_>)>> = BTreeMap::new();
    for (number, fields) in &threads {
        let file = format!("{FOLDER}/cpu{number}/topology/physical_package_id");
        // Boards with one processor say -1 or nothing.
        let listed = fields.get("physical id").and_then(|id| id.parse().ok());
        let socket = listed.or_else(|| tree.number(&file)).unwrap_or(0);
        sockets.entry(socket).or_default().push((*number, fields));
    }
    sockets
        .into_iter()
        .map(|(socket, threads)| processor(tree, socket, &threads))
        .collect()
}

/// The blocks of `/proc/cpuinfo` that describe a thread, by its number.
fn threads(text: &str) -> Vec<(u32, Fields<'_>)> {
    text.split("\n\n")
        .filter_map(|block| {
            let fields: Fields<'_> = block
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key.trim(), value.trim()))
                .collect();
            let number = fields.get("processor")?.parse().ok()?;
            Some((number, fields))
        })
        .collect()
}

fn processor(
    tree: &Tree,
    socket: u32,
    threads: &[(u32, &Fields<'_>)],
) -> Processor {
    let first = threads.first().map(|(_, fields)| *fields);
    let field = |name: &str| {
        let value = first.and_then(|fields| fields.get(name).copied());
        value.filter(|v| !v.is_empty())
    };
    let code = |name: &str| {
        let digits = field(name)?.trim_start_matches("0x");
        u32::from_str_radix(digits, 16).ok()
    };
    let word = |table: &[(u32, &'static str)], code: Option<u32>| {
        let found = table.iter().find(|(c, _)| Some(*c) == code)?;
        Some(found.1.to_owned())
    };
    let implementer = code("CPU implementer");
    let is_arm = implementer.is_some();
    let is_riscv = field("isa").is_some_and(|isa| isa.starts_with("rv"));
    let architecture = match (is_arm, is_riscv) {
        (true, _) => Architecture::Arm,
        (_, true) => Architecture::RiscV,
        _ => Architecture::X86,
    };
    let wide = match architecture {
        Architecture::Arm => tree.text("/proc/sys/kernel/arch").map_or_else(
            || field("CPU architecture") == Some("8"),
            |arch| arch == "aarch64",
        ),
        Architecture::RiscV => field("isa").is_some_and(|i| i.contains("64")),
        Architecture::X86 => field("flags")
            .is_some_and(|flags| flags.split(' ').any(|f| f == "lm")),
    };
    let part = word(ARM_PARTS, code("CPU part"));
    let maker = match field("vendor_id") {
        Some("GenuineIntel") => Some("Intel".to_owned()),
        Some("AuthenticAMD") => Some("AMD".to_owned()),
        Some(other) => Some(other.to_owned()),
        None => word(ARM_MAKERS, implementer),
    };
    let model = if is_arm { part } else { None };
    let model = model.or_else(|| field("model name").map(str::to_owned));
    let count = u32::try_from(threads.len()).unwrap_or(u32::MAX);
    Processor {
        id: format!("cpu{socket}").into(),
        socket: format!("CPU{socket}"),
        manufacturer: maker,
        model,
        architecture,
        width: if wide { BitWidth::Bits64 } else { BitWidth::Bits32 },
        cores: cores(tree, threads).unwrap_or(count),
        threads: count,
        max_speed_mhz: max_speed(tree, threads),
    }
}

/// Threads that share a core have the same list of siblings.
fn cores(tree: &Tree, threads: &[(u32, &Fields<'_>)]) -> Option<u32> {
    let siblings: Option<BTreeSet<String>> = threads
        .iter()
        .map(|(number, _)| {
            let folder = format!("{FOLDER}/cpu{number}/topology");
            tree.text(&format!("{folder}/thread_siblings_list"))
        })
        .collect();
    match siblings {
        Some(siblings) => u32::try_from(siblings.len()).ok(),
        None => threads.first()?.1.get("cpu cores")?.parse().ok(),
    }
}

fn max_speed(tree: &Tree, threads: &[(u32, &Fields<'_>)]) -> Option<u32> {
    let from_sysfs = threads.iter().filter_map(|(number, _)| {
        let folder = format!("{FOLDER}/cpu{number}/cpufreq");
        tree.number::<u32>(&format!("{folder}/cpuinfo_max_freq"))
    });
    if let Some(khz) = from_sysfs.max() {
        return Some(khz / 1000);
    }
    let whole = threads.iter().filter_map(|(_, fields)| {
        fields.get("cpu MHz")?.split('.').next()?.parse().ok()
    });
    whole.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_nothing_in_an_empty_tree_and_survives_garbage() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path());
        assert_eq!(read(&tree), []);
        std::fs::create_dir(folder.path().join("proc")).unwrap();
        let file = folder.path().join("proc/cpuinfo");
        std::fs::write(&file, "processor : x\n\nprocessor\t: 0\nfoo\n")
            .unwrap();
        let processors = read(&tree);
        assert_eq!(processors.len(), 1);
        assert_eq!(processors[0].cores, 1);
        assert_eq!(processors[0].model, None);
    }
}
