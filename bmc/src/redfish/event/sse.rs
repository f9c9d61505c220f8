//! The stream of events (DSP0266, "Server-sent events").

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderValue, Method, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use onprem_link::id::Xid;
use onprem_redfish::message::base;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use super::{
    Active, Events,
    filter::Filter,
    record::{self, Event},
    subscription::Subscription,
};
use crate::{
    accounts::Accounts,
    redfish::{
        Body,
        error::Error,
        exchange::{Exchange, accepts},
        query::Query,
        uri,
    },
};

/// Silence is broken after this time, so that a dead path is noticed.
const HEARTBEAT: Duration = Duration::from_secs(20);

impl Exchange<'_> {
    pub(crate) fn events(&self) -> Result<Response<Body>, Error> {
        let service = self.service;
        let allow = HeaderValue::from_static("GET");
        if self.parts.method != Method::GET {
            return Err(Error::method_not_allowed(allow));
        }
        let caller = self.caller.as_ref().ok_or_else(Error::unauthorized)?;
        if caller.must_change_password {
            let account = uri::of(uri::ACCOUNT, &[&caller.name]);
            return Err(Error::password_change_required(&account));
        }
        accepts(&self.parts.headers, "text/event-stream")?;
        Query::parse(self.parts.uri.query().unwrap_or_default())?;
        let last = self.parts.headers.get("last-event-id");
        let last = last.and_then(|id| id.to_str().ok()?.trim().parse().ok());

        let (guard, active, first) =
            service.events.open_stream(last, Filter::default(), false)?;
        let state = Stream {
            news: service.events.news(),
            guard,
            stop: active.stop,
            cursor: first.cursor,
            gap: first.gap,
            fresh: true,
            accounts: Arc::clone(&service.accounts),
            account: caller.account.then(|| caller.name.clone()),
        };
        let body = stream::unfold(Some(state), |state| async {
            let mut state = state?;
            let (bytes, more) = state.next().await?;
            Some((bytes, more.then_some(state)))
        });
        // A comment first: the client sees at once that it is connected.
        let hello = Bytes::from_static(b": on-prem events\n\n");
        let body = futures_util::StreamExt::chain(
            stream::once(std::future::ready(hello)),
            body,
        );
        let mut response = Response::new(Body::events(body));
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(ALLOW, allow);
        let store = HeaderValue::from_static("no-cache, no-store");
        headers.insert(CACHE_CONTROL, store);
        Ok(response)
    }
}

/// Where a stream starts.
struct First {
    cursor: u64,
    /// The client comes back, and some of what it missed is forgotten.
    gap: bool,
}

impl Events {
    /// Makes a subscription for a stream that goes on after the event `last`.
    fn open_stream(
        self: &Arc<Self>,
        last: Option<u64>,
        filter: Filter,
        include_origin: bool,
    ) -> Result<(Guard, Active, First), Error> {
        let settings = self.settings();
        if !settings.enabled {
            return Err(Error::new(
                http::StatusCode::SERVICE_UNAVAILABLE,
                base::service_disabled(uri::EVENT_SERVICE),
            ));
        }
        self.room()?;
        let id = Xid::new().to_string();
        let subscription = Subscription {
            context: Some(format!("stream {id}")),
            id,
            filter,
            include_origin,
            ..Subscription::default()
        };
        let now = self.ring().last();
        let first = match last {
            None => First { cursor: now, gap: false },
            // It heard that of another life of this machine.
            Some(last) if last > now => First { cursor: 0, gap: true },
            Some(last) => First { cursor: last, gap: false },
        };
        let active = self.register(&subscription, first.cursor);
        self.streams().push(subscription.clone());
        self.resource_created(&uri::of(uri::SUBSCRIPTION, &[&subscription.id]));
        let guard = Guard { events: Arc::clone(self), subscription };
        Ok((guard, active, first))
    }

    /// The stream of the subscription `id` has ended.
    fn close_stream(&self, id: &str) {
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
}

/// An open stream.
struct Stream {
    guard: Guard,
    news: Receiver<()>,
    cursor: u64,
    gap: bool,
    /// Nothing has been sent yet.
    fresh: bool,
    stop: CancellationToken,
    accounts: Arc<Accounts>,
    /// Who listens, if it is not the fleet.
    account: Option<String>,
}

/// Removes the subscription when the client is gone.
struct Guard {
    events: Arc<Events>,
    subscription: Subscription,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.events.close_stream(&self.subscription.id);
    }
}

impl Stream {
    /// What goes over the wire next, and whether more comes after it; `None`
    /// ends the stream.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        let deadline = tokio::time::Instant::now() + HEARTBEAT;
        loop {
            self.news.mark_unchanged();
            if self.stop.is_cancelled() {
                return Some((self.farewell(), false));
            }
            let Guard { events, subscription } = &self.guard;
            if !self.may_listen() || !events.settings().enabled {
                return None;
            }
            let batch = events.after(self.cursor, |it| subscription.wants(it));
            let before = std::mem::replace(&mut self.cursor, batch.upto);
            let mut text = String::new();
            if let Some((first, last)) = batch.missed {
                // A client that cannot keep up comes back with Last-Event-ID.
                if !self.fresh {
                    return None;
                }
                text += &self.gap(first, last);
            } else if std::mem::take(&mut self.gap) {
                text += &self.gap(before + 1, before + 1);
            }
            for event in &batch.events {
                text += &self.frame(event);
            }
            self.fresh = false;
            if !text.is_empty() {
                return Some((text.into(), true));
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                news = timeout_at(deadline, &mut self.news) => if !news {
                    return Some((Bytes::from_static(b": \n\n"), true));
                }
            }
        }
    }

    /// Whether the account is still there, and may log in. A session may end
    /// before the stream does (DSP0266, "Session lifetime").
    fn may_listen(&self) -> bool {
        let Some(user) = &self.account else { return true };
        self.accounts.book().accounts.get(user).is_some_and(|it| it.enabled)
    }

    /// The last words to a stream whose subscription was deleted.
    fn farewell(&self) -> Bytes {
        let events = &self.guard.events;
        let message = base::subscription_terminated();
        let id = &self.guard.subscription.id;
        let here = uri::of(uri::SUBSCRIPTION, &[id]);
        self.frame(&Arc::new(events.aside(&message, &here))).into()
    }

    fn gap(&self, first: u64, last: u64) -> String {
        let id = &self.guard.subscription.id;
        let here = uri::of(uri::SUBSCRIPTION, &[id]);
        self.frame(&Arc::new(Event::gap(first, last, &here)))
    }

    fn frame(&self, event: &Arc<Event>) -> String {
        let Guard { events, subscription } = &self.guard;
        let context = subscription.context.as_deref();
        let look = |uri: &str| events.look(uri);
        let look: Option<record::Look<'_>> =
            subscription.include_origin.then_some(&look);
        let one = std::slice::from_ref(event);
        let payload = record::payload(one, context, look);
        format!("id: {}\ndata: {payload}\n\n", event.id)
    }
}

/// Whether there are news before `deadline`.
async fn timeout_at(
    deadline: tokio::time::Instant,
    news: &mut Receiver<()>,
) -> bool {
    tokio::time::timeout_at(deadline, news.changed()).await.is_ok()
}
