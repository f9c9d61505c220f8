//! The task that owns what is at work.

use std::sync::{Arc, Weak};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{Host, Refused, Reload, Telemetry, engine::Engine};
use crate::{
    model::{Change, Id, Model},
    redfish::event::{Event, Feed},
};

pub(super) struct Task {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) engine: Engine,
    pub(super) host: Weak<dyn Host>,
    pub(super) model: Model,
    pub(super) changes: broadcast::Receiver<Change>,
    pub(super) events: Feed,
    pub(super) waiting: mpsc::Receiver<Reload>,
}

/// Why the task woke up.
enum Wake {
    Reload(Reload),
    Change(Change),
    /// Changes were missed.
    Lost,
    Events(Vec<Arc<Event>>),
    Due,
    End,
}

impl Task {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let wake = tokio::select! {
                () = stop.cancelled() => Wake::End,
                reload = self.waiting.recv() => {
                    reload.map_or(Wake::End, Wake::Reload)
                }
                change = self.changes.recv() => match change {
                    Ok(change) => Wake::Change(change),
                    Err(RecvError::Lagged(_)) => Wake::Lost,
                    Err(RecvError::Closed) => Wake::End,
                },
                events = self.events.next() => Wake::Events(events),
                () = sleep_until(self.engine.due()) => Wake::Due,
            };
            let Some(host) = self.host.upgrade() else { return };
            let snapshot = self.model.snapshot();
            let engine = &mut self.engine;
            match wake {
                Wake::End => return,
                Wake::Reload(answer) => {
                    engine.reload(&*host, &snapshot);
                    // The one who asked may have given up.
                    let _ = answer.send(());
                }
                Wake::Events(events) if engine.listens() => {
                    for event in events {
                        let Some(record) = event.record() else { continue };
                        engine.event(&*host, &snapshot, &record.value());
                    }
                }
                Wake::Due | Wake::Events(_) => {}
                Wake::Change(Change::Inventory) => {
                    engine.reload(&*host, &snapshot);
                }
                Wake::Change(Change::Readings(ids)) => {
                    engine.read(&*host, &snapshot, &ids);
                }
                Wake::Lost => {
                    let ids: Vec<Id> =
                        snapshot.readings.keys().cloned().collect();
                    engine.reload(&*host, &snapshot);
                    engine.read(&*host, &snapshot, &ids);
                }
                Wake::Change(_) => engine.change(),
            }
            let ended = engine.advance(&*host, &snapshot);
            if !ended.is_empty() {
                self.end(&ended).await;
                self.engine.reload(&*host, &snapshot);
            }
        }
    }

    /// Switches off definitions that have come to their end.
    async fn end(&self, ids: &[String]) {
        let stored = self.telemetry.store(|kept| {
            for id in ids {
                if let Some(definition) = kept.definitions.get_mut(id) {
                    definition.enabled = false;
                }
            }
            Ok::<(), Refused>(())
        });
        // What cannot be stored was said in the log; it ends at a restart.
        let _ = stored.await;
    }
}
