//! The doors of the agent: one TLS port for Redfish, one for metrics.

mod csr;
mod room;
mod tls;
mod trust;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, LOCATION},
};
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use onprem_http::{Body, Handler, Manner, Stream};
use onprem_link::{executor::Tracked, log::Chain, task::Tasks as _};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::crypto::CryptoProvider;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::room::{Place, Room};
pub(crate) use self::{
    csr::{Algorithm, Part, Unfit, Wanted},
    tls::Identity,
    trust::{ClientTrust, Mapping, Rules, TrustError},
};
pub use self::{tls::TlsError, trust::Presented};
use crate::{
    collectors::{CONTENT_TYPE as METRICS, Exporter},
    redfish::{Door, Origin, Service},
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

/// The Redfish service, as the connection of `origin` asks it.
fn answers(service: Arc<Service>, origin: Origin) -> Handler {
    Arc::new(move |request| service.handle(request, origin.clone()))
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
    let redfish = Arc::new(Redfish { service, acceptor, tasks: tasks.clone() });
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
    tasks: TaskTracker,
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
        let shaking = onprem_http::shake_hands(&self.acceptor, stream);
        let stream = timeout(patience, shaking).await??;
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
        if !http2 {
            return converse(Box::new(stream), service, origin, stop).await;
        }
        let end = CancellationToken::new();
        let _ended = end.clone().drop_guard();
        let tracked = Tracked { tasks: self.tasks.clone(), stop: end };
        let mut manner = http2::Builder::new(tracked);
        manner
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(HEADER)
            .enable_connect_protocol();
        let handler = answers(service, origin);
        onprem_http::http2(Box::new(stream), handler, manner, stop).await
    }
}

/// Serves HTTP/1.1 on what lies below TLS.
pub(crate) async fn converse(
    stream: Box<dyn Stream>,
    service: Arc<Service>,
    origin: Origin,
    stop: CancellationToken,
) -> io::Result<()> {
    let manner = Manner { header: HEADER, keep_alive: true };
    let handler = answers(service, origin);
    onprem_http::http1(stream, handler, manner, stop).await
}

/// Plain HTTP is told where TLS is: on the same port.
async fn redirect(
    stream: TcpStream,
    stop: CancellationToken,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let handler: Handler = Arc::new(move |request| {
        let mut response = Response::new(Body::default());
        *response.status_mut() = match secure(&request, local) {
            Some(location) => {
                response.headers_mut().insert(LOCATION, location);
                StatusCode::PERMANENT_REDIRECT
            }
            None => StatusCode::BAD_REQUEST,
        };
        response.into()
    });
    let manner = Manner { header: HANDSHAKE, keep_alive: false };
    onprem_http::http1(Box::new(stream), handler, manner, stop).await
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
    let handler: Handler = Arc::new(move |request| {
        let mut response = Response::new(Body::default());
        if request.uri().path() == "/metrics" {
            *response.body_mut() = exporter.render().into();
            let kind = HeaderValue::from_static(METRICS);
            response.headers_mut().insert(CONTENT_TYPE, kind);
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response.into()
    });
    let manner = Manner { header: HEADER, keep_alive: true };
    onprem_http::http1(Box::new(stream), handler, manner, stop).await
}
