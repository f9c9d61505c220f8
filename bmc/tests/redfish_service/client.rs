//! An agent on port 0, and a client that trusts its certificate only.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use onprem_bmc::{
    agent::Agent, bus::watchdog::Kennel, clock::Clock, config::Config,
    model::Snapshot, sim::watchdog::SimulatedWatchdog,
};
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::task::TaskTracker;

use crate::support::wait;

/// Where the root is.
pub(crate) const ROOT: &str = "/redfish/v1/";
/// Where accounts are.
pub(crate) const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
/// Where sessions are.
pub(crate) const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// How long a machine that stands still is read.
const SETTLED: Duration = Duration::from_secs(1);

/// What an agent says that is to look after the board `text`, which it cannot.
pub(crate) async fn refused(text: &str) -> String {
    refused_with(text, |_| {}).await
}

/// The same of an agent that is configured a little differently.
pub(crate) async fn refused_with(
    text: &str,
    change: impl FnOnce(&mut Config),
) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("board.toml");
    std::fs::write(&file, text).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config = Config {
        state_dir: folder.path().join("state"),
        board: Some(file),
        listen: any,
        metrics_listen: any,
        ..Config::default()
    };
    change(&mut config);
    let error = Agent::start(config).await.unwrap_err();
    format!("{:#}", anyhow::Error::from(error))
}

/// How often it is looked whether something has become so.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Waits until the resource at `uri` says what `fits`.
pub(crate) async fn until(
    client: &Client,
    uri: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    wait::until(uri, LOOK, async || client.get(uri).await.body, fits).await
}

/// A running agent with its own state.
pub(crate) struct Blade {
    pub(crate) agent: Agent,
    pub(crate) state: Arc<TempDir>,
    pub(crate) password: String,
    /// The files of its machine, where they are not those of this one.
    machine: Option<TempDir>,
}

