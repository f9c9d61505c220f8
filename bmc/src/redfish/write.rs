//! PATCH, POST, DELETE and actions: from the body to the resource.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    Method, Response, StatusCode,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION},
};
use onprem_redfish::{
    csdl::{self, Type},
    message::{Message, base},
    write::{self, merge_array},
};
use serde_json::Value;
use tokio::{sync::MutexGuard, time::timeout};

use super::{
    Body,
    error::Error,
    exchange::{Exchange, canonical},
    incoming::Incoming,
    read::{read, read_nothing, read_parameters},
    render::{self, Rendered},
    resource::{Acted, Action, Caller, Values, Write},
    router::{Entry, Route},
    task::{Owner, Payload, Work},
};

/// The largest body of a request.
const MAX_BODY: usize = 256 << 10;
/// The largest body of a stranger's: a name and a password.
const MAX_STRANGER: usize = 4 << 10;
/// How long a write may wait for those before it.
const TURN_DEADLINE: Duration = Duration::from_secs(30);

impl Exchange<'_> {
    pub(super) async fn patch(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        // Before the body is read, so that nobody learns from its mistakes.
        if self.authorize(entry, ids, None).is_err() {
            self.may_write_something(entry, ids)?;
        }
        self.must_be_open(entry, path, ids)?;
        let body = read(&self.parts.headers, body, MAX_BODY).await?;
        let checked = write::patch(entry.schema()?, &body);
        let mut checked = checked.map_err(Error::bad)?;
        let mut values = Values::new();
        for pointer in entry.resource.writable() {
            if let Some(value) = checked.take(pointer) {
                let property = pointer.split('/').nth(1);
                self.authorize(entry, ids, property)?;
                values.insert(pointer, value);
            }
        }
        checked.finish().map_err(Error::bad)?;
        check_nulls(&values, entry.resource.clears())?;

        let _turn = self.turn().await?;
        let before = self.precondition(entry, path, ids)?;
        merge_arrays(&mut values, &before);
        let write = self.write(ids, &values);
        if entry.resource.stages() {
            let work = entry.resource.stage(&write).await?;
            service.touch();
            let payload = Payload::of_patch(path, &body);
            return self.start(work, payload).await;
        }
        let patched = entry.resource.patch(&write).await;
        service.touch();
        patched?;
        if entry.resource.freshness().is_beyond_model() {
            service.events.resource_changed(path);
        }
        let after = service
            .render(entry.resource, canonical(path), ids)
            .ok_or_else(|| Error::not_found(path))?;
        let mut response = Response::new(Body::from(after.body.clone()));
        let headers = response.headers_mut();
        entry.describe(headers, &after.etag, &after.link);
        Ok(response)
    }

    pub(super) async fn create(
        &self,
        entry: &Entry,
        ids: &[&str],
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        let session = entry.resource.kind() == "SessionCollection";
        if !session {
            self.authorize(entry, ids, None)?;
        }
        let limit = if session { MAX_STRANGER } else { MAX_BODY };
        let path = self.parts.uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/Members").unwrap_or(path);
        if !session {
            self.must_be_open(entry, path, ids)?;
        }
        let mut body = read(&self.parts.headers, body, limit).await?;
        let member = entry.resource.kind().strip_suffix("Collection");
        let schema = member.and_then(csdl::type_named);
        let schema = schema.ok_or_else(Error::internal)?;
        let mut values = Values::new();
        let pointers = entry.resource.creates().unwrap_or_default();
        // No schema knows annotations; the resource does.
        for pointer in pointers.iter().filter(|it| it.starts_with("/@")) {
            let name = pointer.trim_start_matches('/');
            let body = body.as_object_mut();
            if let Some(value) = body.and_then(|body| body.remove(name)) {
                values.insert(pointer, value);
            }
        }
        let checked = write::create(schema, &body);
        let mut checked = checked.map_err(Error::bad)?;
        for pointer in pointers {
            if let Some(value) = checked.take(pointer) {
                values.insert(pointer, value);
            }
        }
        checked.finish().map_err(Error::bad)?;

        let _turn = if session {
            None
        } else {
            self.turn_on_condition(entry, path, ids).await?
        };
        let write = self.write(ids, &values);
        let created = entry.resource.create(&write).await;
        service.touch();
        let created = created?;
        if session && let Some(user) = write.text("/UserName") {
            let _ = self.opened.set(user.to_owned());
        }
        if !session {
            service.events.resource_created(&created.uri);
        }
        let found = service.routes.find(&created.uri);
        let Some((Route::Resource(made), ids)) = found else {
            return Err(Error::internal());
        };
        let rendered = service
            .render(made.resource, &created.uri, &ids)
            .ok_or_else(Error::internal)?;
        let mut body = rendered.body.clone();
        if let Some(message) = created.message {
            body = annotate(&body, &message);
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::CREATED;
        let headers = response.headers_mut();
        made.describe(headers, &rendered.etag, &rendered.link);
        headers.remove(http::header::ALLOW);
        headers.insert(LOCATION, render::header(&created.uri));
        headers.extend(
            created.headers.into_iter().map(|(name, v)| (Some(name), v)),
        );
        Ok(response)
    }

    pub(super) async fn delete(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        self.authorize(entry, ids, None)?;
        self.must_be_open(entry, path, ids)?;
        read_nothing(&self.parts.headers, body, MAX_BODY).await?;
        let _turn = self.turn().await?;
        self.precondition(entry, path, ids)?;
        let values = Values::new();
        let deleted = entry.resource.delete(&self.write(ids, &values)).await;
        service.touch();
        deleted?;
        service.events.resource_removed(path);
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    pub(super) async fn act(
        &self,
        entry: &Entry,
        action: &'static Action,
        path: &str,
        ids: &[&str],
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let (name, parameters) = action;
        let needed = match entry.resource.writes(name) {
            Some(property) => entry.needs(&Method::PATCH, Some(property)),
            None => entry.needs(&self.parts.method, None),
        };
        self.holds(entry, ids, needed)?;
        let resource = path.split("/Actions/").next().unwrap_or(path);
        self.must_exist(entry, resource, ids)?;
        let headers = &self.parts.headers;
        let body = read_parameters(headers, body, MAX_BODY, name).await?;
        let rules = entry.schema()?.action(name).ok_or_else(Error::internal)?;
        let checked = write::action(rules, &body);
        let mut checked = checked.map_err(Error::bad)?;
        let mut values = Values::new();
        for pointer in *parameters {
            if let Some(value) = checked.take(pointer) {
                values.insert(pointer, value);
            }
        }
        checked.finish().map_err(Error::bad)?;
        let reset = values.get("/ResetType").and_then(Value::as_str);
        if let Some(kind) = reset {
            // An exchange asks for one thing.
            let _ = self.reset.set(kind.chars().take(64).collect());
        }
        let _turn = self.turn_on_condition(entry, resource, ids).await?;
        let acted = entry.resource.act(&self.write(ids, &values), name).await;
        self.service.touch();
        let message = match acted? {
            Acted::Done => onprem_redfish::message::error(&[base::success()]),
            Acted::Answer(body) => Value::Object(body),
            Acted::Task(work) => {
                let payload = Payload::of_action(path, &body);
                return self.start(work, payload).await;
            }
        };
        let mut response = Response::new(Body::from(message.to_string()));
        response.headers_mut().remove(ETAG);
        Ok(response)
    }

    /// Starts `work` as a task of the caller's, and says where to wait for it.
    pub(super) async fn start(
        &self,
        work: Work,
        payload: Option<Payload>,
    ) -> Result<Response<Body>, Error> {
        let caller = self.caller.as_ref();
        let owner = caller.map_or_else(Owner::service, Owner::from);
        let book = &self.service.task_book;
        let task = book.start(work, owner, payload).await?;
        self.accepted(&task)
    }

    fn write<'w>(
        &'w self,
        ids: &'w [&'w str],
        values: &'w Values,
    ) -> Write<'w> {
        Write {
            service: self.service,
            caller: self.caller.as_ref(),
            ids,
            values,
            peer: self.peer,
        }
    }

    /// Who may not change the whole may be allowed to change a part of it.
    fn may_write_something(
        &self,
        entry: &Entry,
        ids: &[&str],
    ) -> Result<(), Error> {
        let mut refused = Error::forbidden();
        for pointer in entry.resource.writable() {
            match self.authorize(entry, ids, pointer.split('/').nth(1)) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Waits until no other write is under way.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let turn = timeout(TURN_DEADLINE, self.service.writing.lock()).await;
        turn.map_err(|_| Error::busy(1))
    }

    /// The same for a write that does not always need it: only where it is to
    /// happen on a condition, which is then met.
    async fn turn_on_condition(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<Option<MutexGuard<'_, ()>>, Error> {
        let headers = &self.parts.headers;
        if !headers.contains_key(IF_MATCH)
            && !headers.contains_key(IF_NONE_MATCH)
        {
            return Ok(None);
        }
        let turn = self.turn().await?;
        self.precondition(entry, path, ids)?;
        Ok(Some(turn))
    }

    /// The resource as it is, if it is one that `If-Match` names and
    /// `If-None-Match` does not (RFC 9110, 13.1).
    fn precondition(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<std::sync::Arc<Rendered>, Error> {
        let path = canonical(path);
        let now = self.service.render(entry.resource, path, ids);
        let now = now.ok_or_else(|| Error::not_found(path))?;
        let names = |header| {
            let mut tags = self.parts.headers.get_all(header).iter().peekable();
            tags.peek()?;
            Some(tags.any(|tags| render::names(tags, &now.etag)))
        };
        if names(IF_MATCH) == Some(false) || names(IF_NONE_MATCH) == Some(true)
        {
            return Err(Error::precondition_failed());
        }
        Ok(now)
    }
}

impl Entry {
    fn schema(&self) -> Result<&'static Type, Error> {
        csdl::type_named(self.resource.kind()).ok_or_else(Error::internal)
    }
}

