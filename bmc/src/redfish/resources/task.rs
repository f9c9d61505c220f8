//! `Task`: what goes on, and how it ended.

use chrono::SecondsFormat;
use http::HeaderValue;
use onprem_redfish::schema::{
    Reference,
    task::{self, Links, Payload},
};
use serde_json::Value;

use super::With as _;
use crate::redfish::{
    error::Error,
    resource::{
        Answer, Caller, Freshness, Pending, Resource, View, Write, answer,
    },
    uri,
};

/// `/redfish/v1/TaskService/Tasks/{TaskId}`
pub(crate) struct Task;

impl Resource for Task {
    fn uri(&self) -> &'static str {
        uri::TASK
    }

    fn kind(&self) -> &'static str {
        "Task"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.service.task_book.get(ids.first()?)?;
        let time = |at: chrono::DateTime<chrono::Utc>| {
            at.to_rfc3339_opts(SecondsFormat::Millis, true)
        };
        let monitor = uri::of(uri::TASK_MONITOR, &[&it.id]);
        let payload = it.payload.as_ref().map(|it| {
            Payload::new()
                .target_uri(&*it.target)
                .http_operation(&*it.method)
                .http_headers(it.headers.iter().map(String::as_str))
                .json_body(&*it.body)
        });
        let made = (!it.made.is_empty()).then(|| {
            let uris = it.made.iter().map(|uri| Reference::new(&**uri));
            Links::new()
                .created_resources(uris)
                .created_resources_count(it.made.len() as u64)
        });
        let body = task::Task::new("", &*it.id, &*it.name)
            .task_state(it.state.typed())
            .task_status(it.status.typed())
            .percent_complete(it.percent.into())
            .start_time(time(it.started))
            .hide_payload(payload.is_none())
            .with(it.ended.map(time), task::Task::end_time)
            .with(payload, task::Task::payload)
            .with(made, task::Task::links)
            .with(
                it.has_monitor().then_some(monitor),
                task::Task::task_monitor,
            );
        let mut answer = answer(body);
        let messages = Value::Array(it.messages);
        answer.body.insert("Messages".to_owned(), messages);
        Some(answer)
    }

    fn is_own(&self, view: &View<'_>, ids: &[&str], caller: &Caller) -> bool {
        let task = ids.first().and_then(|id| view.service.task_book.get(id));
        task.is_some_and(|task| task.owner.is(caller))
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let book = &write.service.task_book;
            let id = write.id(0);
            if !book.cancel(id).await {
                let allow = HeaderValue::from_static("GET, HEAD");
                return Err(Error::method_not_allowed(allow));
            }
            book.remove(|task| task.id == id).await
        })
    }
}
