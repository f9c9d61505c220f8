//! Arrays of the kernel: `/sys/block/md*/md`
//! (Documentation/admin-guide/md.rst).

use uuid::Uuid;

use super::{segment, tree::Tree};
use crate::model::{Health, Id, RaidType, System, Volume};

const FOLDER: &str = "/sys/block";

/// The kernel counts in these.
const SECTOR: u64 = 512;

/// The arrays of `system`, by system and storage. One that lies in several
/// storage subsystems is shown in that of its first drive.
pub(crate) fn read(
    tree: &Tree,
    system: &System,
) -> Vec<((Id, Id), Vec<Volume>)> {
    let mut found: Vec<_> = system
        .storage
        .iter()
        .map(|it| ((system.id.clone(), it.id.clone()), Vec::new()))
        .collect();
    for name in tree.entries(FOLDER) {
        let Some(volume) = array(tree, system, &name) else { continue };
        let holds = |storage: &crate::model::Storage| {
            let first = volume.drives.first();
            first.is_some_and(|id| storage.drives.iter().any(|d| d.id == *id))
        };
        let place = system.storage.iter().position(holds);
        if let Some((_, volumes)) = place.and_then(|at| found.get_mut(at)) {
            volumes.push(volume);
        }
    }
    found
}

fn array(tree: &Tree, system: &System, name: &str) -> Option<Volume> {
    let folder = format!("{FOLDER}/{name}");
    let text = |file: &str| tree.text(&format!("{folder}/md/{file}"));
    let state = text("array_state")?;
    if state == "clear" {
        // A name without an array.
        return None;
    }
    let raid = match text("level").unwrap_or_default().as_str() {
        "raid0" => Some(RaidType::Raid0),
        "raid1" => Some(RaidType::Raid1),
        "raid5" => Some(RaidType::Raid5),
        "raid6" => Some(RaidType::Raid6),
        "raid10" => Some(RaidType::Raid10),
        _ => None,
    };
    let mut drives: Vec<Id> = Vec::new();
    for member in members(tree, name) {
        let all = system.storage.iter().flat_map(|it| &it.drives);
        let mut all = all.map(|drive| &drive.id);
        let of = all.find(|id| {
            **id == Id::from(segment(&member))
                || tree.exists(&format!("{FOLDER}/{id}/{member}"))
        });
        if let Some(id) = of
            && !drives.contains(id)
        {
            drives.push(id.clone());
        }
    }
    let dead = matches!(state.as_str(), "inactive" | "broken" | "suspended");
    let degraded = text("degraded").and_then(|it| it.parse::<u32>().ok());
    let blocks = tree.number(&format!("{folder}/queue/logical_block_size"));
    Some(Volume {
        id: segment(name).into(),
        name: name.to_owned(),
        raid,
        capacity: tree.number::<u64>(&format!("{folder}/size"))? * SECTOR,
        block_size: blocks.unwrap_or(512),
        drives,
        uuid: text("uuid").and_then(|it| {
            let digits: String = it.chars().filter(|c| *c != ':').collect();
            Uuid::try_parse(&digits).ok()
        }),
        enabled: !dead,
        health: match degraded {
            _ if dead => Health::Critical,
            Some(missing) if missing > 0 => Health::Warning,
            _ => Health::Ok,
        },
    })
}

/// The block devices that the array `name` lies on: drives and partitions.
pub(crate) fn members(tree: &Tree, name: &str) -> Vec<String> {
    let entries = tree.entries(&format!("{FOLDER}/{name}/md"));
    let names = entries.iter().filter_map(|it| it.strip_prefix("dev-"));
    names.map(str::to_owned).collect()
}

/// A name that no array has.
pub(crate) fn free_name(tree: &Tree) -> String {
    let mut names = (0..=u16::MAX).map(|number| format!("md{number}"));
    let free = names.find(|it| !tree.exists(&format!("{FOLDER}/{it}")));
    free.unwrap_or_else(|| "md0".to_owned())
}

/// What uses the block device `name`, if anything does.
pub(crate) fn in_use(tree: &Tree, name: &str) -> Option<String> {
    let folder = format!("{FOLDER}/{name}");
    if let Some(holder) = tree.entries(&format!("{folder}/holders")).first() {
        return Some(format!("it is part of `{holder}`"));
    }
    let parts = tree.entries(&folder);
    let mut parts = parts.iter();
    let part =
        parts.find(|it| tree.exists(&format!("{folder}/{it}/partition")));
    if let Some(part) = part {
        return Some(format!("it has a partition `{part}`"));
    }
    // The same device may be mounted by another of its names.
    if let Some(number) = tree.text(&format!("{folder}/dev")) {
        let mounts = tree.text("/proc/self/mountinfo").unwrap_or_default();
        let mut mounts = mounts.lines().map(str::split_whitespace);
        let place = mounts.find_map(|line| {
            let mut words = line.skip(2);
            (words.next() == Some(&*number))
                .then(|| words.nth(1).unwrap_or_default().to_owned())
        });
        if let Some(place) = place {
            return Some(format!("it is mounted on `{place}`"));
        }
    }
    let device = format!("/dev/{name}");
    let lists = |file: &str| {
        let text = tree.text(file).unwrap_or_default();
        let mut lines = text.lines().map(str::split_whitespace);
        lines.find_map(|mut line| {
            (line.next() == Some(&*device))
                .then(|| line.next().unwrap_or_default().to_owned())
        })
    };
    if let Some(place) = lists("/proc/mounts") {
        return Some(format!("it is mounted on `{place}`"));
    }
    lists("/proc/swaps").map(|_| "it is swap space".to_owned())
}