/// A property becomes null only where the resource says what that means.
fn check_nulls(values: &Values, clears: &[&str]) -> Result<(), Error> {
    let fixed = values
        .iter()
        .filter(|(pointer, it)| it.is_null() && !clears.contains(pointer));
    let messages: Vec<_> = fixed
        .map(|(pointer, _)| {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            base::property_value_type_error("null", name).about(pointer)
        })
        .collect();
    if messages.is_empty() { Ok(()) } else { Err(Error::bad(messages)) }
}

/// In an array `null` removes an element and `{}` leaves it.
fn merge_arrays(values: &mut Values, before: &Rendered) {
    let arrays = values.iter_mut().filter(|(_, value)| value.is_array());
    let mut arrays = arrays.peekable();
    if arrays.peek().is_none() {
        return;
    }
    let before: Value =
        serde_json::from_slice(&before.body).unwrap_or_default();
    for (pointer, value) in arrays {
        let current = before.pointer(pointer).and_then(Value::as_array);
        if let Some(patch) = value.as_array() {
            let current = current.map_or(&[][..], Vec::as_slice);
            *value = Value::Array(merge_array(current, patch));
        }
    }
}

/// Puts a message beside what is in `body`.
fn annotate(body: &Bytes, message: &Message) -> Bytes {
    let info =
        onprem_redfish::message::extended_info(std::slice::from_ref(message));
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut body)) => {
            body.insert("@Message.ExtendedInfo".to_owned(), info);
            Value::Object(body).to_string().into()
        }
        _ => body.clone(),
    }
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller: Option<&Caller> = self.caller;
        f.debug_struct("Write")
            .field("caller", &caller)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}
