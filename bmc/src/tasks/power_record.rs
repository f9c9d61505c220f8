//! Keeps whether systems were on, for when the power comes back.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use onprem_link::{file::replace, log::Chain, task::blocking};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::gather;
use crate::model::{Change, Id, Model, PowerState, Snapshot};

/// What is known of one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    on: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_reset: Option<DateTime<Utc>>,
}

/// What was so when the agent last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PowerRecord {
    /// The start of the machine that this is from, as its kernel names it.
    boot: Option<String>,
    systems: BTreeMap<Id, Kept>,
}

impl PowerRecord {
    /// Takes the record into the start `boot` of the machine; whether the
    /// power was lost since. Where nobody can tell, it was not.
    pub(crate) fn enter(&mut self, boot: Option<String>) -> bool {
        let lost = matches!((&self.boot, &boot), (Some(a), Some(b)) if a != b);
        self.boot = boot.or(self.boot.take());
        lost
    }

    /// Whether the system was on; one that nobody knows was.
    pub(crate) fn was_on(&self, system: &str) -> bool {
        self.systems.get(system).is_none_or(|kept| kept.on)
    }

    /// Notes that the system is to be on, or off.
    pub(crate) fn put(&mut self, system: &Id, on: bool) {
        let last_reset = self.systems.get(system).and_then(|it| it.last_reset);
        self.systems.insert(system.clone(), Kept { on, last_reset });
    }

    /// When systems were last started.
    pub(crate) fn resets(&self) -> impl Iterator<Item = (&Id, DateTime<Utc>)> {
        let systems = self.systems.iter();
        systems.filter_map(|(id, kept)| Some((id, kept.last_reset?)))
    }

    /// The record after this one.
    fn next(&self, snapshot: &Snapshot) -> Self {
        let systems = snapshot.inventory.systems.iter();
        let systems = systems.filter(|it| it.restores_power).map(|system| {
            let id = &system.id;
            let on = match snapshot.power.get(id) {
                Some(PowerState::On | PowerState::PoweringOn) => true,
                Some(_) => false,
                // Nobody has looked yet.
                None => self.was_on(id),
            };
            let last_reset = snapshot.resets.get(id).copied();
            (id.clone(), Kept { on, last_reset })
        });
        Self { boot: self.boot.clone(), systems: gather::map(systems) }
    }

    /// Writes it to `file`. It waits for the disk.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        replace(file, &serde_json::to_vec_pretty(self)?)
    }
}

/// Keeps in `file`, where `kept` is, whether the systems are on, until `stop`.
pub(crate) async fn keep(
    file: PathBuf,
    mut kept: PowerRecord,
    model: Model,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    loop {
        let ends = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            change = changes.recv() => match change {
                Ok(Change::Power(_) | Change::Boot(_))
                | Err(RecvError::Lagged(_)) => false,
                Ok(_) => continue,
                Err(RecvError::Closed) => true,
            },
        };
        let now = kept.next(&model.snapshot());
        if now != kept {
            let (path, record) = (file.clone(), now.clone());
            let written = blocking(move || record.write(&path)).await;
            if let Ok(Err(error)) = written {
                warn!(error = %Chain(&error), file = %file.display(),
                    "not kept");
            }
            kept = now;
        }
        if ends {
            return;
        }
    }
}
