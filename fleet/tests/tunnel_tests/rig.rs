//! A fleet's device listener over a directory in memory, and agents.

use std::{
    collections::HashMap,
    future::pending,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use onprem_bmc::phone_home::{self, Options, State};
use onprem_fleet::tunnel::{
    self, Admission, Authority, DeviceListener, Directory, DirectoryError,
    Enrolment, GrantFor, ListenOptions, Standing, TunnelError, TunnelOptions,
    Tunnels,
};
use onprem_http::{Answer, Body};
use onprem_link::{
    backoff::Backoff,
    clock::FleetClock,
    enrol::{Fingerprint, JoinToken, Refusal},
    grant::{Grant, Role},
    id::Xid,
    tunnel::KeepAlive,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A keep-alive for tests that wait for it.
pub(crate) const QUICK: KeepAlive = KeepAlive {
    interval: Duration::from_millis(300),
    timeout: Duration::from_millis(300),
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) uuid: Uuid,
    pub(crate) key: Fingerprint,
    pub(crate) pending: Option<Fingerprint>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Join tokens: who redeemed them, and whether their time is over.
    pub(crate) tokens: HashMap<Fingerprint, (Option<Fingerprint>, bool)>,
    pub(crate) members: HashMap<Xid, Member>,
    /// How often somebody asked to join.
    pub(crate) asked: usize,
    /// The store is away.
    pub(crate) away: bool,
}

/// A directory in memory.
#[derive(Debug, Default)]
pub(crate) struct Members(Mutex<Book>);

impl Members {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }
}

impl Directory for Members {
    async fn enrol(
        &self,
        enrolment: Enrolment,
    ) -> Result<Admission, DirectoryError> {
        let mut book = self.book();
        book.asked += 1;
        if book.away {
            return Err(DirectoryError("away".into()));
        }
        let Enrolment { token, uuid, key, .. } = enrolment;
        match book.tokens.get_mut(&token) {
            None => return Ok(Admission::Refused(Refusal::UnknownToken)),
            Some((Some(by), _)) if *by == key => {}
            Some((Some(_), _)) => {
                return Ok(Admission::Refused(Refusal::UsedToken));
            }
            Some((None, true)) => {
                return Ok(Admission::Refused(Refusal::ExpiredToken));
            }
            Some((by, _)) => *by = Some(key),
        }
        let known = book.members.iter_mut().find(|(_, m)| m.uuid == uuid);
        Ok(match known {
            Some((device, member)) if member.key == key => {
                Admission::Accepted { device: *device }
            }
            Some((device, member)) => {
                member.pending = Some(key);
                Admission::Waiting { device: *device }
            }
            None => {
                let device = Xid::new();
                let member = Member { uuid, key, pending: None };
                book.members.insert(device, member);
                Admission::Accepted { device }
            }
        })
    }

    async fn standing(
        &self,
        device: Xid,
        key: Fingerprint,
    ) -> Result<Standing, DirectoryError> {
        let book = self.book();
        if book.away {
            return Err(DirectoryError("away".into()));
        }
        Ok(match book.members.get(&device) {
            Some(member) if member.key == key => {
                Standing::Accepted { uuid: member.uuid }
            }
            _ => Standing::Unknown,
        })
    }
}

/// The fleet's side.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) clock: FleetClock,
    pub(crate) authority: Arc<Authority>,
    pub(crate) members: Arc<Members>,
    pub(crate) tunnels: Tunnels,
    pub(crate) address: SocketAddr,
    listener: DeviceListener,
    stop: CancellationToken,
}

