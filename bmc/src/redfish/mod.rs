//! The Redfish service: one function from request to answer, for TLS and for
//! the tunnel.

mod audit;
mod body;
mod delivery;
mod document;
mod error;
mod event;
mod identity;
mod query;
mod render;
mod resource;
mod resources;
mod router;
mod sse;
mod uri;
mod watch;
mod write;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, LINK,
    },
    request,
};
use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    audit::Audit,
    document::Document,
    error::Error,
    event::Events,
    query::Query,
    render::Cache,
    resource::{Caller, View},
    resources::RESOURCES,
    router::{Entry, Route, Routes},
};
pub use self::{body::Body, resource::Origin};
use crate::{
    accounts::Accounts, collectors::Exporter, commands::Commands, model::Model,
    server::Identity,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// What the agent knows.
    pub model: Model,
    /// Where writes go.
    pub commands: Commands,
    /// Who may use it.
    pub accounts: Arc<Accounts>,
    /// Where requests are counted.
    pub exporter: Exporter,
    /// Where the audit log and the subscriptions are kept.
    pub state_dir: PathBuf,
}

/// The TLS port, as the service shows it.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// Where it listens.
    pub(crate) port: Option<u16>,
    /// What it shows.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// The Redfish service.
#[derive(Debug)]
pub struct Service {
    model: Model,
    commands: Commands,
    accounts: Arc<Accounts>,
    exporter: Exporter,
    routes: Routes,
    cache: Cache,
    audit: Audit,
    events: Arc<Events>,
    /// Held from the check of `If-Match` until the write is seen by readers.
    writing: tokio::sync::Mutex<()>,
    /// What the TLS port is, once it is open.
    door: ArcSwap<Door>,
}

impl Service {
    /// A service of these parts; what it does by itself runs on `tasks` until
    /// `stop`.
    #[must_use]
    pub fn start(
        parts: Parts,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let events = Events::start(
            parts.model.clone(),
            &parts.state_dir,
            tasks.clone(),
            stop.child_token(),
        );
        Arc::new(Self {
            model: parts.model,
            commands: parts.commands,
            accounts: parts.accounts,
            exporter: parts.exporter,
            routes: Routes::new(RESOURCES),
            cache: Cache::default(),
            audit: Audit::new(&parts.state_dir),
            events,
            writing: tokio::sync::Mutex::default(),
            door: ArcSwap::default(),
        })
    }

    /// Where requests are counted.
    pub(crate) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Says what the TLS port is.
    pub(crate) fn show(&self, door: Door) {
        self.door.store(Arc::new(door));
    }

    /// The port, if it is open.
    fn port(&self) -> Option<u16> {
        self.door.load().port
    }

    /// What the port shows, if it is open.
    fn identity(&self) -> Option<Arc<Identity>> {
        self.door.load().identity.clone()
    }

    /// Answers `request`. It never waits for a part in order to read it.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
        origin: Origin,
    ) -> Response<Body>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        let mut exchange = Exchange {
            service: self,
            parts: &parts,
            peer: match &origin {
                Origin::Tls { peer } => Some(*peer),
                Origin::Tunnel(_) => None,
            },
            origin: &origin,
            caller: None,
        };
        let answer = exchange.answer(body).await;
        let mut response =
            answer.unwrap_or_else(|error| error_response(&error));
        if is_write(&method) {
            exchange.audit(response.status()).await;
        }
        finish(&mut response);
        if method == Method::HEAD {
            *response.body_mut() = Body::default();
        }
        let requests = &self.exporter.metrics().requests;
        requests.count(&method, response.status());
        response
    }
}

/// One request on its way to its answer.
struct Exchange<'a> {
    service: &'a Service,
    parts: &'a request::Parts,
    peer: Option<IpAddr>,
    origin: &'a Origin,
    /// Once known.
    caller: Option<Caller>,
}

