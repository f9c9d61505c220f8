//! The doors of the agent: one TLS port for Redfish, one for metrics.

mod alarm;
mod csr;
mod room;
mod tls;
mod trust;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, LOCATION},
};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use onprem_link::{log::Chain, task::Tasks as _};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::crypto::CryptoProvider;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    alarm::Alarm,
    room::{Place, Room},
};
pub(crate) use self::{
    csr::{Algorithm, Part, Unfit, Wanted},
    tls::Identity,
    trust::{ClientTrust, Mapping, Rules, TrustError},
};
pub use self::{tls::TlsError, trust::Presented};
use crate::{
    collectors::{CONTENT_TYPE as METRICS, Exporter},
    redfish::{Body, Door, Origin, Service},
    tasks::pulse::{BEAT, Pulse, Pulses},
};

/// A connection whose other end takes nothing for so long ends, in
/// milliseconds.
const STALLED: u32 = 60_000;
/// How long a client may take for the first byte, and for TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The same where others wait for a place.
const HURRY: Duration = Duration::from_secs(1);
/// How long it may take for the head of a request, on a connection that may
/// have been idle before.
const HEADER: Duration = Duration::from_mins(1);
/// The largest head of a request, and what is read ahead of its body.
const HEAD: usize = 64 << 10;
/// What it may take to keep an answer under way, in bytes: each request moves
/// it about.
const ANSWER: usize = 4 << 10;
/// Streams on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// How long to wait after the operating system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What the server has to know.
#[derive(Debug)]
pub struct ServerConfig {
    /// Where Redfish is.
    pub listen: SocketAddr,
    /// Where `/metrics` is; nowhere if not set.
    pub metrics_listen: Option<SocketAddr>,
    /// The folder of certificate and key.
    pub tls_dir: PathBuf,
    /// The names of the host, for the certificate.
    pub names: Vec<String>,
    /// Its addresses, for the certificate.
    pub addresses: Vec<IpAddr>,
}

/// Serves a connection until it ends by itself, or `stop` asks it to end
/// after the request under way.
macro_rules! drain {
    ($connection:expr, $stop:expr) => {{
        let mut connection = std::pin::pin!($connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = $stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(io::Error::other)
    }};
}

/// The service, as a connection asks it.
macro_rules! answers {
    ($service:expr, $origin:expr) => {
        service_fn(|request: Request<Incoming>| {
            let (service, origin) = (Arc::clone(&$service), $origin.clone());
            let answer = async move {
                let response = service.handle(request, origin).await;
                Ok::<Response<Body>, Infallible>(response)
            };
            let size = size_of_val(&answer);
            debug_assert!(size <= ANSWER, "an answer takes {size} bytes");
            answer
        })
    };
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no certificate.
    #[error(
        "cannot serve TLS; where cert.pem and key.pem are moved away, new \
         ones are made"
    )]
    Tls(#[from] TlsError),
}

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Redfish.
    pub address: SocketAddr,
    /// Metrics.
    pub metrics: Option<SocketAddr>,
}

/// Opens the ports, and serves on `tasks` until `stop`.
///
/// # Errors
/// See [`ServerError`].
pub async fn start(
    config: ServerConfig,
    service: Arc<Service>,
    tasks: &TaskTracker,
    pulses: &Pulses,
    stop: &CancellationToken,
) -> Result<Bound, ServerError> {
    let ServerConfig { tls_dir, names, addresses, .. } = &config;
    let identity = Arc::new(Identity::load(tls_dir, names, addresses)?);
    let acceptor =
        TlsAcceptor::from(Arc::new(identity.server(service.trust())?));
    let (listener, address) = listen(config.listen).await?;
    let port = Some(address.port());
    service.show(Door { port, identity: Some(identity) });
    let exporter = service.exporter().clone();
    let redfish = Arc::new(Redfish { service, acceptor });
    tasks.start(accept(
        listener,
        tasks.clone(),
        Some(pulses.of("door")),
        stop.clone(),
        move |stream, peer, place, stop| {
            let redfish = Arc::clone(&redfish);
            async move { redfish.connection(stream, peer, place, stop).await }
        },
    ));
    let mut metrics = None;
    if let Some(address) = config.metrics_listen {
        let (listener, address) = listen(address).await?;
        metrics = Some(address);
        tasks.start(accept(
            listener,
            tasks.clone(),
            None,
            stop.clone(),
            move |stream, _, place, stop| {
                scrape(stream, exporter.clone(), place, stop)
            },
        ));
    }
    Ok(Bound { address, metrics })
}

