//! PATCH, POST, DELETE and actions: from the body to the resource.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use onprem_redfish::{
    csdl::{self, Type},
    message::{Message, base},
    write::{self, merge_array},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Body,
    error::Error,
    exchange::{Exchange, canonical},
    render::{self, Rendered},
    resource::{Acted, Action, Caller, Freshness, Values, Write},
    router::{Entry, Route},
    task::{Owner, Payload, Work},
};

/// The largest body of a request.
const MAX_BODY: usize = 256 << 10;
/// The largest body of a stranger's: a name and a password.
const MAX_STRANGER: usize = 4 << 10;
/// How long a client may take to send one.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a write may wait for those before it.
const TURN_DEADLINE: Duration = Duration::from_secs(30);

impl Exchange<'_> {
    pub(super) async fn patch<B>(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
        body: B,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = self.service;
        // Before the body is read, so that nobody learns from its mistakes.
        if self.authorize(entry, ids, None).is_err() {
            self.may_write_something(entry, ids)?;
        }
        self.must_exist(entry, path, ids)?;
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

        let turn = timeout(TURN_DEADLINE, service.writing.lock()).await;
        let _turn = turn.map_err(|_| Error::busy(1))?;
        let before = self.precondition(entry, path, ids)?;
        merge_arrays(&mut values, &before);
        let write = self.write(ids, &values);
        entry.resource.patch(&write).await?;
        if entry.resource.freshness() == Freshness::Now {
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

    pub(super) async fn create<B>(
        &self,
        entry: &Entry,
        ids: &[&str],
        body: B,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = self.service;
        let session = entry.resource.kind() == "SessionCollection";
        if !session {
            self.authorize(entry, ids, None)?;
        }
        let limit = if session { MAX_STRANGER } else { MAX_BODY };
        let body = read(&self.parts.headers, body, limit).await?;
        let member = entry.resource.kind().strip_suffix("Collection");
        let schema = member.and_then(csdl::type_named);
        let schema = schema.ok_or_else(Error::internal)?;
        let checked = write::create(schema, &body);
        let mut checked = checked.map_err(Error::bad)?;
        let mut values = Values::new();
        for pointer in entry.resource.creates().unwrap_or_default() {
            if let Some(value) = checked.take(pointer) {
                values.insert(pointer, value);
            }
        }
        checked.finish().map_err(Error::bad)?;

        let write = self.write(ids, &values);
        let created = entry.resource.create(&write).await?;
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
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        self.authorize(entry, ids, None)?;
        let turn = timeout(TURN_DEADLINE, service.writing.lock()).await;
        let _turn = turn.map_err(|_| Error::busy(1))?;
        self.precondition(entry, path, ids)?;
        let values = Values::new();
        entry.resource.delete(&self.write(ids, &values)).await?;
        service.events.resource_removed(path);
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    pub(super) async fn act<B>(
        &self,
        entry: &Entry,
        action: &'static Action,
        path: &str,
        ids: &[&str],
        body: B,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (name, parameters) = action;
        self.authorize(entry, ids, None)?;
        let resource = path.split("/Actions/").next().unwrap_or(path);
        self.must_exist(entry, resource, ids)?;
        let body = read(&self.parts.headers, body, MAX_BODY).await?;
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
        let acted = entry.resource.act(&self.write(ids, &values), name).await?;
        let message = match acted {
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

    /// The resource as it is, if it is the one `If-Match` names.
    fn precondition(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<std::sync::Arc<Rendered>, Error> {
        let path = canonical(path);
        let now = self.service.render(entry.resource, path, ids);
        let now = now.ok_or_else(|| Error::not_found(path))?;
        let wanted = self.parts.headers.get(IF_MATCH);
        if wanted.is_some_and(|tags| !render::names(tags, &now.etag)) {
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

/// The JSON in the body of a request.
async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
) -> Result<Value, Error>
where
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let json = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    };
    if headers.get(CONTENT_TYPE).is_some_and(|value| !json(value)) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Error::header(status, "Content-Type"));
    }
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Error::too_large());
    }
    let body = Limited::new(body, limit).collect();
    let body = timeout(BODY_DEADLINE, body).await.map_err(|_| {
        Error::new(StatusCode::REQUEST_TIMEOUT, base::operation_timeout())
    })?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::too_large()
        } else {
            Error::malformed()
        }
    })?;
    // The parser stops at a depth of 128.
    serde_json::from_slice(&body.to_bytes()).map_err(|_| Error::malformed())
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