impl Blade {
    /// An agent on the simulated blade.
    pub(crate) async fn simulated() -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        Self::with_state(state, Some(board())).await
    }

    /// An agent on the simulated blade, with its board file changed.
    pub(crate) async fn with_board(
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let text = std::fs::read_to_string(board()).unwrap();
        let file = state.path().join("board.toml");
        std::fs::write(&file, change(text)).unwrap();
        Self::with_state(state, Some(file)).await
    }

    /// An agent that acts against heat after a second, on the simulated blade
    /// with its board file changed.
    pub(crate) async fn minding_heat(
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let text = std::fs::read_to_string(board()).unwrap();
        let file = state.path().join("board.toml");
        std::fs::write(&file, change(text)).unwrap();
        Self::with_config(state, |config| {
            config.board = Some(file);
            config.thermal_emergency.after_seconds = 1;
        })
        .await
    }

    /// An agent on the machine whose `/proc` and `/sys` are in `root`.
    pub(crate) async fn of_tree(root: &Path) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let root = root.to_owned();
        Self::with_config(state, |config| config.root = root).await
    }

    /// The same, where volumes may be made of its drives.
    pub(crate) async fn making_volumes(root: &Path) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let root = root.to_owned();
        Self::with_config(state, |config| {
            config.root = root;
            config.allow_volumes = true;
        })
        .await
    }

    /// An agent on the simulated blade that calls a fleet.
    pub(crate) async fn with_fleet(url: &str, token: &Path) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let (url, token) = (url.to_owned(), token.to_owned());
        Self::with_config(state, |config| {
            config.board = Some(board());
            config.fleet_url = Some(url);
            config.join_token_file = Some(token);
        })
        .await
    }

    /// An agent on the simulated blade for clients that know old types only.
    pub(crate) async fn for_old_clients() -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        Self::with_config(state, |config| {
            config.board = Some(board());
            config.deprecated_power_thermal = true;
        })
        .await
    }

    /// An agent with its state in `state`, on the machine whose files are in
    /// `root`, and whose power it may switch.
    pub(crate) async fn in_power(state: Arc<TempDir>, root: &Path) -> Self {
        let root = root.to_owned();
        Self::with_config(state, |config| {
            config.root = root;
            config.allow_host_power = true;
        })
        .await
    }

    /// An agent with its state in `state`, on the board in the file `board`.
    pub(crate) async fn in_state(state: Arc<TempDir>, board: PathBuf) -> Self {
        Self::with_state(state, Some(board)).await
    }

    /// An agent on the machine that runs the test.
    pub(crate) async fn host() -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        Self::with_state(state, None).await
    }

    /// An agent on the simulated blade that takes images signed by `key`.
    pub(crate) async fn updatable(key: String) -> Self {
        Self::updatable_in(Arc::new(TempDir::new().unwrap()), key).await
    }

    /// The same agent after a restart.
    pub(crate) async fn restarted(self) -> Self {
        let Self { agent, state, machine, .. } = self;
        assert!(agent.stop().await);
        Self::on_machine(state, machine).await
    }

    /// An agent on the simulated blade, configured a little differently.
    pub(crate) async fn simulated_with(
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::with_config(Arc::new(TempDir::new().unwrap()), |config| {
            config.board = Some(board());
            change(config);
        })
        .await
    }

    /// The next agent after this one died with these files as they are now.
    pub(crate) async fn died(self, files: &[&str]) -> Self {
        let Self { agent, state, machine, .. } = self;
        let at = |name: &&str| state.path().join(name);
        let kept: Vec<_> =
            files.iter().map(|it| std::fs::read(at(it)).unwrap()).collect();
        assert!(agent.stop().await);
        for (name, content) in files.iter().zip(kept) {
            std::fs::write(at(name), content).unwrap();
        }
        Self::on_machine(state, machine).await
    }

    /// The same agent after its machine was without power.
    pub(crate) async fn repowered(self) -> Self {
        let Self { agent, state, .. } = self;
        assert!(agent.stop().await);
        let machine = TempDir::new().unwrap();
        let random = machine.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&random).unwrap();
        let boot = uuid::Uuid::new_v4().to_string();
        std::fs::write(random.join("boot_id"), boot).unwrap();
        Self::on_machine(state, Some(machine)).await
    }

    /// The same agent on the same board after a restart, on a machine that was
    /// without power where `lost`; `meanwhile` happens before it is back.
    pub(crate) async fn again(
        self,
        lost: bool,
        meanwhile: impl FnOnce(),
    ) -> Self {
        let Self { agent, state, .. } = self;
        assert!(agent.stop().await);
        meanwhile();
        let board = Some(state.path().join("board.toml"));
        if !lost {
            return Self::with_state(state, board).await;
        }
        let machine = TempDir::new().unwrap();
        let random = machine.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&random).unwrap();
        let boot = uuid::Uuid::new_v4().to_string();
        std::fs::write(random.join("boot_id"), boot).unwrap();
        let devices = machine.path().join("dev");
        std::os::unix::fs::symlink("/dev", devices).unwrap();
        let root = machine.path().to_owned();
        let blade = Self::with_config(state, |config| {
            config.board = board;
            config.root = root;
        });
        Self { machine: Some(machine), ..blade.await }
    }

    async fn on_machine(state: Arc<TempDir>, machine: Option<TempDir>) -> Self {
        let root = machine.as_ref().map(|it| it.path().to_owned());
        let blade = Self::with_config(state, |config| {
            config.board = Some(board());
            config.root = root.unwrap_or_else(|| config.root.clone());
        });
        Self { machine, ..blade.await }
    }

    async fn with_state(state: Arc<TempDir>, board: Option<PathBuf>) -> Self {
        Self::with_config(state, |config| config.board = board).await
    }

    /// An agent on a machine whose files lie below `root`.
    pub(crate) async fn machine(root: &Path) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let root = root.to_owned();
        Self::with_config(state, |config| config.root = root).await
    }

    /// An agent on the simulated blade that sets `clock`.
    pub(crate) async fn with_clock(clock: Clock) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let change = |config: &mut Config| config.board = Some(board());
        Self::start(state, change, clock, None).await
    }

    /// The same on the board `text`.
    pub(crate) async fn with_clock_and_board(clock: Clock, text: &str) -> Self {
        let state = Arc::new(TempDir::new().unwrap());
        let file = state.path().join("board.toml");
        std::fs::write(&file, text).unwrap();
        let change = |config: &mut Config| config.board = Some(file);
        Self::start(state, change, clock, None).await
    }

    /// An agent on the simulated blade with its state in `state`, which takes
    /// images signed by `key`.
    pub(crate) async fn updatable_in(state: Arc<TempDir>, key: String) -> Self {
        Self::with_config(state, |config| {
            config.board = Some(board());
            config.update.trusted_keys = vec![key];
        })
        .await
    }

    pub(crate) async fn with_config(
        state: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::start(state, change, Clock::of_machine(false), None).await
    }

    /// An agent on the machine in `root` that feeds the watchdog in `kennel`,
    /// which waits for two seconds.
    pub(crate) async fn watched(
        state: Arc<TempDir>,
        root: &Path,
        kennel: SimulatedWatchdog,
    ) -> Self {
        let root = root.to_owned();
        let change = |config: &mut Config| {
            config.root = root;
            config.watchdog.device = Some("/dev/watchdog0".into());
            config.watchdog.timeout_seconds = 2;
        };
        let clock = Clock::of_machine(false);
        Self::start(state, change, clock, Some(Arc::new(kennel))).await
    }

    async fn start(
        state: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
        clock: Clock,
        kennel: Option<Arc<dyn Kennel>>,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            state_dir: state.path().to_owned(),
            listen: any,
            metrics_listen: any,
            ..Config::default()
        };
        change(&mut config);
        let still = config.root != Config::default().root;
        let agent = Agent::start_with(config, clock, kennel).await.unwrap();
        let mut changes = agent.model().changes();
        let read = async {
            while !is_read(&agent.model().snapshot()) {
                let _ = changes.recv().await;
            }
        };
        if still {
            // What is a difference in time is not to be had of still files.
            let _ = timeout(SETTLED, read).await;
        } else {
            read.await;
        }
        let noted = state.path().join("initial-password");
        let password = std::fs::read_to_string(noted).unwrap();
        let password = password.trim().to_owned();
        Self { agent, state, password, machine: None }
    }

    /// A client with no credentials.
    pub(crate) fn stranger(&self) -> Client {
        Client::stranger(self.agent.redfish_address().port(), self.state.path())
    }

    /// A client with name and password.
    pub(crate) fn user(&self, name: &str, password: &str) -> Client {
        self.stranger().basic(name, password)
    }

    /// The first account.
    pub(crate) fn admin(&self) -> Client {
        self.user("admin", &self.password)
    }

    /// A new account, and a client for it.
    pub(crate) async fn account(&self, name: &str, role: &str) -> Client {
        let body =
            json!({"UserName": name, "Password": PASSWORD, "RoleId": role});
        let made = self.admin().post(ACCOUNTS, &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        self.user(name, PASSWORD)
    }
}