/// 2026-01-01.
pub(crate) const NEW_YEAR_MS: u64 = 1_767_225_600_000;

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(TunnelOptions::default(), NEW_YEAR_MS).await
    }

    pub(crate) async fn start_with(options: TunnelOptions, now: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let members = Arc::default();
        let listen = ListenOptions {
            address: "127.0.0.1:0".parse().unwrap(),
            ..listen_options()
        };
        Self::open(folder, members, listen, options, now).await
    }

    pub(crate) async fn open(
        folder: TempDir,
        members: Arc<Members>,
        listen: ListenOptions,
        options: TunnelOptions,
        now_ms: u64,
    ) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = FleetClock::new(now_ms);
        let tunnels =
            Tunnels::open(folder.path(), options, clock.clone()).unwrap();
        let authority = Authority::open(folder.path(), clock.now_s()).unwrap();
        let authority = Arc::new(authority);
        let stop = CancellationToken::new();
        let listener = DeviceListener::start(
            listen,
            Arc::clone(&authority),
            Arc::clone(&members),
            tunnels.clone(),
            stop.clone(),
        )
        .await
        .unwrap();
        Self {
            address: listener.address(),
            folder,
            clock,
            authority,
            members,
            tunnels,
            listener,
            stop,
        }
    }

    /// Ends, and starts again on the same address with the same state.
    pub(crate) async fn restart(self, now_ms: u64) -> Self {
        self.stop.cancel();
        self.listener.stopped().await;
        let listen =
            ListenOptions { address: self.address, ..listen_options() };
        let options = TunnelOptions::default();
        Self::open(self.folder, self.members, listen, options, now_ms).await
    }

    /// A new join token.
    pub(crate) fn token(&self) -> JoinToken {
        let token = JoinToken::new(self.authority.fingerprint());
        self.members.book().tokens.insert(token.hash(), (None, false));
        token
    }

    /// Asks a device for `path`.
    pub(crate) async fn get(
        &self,
        device: Xid,
        path: &str,
    ) -> Result<(StatusCode, String), TunnelError> {
        self.ask(device, Method::GET, path).await
    }

    pub(crate) async fn ask(
        &self,
        device: Xid,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, String), TunnelError> {
        let request = request(method, path);
        let answer = self.tunnels.send(device, request, &ada()).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(TunnelError::Lost)?;
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        Ok((head.status, body))
    }

    /// Waits until the device is there, or not.
    pub(crate) async fn until_online(&self, device: Xid, online: bool) {
        let mut changes = self.tunnels.changes();
        timeout(LONG, async {
            while self.tunnels.is_online(device) != online {
                changes.recv().await.unwrap();
            }
        })
        .await
        .expect("the device should have come or gone");
    }
}

