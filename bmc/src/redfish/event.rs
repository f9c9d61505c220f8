//! Events: what happened, kept for a while, and who is told.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use chrono::{SecondsFormat, Utc};
use http::StatusCode;
use onprem_link::{file, id::Xid};
use onprem_redfish::{
    csdl,
    message::{Message, base, resource_event},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{delivery, error::Error, uri, watch};
use crate::{
    model::Model,
    state::{self, StateError},
};

/// The registries whose messages are sent.
pub(crate) const REGISTRIES: &[&str] = &["Base", "ResourceEvent", "TaskEvent"];
/// Events that are kept for who comes back.
const KEPT: usize = 256;
/// Subscriptions and streams there may be at once.
const LIMIT: usize = 32;

/// Something that happened.
#[derive(Debug)]
pub(crate) struct Event {
    /// Grows by one with each.
    pub(crate) id: u64,
    pub(crate) registry: &'static str,
    record: Value,
}

impl Event {
    /// What is sent, to a subscriber with this context.
    pub(crate) fn payload(&self, context: Option<&str>) -> String {
        let of = csdl::type_named("Event").map(csdl::Type::odata_type);
        let mut body = json!({
            "@odata.type": of,
            "Id": self.id.to_string(),
            "Name": "Event",
            "Events": [self.record],
        });
        if let (Some(context), Some(body)) = (context, body.as_object_mut()) {
            body.insert("Context".to_owned(), context.into());
        }
        body.to_string()
    }
}

/// Where events go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Destination {
    /// They are posted to a URI.
    Post {
        /// `http` or `https`.
        uri: String,
    },
    /// They are read from a stream.
    Stream,
}

/// Who is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) destination: Destination,
    pub(crate) context: Option<String>,
    /// The registries it wants to hear of; all if empty.
    pub(crate) registries: Vec<String>,
    /// The last delivery did not work.
    #[serde(skip)]
    pub(crate) failing: bool,
}

impl Subscription {
    pub(crate) fn wants(&self, event: &Event) -> bool {
        self.registries.is_empty()
            || self.registries.iter().any(|it| it == event.registry)
    }
}

/// What survives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) ntp_servers: Vec<String>,
    subscriptions: Vec<Subscription>,
}

/// A subscription at work.
#[derive(Debug, Clone)]
struct Active {
    stop: CancellationToken,
    failing: Arc<AtomicBool>,
}