/// Has each sensor been read, or failed to be?
fn is_read(snapshot: &Snapshot) -> bool {
    let chassis = snapshot.inventory.chassis.iter();
    let mut sensors = chassis.flat_map(|chassis| &chassis.sensors);
    sensors.all(|sensor| snapshot.reading(&sensor.id).is_some())
}

/// The password of the accounts that tests make.
pub(crate) const PASSWORD: &str = "correct horse 7";

fn board() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("boards/sim-blade.toml")
}

/// A client of one agent; a connection a request.
#[derive(Clone)]
pub(crate) struct Client {
    port: u16,
    /// The address it comes from.
    from: Ipv4Addr,
    tls: Arc<ClientConfig>,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The short ids of the messages, in their order.
    pub(crate) fn messages(&self) -> Vec<String> {
        let of_error = &self.body["error"]["@Message.ExtendedInfo"];
        let info = of_error.as_array();
        let info = info.or(self.body["@Message.ExtendedInfo"].as_array());
        let short = |message: &Value| {
            let id = message["MessageId"].as_str().unwrap();
            id.rsplit('.').next().unwrap().to_owned()
        };
        info.map_or(Vec::new(), |info| info.iter().map(short).collect())
    }
}

impl Client {
    /// A client with no credentials, of the agent on `port` that keeps its
    /// certificate in `state`.
    pub(crate) fn stranger(port: u16, state: &Path) -> Self {
        let pem = std::fs::read(state.join("tls/cert.pem"));
        let certificate = CertificateDer::from_pem_slice(&pem.unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.unwrap()).unwrap();
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let headers = HeaderMap::new();
        let from = Ipv4Addr::LOCALHOST;
        Self { port, from, tls: Arc::new(tls), headers }
    }