async fn listen(
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let listener = TcpListener::bind(address).await;
    let bound = listener.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| ServerError::Listen { address, source })
}

/// Takes connections as long as there is room for them.
async fn accept<F>(
    listener: TcpListener,
    tasks: TaskTracker,
    pulse: Option<Pulse>,
    stop: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr, Place, CancellationToken) -> F + Send,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let room = Room::default();
    let mut beats = interval(BEAT);
    loop {
        // What does not fit waits in the backlog of the listener.
        let accepted = async {
            let place = room.place().await;
            (place, listener.accept().await)
        };
        let mut accepted = std::pin::pin!(accepted);
        let (place, accepted) = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beats.tick(), if pulse.is_some() => {
                    pulse.iter().for_each(Pulse::beat);
                }
                accepted = &mut accepted => break accepted,
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = place.and_then(|place| place.take(peer.ip())) else {
            tracing::debug!(%peer, "too many connections of this peer");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        // Whoever does not take what it is sent, as a reader of events that
        // stopped reading, is cut off.
        if let Err(error) = set_tcp_user_timeout(&stream, STALLED) {
            tracing::debug!(%error, "no TCP_USER_TIMEOUT");
        }
        let served = serve(stream, peer, place, stop.child_token());
        tasks.start(async move {
            if let Err(error) = served.await {
                tracing::debug!(error = %Chain(&error), %peer, "connection");
            }
        });
    }
}

struct Redfish {
    service: Arc<Service>,
    acceptor: TlsAcceptor,
}

impl Redfish {
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let patience = if place.scarce() { HURRY } else { HANDSHAKE };
        let mut first = [0];
        match timeout(patience, stream.peek(&mut first)).await? {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) if first == [TLS_HANDSHAKE] => {}
            Ok(_) => return redirect(stream, stop).await,
        }
        let accepting = self.acceptor.accept(stream);
        let stream = timeout(patience, accepting).await??;
        let tls = stream.get_ref().1;
        let http2 = tls.alpn_protocol() == Some(b"h2");
        let shown = tls.peer_certificates();
        let demanded = self.service.trust().rules().demand();
        if demanded && shown.is_none_or(<[_]>::is_empty) {
            // The session is older than the demand.
            return Ok(());
        }
        let certificates = shown.filter(|chain| !chain.is_empty());
        let certificates = certificates.map(|chain| {
            let chain = chain.iter().map(|it| it.clone().into_owned());
            Arc::new(Presented::new(chain.collect()))
        });
        let origin = Origin::Tls { peer, certificates };
        let service = Arc::clone(&self.service);
        if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .keep_alive_interval(HEADER)
                .enable_connect_protocol()
                .serve_connection(
                    TokioIo::new(stream),
                    answers!(service, origin),
                );
            drain!(connection, stop)
        } else {
            converse(stream, service, origin, stop).await
        }
    }
}

/// Serves HTTP/1.1 on what lies below TLS.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Arc<Service>,
    origin: Origin,
    stop: CancellationToken,
) -> io::Result<()> {
    let connection = http1::Builder::new()
        .timer(Alarm::default())
        .header_read_timeout(HEADER)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), answers!(service, origin))
        .with_upgrades();
    drain!(connection, stop)
}

/// Plain HTTP is told where TLS is: on the same port.
async fn redirect(
    stream: TcpStream,
    stop: CancellationToken,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let service = service_fn(move |request: Request<Incoming>| {
        let location = secure(&request, local);
        async move {
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = match location {
                Some(location) => {
                    response.headers_mut().insert(LOCATION, location);
                    StatusCode::PERMANENT_REDIRECT
                }
                None => StatusCode::BAD_REQUEST,
            };
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    drain!(connection, stop)
}

/// The same URI under `https`.
fn secure<B>(request: &Request<B>, local: SocketAddr) -> Option<HeaderValue> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = match host {
        Some(host) => host.to_owned(),
        None => local.to_string(),
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(path)
        .build();
    HeaderValue::from_str(&uri.ok()?.to_string()).ok()
}

/// Serves `/metrics`.
async fn scrape(
    stream: TcpStream,
    exporter: Exporter,
    _place: Place,
    stop: CancellationToken,
) -> io::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut response = Response::new(Full::<Bytes>::default());
        if request.uri().path() == "/metrics" {
            *response.body_mut() = Full::from(exporter.render());
            let kind = HeaderValue::from_static(METRICS);
            response.headers_mut().insert(CONTENT_TYPE, kind);
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), service);
    drain!(connection, stop)
}
