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
mod subscription;
mod syslog;
mod tls;
mod watch;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::Utc;
use http::StatusCode;
use onprem_link::{file, id::Xid, task::Tasks as _};
use onprem_redfish::message::{
    Message, REGISTRIES, base, heartbeat_event, resource_event,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    filter::{Filter, Format},
    record::Event,
    subscription::{Policy, Protocol, Subscription, SyslogFilter, Trusted},
    tls::is_certificate,
};
use self::{
    record::{Content, Record},
    ring::{Batch, Ring},
    spool::Spool,
};
use super::{Service, error::Error, uri};
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

/// What can be set on the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    /// How often an event is tried again.
    pub(crate) attempts: u32,
    /// The time between two attempts, in seconds.
    pub(crate) interval_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, attempts: 3, interval_seconds: 10 }
    }
}

impl Settings {
    fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds.into())
    }
}

/// What survives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) ntp_servers: Vec<String>,
    pub(crate) settings: Settings,
    subscriptions: Vec<Subscription>,
}

/// A subscription at work.
#[derive(Debug, Clone)]
struct Active {
    stop: CancellationToken,
    progress: Arc<Progress>,
    config: Sender<Arc<Subscription>>,
}

/// How far a subscriber is.
#[derive(Debug, Default)]
struct Progress {
    /// The id of the last event that it was told, or did not want.
    cursor: AtomicU64,
    failing: AtomicBool,
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

    /// What is kept.
    pub(crate) fn kept(&self) -> Kept {
        Kept::clone(&self.kept.load())
    }

    /// What is set on the service.
    pub(crate) fn settings(&self) -> Settings {
        self.kept.load().settings
    }

    /// Changes what is kept, and returns when it is stored.
    pub(crate) async fn keep(
        &self,
        change: impl FnOnce(&mut Kept),
    ) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        let mut kept = self.kept();
        change(&mut kept);
        let bytes = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        if let Err(error) = file::store(&self.path, bytes).await {
            let path = self.path.display();
            tracing::error!(%error, %path, "settings not stored");
            return Err(Error::unstored(&error));
        }
        let before = self.kept.swap(Arc::new(kept));
        self.reconfigure(&before);
        Ok(())
    }

    /// Tells those at work what has changed for them.
    fn reconfigure(&self, before: &Kept) {
        let now = self.kept.load();
        let active = self.active();
        if now.settings.enabled && !before.settings.enabled {
            // What happened in between is published to nobody.
            let last = self.ring().last();
            for it in active.values() {
                it.progress.cursor.fetch_max(last, Ordering::Relaxed);
            }
        }
        for subscription in &now.subscriptions {
            if let Some(it) = active.get(&subscription.id) {
                it.config.send_if_modified(|config| {
                    let differs = **config != *subscription;
                    if differs {
                        *config = Arc::new(subscription.clone());
                    }
                    differs
                });
            }
        }
        if now.settings != before.settings {
            self.poke.send_replace(());
        }
    }

    /// All subscriptions, the streams last.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut all = self.kept.load().subscriptions.clone();
        all.extend(self.streams().iter().cloned());
        let active = self.active();
        for subscription in &mut all {
            subscription.failing = active
                .get(&subscription.id)
                .is_some_and(|it| it.progress.failing.load(Ordering::Relaxed));
        }
        all
    }

    /// The subscription `id`.
    pub(crate) fn subscription(&self, id: &str) -> Option<Subscription> {
        self.subscriptions().into_iter().find(|it| it.id == id)
    }

    /// Makes a subscription; it gets its id here.
    pub(crate) async fn subscribe(
        &self,
        mut subscription: Subscription,
    ) -> Result<String, Error> {
        self.room()?;
        let id = Xid::new().to_string();
        subscription.id.clone_from(&id);
        let kept = subscription.clone();
        let cursor = self.ring().last();
        self.keep(|it| it.subscriptions.push(kept)).await?;
        self.activate(&subscription, cursor);
        Ok(id)
    }

    /// Changes the subscription `id`.
    pub(crate) async fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Subscription),
    ) -> Result<(), Error> {
        if let Some(it) = self.streams().iter_mut().find(|it| it.id == id) {
            change(it);
            return Ok(());
        }
        self.keep(|kept| {
            let mut all = kept.subscriptions.iter_mut();
            if let Some(it) = all.find(|it| it.id == id) {
                change(it);
            }
        })
        .await
    }

    /// Goes on with a suspended subscription: what was kept meanwhile is
    /// sent, if it is no older than `age`.
    pub(crate) async fn resume(
        &self,
        id: &str,
        age: Option<chrono::TimeDelta>,
    ) -> Result<(), Error> {
        if let Some(age) = age {
            let ring = self.ring();
            let skipped = if age.is_zero() {
                Some(ring.last())
            } else {
                let since = Utc::now().checked_sub_signed(age);
                since.and_then(|since| ring.before(since))
            };
            drop(ring);
            if let (Some(at), Some(it)) = (skipped, self.active().get(id)) {
                it.progress.cursor.fetch_max(at, Ordering::Relaxed);
            }
        }
        self.change(id, |it| it.suspended = false).await
    }

    /// Ends the subscription `id`, and its stream if it has one.
    pub(crate) fn unsubscribe<'a>(
        &'a self,
        id: &'a str,
    ) -> super::resource::Pending<'a, ()> {
        Box::pin(async move {
            let stream = {
                let mut streams = self.streams();
                let before = streams.len();
                streams.retain(|it| it.id != id);
                streams.len() < before
            };
            if !stream {
                self.keep(|kept| kept.subscriptions.retain(|it| it.id != id))
                    .await?;
            }
            let active = self.active().remove(id);
            if let Some(active) = active {
                active.stop.cancel();
            }
            Ok(())
        })
    }

    pub(super) fn room(&self) -> Result<(), Error> {
        if self.subscriptions().len() < LIMIT {
            return Ok(());
        }
        let message = base::event_subscription_limit_exceeded();
        Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, message))
    }

    fn activate(&self, subscription: &Subscription, cursor: u64) {
        let active = self.register(subscription, cursor);
        if let Some(events) = self.me.upgrade() {
            self.deliveries.start(delivery::deliver(events, active));
        }
    }

    /// Notes that `subscription` is at work.
    fn register(&self, subscription: &Subscription, cursor: u64) -> Active {
        let progress = Progress::default();
        progress.cursor.store(cursor, Ordering::Relaxed);
        let active = Active {
            stop: self.stop.child_token(),
            progress: Arc::new(progress),
            config: Sender::new(Arc::new(subscription.clone())),
        };
        self.active().insert(subscription.id.clone(), active.clone());
        active
    }

    /// How far those are who are posted to.
    fn cursors(&self) -> BTreeMap<String, u64> {
        let kept = self.kept.load();
        let active = self.active();
        let ids = kept.subscriptions.iter().map(|it| &it.id);
        ids.filter_map(|id| {
            let progress = &active.get(id)?.progress;
            Some((id.clone(), progress.cursor.load(Ordering::Relaxed)))
        })
        .collect()
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
