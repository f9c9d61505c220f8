//! Virtual machines: words for a machine whose firmware says little.

use super::tree::Tree;
use crate::model::BoardIdentity;

/// The maker's mark in ACPI tables, the maker, and the machine.
const ACPI_MARKS: &[(&str, &str, &str)] = &[
    ("FIRECK", "Firecracker", "microVM"),
    ("CLOUDH", "Cloud Hypervisor", "Virtual Machine"),
    ("BOCHS", "QEMU", "Virtual Machine"),
    ("BXPC", "QEMU", "Virtual Machine"),
    ("VBOX", "Oracle", "VirtualBox"),
    ("VRTUAL", "Microsoft", "Hyper-V"),
    ("VMWARE", "VMware", "Virtual Machine"),
    ("PTLTD", "VMware", "Virtual Machine"),
    ("XEN", "Xen", "Virtual Machine"),
    ("GOOGLE", "Google", "Compute Engine"),
    ("AMAZON", "Amazon", "EC2"),
];

/// Whether the machine is a virtual one.
#[must_use]
pub fn is_virtual(tree: &Tree) -> bool {
    if tree.exists("/sys/hypervisor/type") {
        return true;
    }
    let processors = tree.text("/proc/cpuinfo").unwrap_or_default();
    let flags = processors.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|l| l.split_whitespace().any(|f| f == "hypervisor"))
}

/// The best words for a machine that neither DMI nor a device tree names.
#[must_use]
pub fn describe(tree: &Tree) -> BoardIdentity {
    let (manufacturer, model) = acpi_mark(tree)
        .or_else(|| xen(tree))
        .or_else(|| {
            is_virtual(tree)
                .then(|| ("Virtual".into(), "Virtual Machine".into()))
        })
        .unwrap_or_else(|| ("Generic".into(), "Linux Machine".into()));
    BoardIdentity {
        manufacturer: Some(manufacturer),
        model: Some(model),
        ..BoardIdentity::default()
    }
}

/// The six characters at offset 10 of an ACPI table name who wrote it.
fn acpi_mark(tree: &Tree) -> Option<(String, String)> {
    let table = tree.bytes("/sys/firmware/acpi/tables/FACP").ok()?;
    let mark = String::from_utf8_lossy(table.get(10..16)?).to_uppercase();
    let mark = mark.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let (_, maker, model) = ACPI_MARKS.iter().find(|(m, ..)| *m == mark)?;
    Some(((*maker).into(), (*model).into()))
}

fn xen(tree: &Tree) -> Option<(String, String)> {
    let kind = tree.text("/sys/hypervisor/type")?;
    let maker = if kind == "xen" { "Xen".to_owned() } else { kind };
    Some((maker, "Virtual Machine".into()))
}
