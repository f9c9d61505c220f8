//! What happens, as it happens: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, Body, RequestContext, endpoint,
};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use onprem_link::id::Xid;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::interval,
};

use super::{
    call::authenticate,
    event::{Event, EventKind},
};
use crate::{
    Fleet,
    auth::Caller,
    error::{Error, Failure},
    events::KEPT,
};

/// How often something is sent when nothing happens, so that a dead
/// connection is noticed.
const BREATH: Duration = Duration::from_secs(15);

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(event_stream)
}

/// Follow events
///
/// `?topic=devices` or `?topic=tasks` picks some of them; `Last-Event-ID`
/// brings those that were missed.
#[endpoint {
    method = GET,
    path = "/v1/events/stream",
    unpublished = true,
}]
async fn event_stream(
    rqctx: RequestContext<Fleet>,
) -> Result<Response<Body>, Failure> {
    let answer = match authenticate(&rqctx).await {
        Ok(caller) => follow(&rqctx, caller).await,
        Err(error) => Err(error),
    };
    Ok(answer.unwrap_or_else(|error| error.failure(&rqctx).into_response()))
}

async fn follow(
    rqctx: &RequestContext<Fleet>,
    caller: Caller,
) -> Result<Response<Body>, Error> {
    let fleet = rqctx.context();
    let query = rqctx.request.uri().query().unwrap_or_default();
    let topic = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "topic")
        .map(|(_, topic)| topic.into_owned());
    // Listening begins before the past is read: nothing is lost between.
    let listener = fleet.events().listen();
    let last = rqctx.request.headers().get("last-event-id");
    let last: Option<Xid> =
        last.and_then(|last| last.to_str().ok()?.parse().ok());
    let missed = match last {
        Some(last) => fleet.events().after(last.to_string(), KEPT).await?,
        None => Vec::new(),
    };
    let seen = missed.last().map(|event| event.id);
    let missed = stream::iter(missed.into_iter().map(Arc::new));
    let watcher = Watcher { fleet: fleet.clone(), caller, listener };
    let coming = coming(watcher).filter(move |event| {
        let new = event
            .as_ref()
            .is_none_or(|event| seen.is_none_or(|seen| event.id > seen));
        std::future::ready(new)
    });
    let lines = missed.map(Some).chain(coming).filter_map(move |event| {
        let line = match event {
            None => Some(Bytes::from_static(b": still here\n\n")),
            Some(event) => line(&event, topic.as_deref()),
        };
        std::future::ready(line)
    });
    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
    let mut response =
        Response::new(Body::wrap(StreamBody::new(Box::pin(frames.map(|f| f)))));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// Somebody who looks on.
struct Watcher {
    fleet: Fleet,
    caller: Caller,
    listener: Receiver<Arc<Event>>,
}

/// The events from now on; nothing, now and then, as a sign of life. Whoever
/// is too slow is cut off, and comes back for what was missed; whoever may not
/// look on any more is sent away.
fn coming(
    watcher: Watcher,
) -> impl Stream<Item = Option<Arc<Event>>> + Send + Sync {
    let breath = interval(BREATH);
    stream::unfold((watcher, breath), |(mut watcher, mut breath)| async move {
        let stop = watcher.fleet.stop().clone();
        let event = tokio::select! {
            event = watcher.listener.recv() => match event {
                Ok(event) => Some(event),
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            },
            _ = breath.tick() => None,
            () = stop.cancelled() => return None,
        };
        let welcome = watcher.fleet.auth().still_knows(&watcher.caller);
        welcome.then_some((event, (watcher, breath)))
    })
}

fn topic_of(event: &Event) -> &'static str {
    match event.kind {
        EventKind::TaskChanged => "tasks",
        EventKind::FleetStarted => "fleet",
        _ => "devices",
    }
}

fn line(event: &Event, wanted: Option<&str>) -> Option<Bytes> {
    let topic = topic_of(event);
    if wanted.is_some_and(|wanted| wanted != topic && wanted != "events") {
        return None;
    }
    let data = serde_json::to_string(event).ok()?;
    let id = event.id;
    Some(format!("id: {id}\nevent: {topic}\ndata: {data}\n\n").into())
}
