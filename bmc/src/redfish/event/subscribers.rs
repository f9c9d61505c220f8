//! Who is told: the settings and the subscriptions, on disk and at work.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use http::StatusCode;
use onprem_link::{file, id::Xid, task::Tasks as _};
use onprem_redfish::message::base;
use serde::{Deserialize, Serialize};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::{Events, LIMIT, delivery, subscription::Subscription};
use crate::gather;
use crate::redfish::{error::Error, resource::Pending};

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
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds.into())
    }
}

/// What survives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) ntp_servers: Vec<String>,
    pub(crate) settings: Settings,
    pub(super) subscriptions: Vec<Subscription>,
}

/// A subscription at work.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) stop: CancellationToken,
    pub(super) progress: Arc<Progress>,
    pub(super) config: Sender<Arc<Subscription>>,
}

/// How far a subscriber is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The id of the last event that it was told, or did not want.
    pub(super) cursor: AtomicU64,
    pub(super) failing: AtomicBool,
}

impl Events {
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
    pub(crate) fn unsubscribe<'a>(&'a self, id: &'a str) -> Pending<'a, ()> {
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

    pub(in crate::redfish) fn room(&self) -> Result<(), Error> {
        if self.subscriptions().len() < LIMIT {
            return Ok(());
        }
        let message = base::event_subscription_limit_exceeded();
        Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, message))
    }

    pub(super) fn activate(&self, subscription: &Subscription, cursor: u64) {
        let active = self.register(subscription, cursor);
        if let Some(events) = self.me.upgrade() {
            self.deliveries.start(delivery::deliver(events, active));
        }
    }

    /// Notes that `subscription` is at work.
    pub(super) fn register(
        &self,
        subscription: &Subscription,
        cursor: u64,
    ) -> Active {
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
    pub(super) fn cursors(&self) -> BTreeMap<String, u64> {
        let kept = self.kept.load();
        let active = self.active();
        let ids = kept.subscriptions.iter().map(|it| &it.id);
        gather::map(ids.filter_map(|id| {
            let progress = &active.get(id)?.progress;
            Some((id.clone(), progress.cursor.load(Ordering::Relaxed)))
        }))
    }
}