impl Exchange<'_> {
    async fn answer<B>(&mut self, body: B) -> Result<Response<Body>, Error>
    where
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = self.service;
        let path = self.parts.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = service.routes.find(path);
        let method = &self.parts.method;
        if !self.is_open(found.as_ref().map(|(route, _)| *route)) {
            let identity =
                service.identify(&self.parts.headers, self.origin).await;
            self.caller = Some(identity?);
        }
        self.check_headers()?;
        let (route, ids) = found.ok_or_else(|| Error::not_found(path))?;
        if !KNOWN.contains(&method.as_str()) {
            return Err(Error::method_unknown());
        }
        match route {
            Route::Document(document) => self.document(document),
            Route::Events => self.events(),
            Route::Action(entry, action) => {
                if method != Method::POST {
                    let allow = HeaderValue::from_static("POST");
                    return Err(Error::method_not_allowed(allow));
                }
                self.act(entry, action, path, &ids, body).await
            }
            Route::Members(entry) => {
                if method != Method::POST {
                    return Err(Error::not_found(path));
                }
                self.create(entry, &ids, body).await
            }
            Route::Resource(entry) if !entry.allows(method) => {
                // There may be nothing at all.
                self.must_exist(entry, path, &ids)?;
                Err(Error::method_not_allowed(entry.allow.clone()))
            }
            Route::Resource(entry) => match method.as_str() {
                "PATCH" => self.patch(entry, path, &ids, body).await,
                "POST" => self.create(entry, &ids, body).await,
                "DELETE" => self.delete(entry, path, &ids).await,
                _ => self.get(entry, path, &ids),
            },
        }
    }

    /// May anyone ask, without saying who?
    fn is_open(&self, route: Option<Route>) -> bool {
        let read = matches!(self.parts.method, Method::GET | Method::HEAD);
        match route {
            Some(Route::Document(_)) => read,
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
        let mut response = Response::new(Body::from((document.body)()));
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
        let text = self.parts.uri.query().unwrap_or_default();
        let query = Query::parse(text)?;
        let rendered = service
            .render(entry.resource, path, ids)
            .ok_or_else(|| Error::not_found(path))?;
        if query.is_empty() {
            let known = self.parts.headers.get(IF_NONE_MATCH);
            let mut response = Response::default();
            if known.is_some_and(|tags| render::names(tags, &rendered.etag)) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            } else {
                *response.body_mut() = Body::from(rendered.body.clone());
            }
            entry.describe(
                response.headers_mut(),
                &rendered.etag,
                &rendered.link,
            );
            return Ok(response);
        }
        let (object, etag, link) = service
            .object(entry.resource, path, ids)
            .ok_or_else(|| Error::not_found(path))?;
        let object = query.apply(path, object, &|uri| self.fetch(uri))?;
        let bytes = serde_json::to_vec(&object).unwrap_or_default();
        let mut response = Response::new(Body::from(Bytes::from(bytes)));
        entry.describe(response.headers_mut(), &etag, &link);
        Ok(response)
    }

    /// The resource at `uri`, if the caller may see it.
    fn fetch(&self, uri: &str) -> Option<Map<String, Value>> {
        let path = uri.strip_suffix('/').unwrap_or(uri);
        let (route, ids) = self.service.routes.find(path)?;
        let Route::Resource(entry) = route else { return None };
        let needed = entry.needs(&Method::GET, None);
        self.holds(entry, &ids, needed).ok()?;
        let path = canonical(path);
        let found = self.service.object(entry.resource, path, &ids)?;
        Some(found.0)
    }

    fn must_exist(
        &self,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<(), Error> {
        let found = self.service.render(entry.resource, canonical(path), ids);
        found.map(drop).ok_or_else(|| Error::not_found(path))
    }

    /// May the caller do this to the resource, or to `property` of it?
    fn authorize(
        &self,
        entry: &Entry,
        ids: &[&str],
        property: Option<&str>,
    ) -> Result<(), Error> {
        let needed = entry.needs(&self.parts.method, property);
        self.holds(entry, ids, needed)
    }

    fn holds(
        &self,
        entry: &Entry,
        ids: &[&str],
        needed: onprem_redfish::privilege::Privileges,
    ) -> Result<(), Error> {
        use onprem_redfish::privilege::{Privilege, Privileges};
        let Some(caller) = &self.caller else {
            return if needed.met_by(Privileges::default()) {
                Ok(())
            } else {
                Err(Error::unauthorized())
            };
        };
        let service = self.service;
        let snapshot = service.model.snapshot();
        let book = service.accounts.book();
        let view = View { snapshot: &snapshot, service, book: &book };
        let own = caller.account && entry.resource.is_own(&view, ids, caller);
        if caller.must_change_password && !own {
            let account = uri::of(uri::ACCOUNT, &[&caller.name]);
            return Err(Error::password_change_required(&account));
        }
        let held = caller.role.privileges();
        let held =
            if own { held } else { held.without(Privilege::ConfigureSelf) };
        if needed.met_by(held) { Ok(()) } else { Err(Error::forbidden()) }
    }

    async fn audit(&self, status: StatusCode) {
        let caller = self.caller.as_ref();
        let (via, request) = match (self.origin, caller) {
            (Origin::Tunnel(grant), _) => ("fleet", Some(&*grant.request)),
            (_, Some(caller)) if caller.session.is_some() => ("session", None),
            (_, Some(_)) => ("basic", None),
            (_, None) => ("none", None),
        };
        let entry = audit::Entry {
            who: caller.map_or("", |caller| &caller.name),
            via,
            from: self.peer.map(|peer| peer.to_string()),
            request,
            method: self.parts.method.as_str(),
            uri: self.parts.uri.path(),
            status: status.as_u16(),
        };
        self.service.audit.write(&entry).await;
    }
}

impl Entry {
    /// Puts in what the answer to a GET says beside the body.
    fn describe(
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
fn canonical(path: &str) -> &str {
    if path == uri::ROOT { "/redfish/v1/" } else { path }
}

/// The methods that some resource knows, or that HTTP does.
const KNOWN: [&str; 7] =
    ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"];

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Can the caller read an answer of `content_type`?
fn accepts(headers: &HeaderMap, content_type: &str) -> Result<(), Error> {
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

fn error_response(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::from(error.body().to_string()));
    *response.status_mut() = error.status;
    for (name, value) in &error.headers {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

/// Adds what every answer has.
fn finish(response: &mut Response<Body>) {
    use http_body::Body as _;
    let size = response.body().size_hint().exact();
    let whole = response.status() != StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(ODATA_VERSION, HeaderValue::from_static("4.0"));
    if !headers.contains_key(CACHE_CONTROL) {
        let value = HeaderValue::from_static("no-cache");
        headers.insert(CACHE_CONTROL, value);
    }
    match size {
        Some(size) if whole => {
            if size > 0 && !headers.contains_key(CONTENT_TYPE) {
                headers.insert(CONTENT_TYPE, JSON);
            }
            headers.insert(CONTENT_LENGTH, size.into());
        }
        _ => {}
    }
}
