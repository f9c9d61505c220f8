//! Who is told of events: over HTTPS, and by syslog.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to happen.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// What was posted.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Posted {
    /// The records, or the report as the only one.
    pub(crate) fn records(&self) -> Vec<Value> {
        let records = self.body["Events"].as_array();
        records.cloned().unwrap_or_else(|| vec![self.body.clone()])
    }
}

/// Takes events over HTTPS.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// Its certificate.
    pub(crate) pem: String,
    status: Arc<AtomicU16>,
    /// Connections there were.
    pub(crate) connections: Arc<AtomicUsize>,
    posted: Mutex<mpsc::Receiver<Posted>>,
    _stop: DropGuard,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (sender, posted) = mpsc::channel(4096);
        let status = Arc::new(AtomicU16::new(204));
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let accept = {
            let (status, connections) =
                (Arc::clone(&status), Arc::clone(&connections));
            let (tasks, stop) = (tasks.clone(), stop.clone());
            async move {
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    let (status, sender) =
                        (Arc::clone(&status), sender.clone());
                    let connections = Arc::clone(&connections);
                    let acceptor = acceptor.clone();
                    let served = async move {
                        let Ok(tls) = acceptor.accept(tcp).await else {
                            return;
                        };
                        connections.fetch_add(1, Ordering::Relaxed);
                        let service = service_fn(|request| {
                            let status = status.load(Ordering::Relaxed);
                            answer(request, status, sender.clone())
                        });
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(tls), service)
                            .await;
                    };
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        stop.run_until_cancelled(served).await;
                    });
                }
            }
        };
        let until = stop.clone();
        tasks.spawn(async move {
            until.run_until_cancelled(accept).await;
        });
        Self {
            address,
            pem: made.cert.pem(),
            status,
            connections,
            posted: Mutex::new(posted),
            _stop: stop.drop_guard(),
        }
    }

    /// What it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// A destination at it.
    pub(crate) fn uri(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The next that is posted.
    pub(crate) async fn next(&self) -> Posted {
        let mut posted = self.posted.lock().await;
        timeout(PATIENCE, posted.recv()).await.expect("a post").unwrap()
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_quiet(&self) -> bool {
        let mut posted = self.posted.lock().await;
        timeout(QUIET, posted.recv()).await.is_err()
    }

    /// The next record that `fits`.
    pub(crate) async fn record(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let found = self.next().await.records();
            if let Some(found) = found.into_iter().find(&fits) {
                return found;
            }
        }
    }

    /// The next record of the test event `id`.
    pub(crate) async fn event(&self, id: &str) -> Value {
        self.record(|record| record["EventId"] == id).await
    }
}

async fn answer(
    request: Request<Incoming>,
    status: u16,
    sender: mpsc::Sender<Posted>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let posted = Posted {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap(),
    };
    let location = format!("{}/elsewhere", posted.path);
    sender.send(posted).await.unwrap();
    let response = Response::builder()
        .status(status)
        .header("location", location)
        .body(Full::default());
    Ok(response.unwrap())
}
