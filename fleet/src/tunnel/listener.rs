//! `DeviceListener`: where devices call.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use onprem_link::log::Chain;

use super::{
    Authority, AuthorityError, Directory, Tunnels,
    authority::SERVER_LIFE_S,
    endpoints::{Caller, Endpoints},
    verifier::{Shown, Verifier},
};

/// Where and how the listener listens.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// DNS names and IP addresses by which devices call the fleet.
    pub names: Vec<String>,
    /// How long the TLS handshake may take, and the head and the body of a
    /// request.
    pub patience: Duration,
    /// Connections at the same time, tunnels included.
    pub connections: usize,
    /// When a device that cannot be served now shall ask again.
    pub retry_after: Duration,
    /// When a device that waits for approval shall ask again: whoever approves
    /// it wants to see it come.
    pub approval_wait: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8444)),
            names: ["localhost", "127.0.0.1", "::1"]
                .map(ToOwned::to_owned)
                .to_vec(),
            patience: Duration::from_secs(10),
            connections: 24_000,
            retry_after: Duration::from_secs(15),
            approval_wait: Duration::from_secs(5),
        }
    }
}

/// Why the listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("cannot make the certificate of the device listener")]
    Certificate(#[from] AuthorityError),
    /// The certificate cannot be used.
    #[error("cannot use the certificate of the device listener")]
    Tls(#[from] rustls::Error),
    /// The CA cannot check certificates of devices.
    #[error("cannot check certificates of devices")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Takes the connections of devices until it is stopped.
#[derive(Debug)]
pub struct DeviceListener {
    address: SocketAddr,
    tasks: TaskTracker,
}

impl DeviceListener {
    /// Listens, until `stop`.
    ///
    /// # Errors
    /// The address or the certificate cannot be used.
    pub async fn start<D: Directory>(
        options: ListenOptions,
        authority: Arc<Authority>,
        directory: Arc<D>,
        tunnels: Tunnels,
        stop: CancellationToken,
    ) -> Result<Self, ListenError> {
        let bind =
            |source| ListenError::Bind { address: options.address, source };
        let listener =
            TcpListener::bind(options.address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let tls = acceptor(&options, &authority, &tunnels)?;
        let tasks = TaskTracker::new();
        let endpoints = Endpoints::new(
            Arc::clone(&authority),
            directory,
            tunnels.clone(),
            tasks.clone(),
            stop.clone(),
            &options,
        );
        info!(%address, "listening for devices");
        let server = Server {
            options,
            authority,
            tunnels,
            endpoints: Arc::new(endpoints),
            tasks: tasks.clone(),
            stop,
        };
        tasks.spawn(server.run(listener, tls));
        tasks.close();
        Ok(Self { address, tasks })
    }

    /// The address in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the listener and all tunnels have ended.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

struct Server<D> {
    options: ListenOptions,
    authority: Arc<Authority>,
    tunnels: Tunnels,
    endpoints: Arc<Endpoints<D>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<D: Directory> Server<D> {
    async fn run(self, listener: TcpListener, mut tls: TlsAcceptor) {
        let places = Arc::new(Semaphore::new(self.options.connections));
        let half_life = Duration::from_secs(SERVER_LIFE_S / 2);
        let mut renewal = Instant::now() + half_life;
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep_until(renewal) => {
                    renewal = Instant::now() + half_life;
                    let made = acceptor(
                        &self.options, &self.authority, &self.tunnels,
                    );
                    match made {
                        Ok(made) => tls = made,
                        Err(error) => warn!(
                            error = %Chain(&error),
                            "certificate of the device listener not renewed"
                        ),
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: some have to
                    // close before the next accept can succeed.
                    warn!(error = %Chain(&error), "connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                debug!(%peer, "too many connections of devices");
                continue;
            };
            let serve = serve(
                tls.clone(),
                stream,
                peer,
                place,
                Arc::clone(&self.endpoints),
                self.options.patience,
            );
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                stop.run_until_cancelled(serve).await;
            });
        }
    }
}

async fn serve<D: Directory>(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    endpoints: Arc<Endpoints<D>>,
    patience: Duration,
) {
    // Without it small answers wait for the peer's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "connection gone");
        return;
    }
    let stream = match timeout(patience, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%peer, %error, "no TLS connection with the device");
            return;
        }
        Err(_) => {
            debug!(%peer, "the device did not finish the TLS handshake");
            return;
        }
    };
    let shown = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(Shown::read);
    let caller = Caller { peer, shown, place: Arc::new(place) };
    let service = service_fn(move |request| {
        let (endpoints, caller) = (Arc::clone(&endpoints), caller.clone());
        async move { Ok::<_, hyper::Error>(endpoints.answer(request, caller).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(64)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%peer, error = %Chain(&error), "connection of a device ended");
    }
}

fn acceptor(
    options: &ListenOptions,
    authority: &Authority,
    tunnels: &Tunnels,
) -> Result<TlsAcceptor, ListenError> {
    let now_s = tunnels.clock().now_s();
    let (chain, key) = authority.sign_server(&options.names, now_s)?;
    let verifier = Verifier::new(authority.certificate().clone())?;
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)?;
    // A resumed session would not show its certificate again, and tickets for
    // thousands of idle connections are memory.
    config.send_tls13_tickets = 0;
    config.session_storage =
        Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}
