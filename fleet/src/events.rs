//! Events: what happened, kept in a ring and told to whoever listens.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::Utc;
use dropshot::ResultsPage;
use onprem_link::{id::Xid, log::Chain};
use tokio::sync::broadcast;
use tracing::warn;

use crate::{
    api::{Device, Event, EventFilter, EventKind, Key, Page, Severity},
    error::Error,
    store::{Change, Collection, Expect, Range, Store, StoreError, Write},
};

/// Events that are kept.
pub const KEPT: usize = 10_000;

/// Events that a listener may be behind.
const BEHIND: usize = 1024;

/// What happened.
#[derive(Debug)]
pub struct Events {
    store: Arc<dyn Store>,
    ids: Mutex<VecDeque<String>>,
    listeners: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// Reads which events are kept.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut range = Range { limit: 1000, ..Range::default() };
        let mut ids = VecDeque::new();
        loop {
            let page = store.range(Collection::Events, range.clone()).await?;
            ids.extend(page.into_iter().map(|document| document.id));
            match ids.back() {
                Some(last) if range.after.as_ref() != Some(last) => {
                    range.after = Some(last.clone());
                }
                _ => break,
            }
        }
        let listeners = broadcast::channel(BEHIND).0;
        Ok(Self { store, ids: Mutex::new(ids), listeners })
    }

    /// The events from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.listeners.subscribe()
    }

    /// Events before `before`, the newest first.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn before(
        &self,
        before: Option<String>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.read(Range { after: before, down: true, limit }).await
    }

    /// Events after `after`, the oldest first.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn after(
        &self,
        after: String,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.read(Range { after: Some(after), down: false, limit }).await
    }

    /// A page of the events, the newest first; `device` is the one that the
    /// filter names.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn page(
        &self,
        page: &Page<EventFilter>,
        device: Option<Xid>,
    ) -> Result<ResultsPage<Event>, Error> {
        let filter = &page.filter;
        let takes = |event: &Event| {
            filter.kind.is_none_or(|kind| event.kind == kind)
                && filter.severity.is_none_or(|s| event.severity == s)
                && (filter.device.is_none()
                    || (device.is_some() && event.device == device)
                    || event.device_name == filter.device)
        };
        let mut after = page.after.as_ref().map(|(_, id)| id.clone());
        let filters = filter.kind.is_some()
            || filter.severity.is_some()
            || filter.device.is_some();
        let at_once = if filters { KEPT / 10 } else { page.limit };
        let mut found = Vec::new();
        // The ring bounds how many are looked at.
        loop {
            let events = self.before(after.clone(), at_once).await?;
            let more = events.len() == at_once;
            for event in events {
                after = Some(event.id.to_string());
                if takes(&event) {
                    found.push(event);
                }
                if found.len() == page.limit {
                    break;
                }
            }
            if found.len() == page.limit {
                return page.answer(found, after.map(|id| (Key::None, id)));
            }
            if !more {
                return page.answer(found, None);
            }
        }
    }

    async fn read(&self, range: Range) -> Result<Vec<Event>, StoreError> {
        let found = self.store.range(Collection::Events, range).await?;
        found
            .iter()
            .map(|document| {
                serde::Deserialize::deserialize(&document.body).map_err(
                    |e: serde_json::Error| StoreError::Failed(e.into()),
                )
            })
            .collect()
    }

    /// Tells an event that is not worth keeping: how far a task is.
    pub fn mention(&self, event: Event) {
        // Nobody may listen.
        let _ = self.listeners.send(Arc::new(event));
    }

    /// Keeps an event and tells it. An event that cannot be kept is told all
    /// the same: what happened did happen.
    pub async fn tell(&self, event: Event) {
        if let Err(error) = self.keep(&event).await {
            warn!(error = %Chain(&error), id = %event.id, "event not kept");
        }
        self.mention(event);
    }

    async fn keep(&self, event: &Event) -> Result<(), StoreError> {
        let id = event.id.to_string();
        let body = serde_json::to_value(event)
            .map_err(|error| StoreError::Failed(error.into()))?;
        let write = |id: String, change| Write {
            collection: Collection::Events,
            id,
            expect: Expect::Any,
            change,
        };
        let put = Change::Put { body, unique: Vec::new() };
        let mut writes = vec![write(id.clone(), put)];
        {
            let mut ids =
                self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.push_back(id);
            while ids.len() > KEPT {
                let oldest = ids.pop_front();
                writes.extend(oldest.map(|id| write(id, Change::Delete)));
            }
        }
        self.store.apply(writes).await?;
        Ok(())
    }
}

/// An event about a device.
#[must_use]
pub fn about(
    device: &Device,
    kind: EventKind,
    severity: Severity,
    message: String,
) -> Event {
    Event {
        id: Xid::new(),
        time: Utc::now(),
        kind,
        severity,
        message,
        device: Some(device.id),
        device_name: Some(device.name.to_string()),
        task: None,
    }
}

/// The fleet server started.
#[must_use]
pub fn started() -> Event {
    Event {
        id: Xid::new(),
        time: Utc::now(),
        kind: EventKind::FleetStarted,
        severity: Severity::Info,
        message: "the fleet server started".to_owned(),
        device: None,
        device_name: None,
        task: None,
    }
}
