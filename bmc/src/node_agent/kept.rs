//! What is under way with nodes, on disk: an agent that ends over it takes it
//! up when it is back.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onprem_link::file::store;
use serde::{Deserialize, Serialize};

use crate::{
    commands::ResetType,
    model::Id,
    state::{StateError, load_or_put_aside},
};

/// What is under way with a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What was asked for.
    pub(super) kind: ResetType,
    /// The task of the service that it belongs to.
    pub(super) task: Option<String>,
    /// Whether the node's own agent has heard of it.
    pub(super) heard: bool,
}

/// All of them. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    plans: Mutex<BTreeMap<Id, Plan>>,
    /// Held by whoever writes the file.
    writer: tokio::sync::Mutex<()>,
}

impl Kept {
    /// What is kept in `folder`.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let file = folder.join("graceful.json");
        let plans = Mutex::new(load_or_put_aside(&file)?);
        let writer = tokio::sync::Mutex::default();
        Ok(Self(Arc::new(Shared { file, plans, writer })))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Plan>> {
        self.0.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is under way with `system`.
    pub(super) fn plan(&self, system: &Id) -> Option<Plan> {
        self.lock().get(system).cloned()
    }

    /// Keeps that this is under way with `system`, or nothing is; it is on
    /// disk when this returns.
    ///
    /// # Errors
    /// What the file system said.
    pub(super) async fn put(
        &self,
        system: &Id,
        plan: Option<Plan>,
    ) -> io::Result<()> {
        let _turn = self.0.writer.lock().await;
        let text = {
            let mut plans = self.lock();
            match plan {
                Some(plan) => drop(plans.insert(system.clone(), plan)),
                None => drop(plans.remove(system)),
            }
            serde_json::to_vec_pretty(&*plans).unwrap_or_default()
        };
        store(&self.0.file, text).await
    }
}
