//! `Tunnels`: the devices that are connected, and how to ask them.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use http::{
    HeaderName, HeaderValue, Request, Response, Uri, Version, header,
    request::Parts,
};
use http_body::Body as _;
use hyper::{client::conn::http2, upgrade::Upgraded};
use hyper_util::rt::TokioTimer;
use onprem_link::{
    clock::FleetClock,
    executor::Tracked,
    file,
    grant::{Grant, GrantSigner, KeyError, MethodClass, Role, VerifyingKey},
    id::Xid,
    tunnel::{
        CONNECTION_WINDOW, GRANT_HEADER, KeepAlive, MAX_HEADERS, MAX_STREAMS,
        SEND_BUFFER, STREAM_WINDOW,
    },
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use tokio::{
    sync::{Semaphore, broadcast},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;
use uuid::Uuid;

use super::{Body, Incoming, body};

/// How long a grant is valid; one for reading is used again while at least
/// half of it is left.
const GRANT_LIFE_S: u64 = 60;

/// Changes that a listener may be behind: all devices come back at once after
/// the fleet was restarted.
const MAX_CHANGES: usize = 16_384;

/// Grants for reading that are kept per tunnel.
const MAX_KEPT_GRANTS: usize = 256;

/// Headers that are about one connection, or that are not the device's
/// business.
const NOT_PASSED_ON: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::COOKIE,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Who asks a device, and with which role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantFor {
    /// The account.
    pub subject: String,
    /// Its role.
    pub role: Role,
}

/// A device came, or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub device: Xid,
    /// Whether it is there now.
    pub online: bool,
    /// Where it called from.
    pub peer: SocketAddr,
    /// When it came or went.
    pub at: DateTime<Utc>,
}

/// Why a device did not answer.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// It is not connected.
    #[error("the device is offline")]
    Offline,
    /// It did not answer in time.
    #[error("the device did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection ended before the answer came.
    #[error("the connection to the device was lost")]
    Lost(#[source] hyper::Error),
    /// As many requests as it takes are on their way already.
    #[error("too many requests to the device are on their way")]
    TooMany,
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent to a device")]
    Request(#[from] http::Error),
    /// The grant cannot be signed.
    #[error("the grant cannot be signed")]
    Grant(#[from] KeyError),
}

/// How tunnels behave.
#[derive(Clone, Copy, Debug)]
pub struct TunnelOptions {
    /// How dead paths are noticed.
    pub keep_alive: KeepAlive,
    /// How long an answer's head may take.
    pub deadline: Duration,
    /// Requests on their way to one device at the same time.
    pub requests: u32,
    /// Devices that may be connected.
    pub devices: usize,
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self {
            keep_alive: KeepAlive::default(),
            deadline: Duration::from_secs(10),
            requests: MAX_STREAMS - 16,
            devices: 20_000,
        }
    }
}

/// The devices that are connected. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tunnels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: TunnelOptions,
    signer: GrantSigner,
    clock: FleetClock,
    open: RwLock<HashMap<Xid, Arc<Tunnel>>>,
    changes: broadcast::Sender<Change>,
    connections: AtomicU64,
}

type Open<'a> = RwLockWriteGuard<'a, HashMap<Xid, Arc<Tunnel>>>;

/// One device's connection.
#[derive(Debug)]
struct Tunnel {
    connection: u64,
    uuid: Uuid,
    peer: SocketAddr,
    sender: http2::SendRequest<Body>,
    places: Arc<Semaphore>,
    grants: Mutex<HashMap<GrantFor, (u64, HeaderValue)>>,
    stop: CancellationToken,
}

/// A connection that a device upgraded to a tunnel.
pub(super) struct Opened {
    pub(super) device: Xid,
    pub(super) uuid: Uuid,
    pub(super) peer: SocketAddr,
    pub(super) io: Upgraded,
    /// Owns what the connection spawns.
    pub(super) tasks: TaskTracker,
    /// Ends the connection.
    pub(super) stop: CancellationToken,
}

/// Why there is no grant key.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read or written.
    #[error("cannot open the grant key")]
    File(#[from] io::Error),
    /// What is in the file is no key.
    #[error("the file of the grant key holds none")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A new key cannot be made.
    #[error("cannot make a grant key")]
    Make(#[from] rcgen::Error),
    /// The key cannot be used.
    #[error("cannot use the grant key")]
    Key(#[from] KeyError),
}

impl Tunnels {
    /// No device is connected yet. The key that signs grants is in
    /// `state_dir`, and made there at the first start.
    ///
    /// # Errors
    /// The key cannot be read, made or used.
    pub fn open(
        state_dir: &Path,
        options: TunnelOptions,
        clock: FleetClock,
    ) -> Result<Self, OpenError> {
        let path = state_dir.join("grant-key.pem");
        let pem = if let Some(pem) = file::read_if_present(&path)? {
            pem
        } else {
            let pem = rcgen::KeyPair::generate()?.serialize_pem().into_bytes();
            file::replace(&path, &pem)?;
            pem
        };
        let key = PrivateKeyDer::from_pem_slice(&pem)?;
        let provider = super::provider();
        Ok(Self(Arc::new(Inner {
            options,
            signer: GrantSigner::new(key, &provider)?,
            clock,
            open: RwLock::default(),
            changes: broadcast::channel(MAX_CHANGES).0,
            connections: AtomicU64::new(1),
        })))
    }

    /// Whether the device is connected.
    #[must_use]
    pub fn is_online(&self, device: Xid) -> bool {
        self.tunnel(device).is_some()
    }

    /// Where the device called from, if it is connected.
    #[must_use]
    pub fn peer(&self, device: Xid) -> Option<SocketAddr> {
        self.tunnel(device).map(|tunnel| tunnel.peer)
    }

    /// The devices that are connected.
    #[must_use]
    pub fn online(&self) -> Vec<Xid> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        open.keys().copied().collect()
    }

    /// Devices as they come and go from now on. A device that connects anew
    /// before its old connection was found dead comes without having gone.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Ends the device's connection now; requests on their way fail.
    pub fn cut(&self, device: Xid) {
        let mut open = self.by_device();
        if let Some(tunnel) = open.remove(&device) {
            tunnel.stop.cancel();
            self.announce(&open, device, tunnel.peer, false);
        }
    }

    /// Sends `request` (its path and query count, not its host) to the device
    /// with a grant for `grant`, and returns the answer as soon as its head is
    /// there. A request without a body that only reads is sent once more when
    /// the connection vanished and the device is already back.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub async fn send(
        &self,
        device: Xid,
        request: Request<Body>,
        grant: &GrantFor,
    ) -> Result<Response<Incoming>, TunnelError> {
        let tunnel = self.tunnel(device).ok_or(TunnelError::Offline)?;
        let deadline = self.0.options.deadline;
        let (parts, body) = request.into_parts();
        let again = (MethodClass::of(parts.method.as_str())
            == MethodClass::Read
            && body.is_end_stream())
        .then(|| parts.clone());
        let answer = async {
            let lost = match self.ask(&tunnel, parts, body, grant).await {
                Err(TunnelError::Lost(error)) => error,
                answer => return answer,
            };
            let newer = self
                .tunnel(device)
                .filter(|newer| newer.connection != tunnel.connection);
            match (again, newer) {
                (Some(parts), Some(newer)) => {
                    self.ask(&newer, parts, body::empty(), grant).await
                }
                _ => Err(TunnelError::Lost(lost)),
            }
        };
        timeout(deadline, answer)
            .await
            .unwrap_or(Err(TunnelError::Timeout(deadline)))
    }

    async fn ask(
        &self,
        tunnel: &Tunnel,
        mut parts: Parts,
        body: Body,
        grant: &GrantFor,
    ) -> Result<Response<Incoming>, TunnelError> {
        let place = Arc::clone(&tunnel.places)
            .try_acquire_owned()
            .map_err(|_| TunnelError::TooMany)?;
        let text = self.grant(tunnel, &parts, grant)?;
        for name in &NOT_PASSED_ON {
            parts.headers.remove(name);
        }
        parts.headers.insert(GRANT_HEADER, text);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::builder()
            .scheme("https")
            .authority(tunnel.uuid.to_string())
            .path_and_query(path)
            .build()?;
        parts.version = Version::HTTP_2;
        let answer = tunnel
            .sender
            .clone()
            .send_request(Request::from_parts(parts, body))
            .await
            .map_err(TunnelError::Lost)?;
        Ok(answer.map(|body| Incoming::new(body, place)))
    }

    /// A grant for the request. Those for reading are signed once and used
    /// again while they last.
    fn grant(
        &self,
        tunnel: &Tunnel,
        parts: &Parts,
        to: &GrantFor,
    ) -> Result<HeaderValue, TunnelError> {
        let class = MethodClass::of(parts.method.as_str());
        let now = self.0.clock.now_s();
        let kept =
            || tunnel.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if class == MethodClass::Read
            && let Some((expires, text)) = kept().get(to)
            && *expires >= now + GRANT_LIFE_S / 2
        {
            return Ok(text.clone());
        }
        let id = Xid::new();
        let request = parts
            .headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .map_or_else(|| id.to_string(), ToOwned::to_owned);
        let grant = Grant {
            subject: to.subject.clone(),
            role: to.role,
            class,
            device: tunnel.uuid,
            issued: now,
            expires: now + GRANT_LIFE_S,
            request,
            id,
        };
        let text = self.0.signer.sign(&grant)?;
        let text = HeaderValue::try_from(text).map_err(http::Error::from)?;
        if class == MethodClass::Read {
            let mut kept = kept();
            if kept.len() >= MAX_KEPT_GRANTS {
                kept.clear();
            }
            kept.insert(to.clone(), (grant.expires, text.clone()));
        }
        Ok(text)
    }

    /// The key that agents check the grants with.
    pub(super) fn grant_key(&self) -> &VerifyingKey {
        self.0.signer.public()
    }

    /// The time that tunnels go by.
    pub(super) fn clock(&self) -> &FleetClock {
        &self.0.clock
    }

    /// Whether one more device may connect, or this one again.
    pub(super) fn has_room_for(&self, device: Xid) -> bool {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        open.len() < self.0.options.devices || open.contains_key(&device)
    }

    /// Keeps the tunnel of `device` on `io` until it ends or is cut.
    ///
    /// `belongs` is asked once the device can be found here: one that was
    /// deleted while it connected could not be cut before.
    pub(super) async fn keep(
        &self,
        opened: Opened,
        belongs: impl Future<Output = bool>,
    ) -> Result<(), hyper::Error> {
        let Opened { device, uuid, peer, io, tasks, stop } = opened;
        let keep_alive = self.0.options.keep_alive;
        let tracked = Tracked { tasks, stop: stop.clone() };
        let (sender, connection) = http2::Builder::new(tracked)
            .timer(TokioTimer::new())
            .keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADERS)
            .max_concurrent_reset_streams(64)
            .handshake(io)
            .await?;
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let requests = usize::try_from(self.0.options.requests).unwrap_or(1);
        let tunnel = Arc::new(Tunnel {
            connection: number,
            uuid,
            peer,
            sender,
            places: Arc::new(Semaphore::new(requests)),
            grants: Mutex::default(),
            stop: stop.clone(),
        });
        {
            let mut open = self.by_device();
            if let Some(older) = open.insert(device, tunnel) {
                debug!(%device, %peer, older = %older.peer, "replaced");
                older.stop.cancel();
            }
            self.announce(&open, device, peer, true);
        }
        let check = async {
            if !belongs.await {
                stop.cancel();
            }
        };
        let connected = stop.run_until_cancelled(connection);
        let (ended, ()) = tokio::join!(connected, check);
        stop.cancel();
        let mut open = self.by_device();
        if open.get(&device).is_some_and(|it| it.connection == number) {
            open.remove(&device);
            self.announce(&open, device, peer, false);
        }
        drop(open);
        ended.unwrap_or(Ok(()))
    }

    fn tunnel(&self, device: Xid) -> Option<Arc<Tunnel>> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&device).cloned()
    }

    fn by_device(&self) -> Open<'_> {
        self.0.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a change while what is open is locked, so that listeners
    /// hear of changes in the order in which they happened.
    fn announce(
        &self,
        _open: &Open<'_>,
        device: Xid,
        peer: SocketAddr,
        online: bool,
    ) {
        debug!(%device, %peer, online, "device");
        let change = Change { device, online, peer, at: Utc::now() };
        // Nobody may be listening.
        let _ = self.0.changes.send(change);
    }
}
