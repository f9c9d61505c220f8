//! Storage: the disks in `/sys/block`, grouped by how they are spoken to.

use super::{dmi::is_meaningful, segment, tree::Tree};
use crate::model::{BoardIdentity, Drive, MediaType, Protocol, Storage};

const FOLDER: &str = "/sys/block";

/// The kernel counts in these, whatever a drive's own blocks are.
const SECTOR: u64 = 512;

/// Block devices that are no drives.
const VIRTUAL: &[&str] = &[
    "loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock", "drbd",
];

/// The storage subsystems with their drives.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Storage> {
    let mut subsystems: Vec<Storage> = Vec::new();
    for name in tree.entries(FOLDER) {
        let Some(drive) = drive(tree, &name) else { continue };
        let (id, name) = subsystem(drive.protocol);
        match subsystems.iter_mut().find(|s| &*s.id == id) {
            Some(subsystem) => subsystem.drives.push(drive),
            None => subsystems.push(Storage {
                id: id.into(),
                name: name.into(),
                drives: vec![drive],
                ..Storage::default()
            }),
        }
    }
    subsystems
}

fn subsystem(protocol: Option<Protocol>) -> (&'static str, &'static str) {
    match protocol {
        Some(Protocol::Nvme) => ("nvme", "NVMe"),
        Some(Protocol::Sata) => ("sata", "SATA"),
        Some(Protocol::Scsi) => ("scsi", "SCSI"),
        Some(Protocol::Usb) => ("usb", "USB Storage"),
        Some(Protocol::Sd | Protocol::Emmc) => ("mmc", "Memory Cards"),
        Some(Protocol::Virtio) => ("virtio", "Virtual Disks"),
        None => ("block", "Block Devices"),
    }
}

fn drive(tree: &Tree, name: &str) -> Option<Drive> {
    let is_virtual = VIRTUAL.iter().any(|prefix| name.starts_with(prefix));
    // An eMMC shows its boot and replay-protected areas as disks of their own.
    let is_area = name.starts_with("mmcblk")
        && (name.contains("boot") || name.contains("rpmb"));
    if is_virtual || is_area {
        return None;
    }
    let folder = format!("{FOLDER}/{name}");
    let capacity = tree.number::<u64>(&format!("{folder}/size"))? * SECTOR;
    if capacity == 0 {
        return None;
    }
    let text = |file: &str| {
        let text = tree.text(&format!("{folder}/{file}"))?;
        is_meaningful(&text).then_some(text)
    };
    let protocol = protocol(tree, name, &folder);
    let rotational = tree.number::<u8>(&format!("{folder}/queue/rotational"));
    let media = match (protocol, rotational) {
        // What a hypervisor says about rotation is made up, and so is what
        // a USB stick does not say.
        (Some(Protocol::Virtio), _) | (Some(Protocol::Usb), Some(1)) => None,
        (Some(Protocol::Nvme | Protocol::Sd | Protocol::Emmc), _)
        | (_, Some(0)) => Some(MediaType::Ssd),
        (_, Some(_)) => Some(MediaType::Hdd),
        (_, None) => None,
    };
    let model = text("device/model").or_else(|| text("device/name"));
    // The vendor of a SATA disk reads `ATA`; a virtual one has a PCI number.
    let vendor = text("device/vendor")
        .filter(|v| !v.starts_with("0x") && v.trim() != "ATA");
    let board = BoardIdentity {
        manufacturer: vendor,
        model: model.clone(),
        serial_number: text("device/serial").or_else(|| text("serial")),
        ..BoardIdentity::default()
    };
    Some(Drive {
        id: segment(name).into(),
        name: model.unwrap_or_else(|| name.to_owned()),
        capacity,
        board,
        revision: text("device/firmware_rev")
            .or_else(|| text("device/rev"))
            .or_else(|| text("device/fwrev")),
        media,
        protocol,
        block_size: tree
            .number(&format!("{folder}/queue/logical_block_size"))
            .unwrap_or(512),
        removable: tree.number::<u8>(&format!("{folder}/removable")) == Some(1)
            || protocol == Some(Protocol::Sd),
    })
}

fn protocol(tree: &Tree, name: &str, folder: &str) -> Option<Protocol> {
    if name.starts_with("nvme") {
        return Some(Protocol::Nvme);
    }
    if name.starts_with("vd") || name.starts_with("xvd") {
        return Some(Protocol::Virtio);
    }
    if name.starts_with("mmcblk") {
        let kind = tree.text(&format!("{folder}/device/type"));
        let is_emmc = kind.as_deref() == Some("MMC");
        return Some(if is_emmc { Protocol::Emmc } else { Protocol::Sd });
    }
    let place = tree.link(folder)?;
    if place.contains("/usb") {
        Some(Protocol::Usb)
    } else if place.contains("/ata") {
        Some(Protocol::Sata)
    } else if name.starts_with("sd") {
        Some(Protocol::Scsi)
    } else {
        None
    }
}
