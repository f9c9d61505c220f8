//! The fleet server: its store, its listeners, and the work that never ends.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::Utc;
use dropshot::{
    ApiDescriptionRegisterError, BuildError, ConfigDropshot, ConfigTls,
    HttpServer, ServerBuilder,
};
use onprem_link::{clock::FleetClock, file};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Fleet,
    api::{self, AccountCreate},
    auth::{Password, Role, generate},
    config::Config,
    console,
    error::Error,
    events, log,
    name::Name,
    store::{Embedded, Store, StoreError},
    tasks::{Unfollowed, inventory, presence, tidy},
    tunnel::{
        Authority, AuthorityError, DeviceListener, ListenError, ListenOptions,
        OpenError, TunnelOptions, Tunnels,
    },
};

/// The largest body of an operation.
const MAX_BODY: usize = 1 << 20;

/// The name of the account that is made at the first start.
const FIRST_ACCOUNT: &str = "admin";

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("cannot open the store in {path}")]
    Store {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// What the store holds cannot be used.
    #[error("cannot use what the store holds")]
    Content(#[source] StoreError),
    /// The first account cannot be made.
    #[error("cannot make the first account")]
    FirstAccount(#[source] Error),
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The fleet's authority cannot be used.
    #[error("cannot use the fleet's certificate authority")]
    Authority(#[from] AuthorityError),
    /// The key that signs grants cannot be used.
    #[error("cannot use the key that signs grants")]
    GrantKey(#[from] OpenError),
    /// The certificate of the API cannot be used.
    #[error("cannot use the certificate of the API")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two operations contradict each other.
    #[error("cannot put the operations together")]
    Operations(#[from] ApiDescriptionRegisterError),
    /// The API cannot be served.
    #[error("cannot serve the API")]
    Api(#[from] BuildError),
    /// Devices cannot be told to connect to it.
    #[error(
        "`public_devices_url = \"{0}\"` is no address that devices can \
         connect to: https://host:port expected"
    )]
    DevicesUrl(String),
    /// Devices cannot be served.
    #[error("cannot serve devices")]
    Devices(#[from] ListenError),
}

/// A fleet server that runs.
#[derive(Debug)]
pub struct Server {
    fleet: Fleet,
    apis: Vec<Api>,
    api_url: String,
    devices: DeviceListener,
    stop: CancellationToken,
    drain: Duration,
}

struct Api(HttpServer<Fleet>);

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Api({})", self.0.local_addr())
    }
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if let Some(url) = &config.public_devices_url
            && !is_devices_url(url)
        {
            return Err(StartError::DevicesUrl(url.clone()));
        }
        let stop = CancellationToken::new();
        let now_ms = u64::try_from(Utc::now().timestamp_millis());
        let clock = FleetClock::new(now_ms.unwrap_or_default());
        let state_dir = &config.state_dir;
        let path = state_dir.join("fleet.redb");
        let store = Embedded::open(&path)
            .map_err(|source| StartError::Store { path, source })?;
        let store: Arc<dyn Store> = Arc::new(store);
        let authority = Arc::new(Authority::open(state_dir, clock.now_s())?);
        let tunnels =
            Tunnels::open(state_dir, TunnelOptions::default(), clock.clone())?;
        let fleet = Fleet::open(
            store,
            tunnels.clone(),
            Arc::clone(&authority),
            stop.clone(),
        )
        .await
        .map_err(StartError::Content)?;
        first_account(&fleet, state_dir).await?;
        presence::recover(&fleet).await.map_err(StartError::Content)?;
        // Before the doors open: what is begun from then on has its follower.
        let unfollowed = Unfollowed::of(&fleet);

        let changes = tunnels.changes();
        let options = ListenOptions {
            address: config.devices_listen,
            names: config.device_names.clone(),
            ..ListenOptions::default()
        };
        let devices = DeviceListener::start(
            options,
            Arc::clone(&authority),
            Arc::clone(fleet.join_tokens()),
            tunnels,
            stop.child_token(),
        )
        .await?;
        let mut apis = Vec::new();
        let (scheme, tls) = tls(&config, &authority, clock.now_s())?;
        apis.push(serve(&fleet, config.listen, tls)?);
        let address = first(&apis).unwrap_or(config.listen);
        if scheme == "https" {
            // The console asks the API by this one.
            let loopback = (Ipv4Addr::LOCALHOST, 0).into();
            apis.push(serve(&fleet, loopback, None)?);
        }
        let plain = apis.last().map(|api| api.0.local_addr());
        let api_url = format!("{scheme}://{address}");
        let devices_url = format!("https://{}", devices.address());
        info!(address = %address, tls = scheme == "https", "API listening");
        let told = config.public_devices_url.clone();
        fleet.bound(
            plain.unwrap_or(address),
            told.unwrap_or_else(|| devices_url.clone()),
        );
        let addresses = json!({ "api": api_url, "devices": devices_url });
        let path = state_dir.join("addresses.json");
        write(&path, format!("{addresses}\n").as_bytes())?;

        let work = fleet.work();
        let token = || stop.child_token();
        work.spawn(presence::run(fleet.clone(), changes, token()));
        work.spawn(inventory::run(fleet.clone(), token()));
        work.spawn(tidy::run(fleet.clone(), token()));
        unfollowed.resume(&fleet).await;
        fleet.events().tell(events::started()).await;
        let drain = Duration::from_secs(u64::from(config.drain_seconds));
        Ok(Self { fleet, apis, api_url, devices, stop, drain })
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Where the API is, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Where devices connect.
    #[must_use]
    pub fn devices_address(&self) -> SocketAddr {
        self.devices.address()
    }

    /// Takes no new requests, lets those that are under way end, but not for
    /// longer than was configured.
    pub async fn stop(self) {
        let Self { fleet, apis, devices, stop, drain, .. } = self;
        stop.cancel();
        let ended = timeout(drain, async {
            fleet.stopped().await;
            for Api(api) in apis {
                if let Err(error) = api.close().await {
                    warn!(error, "API did not end well");
                }
            }
            devices.stopped().await;
            fleet.close().await;
        });
        if ended.await.is_err() {
            warn!(seconds = drain.as_secs(), "requests were broken off");
        }
    }
}

fn first(apis: &[Api]) -> Option<SocketAddr> {
    apis.first().map(|api| api.0.local_addr())
}

fn serve(
    fleet: &Fleet,
    address: SocketAddr,
    tls: Option<ConfigTls>,
) -> Result<Api, StartError> {
    let mut description = api::served()?;
    console::register(&mut description)?;
    let server = ServerBuilder::new(description, fleet.clone(), log::slog())
        .config(ConfigDropshot {
            bind_address: address,
            default_request_body_max_bytes: MAX_BODY,
            ..ConfigDropshot::default()
        })
        .tls(tls)
        .start()?;
    Ok(Api(server))
}

/// Whether a device can connect to this address: `https`, a host, perhaps a
/// port, and nothing else.
fn is_devices_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    uri.scheme_str() == Some("https")
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.path_and_query().is_none_or(|path| path == "/")
}

/// The certificate of the API, where it needs one, and the scheme.
fn tls(
    config: &Config,
    authority: &Authority,
    now_s: u64,
) -> Result<(&'static str, Option<ConfigTls>), StartError> {
    let certificate = |error: Box<dyn std::error::Error + Send + Sync>| {
        StartError::Certificate(error)
    };
    let (chain, key) = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(&read(cert)?)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| certificate(error.into()))?;
            let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| certificate(error.into()))?;
            (chain, key)
        }
        (None, None) if config.listen.ip().is_loopback() => {
            return Ok(("http", None));
        }
        (None, None) => authority.sign_server(&config.device_names, now_s)?,
        _ => {
            let both = "`tls_cert` and `tls_key` belong together";
            return Err(certificate(both.into()));
        }
    };
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| certificate(error.into()))?;
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    Ok(("https", Some(ConfigTls::Dynamic(config))))
}

