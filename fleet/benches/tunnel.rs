//! What the tunnel costs: a request through it beside the same request made
//! directly, in one run on one machine; and what an idle device costs the
//! fleet. `cargo bench -p onprem-fleet --bench tunnel`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark is a program for people"
)]

use std::{
    convert::Infallible,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onprem_bmc::phone_home::{self, Options, State};
use onprem_fleet::tunnel::{
    Admission, Authority, DeviceListener, Directory, DirectoryError, Enrolment,
    GrantFor, ListenOptions, Standing, TunnelOptions, Tunnels, empty,
};
use onprem_http::Body;
use onprem_link::{
    clock::FleetClock,
    enrol::{Fingerprint, JoinToken},
    grant::Role,
    id::Xid,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

const REQUESTS: usize = 20_000;
const CLIENTS: usize = 64;
const DEVICES: usize = 500;
const BODY: &[u8] = &[b'x'; 1024];

/// Lets everybody in; the id of a device is its key's affair.
#[derive(Debug, Default)]
struct Everybody(std::sync::Mutex<std::collections::HashMap<Xid, Uuid>>);

impl Directory for Everybody {
    async fn enrol(
        &self,
        enrolment: Enrolment,
    ) -> Result<Admission, DirectoryError> {
        let device = Xid::new();
        self.0.lock().unwrap().insert(device, enrolment.uuid);
        Ok(Admission::Accepted { device })
    }

    async fn standing(
        &self,
        device: Xid,
        _key: Fingerprint,
    ) -> Result<Standing, DirectoryError> {
        let uuid = self.0.lock().unwrap().get(&device).copied();
        Ok(uuid.map_or(Standing::Unknown, |uuid| Standing::Accepted { uuid }))
    }
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, role, address, token] = arguments.as_slice()
        && role == "devices"
    {
        devices(address, token).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clock = FleetClock::new(1_767_225_600_000);
    let options = TunnelOptions::default();
    let tunnels = Tunnels::open(folder.path(), options, clock.clone()).unwrap();
    let authority = Authority::open(folder.path(), clock.now_s()).unwrap();
    let token = JoinToken::new(authority.fingerprint());
    let listen = ListenOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..ListenOptions::default()
    };
    let listener = DeviceListener::start(
        listen,
        Arc::new(authority),
        Arc::<Everybody>::default(),
        tunnels.clone(),
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let address = listener.address();
    latency(address, &token, &tunnels).await;
    idle(address, &token, &tunnels).await;
}

fn agent(
    address: &str,
    token: &str,
    tasks: &TaskTracker,
) -> (tempfile::TempDir, tokio::sync::watch::Receiver<State>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let url = format!("https://{address}");
    let mut options =
        Options::new(url, folder.path().join("fleet"), Uuid::new_v4());
    options.join_token_file = Some(file);
    let handler = phone_home::handler(|_, _| async { answer() });
    let stop = CancellationToken::new();
    (folder, phone_home::start(options, handler, tasks, stop))
}

fn answer() -> Response<Body> {
    Response::new(Body::from(Bytes::from_static(BODY)))
}

async fn latency(address: SocketAddr, token: &JoinToken, tunnels: &Tunnels) {
    let tasks = TaskTracker::new();
    let (_folder, mut state) =
        agent(&address.to_string(), &token.reveal(), &tasks);
    let connected = |s: &State| matches!(s, State::Connected { .. });
    let state = state.wait_for(connected).await.unwrap().clone();
    let State::Connected { device, .. } = state else { unreachable!() };
    while !tunnels.is_online(device) {
        tokio::task::yield_now().await;
    }

    // The same answer over plain HTTP/2, with nothing between.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let direct = plain.local_addr().unwrap();
    tasks.spawn(async move {
        let (stream, _) = plain.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(answer())
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(256)
            .serve_connection(TokioIo::new(stream), service)
            .await
            .is_ok()
    });
    let stream = TcpStream::connect(direct).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
    tasks.spawn(async move { connection.await.is_ok() });

    let through = async || {
        let request = Request::get("/redfish/v1").body(empty()).unwrap();
        let who = GrantFor { subject: "ada".into(), role: Role::ReadOnly };
        let answer = tunnels.send(device, request, &who).await.unwrap();
        answer.into_body().collect().await.unwrap();
    };
    let straight = async || {
        let request = Request::get(format!("http://{direct}/redfish/v1"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.clone().send_request(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    };
    for clients in [1, CLIENTS] {
        let direct = measure(clients, &straight).await;
        let tunnel = measure(clients, &through).await;
        println!("{clients:>3} clients  direct  {direct}");
        println!(
            "{clients:>3} clients  tunnel  {tunnel}, p50 + {} µs, rate × {:.2}",
            tunnel.p50.saturating_sub(direct.p50).as_micros(),
            tunnel.rate / direct.rate,
        );
    }
}

struct Figures {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, p50, p99 } = self;
        let (p50, p99) = (p50.as_micros(), p99.as_micros());
        write!(f, "{rate:>7.0} requests/s, p50 {p50} µs, p99 {p99} µs")
    }
}

/// Asks [`REQUESTS`] times, `clients` at a time.
async fn measure(clients: usize, ask: &impl AsyncFn()) -> Figures {
    let start = Instant::now();
    let one = async || {
        let mut times = Vec::with_capacity(REQUESTS / clients);
        for _ in 0..REQUESTS / clients {
            let start = Instant::now();
            ask().await;
            times.push(start.elapsed());
        }
        times
    };
    let all = (0..clients).map(|_| one());
    let mut times = futures_util::future::join_all(all).await.concat();
    let elapsed = start.elapsed();
    times.sort_unstable();
    let at = |part: usize| {
        let index = times.len() * part / 100;
        times.get(index).copied().unwrap_or_default()
    };
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let rate = f64::from(count) / elapsed.as_secs_f64();
    Figures { rate, p50: at(50), p99: at(99) }
}

/// What [`DEVICES`] devices of another process cost this one.
async fn idle(address: SocketAddr, token: &JoinToken, tunnels: &Tunnels) {
    let before = resident();
    let start = Instant::now();
    let there = tunnels.online().len();
    let program = std::env::current_exe().unwrap();
    let mut devices = Command::new(program)
        .args(["devices", &address.to_string(), &token.reveal()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut changes = tunnels.changes();
    while tunnels.online().len() < there + DEVICES {
        changes.recv().await.unwrap();
    }
    let elapsed = start.elapsed();
    let each = resident().saturating_sub(before) / DEVICES;
    println!(
        "{DEVICES} devices joined in {:.1} s; {each} KiB each in the fleet",
        elapsed.as_secs_f64()
    );
    devices.kill().unwrap();
    devices.wait().unwrap();
}

async fn devices(address: &str, token: &str) {
    let tasks = TaskTracker::new();
    let agents: Vec<_> =
        (0..DEVICES).map(|_| agent(address, token, &tasks)).collect();
    std::future::pending::<()>().await;
    drop(agents);
}

/// Memory of this process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}
