//! The stream of events.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderValue, Method, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use onprem_redfish::message::base;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;

use super::{
    Body,
    error::Error,
    event::{Event, Events, Subscription},
    exchange::{Exchange, accepts},
    query::Query,
    uri,
};

/// Silence is broken after this time, so that a dead path is noticed.
const HEARTBEAT: Duration = Duration::from_secs(20);

impl Exchange<'_> {
    pub(super) fn events(&self) -> Result<Response<Body>, Error> {
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

        let (subscription, stop) = service.events.open_stream()?;
        let (receiver, missed, gap) = service.events.listen(last);
        if gap {
            let here = uri::of(uri::SUBSCRIPTION, &[&subscription.id]);
            service.events.send(&base::event_buffer_exceeded(), &here);
        }
        let state = Stream {
            guard: Guard { events: Arc::clone(&service.events), subscription },
            receiver,
            missed,
            stop,
            accounts: Arc::clone(&service.accounts),
            account: caller.account.then(|| caller.name.clone()),
        };
        let body = stream::unfold(state, |mut state| async {
            let bytes = state.next().await?;
            Some((bytes, state))
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

struct Stream {
    guard: Guard,
    receiver: Receiver<Arc<Event>>,
    missed: VecDeque<Arc<Event>>,
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
    /// The next event as it goes over the wire; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(event) = self.missed.pop_front() {
            return Some(self.frame(&event));
        }
        let received = tokio::select! {
            () = self.stop.cancelled() => return None,
            received = timeout(HEARTBEAT, self.receiver.recv()) => received,
        };
        if !self.may_listen() {
            return None;
        }
        match received {
            Err(_) => Some(Bytes::from_static(b": \n\n")),
            Ok(Ok(event)) => Some(self.frame(&event)),
            // A client that cannot keep up comes back with Last-Event-ID.
            Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => None,
        }
    }

    /// Whether the account is still there, and may log in.
    fn may_listen(&self) -> bool {
        let Some(user) = &self.account else { return true };
        self.accounts.book().accounts.get(user).is_some_and(|it| it.enabled)
    }

    fn frame(&self, event: &Event) -> Bytes {
        let context = self.guard.subscription.context.as_deref();
        let payload = event.payload(context);
        format!("id: {}\ndata: {payload}\n\n", event.id).into()
    }
}
