//! Events: what happened, kept for a while, and who is told (DSP0266,
//! "Eventing").
//!
//! All who are told share one ring of late events; each has a cursor in it.
//! Whoever falls behind further than the ring reaches is told what is missing.

mod delivery;
mod filter;
mod record;
mod ring;
mod spool;
mod sse;
mod sse_filter;
mod subscribers;
mod subscription;
mod syslog;
mod tls;
mod watch;
mod wire;
mod wires;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use chrono::Utc;
use onprem_link::task::Tasks as _;
use onprem_redfish::message::{
    Message, REGISTRIES, base, heartbeat_event, resource_event,
};
use serde_json::{Map, Value};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    filter::{Filter, Format},
    record::Event,
    subscribers::Kept,
    subscription::{Policy, Protocol, Subscription, SyslogFilter, Trusted},
    tls::is_certificate,
};
use self::{
    record::{Content, Record},
    ring::{Batch, Ring},
    spool::Spool,
    subscribers::Active,
};
use super::{Service, uri};
use crate::{
    model::Model,
    state::{self, StateError},
};

/// Subscriptions and streams there may be at once.
pub(crate) const LIMIT: usize = 32;
/// The largest metric report that is sent, in bytes.
const LARGEST_REPORT: usize = 512 << 10;

/// The registries whose messages are sent.
pub(crate) fn registries() -> impl Iterator<Item = &'static str> {
    REGISTRIES.iter().map(|it| it.name)
}

/// The events and who is told of them.
#[derive(Debug)]
pub(crate) struct Events {
    me: Weak<Self>,
    path: PathBuf,
    kept: ArcSwap<Kept>,
    /// Held by whoever changes what is kept, until it is stored.
    writer: tokio::sync::Mutex<()>,
    ring: Mutex<Ring>,
    /// Poked when there is something new to look at.
    poke: Sender<()>,
    active: Mutex<HashMap<String, Active>>,
    streams: Mutex<Vec<Subscription>>,
    model: Model,
    /// Where resources are looked up that events are about.
    service: OnceLock<Weak<Service>>,
    tasks: TaskTracker,
    deliveries: TaskTracker,
    stop: CancellationToken,
}

