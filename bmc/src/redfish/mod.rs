//! The Redfish service: one function from request to answer, for TLS and for
//! the tunnel.

mod audit;
mod capture;
mod console;
mod diagnostic;
mod document;
mod error;
pub(crate) mod event;
mod event_log;
mod exchange;
mod expiry;
mod fleet;
mod identity;
mod incoming;
mod query;
mod read;
mod render;
mod resource;
mod resources;
mod router;
mod splice;
mod task;
mod telemetry;
mod update;
pub(crate) mod uri;
mod write;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, Weak, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use onprem_http::{Answer, Body};
use onprem_link::task::Tasks as _;
use onprem_redfish::message::{heartbeat_event, platform};
use onprem_redfish::privilege::{Privilege, Privileges};
use serde_json::{Map, Value};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::resource::Origin;
use self::{
    audit::Audit,
    diagnostic::Dumps,
    error::Error,
    event::Events,
    exchange::{Exchange, is_write},
    incoming::Incoming,
    render::Cache,
    resources::RESOURCES,
    router::{Route, Routes},
};
use crate::{
    accounts::Accounts,
    boards::{Instruments, Modems, PowerModes, host, wires::Wires},
    clock::{self, Clock},
    collectors::Exporter,
    commands::Commands,
    config,
    console::Consoles,
    discovery::{self, Announced, Networks},
    drivers::{own::Ticks, software::Software},
    log::{self, Entry, Kind, Logs},
    model::Model,
    server::{ClientTrust, Identity},
    state::StateError,
    telemetry::Telemetry,
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
    /// Whether the deprecated `Power` and `Thermal` are served as well.
    pub deprecated_power_thermal: bool,
    /// How the agent is updated.
    pub update: config::Update,
    /// The loaders and drivers of this host.
    pub software: Vec<Software>,
    /// Where logs and subscriptions are kept.
    pub state_dir: PathBuf,
    /// The serial consoles of the systems.
    pub consoles: Consoles,
    /// Whether events may be posted without TLS to other machines.
    pub allow_http_events: bool,
    /// The clock, as far as it may be set.
    pub clock: Clock,
    /// What is configured, for who looks into a fault.
    pub configuration: Value,
    /// What records signals.
    pub instruments: Arc<dyn Instruments>,
    /// What starts modems anew.
    pub modems: Arc<dyn Modems>,
    /// What chooses the power models of systems.
    pub power_modes: Arc<dyn PowerModes>,
    /// The I²C buses.
    pub wires: Arc<Wires>,
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
    /// For work that goes on after its request.
    itself: Weak<Self>,
    model: Model,
    commands: Commands,
    accounts: Arc<Accounts>,
    /// Whose client certificates are taken.
    trust: Arc<ClientTrust>,
    /// Told when a certificate is not what it was.
    certificates_changed: Arc<Notify>,
    exporter: Exporter,
    routes: Routes,
    cache: Cache,
    /// How often something changed that is in answers, but not in the model.
    touched: AtomicU64,
    audit: Audit,
    logs: Arc<Logs>,
    /// Diagnostic data that somebody had collected.
    dumps: Arc<Dumps>,
    /// What is configured.
    configuration: Value,
    /// What records signals.
    instruments: Arc<dyn Instruments>,
    /// What starts modems anew.
    modems: Arc<dyn Modems>,
    /// What chooses the power models of systems.
    power_modes: Arc<dyn PowerModes>,
    /// The I²C buses.
    wires: Arc<Wires>,
    /// Held while it is looked who is on one.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// What was recorded.
    captures: Arc<capture::Captures>,
    networks: Arc<Networks>,
    clock: Clock,
    state_dir: PathBuf,
    /// Since when it runs.
    up: Instant,
    /// What the processors had done at the last look and the one before.
    ticks: Mutex<(Ticks, Ticks)>,
    events: Arc<Events>,
    telemetry: Arc<Telemetry>,
    task_book: Arc<task::Book>,
    updater: Arc<update::Updater>,
    software: Vec<Software>,
    consoles: Consoles,
    /// Held from the check of `If-Match` until the write is seen by readers.
    writing: tokio::sync::Mutex<()>,
    /// What the TLS port is, once it is open.
    door: ArcSwap<Door>,
    /// How things stand with the fleet, where there is one.
    fleet: OnceLock<fleet::Fleet>,
    /// Whether `Power` and `Thermal` are served.
    deprecated_power_thermal: bool,
    /// When the agent started.
    started: DateTime<Utc>,
    /// Whether events may be posted without TLS to other machines.
    allow_http_events: bool,
    /// Own the writes.
    tasks: TaskTracker,
}

