//! What systems are to be at the end of what was begun with their power, on
//! disk before the first step: an agent that dies over it leaves nobody off.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use chrono::{DateTime, Utc};
use onprem_link::log::Chain;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    commands::ResetType,
    model::Id,
    state::{StateError, load_or_put_aside},
    writer::Writer,
};

/// What was begun with a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What was asked for.
    pub(crate) kind: ResetType,
    /// Whether the system is on at the end.
    pub(crate) on: bool,
    /// When it was begun.
    pub(crate) since: DateTime<Utc>,
}

/// All that has not ended.
#[derive(Debug)]
pub(crate) struct Plans {
    writer: Writer,
    all: BTreeMap<Id, Plan>,
    /// Those that an agent before this one has begun.
    resumed: BTreeSet<Id>,
}

impl Plans {
    /// What `file` says.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn open(file: PathBuf) -> Result<Self, StateError> {
        let all: BTreeMap<Id, Plan> = load_or_put_aside(&file)?;
        let resumed = all.keys().cloned().collect();
        Ok(Self { writer: Writer::new(file), all, resumed })
    }

    /// What is under way with `system`.
    pub(crate) fn get(&self, system: &Id) -> Option<Plan> {
        self.all.get(system).copied()
    }

    /// Forgets all: the power was lost, and what systems are then is a matter
    /// of their policies.
    pub(crate) fn forget(&mut self) {
        self.all.clear();
        self.resumed.clear();
    }

    /// All that is under way.
    pub(crate) fn all(&self) -> Vec<(Id, Plan)> {
        self.all.iter().map(|(id, plan)| (id.clone(), *plan)).collect()
    }

    /// Whether an agent before this one has begun what is under way.
    pub(crate) fn is_resumed(&self, system: &Id) -> bool {
        self.resumed.contains(system)
    }

    /// Puts what is under way with `system`, or that nothing is, and says what
    /// was before. It is on disk when this returns; a full disk is no reason
    /// not to switch.
    pub(crate) async fn put(
        &mut self,
        system: &Id,
        plan: Option<Plan>,
    ) -> Option<Plan> {
        let before = match plan {
            Some(plan) => self.all.insert(system.clone(), plan),
            None => self.all.remove(system),
        };
        self.resumed.remove(system);
        if before != plan {
            self.keep().await;
        }
        before
    }

    /// Ends what is under way with `systems`.
    pub(crate) async fn end(&mut self, systems: &[Id]) {
        for system in systems {
            self.all.remove(system);
            self.resumed.remove(system);
        }
        self.keep().await;
    }

    async fn keep(&mut self) {
        let text = serde_json::to_vec_pretty(&self.all).unwrap_or_default();
        if let Err(error) = self.writer.write(text).await {
            warn!(error = %Chain(&error), file = %self.writer.file().display(),
                "it is not kept what is under way with the power");
        }
    }
}