/// The events and who is told of them.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    kept: ArcSwap<Kept>,
    /// Held by whoever changes what is kept, until it is stored.
    writer: tokio::sync::Mutex<()>,
    ring: Mutex<(u64, VecDeque<Arc<Event>>)>,
    sender: broadcast::Sender<Arc<Event>>,
    streams: Mutex<Vec<Subscription>>,
    active: Mutex<HashMap<String, Active>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Events {
    /// Starts to follow `model`, and to tell who is subscribed.
    ///
    /// # Errors
    /// The file with the subscriptions cannot be read.
    pub(crate) fn start(
        model: Model,
        state_dir: &Path,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("redfish.json");
        let kept = state::load_or_put_aside(&path)?;
        let (sender, _) = broadcast::channel(KEPT);
        let events = Arc::new(Self {
            path,
            kept: ArcSwap::from_pointee(kept),
            writer: tokio::sync::Mutex::default(),
            ring: Mutex::default(),
            sender,
            streams: Mutex::default(),
            active: Mutex::default(),
            tasks,
            stop,
        });
        for subscription in &events.kept().subscriptions {
            events.activate(subscription);
        }
        let follow = watch::follow(
            model,
            Arc::clone(&events),
            events.stop.child_token(),
        );
        events.tasks.spawn(follow);
        Ok(events)
    }

    /// Tells of `message` about the resource at `origin`.
    pub(crate) fn send(&self, message: &Message, origin: &str) {
        let registry = message.id().split('.').next().unwrap_or_default();
        let registry =
            REGISTRIES.iter().find(|it| **it == registry).unwrap_or(&"Base");
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.0 += 1;
        let id = ring.0;
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut record = message.to_value();
        if let Some(record) = record.as_object_mut() {
            record.shift_remove("@odata.type");
            record.insert("MemberId".to_owned(), "0".into());
            record.insert("EventId".to_owned(), id.to_string().into());
            record.insert("EventTimestamp".to_owned(), now.into());
            let origin = json!({ "@odata.id": origin });
            record.insert("OriginOfCondition".to_owned(), origin);
        }
        let event = Arc::new(Event { id, registry, record });
        if ring.1.len() >= KEPT {
            ring.1.pop_front();
        }
        ring.1.push_back(Arc::clone(&event));
        // Within the lock, so that listeners hear in the order of the ids.
        // Without a listener there is nobody to tell.
        let _ = self.sender.send(event);
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

    /// What happens from now on, and what happened after `last`, with
    /// whether some of that is forgotten.
    pub(crate) fn listen(
        &self,
        last: Option<u64>,
    ) -> (broadcast::Receiver<Arc<Event>>, VecDeque<Arc<Event>>, bool) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        let Some(last) = last else {
            return (receiver, VecDeque::new(), false);
        };
        let missed: VecDeque<_> =
            ring.1.iter().filter(|it| it.id > last).cloned().collect();
        let oldest = ring.1.front().map_or(ring.0 + 1, |it| it.id);
        (receiver, missed, oldest > last + 1 || last > ring.0)
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> Kept {
        Kept::clone(&self.kept.load())
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
        let path = self.path.clone();
        let stored =
            tokio::task::spawn_blocking(move || file::replace(&path, &bytes));
        if let Err(error) = stored.await.unwrap_or_else(|e| Err(e.into())) {
            let path = self.path.display();
            tracing::error!(%error, %path, "settings not stored");
            return Err(Error::internal());
        }
        self.kept.store(Arc::new(kept));
        Ok(())
    }

    /// All subscriptions, the streams last.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut all = self.kept.load().subscriptions.clone();
        all.extend(self.streams().iter().cloned());
        let active = self.active();
        for subscription in &mut all {
            subscription.failing = active
                .get(&subscription.id)
                .is_some_and(|it| it.failing.load(Ordering::Relaxed));
        }
        all
    }

    /// Makes a subscription that events are posted for.
    pub(crate) async fn subscribe(
        &self,
        destination: Destination,
        context: Option<String>,
        registries: Vec<String>,
    ) -> Result<Subscription, Error> {
        self.room()?;
        let subscription = Subscription {
            id: Xid::new().to_string(),
            destination,
            context,
            registries,
            failing: false,
        };
        let kept = subscription.clone();
        self.keep(|it| it.subscriptions.push(kept)).await?;
        self.activate(&subscription);
        Ok(subscription)
    }

    /// Makes a subscription for a stream. It ends with the token, which is
    /// cancelled when someone deletes it.
    pub(crate) fn open_stream(
        &self,
    ) -> Result<(Subscription, CancellationToken), Error> {
        self.room()?;
        let id = Xid::new().to_string();
        let subscription = Subscription {
            context: Some(format!("stream {id}")),
            id,
            destination: Destination::Stream,
            registries: Vec::new(),
            failing: false,
        };
        let stop = self.stop.child_token();
        let active = Active { stop: stop.clone(), failing: Arc::default() };
        self.active().insert(subscription.id.clone(), active);
        self.streams().push(subscription.clone());
        self.resource_created(&uri::of(uri::SUBSCRIPTION, &[&subscription.id]));
        Ok((subscription, stop))
    }

    /// The stream of the subscription `id` has ended.
    pub(crate) fn close_stream(&self, id: &str) {
        self.active().remove(id);
        let mut streams = self.streams();
        let before = streams.len();
        streams.retain(|it| it.id != id);
        let closed = streams.len() < before;
        drop(streams);
        if closed {
            self.resource_removed(&uri::of(uri::SUBSCRIPTION, &[id]));
        }
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
        .await?;
        // The task that delivers has the old one.
        let active = self.active().remove(id);
        if let Some(active) = active {
            active.stop.cancel();
            let kept = self.kept.load();
            if let Some(it) = kept.subscriptions.iter().find(|it| it.id == id) {
                self.activate(it);
            }
        }
        Ok(())
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

    fn room(&self) -> Result<(), Error> {
        if self.subscriptions().len() < LIMIT {
            return Ok(());
        }
        let message = base::event_subscription_limit_exceeded();
        Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, message))
    }

    fn activate(&self, subscription: &Subscription) {
        let Destination::Post { uri } = &subscription.destination else {
            return;
        };
        let active =
            Active { stop: self.stop.child_token(), failing: Arc::default() };
        let (receiver, _, _) = self.listen(None);
        self.tasks.spawn(delivery::deliver(
            subscription.clone(),
            uri.clone(),
            receiver,
            Arc::clone(&active.failing),
            active.stop.clone(),
        ));
        self.active().insert(subscription.id.clone(), active);
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<String, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
