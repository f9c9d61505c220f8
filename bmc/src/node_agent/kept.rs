//! What is under way with nodes, on disk: an agent that ends over it takes it
//! up when it is back.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use onprem_link::{file::replace, log::Chain};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::target::Target;
use crate::{
    commands::ResetType,
    model::Id,
    state::{StateError, load_or_put_aside},
    writer::Writer,
};

/// What is under way with a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What was asked for.
    pub(super) kind: ResetType,
    /// The task of the service that it belongs to.
    pub(super) task: Option<String>,
    /// Whether the node's own agent has said that it heard of it.
    pub(super) heard: bool,
    /// When it was begun.
    #[serde(default)]
    pub(super) since: DateTime<Utc>,
}

impl Plan {
    /// Whether it is no older than it can take. One of the future is of a
    /// clock that was wrong, and so may be of any time.
    fn is_fresh(&self, target: &Target, now: DateTime<Utc>) -> bool {
        let age: Option<Duration> = (now - self.since).to_std().ok();
        let most = target.shutdown + target.settle + target.restart;
        age.is_some_and(|age| age <= most)
    }
}

/// All of them. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    plans: Mutex<BTreeMap<Id, Plan>>,
    writer: tokio::sync::Mutex<Writer>,
}

impl Kept {
    /// What is kept in `folder` about `targets`. Nothing is where the power was
    /// `lost`, or about a node that nobody looks after any more, or for longer
    /// than a node may take.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(super) fn open(
        folder: &Path,
        targets: &[(Id, Target)],
        lost: bool,
    ) -> Result<Self, StateError> {
        let file = folder.join("graceful.json");
        let mut plans: BTreeMap<Id, Plan> = load_or_put_aside(&file)?;
        let now = Utc::now();
        let before = plans.len();
        plans.retain(|system, plan| {
            let mut targets = targets.iter();
            let target = targets.find(|(id, _)| id == system);
            let goes_on =
                !lost && target.is_some_and(|(_, it)| plan.is_fresh(it, now));
            if !goes_on {
                let (kind, since) = (plan.kind.as_str(), plan.since);
                warn!(%system, kind, %since, "what was under way is let be");
            }
            goes_on
        });
        if plans.len() != before {
            let text = serde_json::to_vec_pretty(&plans).unwrap_or_default();
            if let Err(error) = replace(&file, &text) {
                warn!(error = %Chain(&error), "it is not kept what is let be");
            }
        }
        let (plans, writer) = (Mutex::new(plans), Writer::new(file).into());
        Ok(Self(Arc::new(Shared { plans, writer })))
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
        let mut writer = self.0.writer.lock().await;
        let text = {
            let mut plans = self.lock();
            match plan {
                Some(plan) => drop(plans.insert(system.clone(), plan)),
                None => drop(plans.remove(system)),
            }
            serde_json::to_vec_pretty(&*plans).unwrap_or_default()
        };
        let written = writer.write(text).await;
        if written.is_err() {
            // What is not kept is not under way.
            self.lock().remove(system);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn only_what_is_fresh_and_of_a_node_with_power_goes_on() {
        let now = Utc::now();
        let plan = |seconds| Plan {
            kind: ResetType::GracefulShutdown,
            task: None,
            heard: true,
            since: now - TimeDelta::seconds(seconds),
        };
        let target = Target::test();
        let most = target.shutdown + target.settle + target.restart;
        let most = i64::try_from(most.as_secs()).unwrap();
        let plans: BTreeMap<Id, Plan> = [
            ("young", plan(most / 2)),
            ("old", plan(most + 60)),
            ("future", plan(-60)),
            ("nobody", plan(0)),
        ]
        .into_iter()
        .map(|(id, plan)| (id.into(), plan))
        .collect();
        let targets: Vec<(Id, Target)> = ["young", "old", "future"]
            .map(|id| (id.into(), target.clone()))
            .into();
        let text = serde_json::to_string(&plans).unwrap();
        // As earlier agents wrote it, without its time.
        let timeless = r#"{"young": {"kind": "GracefulShutdown",
            "task": null, "heard": true}}"#;
        for (text, lost, left) in
            [(&*text, false, 1), (&*text, true, 0), (timeless, false, 0)]
        {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("graceful.json"), text).unwrap();
            let kept = Kept::open(folder.path(), &targets, lost).unwrap();
            assert_eq!(kept.lock().len(), left, "{kept:?}");
            assert_eq!(kept.plan(&"young".into()).is_some(), left == 1);
            // And so for the next agent, whether or not it knows of the loss.
            let again = Kept::open(folder.path(), &targets, false).unwrap();
            assert_eq!(again.lock().len(), left, "{again:?}");
        }
    }
}
