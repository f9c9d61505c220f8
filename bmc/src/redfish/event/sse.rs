//! The stream of events (DSP0266, "Server-sent events").

use std::{net::SocketAddr, sync::Arc, time::Duration};

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
    filter::{Filter, Format},
    record::{self, Event},
    sse_filter::Expression,
    subscription::Subscription,
};
use crate::{
    accounts::Accounts,
    redfish::{
        Body,
        error::Error,
        exchange::{Exchange, accepts},
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
        let wish = Wish::parse(self.parts.uri.query().unwrap_or_default())?;
        let last = self.parts.headers.get("last-event-id");
        let last = last.and_then(|id| id.to_str().ok()?.trim().parse().ok());

        let (guard, active, first) =
            service.events.open_stream(last, wish, self.far_end())?;
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

/// What the query of a stream asks for.
#[derive(Default)]
struct Wish {
    filter: Filter,
    expression: Option<Expression>,
    include_origin: bool,
}

impl Wish {
    fn parse(query: &str) -> Result<Self, Error> {
        let mut wish = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = |reason: String| {
                let start: String = value.chars().take(80).collect();
                let message =
                    base::query_parameter_value_format_error(start, &*name);
                Error::bad(vec![message.resolved_by(reason)])
            };
            match &*name {
                "$filter" => {
                    let expression = Expression::parse(&value);
                    let expression = expression.map_err(|reason| {
                        wrong(format!("Correct the expression: {reason}."))
                    })?;
                    if expression.of_reports() {
                        wish.filter.format = Format::MetricReport;
                    }
                    wish.expression = Some(expression);
                }
                "includeoriginofcondition" if value.is_empty() => {
                    wish.include_origin = true;
                }
                "includeoriginofcondition" => {
                    return Err(wrong("Send it without a value.".to_owned()));
                }
                unknown if unknown.starts_with('$') => {
                    let message = base::query_parameter_unsupported(unknown);
                    let status = http::StatusCode::NOT_IMPLEMENTED;
                    return Err(Error::new(status, message));
                }
                _ => {}
            }
        }
        Ok(wish)
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
        wish: Wish,
        listener: Option<SocketAddr>,
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
            filter: wish.filter,
            expression: wish.expression,
            listener,
            include_origin: wish.include_origin,
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

    /// Whether the account is still there, and may log in. The end of the
    /// session leaves the stream alone: DSP0266, "Session termination or
    /// logout", forbids to touch connections that it opened for other ends.
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

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::model::Model;

    const REPORTS: &str = "$filter=EventFormatType%20eq%20'MetricReport'";

    /// Events, and a stream of those that `query` asks for.
    fn stream(query: &str) -> (Arc<Events>, Stream, impl Drop) {
        let state = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let model = Model::default();
        let events =
            Events::start(model, state.path(), tasks, stop.clone()).unwrap();
        let (accounts, _) = Accounts::open(state.path()).unwrap();
        let wish = Wish::parse(query).unwrap();
        let (guard, active, first) =
            events.open_stream(None, wish, None).unwrap();
        let stream = Stream {
            news: events.news(),
            guard,
            stop: active.stop,
            cursor: first.cursor,
            gap: first.gap,
            fresh: true,
            accounts: Arc::new(accounts),
            account: None,
        };
        (events, stream, stop.drop_guard())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_so_that_a_dead_path_is_noticed() {
        let (_events, mut stream, _stop) = stream(REPORTS);
        for _ in 0..2 {
            let before = tokio::time::Instant::now();
            let (bytes, more) = stream.next().await.unwrap();
            assert!(more);
            assert_eq!(&bytes[..], b": \n\n");
            assert!(before.elapsed() >= HEARTBEAT);
        }
    }

    #[tokio::test]
    async fn sse_json_metric_report_format() {
        let (events, mut stream, _stop) = stream(REPORTS);
        let report = json!({
            "@odata.id": "/redfish/v1/TelemetryService/MetricReports/a",
            "@odata.type": "#MetricReport.v1_5_2.MetricReport",
            "Id": "a", "Name": "a", "MetricValues": []});
        let Value::Object(report) = report else { unreachable!() };
        events.resource_changed("/redfish/v1/Systems/node");
        events.send_report("/definition", report.clone());
        let (bytes, more) = stream.next().await.unwrap();
        assert!(more);
        let text = std::str::from_utf8(&bytes).unwrap();
        let (id, data) = text.trim_end().split_once('\n').unwrap();
        assert!(id.starts_with("id: "));
        let data = data.strip_prefix("data: ").unwrap();
        let mut sent: Map<String, Value> = serde_json::from_str(data).unwrap();
        assert!(sent.remove("Context").is_some_and(|it| it.is_string()));
        assert_eq!(sent, report);
    }
}
