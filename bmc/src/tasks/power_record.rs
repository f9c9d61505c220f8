//! Keeps whether systems were on, for when the power comes back.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use onprem_link::{file::replace, log::Chain};
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast::error::RecvError, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::warn;

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
    systems: BTreeMap<Id, Kept>,
}

impl PowerRecord {
    /// Whether the system was on; one that nobody knows was.
    pub(crate) fn was_on(&self, system: &str) -> bool {
        self.systems.get(system).is_none_or(|kept| kept.on)
    }

    /// When systems were last started.
    pub(crate) fn resets(self) -> impl Iterator<Item = (Id, DateTime<Utc>)> {
        let systems = self.systems.into_iter();
        systems.filter_map(|(id, kept)| Some((id, kept.last_reset?)))
    }

    fn of(snapshot: &Snapshot) -> Self {
        let systems = snapshot.inventory.systems.iter();
        let systems = systems.filter(|it| it.restores_power).map(|system| {
            let state = snapshot.power_state(&system.id);
            let kept = Kept {
                on: matches!(state, PowerState::On | PowerState::PoweringOn),
                last_reset: snapshot.resets.get(&system.id).copied(),
            };
            (system.id.clone(), kept)
        });
        Self { systems: systems.collect() }
    }
}

/// Keeps in `file` whether the systems are on, until `stop`.
pub(crate) async fn keep(file: PathBuf, model: Model, stop: CancellationToken) {
    let mut changes = model.changes();
    let mut kept = PowerRecord::default();
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
        let now = PowerRecord::of(&model.snapshot());
        if now != kept {
            write(&file, &now).await;
            kept = now;
        }
        if ends {
            return;
        }
    }
}

async fn write(file: &Path, record: &PowerRecord) {
    let text = serde_json::to_vec_pretty(record).unwrap_or_default();
    let path = file.to_owned();
    let written = spawn_blocking(move || replace(&path, &text)).await;
    if let Ok(Err(error)) = written {
        warn!(error = %Chain(&error), file = %file.display(), "not kept");
    }
}
