//! The console: pages that follow from the API's description.
//!
//! Every page asks the fleet's own API with the session of whoever looks at
//! it, so a page shows what the API would answer, and nothing else. Which
//! pages there are follows from the page model; a resource's list, view, forms
//! and actions need no code here. Pages work without scripts; htmx makes
//! navigation smoother and keeps what is watched up to date.

mod action;
mod api;
mod asset;
mod card;
mod cell;
mod chart;
mod device;
mod error;
mod form;
mod heading;
mod home;
mod input;
mod list;
mod live;
mod login;
mod made;
mod operations;
mod page;
mod place;
mod plot;
mod redfish;
mod table;
mod task;
mod terminal;
#[cfg(test)]
mod tests;
mod view;
mod visit;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, ApiEndpoint,
    ApiEndpointVersions, Body, HttpError, Path, RequestContext, UntypedBody,
};
use http::{HeaderMap, Method, Response, StatusCode, header};
use onprem_description::PageModel;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::error::{ErrorPage, Refusal};
use self::made::Outcome;
use self::page::{Frame, send};
use self::place::{Place, Target};
use self::visit::Visit;
use crate::api::source_of;

/// The largest form.
const LARGEST_FORM: usize = 256 * 1024;

/// The context of a server that has the console's pages.
pub trait Host: Send + Sync + 'static {
    /// The console of this server.
    fn console(&self) -> &Console;
}

/// The console of a server; a handle that can be cloned.
#[derive(Clone, Debug)]
pub struct Console {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    model: &'static PageModel,
    hub: live::Hub,
    tasks: TaskTracker,
    stop: CancellationToken,
    api: OnceLock<SocketAddr>,
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Console {
    /// A console of the API that this server was built with.
    #[must_use]
    pub fn new() -> Self {
        Self::of(PageModel::get())
    }

    fn of(model: &'static PageModel) -> Self {
        let inner = Inner {
            model,
            hub: live::Hub::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            api: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tells where the API is served without TLS on loopback. Until then pages
    /// ask the server that they are served by.
    pub fn bound_at(&self, api: SocketAddr) {
        // A server is bound once.
        let _ = self.inner.api.set(api);
    }

    /// Ends all streams; a server that stops would wait for them.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn model(&self) -> &'static PageModel {
        self.inner.model
    }

    fn hub(&self) -> &live::Hub {
        &self.inner.hub
    }

    fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    fn stopped(&self) -> &CancellationToken {
        &self.inner.stop
    }

    fn history(&self, page: &str) -> Option<table::History> {
        self.inner.hub.history(page)
    }
}

/// Adds the console's pages to a server's operations.
///
/// # Errors
/// A page stands where an operation stands.
pub fn register<C: Host>(
    api: &mut ApiDescription<C>,
) -> Result<(), ApiDescriptionRegisterError> {
    register_for(api, PageModel::get())
}

/// A router takes no variable beside a literal, so each resource has its own
/// address, and what is under it is found by the page model.
fn register_for<C: Host>(
    api: &mut ApiDescription<C>,
    model: &PageModel,
) -> Result<(), ApiDescriptionRegisterError> {
    let mut exact: Vec<String> =
        ["/", "/login", "/logout", "/theme", "/live", "/api"]
            .map(str::to_owned)
            .to_vec();
    let mut under = vec!["assets".to_owned()];
    for resource in model.children(None) {
        if resource.list.is_none() && resource.create.is_none() {
            continue;
        }
        under.push(resource.segment.clone());
        exact.push(format!("/{}.json", resource.segment));
        if resource.create.is_some() {
            exact.push(format!("/{}-new", resource.segment));
        }
    }
    for method in [Method::GET, Method::POST] {
        for path in &exact {
            let id = format!("console {method} {path}");
            api.register(
                ApiEndpoint::new(
                    id,
                    exact_page::<C>,
                    method.clone(),
                    "application/x-www-form-urlencoded",
                    path,
                    ApiEndpointVersions::All,
                )
                .request_body_max_bytes(LARGEST_FORM)
                .visible(false),
            )?;
        }
        for segment in &under {
            let path = format!("/{segment}/{{path:.*}}");
            let id = format!("console {method} {path}");
            api.register(
                ApiEndpoint::new(
                    id,
                    page_under::<C>,
                    method.clone(),
                    "application/x-www-form-urlencoded",
                    &path,
                    ApiEndpointVersions::All,
                )
                .request_body_max_bytes(LARGEST_FORM)
                .visible(false),
            )?;
        }
    }
    Ok(())
}

/// The rest of an address; taken from the address itself.
#[derive(Debug, Deserialize, JsonSchema)]
struct Rest {
    #[serde(rename = "path")]
    _path: Vec<String>,
}

async fn page_under<C: Host>(
    rqctx: RequestContext<C>,
    _: Path<Rest>,
    body: UntypedBody,
) -> Result<Response<Body>, HttpError> {
    exact_page(rqctx, body).await
}

async fn exact_page<C: Host>(
    rqctx: RequestContext<C>,
    body: UntypedBody,
) -> Result<Response<Body>, HttpError> {
    let request = &rqctx.request;
    let headers = request.headers();
    let console = rqctx.context().console();
    let visit = Visit::new(
        console,
        console.inner.api.get().copied().unwrap_or(rqctx.server.local_addr),
        request.method(),
        request.uri(),
        headers,
        body.as_bytes(),
    )
    .from(
        source_of(headers, request.remote_addr().ip()),
        rqctx.server.using_tls(),
    );
    Ok(answer(&visit, headers).await)
}

async fn answer(visit: &Visit<'_>, headers: &HeaderMap) -> Response<Body> {
    if let [assets, hash, name] = visit.asset_segments()[..]
        && assets == "assets"
        && let Some(answer) = asset::serve(hash, name, visit.gzip)
    {
        return answer.map(Body::from);
    }
    let outcome = if visit.post && !is_own(headers) {
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "this form was sent from another site",
        ))
    } else if visit.segments == ["live"] && !visit.post {
        live::stream(visit, headers).await
    } else {
        open(visit).await
    };
    match outcome {
        Ok(Outcome::Page(made)) => send(
            made.status,
            "text/html; charset=utf-8",
            made.html.into(),
            visit.gzip,
        ),
        Ok(Outcome::Json(json)) => send(
            StatusCode::OK,
            "application/json",
            json.to_string().into(),
            visit.gzip,
        ),
        Ok(Outcome::Go(path)) => page::see_other(&path),
        Ok(Outcome::Raw(answer)) => answer,
        Err(refusal) if refusal.asks_for_login() && !visit.json => {
            login::detour(visit)
        }
        Err(refusal) => refuse(visit, &refusal).await,
    }
}

