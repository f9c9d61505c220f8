//! What is kept on disk of events that were not delivered.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use onprem_link::file;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Events, record::Event};
use crate::state::{self, StateError};

/// Undelivered events are on disk after this time at the latest.
const INTERVAL: Duration = Duration::from_secs(5);
/// After a crash ids go on this much later, so that none comes twice.
const JUMP: u64 = 1_000_000;
/// Before that many ids are used the file is written again.
const WRITE_BY: u64 = JUMP / 2;

/// The file `events.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spool {
    /// Was it written when the agent stopped?
    clean: bool,
    last: u64,
    pub(super) events: VecDeque<Event>,
    /// How far each subscription is.
    pub(super) cursors: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Written<'a> {
    clean: bool,
    last: u64,
    events: Vec<&'a Event>,
    cursors: BTreeMap<String, u64>,
}

impl Spool {
    /// What the last run left.
    pub(super) fn load(path: &std::path::Path) -> Result<Self, StateError> {
        state::load_or_put_aside(path)
    }

    /// The id after which this run goes on, and whether the last one may
    /// have known of more than is here.
    pub(super) fn last(&self) -> (u64, bool) {
        let known = self.events.back().map_or(0, |it| it.id).max(self.last);
        if self.clean || known == 0 {
            (known, false)
        } else {
            (known + JUMP, true)
        }
    }
}

impl Events {
    /// Keeps the file as it should be, until the agent stops.
    pub(super) async fn spool(self: Arc<Self>, path: PathBuf) {
        let mut news = self.news();
        let mut written = (0, 0);
        loop {
            let stopping = self.stop.is_cancelled();
            if stopping {
                self.deliveries.wait().await;
            }
            let state = self.progress();
            let behind = state.1 < state.0;
            let far = state.0 >= written.0 + WRITE_BY;
            let first = written.0 == 0;
            if stopping || first || far || behind && state != written {
                let bytes = self.written(stopping);
                if let Err(error) = file::store(&path, bytes).await {
                    tracing::warn!(%error, "undelivered events not stored");
                }
                written = state;
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                _ = news.changed() => {
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = sleep(INTERVAL) => {}
                    }
                }
            }
        }
    }

    /// The last id, and how far the slowest subscriber is.
    fn progress(&self) -> (u64, u64) {
        let last = self.ring().last();
        let slowest = self.cursors().into_values().min();
        (last, slowest.unwrap_or(last))
    }

    fn written(&self, clean: bool) -> Vec<u8> {
        let cursors = self.cursors();
        let ring = self.ring();
        let events = ring.events().map(|it| &**it).collect();
        let written = Written { clean, last: ring.last(), events, cursors };
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_comes_twice_after_a_crash() {
        let spool = |clean, last| Spool { clean, last, ..Spool::default() };
        assert_eq!(spool(true, 7).last(), (7, false));
        assert_eq!(spool(false, 7).last(), (7 + JUMP, true));
        assert_eq!(Spool::default().last(), (0, false));
    }
}