    /// The same client with name and password.
    pub(crate) fn basic(self, name: &str, password: &str) -> Self {
        let credential = BASE64_STANDARD.encode(format!("{name}:{password}"));
        let value = format!("Basic {credential}");
        self.with(header::AUTHORIZATION.as_str(), &value)
    }

    /// The same client with one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let name: http::HeaderName = name.parse().unwrap();
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// The same client, trusting the certificates in `pem` and no others.
    pub(crate) fn trusting(self, pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(der.unwrap()).unwrap();
        }
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: Arc::new(tls), ..self }
    }

    /// The same client, showing the certificate in `pem`.
    pub(crate) fn showing(self, pem: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let shows = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, key)
            .unwrap();
        let mut tls = ClientConfig::clone(&self.tls);
        tls.client_auth_cert_resolver = shows.client_auth_cert_resolver;
        // Another's session is not taken up.
        tls.resumption = Resumption::disabled();
        Self { tls: Arc::new(tls), ..self }
    }

    /// The TLS configuration.
    pub(crate) fn tls(&self) -> &ClientConfig {
        &self.tls
    }

    /// The port of the agent.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The same client at another loopback address, 127.0.0.`last`.
    pub(crate) fn at(self, last: u8) -> Self {
        Self { from: Ipv4Addr::new(127, 0, 0, last), ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, &body.to_string()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, "").await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Reply {
        let body = body.as_bytes().to_vec();
        self.send_bytes(method, path, body).await
    }

    /// Sends bytes of any kind; JSON where no header says otherwise.
    pub(crate) async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Reply {
        self.connection().await.send(method, path, body).await
    }

    /// The answer as it begins.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Response<Incoming> {
        self.connection().await.open(method, path, body).await
    }

    /// A connection for more than one request.
    pub(crate) async fn connection(&self) -> Connection {
        let stream = self.secure(&[b"http/1.1"]).await;
        let connection = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = connection.unwrap();
        // It ends with the sender.
        TaskTracker::new().spawn(connection);
        Connection { client: self.clone(), sender }
    }

    /// A WebSocket at `path`, or the status of the answer.
    pub(crate) async fn websocket(
        &self,
        path: &str,
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, u16> {
        let mut stream = self.secure(&[b"http/1.1"]).await;
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\
             Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.port
        );
        for (name, value) in &self.headers {
            for word in [name.as_str(), ": ", value.to_str().unwrap(), "\r\n"] {
                head.push_str(word);
            }
        }
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 101 {
            return Err(status);
        }
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    /// A TLS connection that offers these protocols.
    pub(crate) async fn secure(
        &self,
        protocols: &[&[u8]],
    ) -> TlsStream<TcpStream> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.from, 0).into()).unwrap();
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let tcp = socket.connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(tls));
        connector.connect(name, tcp).await.unwrap()
    }
}

/// A connection of a client.
pub(crate) struct Connection {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// The same connection, with one more header from now on.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let Self { client, sender } = self;
        Self { client: client.with(name, value), sender }
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let (parts, body) = self.open(method, path, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            Value::String(String::from_utf8(bytes.to_vec()).unwrap())
        });
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn open(
        &mut self,
        method: Method,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Response<Incoming> {
        let body = body.as_ref();
        let host = format!("localhost:{}", self.client.port);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &self.client.headers {
            if let Some(headers) = request.headers_mut() {
                headers.insert(name, value.clone());
            }
        }
        let body = Full::from(Bytes::copy_from_slice(body));
        let request = request.body(body).unwrap();
        self.sender.send_request(request).await.unwrap()
    }
}
