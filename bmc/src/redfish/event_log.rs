//! From the events that are sent to the event log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Events, Feed};
use crate::log::{Entry, Kind, Logs, Severity};

/// Notes each event since `began`, until `stop`.
pub(super) async fn follow(
    events: Arc<Events>,
    logs: Arc<Logs>,
    began: DateTime<Utc>,
    stop: CancellationToken,
) {
    let mut feed: Feed = events.feed();
    loop {
        let news = tokio::select! {
            () = stop.cancelled() => break,
            news = feed.next() => news,
        };
        note(&logs, began, &news);
    }
    // What was said on the way out.
    while let Some(news) = feed.next().now_or_never() {
        note(&logs, began, &news);
    }
}

fn note(logs: &Logs, began: DateTime<Utc>, news: &[Arc<Event>]) {
    for event in news.iter().filter(|event| event.at >= began) {
        if let Some(entry) = entry(event) {
            logs.append(Kind::Event, entry);
        }
    }
}

fn entry(event: &Event) -> Option<Entry> {
    let record = event.record()?;
    let body = record.value();
    let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
    let severity = match record.severity.as_deref() {
        Some("Critical") => Severity::Critical,
        Some("Warning") => Severity::Warning,
        _ => Severity::Ok,
    };
    let mut entry = Entry::new(severity, text("Message").unwrap_or_default());
    entry.at = event.at;
    entry.message = text("MessageId");
    let arguments = body.get("MessageArgs").and_then(Value::as_array);
    let arguments = arguments.into_iter().flatten();
    entry.arguments =
        arguments.filter_map(Value::as_str).map(str::to_owned).collect();
    entry.origin.clone_from(&record.origin);
    Some(entry.event(event.id))
}