/// A form of our own pages sent this, not another site.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text(header::HOST.as_str());
            let origin = origin.split_once("://").map(|(_, host)| host);
            origin.is_some() && origin == host
        }
        (None, None) => false,
    }
}

/// The error as JSON or as a page.
async fn refuse(visit: &Visit<'_>, refusal: &Refusal) -> Response<Body> {
    if visit.json {
        let text = refusal.as_json().to_string();
        return send(
            refusal.status,
            "application/json",
            text.into(),
            visit.gzip,
        );
    }
    let mut frame =
        visit.frame("Not available").await.unwrap_or_else(|_| Frame {
            theme: visit.theme.clone(),
            here: visit.here(),
            ..Frame::default()
        });
    if let Some(place) = Place::find(visit.model, &visit.segments) {
        frame.crumbs = place.crumbs();
    }
    page::html(refusal.status, &ErrorPage::new(frame, refusal), visit.gzip)
}

/// The page at an address.
async fn open(visit: &Visit<'_>) -> Result<Outcome, Refusal> {
    let segments: Vec<&str> =
        visit.segments.iter().map(String::as_str).collect();
    match segments[..] {
        [] => return home::page(visit).await.map(Outcome::Page),
        ["login"] => return login::login(visit).await,
        ["logout"] => return login::logout(visit).await,
        ["theme"] => return Ok(login::theme(visit)),
        ["api"] => return operations::page(visit).await.map(Outcome::Page),
        _ => {}
    }
    // Who may not come in is not told what there is.
    if visit.api.session().is_none() {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "sign in first"));
    }
    let place = Place::find(visit.model, &visit.segments)
        .ok_or_else(Refusal::not_found)?;
    if visit.json {
        return json(visit, &place).await.map(Outcome::Json);
    }
    let resource = place.resource;
    let has = |operation| Option::ok_or_else(operation, Refusal::not_found);
    match &place.target {
        Target::List if place.items.is_empty() => {
            let operation = has(resource.list.as_ref())?;
            list::page(visit, &place, operation).await.map(Outcome::Page)
        }
        Target::List => {
            let operation = has(resource.list.as_ref())?;
            view::listing(visit, &place, resource, operation)
                .await
                .map(Outcome::Page)
        }
        Target::Related(other) => {
            let operation = has(other.list.as_ref())?;
            view::listing(visit, &place, other, operation)
                .await
                .map(Outcome::Page)
        }
        Target::View => {
            let operation = has(resource.view.as_ref())?;
            view::page(visit, &place, operation).await.map(Outcome::Page)
        }
        Target::New => {
            form::create(visit, &place, has(resource.create.as_ref())?).await
        }
        Target::Edit => {
            form::update(visit, &place, has(resource.update.as_ref())?).await
        }
        Target::Delete => {
            action::run(visit, &place, has(resource.delete.as_ref())?).await
        }
        Target::Action(operation) => {
            action::run(visit, &place, operation).await
        }
        Target::Redfish(rest) => {
            redfish::page(visit, &place, rest).await.map(Outcome::Page)
        }
    }
}

/// What the API answers for the page.
async fn json(
    visit: &Visit<'_>,
    place: &Place<'_>,
) -> Result<serde_json::Value, Refusal> {
    let (resource, fixed) = match &place.target {
        Target::Related(other) => {
            let owner = place.items.last();
            let fixed = owner.map(|(own, id)| (own.name.clone(), id.clone()));
            (*other, fixed.into_iter().collect())
        }
        _ => (place.resource, Vec::new()),
    };
    let (operation, values) = match &place.target {
        Target::List => (resource.list.as_ref(), place.values()),
        Target::Related(_) => (resource.list.as_ref(), Vec::new()),
        Target::View => (resource.view.as_ref(), place.values()),
        Target::Redfish(rest) => {
            return redfish::json(visit, place, rest).await;
        }
        _ => (None, Vec::new()),
    };
    let operation = operation.ok_or_else(Refusal::not_found)?;
    let query = list::asked(visit, operation, &fixed);
    let path = visit::with_query(&operation.fill(&values), &query);
    visit.api.get(&path).await
}