fn listen_options() -> ListenOptions {
    ListenOptions {
        retry_after: Duration::ZERO,
        approval_wait: Duration::ZERO,
        ..ListenOptions::default()
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<tunnel::Body> {
    Request::builder().method(method).uri(path).body(tunnel::empty()).unwrap()
}

pub(crate) fn ada() -> GrantFor {
    GrantFor { subject: "ada".to_owned(), role: Role::Operator }
}

/// The agent's side.
pub(crate) struct Agent {
    pub(crate) folder: TempDir,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Agent {
    /// An agent of a new machine that joins `fleet`.
    pub(crate) fn join(fleet: &Fleet) -> Self {
        Self::start(fleet, Uuid::new_v4(), Some(&fleet.token()))
    }

    pub(crate) fn start(
        fleet: &Fleet,
        uuid: Uuid,
        token: Option<&JoinToken>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(token) = token {
            put_token(folder.path(), token);
        }
        let options = options(fleet, folder.path(), uuid);
        Self::run(folder, options)
    }

    pub(crate) fn run(folder: TempDir, options: Options) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let handler: phone_home::Handler =
            Arc::new(|request: Request<Incoming>, grant| {
                assert_ne!(request.uri().path(), "/broken");
                Answer::later(answer(request, grant))
            });
        let state = phone_home::start(options, handler, &tasks, stop.clone());
        Self { folder, state, tasks, stop }
    }

    /// Waits until things stand so.
    pub(crate) async fn until(
        &mut self,
        wanted: impl FnMut(&State) -> bool,
    ) -> State {
        let state = timeout(LONG, self.state.wait_for(wanted)).await;
        state.expect("the state should have come").unwrap().clone()
    }

    /// Waits for the tunnel.
    pub(crate) async fn connected(&mut self, fleet: &Fleet) -> Xid {
        let state = self.until(|s| matches!(s, State::Connected { .. })).await;
        let State::Connected { device, .. } = state else { unreachable!() };
        fleet.until_online(device, true).await;
        device
    }

    /// Waits until the tunnel is gone.
    pub(crate) async fn disconnected(&mut self) {
        self.until(|s| !matches!(s, State::Connected { .. })).await;
    }

    /// Waits for a try that failed, and returns why.
    pub(crate) async fn failed(&mut self) -> String {
        let failed =
            |s: &State| matches!(s, State::Connecting { problem: Some(_) });
        match self.until(failed).await {
            State::Connecting { problem: Some(problem) } => problem,
            _ => unreachable!(),
        }
    }

    /// Waits for a refusal, and returns its text.
    pub(crate) async fn refused(&mut self) -> String {
        let state = self.until(|s| matches!(s, State::Refused { .. })).await;
        let State::Refused { message } = state else { unreachable!() };
        message
    }

    pub(crate) async fn end(self) -> TempDir {
        self.stop.cancel();
        self.tasks.close();
        timeout(LONG, self.tasks.wait()).await.unwrap();
        self.folder
    }
}

/// An agent that is one thread; asked for `/stall` it does nothing more, as
/// if it had got SIGSTOP, until it is told to resume.
pub(crate) struct Stalling {
    pub(crate) device: Xid,
    state: watch::Receiver<State>,
    resume: std::sync::mpsc::Sender<()>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
    _folder: TempDir,
}

impl Stalling {
    pub(crate) async fn join(fleet: &Fleet) -> Self {
        Self::join_with(fleet, |_| {}, || {}).await
    }

    /// An agent with other options, whose thread does something `first`.
    pub(crate) async fn join_with(
        fleet: &Fleet,
        adapt: impl FnOnce(&mut Options),
        first: impl FnOnce() + Send + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        put_token(folder.path(), &fleet.token());
        let mut calls = options(fleet, folder.path(), Uuid::new_v4());
        adapt(&mut calls);
        let (resume, stalled) = std::sync::mpsc::channel::<()>();
        let stalled = Arc::new(Mutex::new(stalled));
        let handler = phone_home::handler(move |request, grant| {
            if request.uri().path() == "/stall" {
                stalled.lock().unwrap().recv().unwrap();
            }
            answer(request, grant)
        });
        let (tell, mut state) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            first();
            alone(async move {
                let tasks = TaskTracker::new();
                let watched =
                    phone_home::start(calls, handler, &tasks, stopped.clone());
                tell.send(watched).await.unwrap();
                stopped.cancelled().await;
            });
        });
        let state = state.recv().await.unwrap();
        let device = connected(&mut state.clone()).await;
        fleet.until_online(device, true).await;
        let thread = Some(thread);
        Self { device, state, resume, stop, thread, _folder: folder }
    }

    /// Waits until the agent knows that its tunnel is gone.
    pub(crate) async fn disconnected(&self) {
        let mut state = self.state.clone();
        let gone = |s: &State| !matches!(s, State::Connected { .. });
        timeout(LONG, state.wait_for(gone)).await.unwrap().unwrap();
    }

    pub(crate) fn resume(&self) {
        self.resume.send(()).unwrap();
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.stop.cancel();
        // An agent that still stalls is woken by a last word.
        let _ = self.resume.send(());
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

async fn connected(state: &mut watch::Receiver<State>) -> Xid {
    let connected = |s: &State| matches!(s, State::Connected { .. });
    let state = timeout(LONG, state.wait_for(connected)).await;
    match *state.expect("the agent should have connected").unwrap() {
        State::Connected { device, .. } => device,
        _ => unreachable!(),
    }
}

/// Runs `future` on a runtime that is this very thread.
pub(crate) fn alone(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

pub(crate) fn options(fleet: &Fleet, folder: &Path, uuid: Uuid) -> Options {
    let mut options = Options::new(
        format!("https://{}", fleet.address),
        folder.join("fleet"),
        uuid,
    );
    options.join_token_file = Some(folder.join("token"));
    options.backoff =
        Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
    options.refused_wait = LONG;
    options.token_wait = Duration::from_millis(20);
    options
}

pub(crate) fn put_token(folder: &Path, token: &JoinToken) {
    std::fs::write(folder.join("token"), token.reveal()).unwrap();
}

/// What the agents of these tests answer.
async fn answer(request: Request<Incoming>, grant: Grant) -> Response<Body> {
    let (chunks, body) = mpsc::channel(8);
    let send = |text: String| chunks.try_send(Bytes::from(text)).unwrap();
    match request.uri().path() {
        "/hello" => send("hello".to_owned()),
        "/who" => send(format!("{} {}", grant.subject, grant.role)),
        "/headers" => send(format!("{:?}", request.headers())),
        "/echo" => {
            let body = request.into_body().collect().await.unwrap();
            chunks.try_send(body.to_bytes()).unwrap();
        }
        // One event, and then nothing for as long as somebody listens.
        "/events" => {
            send("data: first\n\n".to_owned());
            return channel(body, Some(chunks));
        }
        "/never" => pending().await,
        _ => {
            let mut answer = channel(body, None);
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return answer;
        }
    }
    channel(body, None)
}

/// A body of chunks; with a sender kept it stays open.
fn channel(
    mut chunks: mpsc::Receiver<Bytes>,
    kept: Option<mpsc::Sender<Bytes>>,
) -> Response<Body> {
    Response::new(Body::events(poll_fn(move |context| {
        let _open = &kept;
        chunks.poll_recv(context)
    })))
}
