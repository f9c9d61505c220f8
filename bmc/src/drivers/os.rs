//! The operating system: its name, the host's name, and how long it runs.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Batch, Driver, tree::Tree};
use crate::model::{
    BootStage, Id, OperatingSystem, PowerState, Started, Vitals,
};

/// What runs here.
#[must_use]
pub fn read(tree: &Tree) -> OperatingSystem {
    let release = tree
        .text("/etc/os-release")
        .or_else(|| tree.text("/usr/lib/os-release"))
        .unwrap_or_default();
    let field = |name: &str| {
        let line = release
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        let value = line?.trim().trim_matches(['"', '\'']).to_owned();
        (!value.is_empty()).then_some(value)
    };
    OperatingSystem {
        name: field("NAME").unwrap_or_else(|| "Linux".into()),
        version: field("VERSION").or_else(|| field("VERSION_ID")),
        kernel: tree.text("/proc/sys/kernel/osrelease"),
    }
}

/// The host's name, without its domain.
#[must_use]
pub fn host_name(tree: &Tree) -> Option<String> {
    let name = tree
        .text("/proc/sys/kernel/hostname")
        .or_else(|| tree.text("/etc/hostname"))?;
    name.split('.').next().map(str::to_owned)
}

/// When the kernel started.
#[must_use]
pub fn started(tree: &Tree) -> Option<DateTime<Utc>> {
    let stat = tree.text("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    DateTime::from_timestamp(line.trim().parse().ok()?, 0)
}

/// Uptime, load and memory now.
#[must_use]
pub fn vitals(tree: &Tree) -> Vitals {
    let uptime = tree.text("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split_whitespace().next().and_then(|s| s.parse().ok());
    let uptime = uptime.and_then(|s| Duration::try_from_secs_f64(s).ok());
    let load = tree.text("/proc/loadavg").unwrap_or_default();
    let mut load = load.split_whitespace().map(|n| n.parse().unwrap_or(0.0));
    let memory = super::memory::usage(tree).unwrap_or_default();
    Vitals {
        uptime: uptime.unwrap_or_default(),
        load: std::array::from_fn(|_| load.next().unwrap_or(0.0)),
        memory_total: memory.total,
        memory_available: memory.available,
    }
}

/// The driver that keeps a system's vitals fresh.
#[derive(Debug)]
pub struct Os {
    system: Id,
    tree: Tree,
}

impl Os {
    /// The operating system of `system`, seen through `tree`.
    #[must_use]
    pub fn new(system: Id, tree: Tree) -> Self {
        Self { system, tree }
    }
}

impl Driver for Os {
    fn name(&self) -> &'static str {
        "os"
    }

    fn poll(&mut self) -> Batch {
        // What reads this is running, so the machine is on.
        Batch {
            vitals: vec![(self.system.clone(), vitals(&self.tree))],
            power: vec![(self.system.clone(), PowerState::On)],
            boots: vec![(
                self.system.clone(),
                Started {
                    // This one.
                    count: 1,
                    stage: BootStage::OsRunning,
                    from: None,
                    took: None,
                },
            )],
            ..Batch::default()
        }
    }
}