impl Events {
    /// Starts to follow `model`, and to tell who is subscribed.
    ///
    /// # Errors
    /// The files with the subscriptions and with what was not delivered
    /// cannot be read.
    pub(crate) fn start(
        model: Model,
        state_dir: &Path,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("redfish.json");
        let kept = state::load_or_put_aside(&path)?;
        let undelivered = state_dir.join("events.json");
        let spool = Spool::load(&undelivered)?;
        let (last, crashed) = spool.last();
        let left = spool.events.into_iter().map(Arc::new).collect();
        let events = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            path,
            kept: ArcSwap::from_pointee(kept),
            writer: tokio::sync::Mutex::default(),
            ring: Mutex::new(Ring::after(last, left)),
            poke: Sender::default(),
            active: Mutex::default(),
            streams: Mutex::default(),
            model: model.clone(),
            service: OnceLock::new(),
            tasks,
            deliveries: TaskTracker::new(),
            stop,
        });
        for subscription in &events.kept.load().subscriptions {
            let cursor = spool.cursors.get(&subscription.id).copied();
            events.activate(subscription, cursor.unwrap_or(last));
        }
        if crashed {
            // What happened in the last seconds of the last run is not known.
            events.send(&base::event_buffer_exceeded(), uri::EVENT_SERVICE);
        }
        let started = heartbeat_event::redfish_service_started();
        events.send(&started, &events.manager());
        events.tasks.start(watch::follow(
            model,
            Arc::clone(&events),
            events.stop.child_token(),
        ));
        events.tasks.start(Arc::clone(&events).spool(undelivered));
        events.deliveries.close();
        Ok(events)
    }

    /// Says where resources are looked up that events are about.
    pub(super) fn attach(&self, service: &Arc<Service>) {
        // There is one service.
        let _ = self.service.set(Arc::downgrade(service));
    }

    /// Tells of `message` about the resource at `origin`.
    pub(crate) fn send(&self, message: &Message, origin: &str) {
        let at = Utc::now();
        self.push(|id| {
            let record = record::of_message(id, at, message, origin);
            Event { id, at, content: Content::Record(Record::new(record)) }
        });
    }

    /// Tells of what a test says: a member of `Event.Events`.
    pub(crate) fn send_test(&self, mut record: Map<String, Value>) {
        self.push(|id| {
            if !record.contains_key("EventId") {
                record.insert("EventId".to_owned(), id.to_string().into());
            }
            let content = Content::Record(Record::new(record));
            Event { id, at: Utc::now(), content }
        });
    }

    /// Sends a metric report, the whole resource, to who wants the reports of
    /// the definition at `definition`. It never waits.
    pub(crate) fn send_report(
        &self,
        definition: &str,
        report: Map<String, Value>,
    ) {
        let body: Box<str> = Value::Object(report).to_string().into();
        if body.len() > LARGEST_REPORT {
            let size = body.len();
            tracing::warn!(definition, size, "metric report too large to send");
            return;
        }
        let definition = definition.to_owned();
        self.push(|id| {
            let content = Content::Report { definition, body };
            Event { id, at: Utc::now(), content }
        });
    }

    /// A resource came, went or changed.
    pub(crate) fn resource_created(&self, uri: &str) {
        self.send(&resource_event::resource_created(), uri);
    }

    pub(crate) fn resource_removed(&self, uri: &str) {
        self.send(&resource_event::resource_removed(), uri);
    }

    pub(crate) fn resource_changed(&self, uri: &str) {
        self.send(&resource_event::resource_changed(), uri);
    }

    fn push(&self, make: impl FnOnce(u64) -> Event) {
        self.ring().push(make);
        self.poke.send_replace(());
    }

    /// What is remembered, and what happens from now on.
    pub(crate) fn feed(self: &Arc<Self>) -> Feed {
        Feed { events: Arc::clone(self), cursor: 0, news: self.news() }
    }

    /// A message to one subscriber only, which nobody else hears of.
    fn aside(&self, message: &Message, origin: &str) -> Event {
        let (id, at) = (self.ring().skip(), Utc::now());
        let record = record::of_message(id, at, message, origin);
        Event { id, at, content: Content::Record(Record::new(record)) }
    }

    /// What this machine is called.
    fn host(&self) -> String {
        let snapshot = self.model.snapshot();
        snapshot.inventory.manager.host_name.clone().unwrap_or_default()
    }

    /// Where the manager is, whose service this is.
    fn manager(&self) -> String {
        let snapshot = self.model.snapshot();
        uri::of(uri::MANAGER, &[&snapshot.inventory.manager.id])
    }

    /// The resource at `uri`, if whoever may log in may see it.
    fn look(&self, uri: &str) -> Option<Map<String, Value>> {
        let service = self.service.get()?.upgrade()?;
        service.open_to_all(uri)
    }

    /// Changes when there is something new to look at.
    fn news(&self) -> Receiver<()> {
        let mut news = self.poke.subscribe();
        news.mark_changed();
        news
    }

    /// What there is after `cursor` for whom `wants` speaks.
    fn after(&self, cursor: u64, wants: impl Fn(&Event) -> bool) -> Batch {
        self.ring().batch(cursor, wants)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<String, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of all that happens, within the agent.
#[derive(Debug)]
pub(crate) struct Feed {
    events: Arc<Events>,
    cursor: u64,
    news: Receiver<()>,
}

impl Feed {
    /// The same, without what happened before now.
    pub(crate) fn afresh(mut self) -> Self {
        self.cursor = self.events.ring().last();
        self
    }

    /// What happened since the last call, at least one event. Who does not
    /// come in time misses some.
    pub(crate) async fn next(&mut self) -> Vec<Arc<Event>> {
        loop {
            let batch = self.events.after(self.cursor, |_| true);
            self.cursor = batch.upto;
            if !batch.events.is_empty() {
                return batch.events;
            }
            if self.news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
