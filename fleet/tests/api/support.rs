//! A server in a folder of its own, and a client.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use onprem_bmc::agent::Agent;
use onprem_fleet::{
    config::Config,
    server::Server,
    tunnel::{Admission, Directory as _, Enrolment},
};
use onprem_link::enrol::{Facts, Fingerprint, JoinToken};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

/// Longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Asks the server at `address`.
pub(crate) async fn ask(
    address: &str,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let text = || match String::from_utf8_lossy(&body) {
            text if text.is_empty() => Value::Null,
            text => text.into_owned().into(),
        };
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        let (status, headers) = (head.status, head.headers);
        Ok(Answer { status, headers, body })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "fleet");
    if let Some(token) = token {
        let value = format!("Bearer {token}");
        request = request.header(header::AUTHORIZATION, value);
    }
    let body = match body {
        None => Bytes::new(),
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Bytes::from(body.to_string())
        }
    };
    request.body(Full::new(body)).unwrap()
}

/// A way for devices to the server which stays where it is when the server
/// starts anew elsewhere.
pub(crate) struct Way {
    pub(crate) url: String,
    there: watch::Sender<SocketAddr>,
    _stop: DropGuard,
}

impl Way {
    pub(crate) async fn to(fleet: &Fleet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (there, at) = watch::channel(fleet.server.devices_address());
        let stop = CancellationToken::new();
        let (tasks, ended) = (TaskTracker::new(), stop.clone());
        let each = tasks.clone();
        let accepting = async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let there = *at.borrow();
                let joined = async move {
                    if let Ok(mut far) = TcpStream::connect(there).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                };
                each.spawn(ended.clone().run_until_cancelled_owned(joined));
            }
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self { url, there, _stop: stop.drop_guard() }
    }

    /// The server is here now.
    pub(crate) fn leads_to(&self, fleet: &Fleet) {
        self.there.send_replace(fleet.server.devices_address());
    }
}

/// A server with its first administrator.
pub(crate) struct Fleet {
    pub(crate) server: Server,
    pub(crate) token: String,
    folder: TempDir,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: TempDir) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            state_dir: folder.path().to_owned(),
            listen: any,
            devices_listen: any,
            ..Config::default()
        };
        let server = Server::start(config).await.unwrap();
        let token =
            std::fs::read_to_string(folder.path().join("initial-token"));
        let token = token.unwrap().trim().to_owned();
        Self { server, token, folder }
    }

    /// Stops the server and starts another one in the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { server, folder, .. } = self;
        server.stop().await;
        Self::start_in(folder).await
    }

    /// The same, with something done to the folder in between.
    pub(crate) async fn restart_after(
        self,
        change: impl AsyncFnOnce(PathBuf),
    ) -> Self {
        let Self { server, folder, .. } = self;
        server.stop().await;
        change(folder.path().to_owned()).await;
        Self::start_in(folder).await
    }

    /// The same, while `agent` is gone.
    pub(crate) async fn restart_without(self, agent: Agent) -> Self {
        let Self { server, folder, .. } = self;
        server.stop().await;
        agent.stop().await;
        Self::start_in(folder).await
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let url = self.server.api_url();
        ask(url.strip_prefix("http://").unwrap(), request).await.unwrap()
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let token = Some(self.token.as_str());
        self.send(request(method, path, token, body.as_ref())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// Posts and expects this.
    /// The console's page at an address, or what a form sent to it leads to.
    pub(crate) async fn page(
        &self,
        path: &str,
        form: Option<&str>,
    ) -> (StatusCode, String) {
        let method = form.map_or(Method::GET, |_| Method::POST);
        let mut request = request(method, path, None, None);
        let cookie = format!("onprem_session={}", self.token);
        let kind = "application/x-www-form-urlencoded";
        for (name, value) in [
            ("cookie", cookie.as_str()),
            ("accept", "text/html"),
            ("content-type", kind),
            ("sec-fetch-site", "same-origin"),
        ] {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        *request.body_mut() = Full::from(form.unwrap_or_default().to_owned());
        let answer = self.send(request).await;
        let text = answer.body.as_str().unwrap_or_default().to_owned();
        (answer.status, text)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        body: Value,
        expected: StatusCode,
    ) -> Value {
        let answer = self.call(Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.body);
        answer.body
    }

    /// A token of a new account with this role.
    pub(crate) async fn token_of(&self, name: &str, role: &str) -> String {
        let password = "a long enough password";
        let account = json!({"name": name, "password": password, "role": role});
        self.post("/v1/accounts", account, StatusCode::CREATED).await;
        let login = json!({"name": name, "password": password});
        let session = self.post("/v1/login", login, StatusCode::OK).await;
        session["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn join_token(&self, uses: u32) -> JoinToken {
        let request = json!({ "uses": uses });
        let made =
            self.post("/v1/join-tokens", request, StatusCode::CREATED).await;
        made["token"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until something happened.
    pub(crate) async fn until(&self, happened: impl Fn(&Self) -> bool) {
        let mut events = self.server.fleet().events().listen();
        let happened = async {
            while !happened(self) {
                events.recv().await.unwrap();
            }
        };
        timeout(LONG, happened).await.expect("it should have happened");
    }

    /// A device asks to join, as the device listener would say it.
    pub(crate) async fn enrol(
        &self,
        token: &JoinToken,
        name: &str,
        key: &str,
    ) -> Admission {
        let enrolment = Enrolment {
            token: token.hash(),
            uuid: Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()),
            key: Fingerprint::of(key.as_bytes()),
            facts: Facts {
                hostname: name.to_owned(),
                manufacturer: "Raspberry Pi".to_owned(),
                model: "4B Rev 1.4".to_owned(),
                serial_number: format!("serial-{name}"),
                agent_version: "0.1.0".to_owned(),
            },
            peer: ([192, 0, 2, 7], 4711).into(),
        };
        let join_tokens = self.server.fleet().join_tokens();
        join_tokens.enrol(enrolment).await.unwrap()
    }
}
