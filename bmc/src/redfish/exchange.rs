//! One request on its way to its answer.

use std::{net::IpAddr, sync::OnceLock};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK},
    request,
};
use onprem_redfish::privilege::{Privilege, Privileges};

use super::{
    Body, ODATA_VERSION, Origin, Service,
    document::Document,
    error::Error,
    incoming::Incoming,
    query::{PAGE, Query},
    render,
    resource::{Caller, View},
    router::{Entry, Route},
    uri,
};
use crate::log::By;

/// One request on its way to its answer.
pub(super) struct Exchange<'a> {
    pub(super) service: &'a Service,
    pub(super) parts: &'a request::Parts,
    pub(super) peer: Option<IpAddr>,
    pub(super) origin: &'a Origin,
    /// Once known.
    pub(super) caller: Option<Caller>,
    /// Who opened a session with it: a stranger until then.
    pub(super) opened: OnceLock<String>,
    /// How something is to be reset, once that is known.
    pub(super) reset: OnceLock<String>,
}

/// What lies at the path that is asked for.
struct Target<'a> {
    path: &'a str,
    found: Option<(Route, Vec<&'a str>)>,
    /// May anyone ask, without saying who?
    open: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        service: &'a Service,
        parts: &'a request::Parts,
        origin: &'a Origin,
    ) -> Self {
        let peer = match origin {
            Origin::Tls { peer, .. } => Some(peer.ip()),
            Origin::Tunnel(_) => None,
        };
        let (caller, opened, reset) = Default::default();
        Self { service, parts, peer, origin, caller, opened, reset }
    }

    pub(super) async fn answer(
        &mut self,
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let target = self.target();
        if self.asks_who(&target) {
            let identity = self.service.identify(self.parts, self.origin).await;
            self.admit(identity, &target)?;
        }
        let (path, route, ids) = self.check(target)?;
        match route {
            Route::Resource(entry) if is_read(&self.parts.method) => {
                self.get(entry, path, &ids)
            }
            // What is rare is large: what a read moves about is kept small.
            route => Box::pin(self.rarely(route, path, &ids, body)).await,
        }
    }

    /// The answer, if it is at hand: that to the GET of a resource by somebody
    /// whose password needs no look.
    pub(super) fn at_hand(&mut self) -> Option<Result<Response<Body>, Error>> {
        let target = self.target();
        let Some((Route::Resource(entry), _)) = target.found else {
            return None;
        };
        if !is_read(&self.parts.method) {
            return None;
        }
        let admitted = if self.asks_who(&target) {
            let identity = self.service.known(self.parts, self.origin)?;
            self.admit(identity, &target)
        } else {
            Ok(())
        };
        Some(admitted.and_then(|()| {
            let (path, _, ids) = self.check(target)?;
            self.get(entry, path, &ids)
        }))
    }

    fn target(&self) -> Target<'a> {
        let path = self.parts.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = self.service.routes.find(path);
        let open = self.is_open(found.as_ref().map(|(route, _)| *route));
        Target { path, found, open }
    }

    fn asks_who(&self, target: &Target<'_>) -> bool {
        // What lies behind an open resource may be asked for with it.
        !target.open || self.parts.uri.query().is_some()
    }

    fn admit(
        &mut self,
        identity: Result<Caller, Error>,
        target: &Target<'_>,
    ) -> Result<(), Error> {
        match identity {
            Ok(caller) => self.caller = Some(caller),
            Err(error) if !target.open => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// What lies at the path, if the head of the request is as it should be.
    fn check(
        &self,
        target: Target<'a>,
    ) -> Result<(&'a str, Route, Vec<&'a str>), Error> {
        self.check_headers()?;
        let Target { path, found, .. } = target;
        let (route, ids) = found.ok_or_else(|| Error::not_found(path))?;
        let method = &self.parts.method;
        if !KNOWN.contains(&method.as_str()) {
            return Err(Error::method_unknown());
        }
        if is_write(method) {
            Query::refuse(self.parts.uri.query().unwrap_or_default())?;
        }
        Ok((path, route, ids))
    }

    /// Answers what is no GET of a resource.
    async fn rarely(
        &self,
        route: Route,
        path: &str,
        ids: &[&str],
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let method = &self.parts.method;
        match route {
            Route::Document(document) => self.document(document),
            Route::Events => self.events(),
            Route::Console => self.console(path, ids),
            Route::ConsoleHistory => self.console_history(path, ids).await,
            Route::Push => self.push(body).await,
            Route::Attachment => self.attachment(path, ids).await,
            Route::Captured => self.captured(path, ids).await,
            Route::Monitor => {
                let id = ids.first().copied().unwrap_or_default();
                self.monitor(path, id).await
            }
            Route::Action(entry, action) => {
                if method != Method::POST {
                    let allow = HeaderValue::from_static("POST");
                    return Err(Error::method_not_allowed(allow));
                }
                self.act(entry, action, path, ids, body).await
            }
            Route::Members(entry) => match *method {
                Method::POST if entry.allows(method) => {
                    self.create(entry, ids, body).await
                }
                Method::POST => {
                    Err(Error::method_not_allowed(entry.allow.clone()))
                }
                _ if entry.allows(&Method::POST) => {
                    let allow = HeaderValue::from_static("POST");
                    Err(Error::method_not_allowed(allow))
                }
                _ => Err(Error::not_found(path)),
            },
            Route::Resource(entry) if !entry.allows(method) => {
                // There may be nothing at all.
                self.must_exist(entry, path, ids)?;
                Err(Error::method_not_allowed(entry.allow.clone()))
            }
            Route::Resource(entry) => match method.as_str() {
                "PATCH" => self.patch(entry, path, ids, body).await,
                "POST" => self.create(entry, ids, body).await,
                "DELETE" => self.delete(entry, path, ids, body).await,
                _ => self.get(entry, path, ids),
            },
        }
    }

    /// May anyone ask, without saying who?
    fn is_open(&self, route: Option<Route>) -> bool {
        let read = is_read(&self.parts.method);
        match route {
            Some(Route::Document(document)) => read && document.is_open(),
            Some(Route::Resource(entry)) if read => {
                entry.resource.uri() == "/redfish/v1/"
            }
            // Whoever opens a session says in the body who it is.
            Some(Route::Resource(entry) | Route::Members(entry)) => {
                self.parts.method == Method::POST
                    && entry.resource.kind() == "SessionCollection"
            }
            _ => false,
        }
    }

    fn check_headers(&self) -> Result<(), Error> {
        let headers = &self.parts.headers;
        let version = headers.get(&ODATA_VERSION);
        if version.is_some_and(|version| version != "4.0") {
            let status = StatusCode::PRECONDITION_FAILED;
            return Err(Error::header(status, "OData-Version"));
        }
        Ok(())
    }

    fn document(
        &self,
        document: &'static Document,
    ) -> Result<Response<Body>, Error> {
        let allow = HeaderValue::from_static("GET, HEAD");
        if is_write(&self.parts.method) {
            return Err(Error::method_not_allowed(allow));
        }
        accepts(&self.parts.headers, document.content_type)?;
        Query::parse(self.parts.uri.query().unwrap_or_default())?;
        let mut response = Response::new(Body::from(document.body()));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(document.content_type),
        );
        headers.insert(ALLOW, allow);
        Ok(response)
    }

    fn get(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        self.authorize(entry, ids, None)?;
        accepts(&self.parts.headers, "application/json")?;
        let path = canonical(path);
        let query = match self.parts.uri.query() {
            Some(text) => Query::parse(text)?,
            None => Query::default(),
        };
        let rendered = service
            .render(entry.resource, path, ids)
            .ok_or_else(|| Error::not_found(path))?;
        // A collection that is too large goes out in pages.
        if query.is_empty() && rendered.members <= PAGE {
            let known = self.parts.headers.get(IF_NONE_MATCH);
            if known.is_none_or(|tags| !render::names(tags, &rendered.etag)) {
                return Ok(rendered.answer(entry));
            }
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            let headers = response.headers_mut();
            entry.describe(headers, &rendered.etag, &rendered.link);
            if rendered.closed.is_some() {
                headers.insert(ALLOW, render::READ_ONLY);
            }
            return Ok(response);
        }
        let mut shaped = self.shaped(&query, entry, path, ids)?;
        if rendered.closed.is_some() {
            shaped.headers_mut().insert(ALLOW, render::READ_ONLY);
        }
        Ok(shaped)
    }

    pub(super) fn must_exist(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<(), Error> {
        let found = self.service.render(entry.resource, canonical(path), ids);
        found.map(drop).ok_or_else(|| Error::not_found(path))
    }

    /// The resource has to be there, and to be one that can be changed.
    pub(super) fn must_be_open(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<(), Error> {
        let found = self.service.render(entry.resource, canonical(path), ids);
        let found = found.ok_or_else(|| Error::not_found(path))?;
        let Some(advice) = found.closed else { return Ok(()) };
        let mut error = Error::method_not_allowed(render::READ_ONLY);
        let messages = error.messages.into_iter();
        error.messages = messages.map(|it| it.resolved_by(advice)).collect();
        Err(error)
    }

    /// May the caller do this to the resource, or to `property` of it?
    pub(super) fn authorize(
        &self,
        entry: &Entry,
        ids: &[&str],
        property: Option<&str>,
    ) -> Result<(), Error> {
        let needed = entry.needs(&self.parts.method, property);
        self.holds(entry, ids, needed)
    }

    pub(super) fn holds(
        &self,
        entry: &Entry,
        ids: &[&str],
        needed: Privileges,
    ) -> Result<(), Error> {
        let Some(caller) = &self.caller else {
            return if needed.met_by(Privileges::default()) {
                Ok(())
            } else {
                Err(Error::unauthorized())
            };
        };
        if caller.may_everywhere(needed) {
            return Ok(());
        }
        let held = caller.privileges;
        let anybody = held.without(Privilege::ConfigureSelf);
        let service = self.service;
        let snapshot = service.model.snapshot();
        let book = service.accounts.book();
        let view = View { snapshot: &snapshot, service, book: &book };
        let own = caller.account && entry.resource.is_own(&view, ids, caller);
        if caller.must_change_password && !own {
            let account = uri::of(uri::ACCOUNT, &[&caller.name]);
            return Err(Error::password_change_required(&account));
        }
        let held = if own { held } else { anybody };
        if needed.met_by(held) { Ok(()) } else { Err(Error::forbidden()) }
    }

    pub(super) async fn audit(&self, status: StatusCode) {
        self.service.audit.write(self.by(status)).await;
    }

    /// Who asks for what, and what came of it.
    pub(super) fn by(&self, status: StatusCode) -> By {
        let caller = self.caller.as_ref();
        let (via, request) = match (self.origin, caller) {
            (Origin::Tunnel(grant), _) => ("fleet", Some(&*grant.request)),
            (_, Some(caller)) if caller.session.is_some() => ("session", None),
            (_, Some(caller)) if caller.certificate => ("certificate", None),
            (_, Some(_)) => ("basic", None),
            (_, None) => ("none", None),
        };
        By {
            who: caller
                .map(|caller| &caller.name)
                .or(self.opened.get())
                .cloned()
                .unwrap_or_default(),
            via: via.to_owned(),
            from: self.peer.map(|peer| peer.to_string()),
            request: request.map(str::to_owned),
            method: self.parts.method.to_string(),
            uri: self.parts.uri.path().to_owned(),
            reset: self.reset.get().cloned(),
            status: status.as_u16(),
        }
    }
}

impl Entry {
    /// Puts in what the answer to a GET says beside the body.
    pub(super) fn describe(
        &self,
        headers: &mut HeaderMap,
        etag: &HeaderValue,
        link: &HeaderValue,
    ) {
        headers.insert(ALLOW, self.allow.clone());
        headers.insert(LINK, link.clone());
        headers.insert(ETAG, etag.clone());
    }
}

/// The path of a resource as it names itself.
pub(super) fn canonical(path: &str) -> &str {
    if path == uri::ROOT { "/redfish/v1/" } else { path }
}

/// The methods that some resource knows, or that HTTP does.
const KNOWN: [&str; 7] =
    ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"];

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

pub(super) fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Can the caller read an answer of `content_type`?
pub(super) fn accepts(
    headers: &HeaderMap,
    content_type: &str,
) -> Result<(), Error> {
    if headers.get(ACCEPT).is_some_and(|value| value == content_type) {
        return Ok(());
    }
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let (kind, _) = content_type.split_once('/').unwrap_or_default();
    let ranges = values.filter_map(|value| value.to_str().ok());
    let fits = ranges.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == "*/*"
            || range.eq_ignore_ascii_case(content_type)
            || range.strip_suffix("/*").is_some_and(|range| range == kind)
    });
    if fits {
        Ok(())
    } else {
        Err(Error::header(StatusCode::NOT_ACCEPTABLE, "Accept"))
    }
}