impl Service {
    /// A service of these parts; what it does by itself runs on `tasks` until
    /// `stop`.
    ///
    /// # Errors
    /// What it keeps in the state directory cannot be read.
    pub fn start(
        parts: Parts,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, StateError> {
        let trust = ClientTrust::open(&parts.state_dir)?;
        let logs = Logs::open(
            &parts.state_dir,
            &parts.model.snapshot().inventory,
            tasks,
        )?;
        let started = heartbeat_event::redfish_service_started();
        logs.append(Kind::Audit, Entry::of(&started));
        logs.watch(parts.model.clone(), tasks, stop);
        let began = Utc::now();
        let events = Events::start(
            parts.model.clone(),
            &parts.state_dir,
            tasks.clone(),
            stop.child_token(),
        )?;
        tasks.start(event_log::follow(
            Arc::clone(&events),
            Arc::clone(&logs),
            began,
            stop.child_token(),
        ));
        let servers = events.kept().ntp_servers;
        let networks = Networks::open(&parts.state_dir, servers)?;
        let manager = parts.model.snapshot().inventory.manager.id.to_string();
        let updater = update::Updater::open(
            &parts.state_dir,
            parts.update,
            manager,
            parts.commands.clone(),
            Arc::clone(&events),
        )?;
        let task_book = task::Book::open(
            &parts.state_dir,
            &[updater.survivors(), parts.commands.nodes.tasks()].concat(),
            Arc::clone(&events),
            tasks.clone(),
            stop.child_token(),
        )?;
        let telemetry =
            Telemetry::open(&parts.state_dir, &parts.model.snapshot())?;
        tasks.start({
            let (updater, book) = (Arc::clone(&updater), task_book.clone());
            async move { updater.tell(&book).await }
        });
        let captures = capture::Captures::open(&parts.state_dir)?;
        let service = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            model: parts.model,
            commands: parts.commands,
            accounts: parts.accounts,
            trust: Arc::new(trust),
            certificates_changed: Arc::default(),
            exporter: parts.exporter,
            routes: Routes::new(RESOURCES),
            cache: Cache::default(),
            touched: AtomicU64::default(),
            audit: Audit::new(Arc::clone(&logs)),
            dumps: Dumps::open(&parts.state_dir, Arc::clone(&logs)),
            logs,
            configuration: parts.configuration,
            instruments: parts.instruments,
            modems: parts.modems,
            power_modes: parts.power_modes,
            wires: parts.wires,
            looking: Arc::default(),
            captures,
            networks,
            clock: parts.clock,
            state_dir: parts.state_dir,
            up: Instant::now(),
            ticks: Mutex::default(),
            events,
            telemetry,
            task_book,
            updater,
            software: parts.software,
            consoles: parts.consoles,
            writing: tokio::sync::Mutex::default(),
            door: ArcSwap::default(),
            fleet: OnceLock::new(),
            deprecated_power_thermal: parts.deprecated_power_thermal,
            started: Utc::now(),
            allow_http_events: parts.allow_http_events,
            tasks: tasks.clone(),
        });
        service.events.attach(&service);
        service.telemetry.start(
            &service,
            service.model.clone(),
            service.events.feed().afresh(),
            tasks,
            stop.child_token(),
        );
        tasks.start(expiry::watch(
            Arc::downgrade(&service),
            Arc::clone(&service.certificates_changed),
            stop.child_token(),
        ));
        Ok(service)
    }

    /// Notes, and tells who listens, that the machine was reset because its
    /// watchdog was not fed.
    pub(crate) fn reset_by_watchdog(&self) {
        let message = platform::platform_reset_watchdog_timer("ForceRestart");
        let uri = uri::of(uri::SYSTEM, &[host::SYSTEM]);
        self.logs.hardware(log::of_watchdog(&message, &uri));
        self.events.send(&message, &uri);
    }

    /// Goes on with the tasks that were under way when the agent ended before.
    pub(crate) fn take_up_tasks(&self) {
        let Self { commands, task_book, tasks, .. } = self;
        resources::follow_graceful(commands, task_book, tasks);
    }

    /// Where requests are counted.
    pub(crate) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Says what the TLS port is.
    pub(crate) fn show(&self, door: Door) {
        self.door.store(Arc::new(door));
        self.touch();
        self.certificates_changed.notify_one();
    }

    /// Whose client certificates are taken.
    pub(crate) fn trust(&self) -> Arc<ClientTrust> {
        Arc::clone(&self.trust)
    }

    /// Tells the network that the service is at `listen`, and keeps the clock
    /// as the settings want it, until `stop`.
    pub(crate) fn announce(
        &self,
        listen: SocketAddr,
        stop: &CancellationToken,
    ) {
        let snapshot = self.model.snapshot();
        let uuid = snapshot.inventory.manager.uuid;
        let system = snapshot.inventory.systems.first();
        let name = system.map_or("Redfish", |it| &*it.name).to_owned();
        let announced = Announced { listen, uuid, name };
        let networks = Arc::clone(&self.networks);
        let (tasks, stop) = (self.tasks.clone(), stop.child_token());
        let keeping = clock::keep(
            self.clock.clone(),
            Arc::clone(&networks),
            self.model.clone(),
            stop.clone(),
        );
        self.tasks.start(keeping);
        self.tasks.start(discovery::run(announced, networks, tasks, stop));
    }

    /// The port, if it is open.
    fn port(&self) -> Option<u16> {
        self.door.load().port
    }

    /// What the port shows, if it is open.
    fn identity(&self) -> Option<Arc<Identity>> {
        self.door.load().identity.clone()
    }

    /// The resource at `uri`, if everybody who may log in may see it.
    fn open_to_all(&self, uri: &str) -> Option<Map<String, Value>> {
        let path = uri.split('#').next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        let (route, ids) = self.routes.find(path)?;
        let Route::Resource(entry) = route else { return None };
        let needed = entry.needs(&Method::GET, None);
        if !needed.met_by(Privileges::of(&[Privilege::Login])) {
            return None;
        }
        let path = exchange::canonical(path);
        Some(self.object(entry.resource, path, &ids)?.0)
    }

    /// Answers `request`. It never waits for a part in order to read it.
    ///
    /// A write goes on when the caller does not wait for its end: nobody gets
    /// past the audit log, or leaves half a change, by hanging up.
    pub fn handle<B>(
        self: &Arc<Self>,
        request: Request<B>,
        origin: Origin,
    ) -> Answer
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = console::as_get(request).into_parts();
        let service = Arc::clone(self);
        if is_write(&parts.method) {
            let answer = service.answer(parts, Incoming::new(body), origin);
            let answer = self.tasks.spawn(answer);
            let broken = |_| error_response(&Error::internal());
            return Answer::later(async move {
                answer.await.unwrap_or_else(broken)
            });
        }
        if let Some(answer) = self.at_hand(&parts, &origin) {
            return answer.into();
        }
        Answer::later(service.answer(parts, Incoming::default(), origin))
    }

    /// The answer to a read, where it is at hand: nearly always.
    fn at_hand(
        &self,
        parts: &request::Parts,
        origin: &Origin,
    ) -> Option<Response<Body>> {
        let mut exchange = Exchange::new(self, parts, origin);
        let answer = exchange.at_hand()?;
        Some(self.conclude(&parts.method, answer))
    }

    async fn answer(
        self: Arc<Self>,
        parts: request::Parts,
        body: Incoming,
        origin: Origin,
    ) -> Response<Body> {
        let mut exchange = Exchange::new(&self, &parts, &origin);
        let answer = exchange.answer(body).await;
        let response = self.conclude(&parts.method, answer);
        if is_write(&parts.method) {
            exchange.audit(response.status()).await;
        }
        response
    }

    /// What goes out: an answer, or the error instead, with what all have.
    fn conclude(
        &self,
        method: &Method,
        answer: Result<Response<Body>, Error>,
    ) -> Response<Body> {
        let mut response =
            answer.unwrap_or_else(|error| error_response(&error));
        finish(&mut response);
        if method == Method::HEAD {
            *response.body_mut() = Body::default();
        }
        let requests = &self.exporter.metrics().requests;
        requests.count(method, response.status());
        response
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

/// Adds what every answer has, unless it is there.
fn finish(response: &mut Response<Body>) {
    use http_body::Body as _;
    if response.headers().contains_key(&ODATA_VERSION) {
        return;
    }
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
