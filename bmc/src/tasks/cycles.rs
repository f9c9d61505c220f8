//! How often systems were started, so that nobody wears out what switches
//! them.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use onprem_link::log::Chain;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    gather,
    model::Id,
    state::{StateError, load_or_put_aside},
    writer::Writer,
};

/// Starts are counted over this time.
const HOUR: Duration = Duration::from_hours(1);
/// The most starts that are kept of one system.
const KEPT: usize = 256;

/// A start: so old when it was read, and that was then.
#[derive(Clone, Copy, Debug)]
struct Start {
    before: Duration,
    at: Instant,
}

impl Start {
    fn age(self) -> Duration {
        self.before + self.at.elapsed()
    }
}

/// The starts of the last hour, kept in a file: an agent that comes back
/// knows them. Within one run the clock on the wall does not count; a start
/// that it places in the future was just now.
#[derive(Debug)]
pub(crate) struct Cycles {
    writer: Writer,
    starts: BTreeMap<Id, VecDeque<Start>>,
}

impl Cycles {
    /// What `file` says.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn open(file: PathBuf) -> Result<Self, StateError> {
        let kept: BTreeMap<Id, Vec<DateTime<Utc>>> = load_or_put_aside(&file)?;
        let (now, at) = (Utc::now(), Instant::now());
        let start = |then: DateTime<Utc>| Start {
            before: (now - then).to_std().unwrap_or_default(),
            at,
        };
        let starts = kept.into_iter().map(|(id, times)| {
            (id, times.into_iter().take(KEPT).map(start).collect())
        });
        let starts = gather::map(starts);
        Ok(Self { writer: Writer::new(file), starts })
    }

    /// How long `system`, which may be started `limit` times an hour, has to
    /// wait; nothing if it need not.
    pub(crate) fn wait(
        &mut self,
        system: &Id,
        limit: usize,
    ) -> Option<Duration> {
        let starts = self.starts.get_mut(system);
        let starts = starts.into_iter().flat_map(|starts| {
            starts.retain(|start| start.age() < HOUR);
            starts.iter()
        });
        let ages: Vec<Duration> = starts.map(|start| start.age()).collect();
        if ages.len() < limit {
            return None;
        }
        // So many of them have to grow old.
        let nth = ages.len() - limit;
        let age = ages.get(nth).copied().unwrap_or_default();
        Some(HOUR.saturating_sub(age))
    }

    /// How often `system`, which may be started `limit` times an hour, may
    /// still be started now.
    pub(crate) fn left(&self, system: &Id, limit: usize) -> usize {
        let starts = self.starts.get(system).into_iter().flatten();
        let counted = starts.filter(|start| start.age() < HOUR).count();
        limit.saturating_sub(counted)
    }

    /// Notes that `system` is started now. A full disk is no reason to leave
    /// it off; the count is then lost with the agent.
    pub(crate) async fn note(&mut self, system: &Id) {
        let starts = self.starts.entry(system.clone()).or_default();
        starts.truncate(KEPT - 1);
        starts.push_back(Start { before: Duration::ZERO, at: Instant::now() });
        self.keep().await;
    }

    /// Takes back what was noted last of `system`: it was not started.
    pub(crate) async fn forget(&mut self, system: &Id) {
        if let Some(starts) = self.starts.get_mut(system) {
            starts.pop_back();
            self.keep().await;
        }
    }

    async fn keep(&mut self) {
        let now = Utc::now();
        let then = |start: &Start| {
            now - TimeDelta::from_std(start.age()).unwrap_or_default()
        };
        let starts = self.starts.iter();
        let starts = starts.map(|(id, starts)| {
            let times: Vec<_> = starts.iter().map(then).collect();
            (id, times)
        });
        let kept = gather::map(starts);
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        if let Err(error) = self.writer.write(text).await {
            warn!(error = %Chain(&error), file = %self.writer.file().display(),
                "it is not kept how often systems were started");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_an_hour_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cycles.json");
        let node = Id::from("a1");
        let mut cycles = Cycles::open(file.clone()).unwrap();
        for _ in 0..2 {
            assert_eq!(cycles.wait(&node, 2), None);
            cycles.note(&node).await;
        }
        assert!(cycles.wait(&node, 2).unwrap() > HOUR / 2);
        assert_eq!(cycles.left(&node, 2), 0);
        assert_eq!(cycles.left(&node, 3), 1);
        assert_eq!(cycles.wait(&node, 3), None);
        assert_eq!(cycles.wait(&"a2".into(), 2), None);
        let mut again = Cycles::open(file.clone()).unwrap();
        assert!(again.wait(&node, 2).unwrap() > HOUR / 2);
        again.forget(&node).await;
        assert_eq!(again.wait(&node, 2), None);
        assert!(cycles.wait(&node, 2).is_some());
        tokio::time::advance(HOUR).await;
        assert_eq!(cycles.wait(&node, 2), None);
        assert!(cycles.wait(&node, 0).is_some(), "never");
    }

    #[test]
    fn a_start_in_the_future_was_just_now() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cycles.json");
        std::fs::write(&file, r#"{"a1": ["2999-01-01T00:00:00Z"]}"#).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _in = runtime.enter();
        let mut cycles = Cycles::open(file).unwrap();
        assert!(cycles.wait(&"a1".into(), 1).is_some());
    }
}
