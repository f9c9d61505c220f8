//! Events on their way to a subscriber: in order, each until it is taken or
//! the subscription's policy says that it is enough.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use onprem_redfish::message::{heartbeat_event, resource_event};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Active, Events,
    record::{self, Event},
    ring::Batch,
    subscription::{Policy, Subscription},
    syslog,
    wire::{Failure, Line},
};
use crate::redfish::uri;

/// How long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest pause between two attempts that come ever later.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Tells the subscriber of `active` what it wants to hear, until it stops.
pub(super) async fn deliver(events: Arc<Events>, active: Active) {
    let stop = active.stop.clone();
    let line = Line::new(events.deliveries.clone());
    let delivery = Delivery { events, active, line, failures: 0 };
    stop.run_until_cancelled(delivery.run()).await;
}

struct Delivery {
    events: Arc<Events>,
    active: Active,
    line: Line,
    /// Attempts that failed since the last that did not.
    failures: u32,
}

impl Delivery {
    async fn run(mut self) {
        let mut config = self.active.config.subscribe();
        let mut news = self.events.news();
        let mut heartbeat = Instant::now();
        loop {
            let subscription = Arc::clone(&config.borrow_and_update());
            news.mark_unchanged();
            let settings = self.events.settings();
            let period = subscription
                .heartbeat_minutes
                .map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
            if subscription.suspended || !settings.enabled {
                self.line.close();
                self.failures = 0;
                tokio::select! {
                    _ = config.changed() => {}
                    _ = news.changed() => {}
                }
                continue;
            }
            let cursor = self.active.progress.cursor.load(Ordering::Relaxed);
            let batch = self.events.after(cursor, |it| subscription.wants(it));
            let due = period.is_some_and(|it| heartbeat.elapsed() >= it);
            if batch.is_empty() && !due {
                self.told(batch.upto);
                let next = heartbeat + period.unwrap_or_default();
                tokio::select! {
                    _ = config.changed() => {}
                    _ = news.changed() => {}
                    () = sleep_until(next), if period.is_some() => {}
                }
                continue;
            }
            let alive = batch.is_empty();
            let batch = if alive {
                heartbeat = Instant::now();
                self.alive()
            } else {
                batch
            };
            match self.attempt(&subscription, &batch).await {
                Ok(()) => {
                    self.failures = 0;
                    self.well(&subscription, true);
                    self.told(batch.upto);
                }
                Err(error) => {
                    tracing::debug!(id = subscription.id, %error, "no delivery");
                    self.well(&subscription, false);
                    // A sign of life that does not arrive is one.
                    if alive {
                        continue;
                    }
                    self.failures = self.failures.saturating_add(1);
                    let enough = self.failures > settings.attempts;
                    if enough && self.give_up(&subscription).await {
                        return;
                    }
                    let pause = match subscription.policy {
                        Policy::RetryForeverWithBackoff => {
                            backoff(settings.interval(), self.failures)
                        }
                        _ => settings.interval(),
                    };
                    tokio::select! {
                        _ = config.changed() => {}
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// It has been told everything up to `id`.
    fn told(&self, id: u64) {
        self.active.progress.cursor.fetch_max(id, Ordering::Relaxed);
    }

    /// Notes whether it can be reached.
    fn well(&self, subscription: &Subscription, well: bool) {
        let failing = &self.active.progress.failing;
        let before = failing.swap(!well, Ordering::Relaxed);
        let to = subscription.destination.as_deref().unwrap_or_default();
        match (well, before) {
            (false, false) => tracing::warn!(to, "events not delivered"),
            (true, true) => tracing::info!(to, "events are delivered again"),
            _ => {}
        }
    }

    /// What the policy says when there were retries enough; whether that is
    /// the end.
    async fn give_up(&mut self, subscription: &Subscription) -> bool {
        let id = &subscription.id;
        let here = uri::of(uri::SUBSCRIPTION, &[id]);
        let to = subscription.destination.as_deref().unwrap_or_default();
        match subscription.policy {
            Policy::RetryForever | Policy::RetryForeverWithBackoff => false,
            Policy::SuspendRetries => {
                tracing::warn!(to, "subscription suspended");
                self.failures = 0;
                let suspended =
                    self.events.change(id, |it| it.suspended = true).await;
                if suspended.is_ok() {
                    let message = resource_event::resource_state_changed(
                        &here, "Disabled",
                    );
                    self.events.send(&message, &here);
                }
                false
            }
            Policy::TerminateAfterRetries => {
                tracing::warn!(to, "subscription terminated");
                self.events.resource_removed(&here);
                // This task is cancelled by it.
                self.events.unsubscribe(id).await.is_ok()
            }
        }
    }

    /// A sign of life.
    fn alive(&self) -> Batch {
        let message = heartbeat_event::redfish_service_functional();
        let event = self.events.aside(&message, &self.events.manager());
        let cursor = self.active.progress.cursor.load(Ordering::Relaxed);
        let events = vec![Arc::new(event)];
        Batch { missed: None, events, upto: cursor }
    }

    /// Sends the batch to the destination, or else to the first of the
    /// others that takes it.
    async fn attempt(
        &mut self,
        subscription: &Subscription,
        batch: &Batch,
    ) -> Result<(), Failure> {
        let mut events = batch.events.clone();
        if let Some((first, last)) = batch.missed {
            let here = uri::of(uri::SUBSCRIPTION, &[&subscription.id]);
            let gap = Event::gap(first, last, &here);
            // A report goes alone, and so does the notice before it.
            if events.iter().all(|it| it.record().is_some()) {
                events.insert(0, Arc::new(gap));
            }
        }
        let others = subscription.backups.iter().flatten();
        let mut failure = None;
        for to in subscription.destination.iter().chain(others) {
            let sent = self.send(subscription, to, &events);
            match timeout(DEADLINE, sent).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some("no answer in time".into()),
            }
            self.line.close();
        }
        Err(failure.unwrap_or_else(|| "no destination".into()))
    }

    async fn send(
        &mut self,
        subscription: &Subscription,
        to: &str,
        events: &[Arc<Event>],
    ) -> Result<(), Failure> {
        if subscription.is_syslog() {
            let host = self.events.host();
            let lines = events.iter().filter_map(|it| syslog::line(it, &host));
            let lines: Vec<_> = lines.collect();
            return self.line.log(subscription, to, &lines).await;
        }
        let context = subscription.context.as_deref();
        let look = |uri: &str| self.events.look(uri);
        let look: Option<record::Look<'_>> =
            subscription.include_origin.then_some(&look);
        let payload = Bytes::from(record::payload(events, context, look));
        self.line.post(subscription, to, payload).await
    }
}

/// Twice as long each time.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1).min(16));
    interval.saturating_mul(factor.unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::UdpSocket};

    use tokio_util::task::TaskTracker;

    use super::{super::Protocol, *};
    use crate::model::Model;

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_is_sent_as_often_as_the_subscriber_asked() {
        let state = tempfile::tempdir().unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let tasks = TaskTracker::new();
        let model = Model::default();
        let events =
            Events::start(model, state.path(), tasks, stop.clone()).unwrap();
        let _stop = stop.drop_guard();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let subscription = Subscription {
            id: "a".to_owned(),
            protocol: Protocol::SyslogUDP,
            destination: Some(format!(
                "syslog://{}",
                socket.local_addr().unwrap()
            )),
            heartbeat_minutes: Some(2),
            ..Subscription::default()
        };
        events.activate(&subscription, events.ring().last());
        let heard = || {
            let mut bytes = [0; 2048];
            let mut signs = 0;
            loop {
                match socket.recv(&mut bytes) {
                    Ok(length) => {
                        let text = String::from_utf8_lossy(&bytes[..length]);
                        signs += usize::from(
                            text.contains("RedfishServiceFunctional"),
                        );
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        return signs;
                    }
                }
            }
        };
        sleep(Duration::from_secs(110)).await;
        assert_eq!(heard(), 0);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(heard(), 1);
        sleep(Duration::from_mins(4)).await;
        assert_eq!(heard(), 2);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let second = Duration::from_secs(1);
        assert_eq!(backoff(second, 1), second);
        assert_eq!(backoff(second, 4), 8 * second);
        assert_eq!(backoff(second, 40), LONGEST_PAUSE);
    }
}