/// Makes the account that lets the first person in, and a token for programs.
async fn first_account(
    fleet: &Fleet,
    state_dir: &Path,
) -> Result<(), StartError> {
    if !fleet.auth().is_new() {
        return Ok(());
    }
    let password = generate();
    // The files come first: an account without them could not be used.
    let path = state_dir.join("initial-password");
    write(&path, format!("{password}\n").as_bytes())?;
    let name: Name = FIRST_ACCOUNT.parse().map_err(|error| {
        StartError::FirstAccount(Error::Internal(anyhow::Error::new(error)))
    })?;
    let password = Password::new(password);
    let request = AccountCreate { name, password, role: Role::Admin };
    let auth = fleet.auth();
    auth.account_create(request).await.map_err(StartError::FirstAccount)?;
    let token = auth
        .first_token(FIRST_ACCOUNT)
        .await
        .map_err(StartError::FirstAccount)?;
    let token_path = state_dir.join("initial-token");
    write(&token_path, format!("{token}\n").as_bytes())?;
    info!(
        account = FIRST_ACCOUNT,
        password_file = %path.display(),
        "first account made"
    );
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    fs::read(path)
        .map_err(|source| StartError::File { path: path.to_owned(), source })
}

fn write(path: &Path, content: &[u8]) -> Result<(), StartError> {
    file::replace(path, content)
        .map_err(|source| StartError::File { path: path.to_owned(), source })
}
