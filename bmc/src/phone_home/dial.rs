//! Calls the fleet's device listener: one TLS connection a call.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, UPGRADE, USER_AGENT,
    },
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use onprem_link::{
    enrol::{EnrolResponse, Fingerprint, Refusal, RefusalBody},
    executor::Tracked,
    grant::VerifyingKey,
    tunnel::{self, GRANT_KEY_HEADER, MAX_MESSAGE, TIME_HEADER},
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Serialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    enrolment::{DeviceKey, Enrolment},
    verifier::pinned,
};

const AGENT: &str = concat!("onprem-bmc/", env!("CARGO_PKG_VERSION"));

/// Why a call did not get what it wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The configured address is none.
    #[error("`{0}` is no address of a fleet: https://host:port expected")]
    Address(String),
    /// No connection.
    #[error("cannot connect to the fleet at {to}")]
    Connect {
        /// Where.
        to: String,
        /// What the network or TLS said.
        source: std::io::Error,
    },
    /// Who answers there is not the fleet, or not its door for devices.
    #[error(
        "what answers at {to} is not where this fleet takes its devices: \
         `fleet_url` is the fleet's `devices_listen` (port 8444 unless \
         changed), and not the address of its API"
    )]
    Elsewhere {
        /// Where.
        to: String,
        /// What TLS said, or what came.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The fleet took too long.
    #[error("the fleet did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The fleet's HTTP is broken, or the connection was.
    #[error("the conversation with the fleet broke off")]
    Http(#[from] hyper::Error),
    /// TLS cannot be set up.
    #[error("cannot use the device's certificate")]
    Tls(#[from] rustls::Error),
    /// What the fleet answered makes no sense.
    #[error("cannot understand the fleet's answer")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// The fleet says no.
    #[error("the fleet refuses: {}", .body.message)]
    Refused {
        /// Why.
        body: RefusalBody,
        /// When to come back.
        retry_after: Option<Duration>,
    },
}

/// What the fleet answered to enrolment or renewal.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: EnrolResponse,
    pub(super) retry_after: Option<Duration>,
}

/// A tunnel that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) io: Upgraded,
    /// The fleet's end of it.
    pub(super) peer: SocketAddr,
    /// The fleet's time in milliseconds since 1970.
    pub(super) now_ms: u64,
    pub(super) grant_key: VerifyingKey,
}

/// Where the fleet is, and how to call it.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    host: String,
    port: u16,
    patience: Duration,
    tracked: Tracked,
}

impl Dialer {
    pub(super) fn new(
        fleet_url: &str,
        patience: Duration,
        tracked: Tracked,
    ) -> Result<Self, CallError> {
        let wrong = || CallError::Address(fleet_url.to_owned());
        let uri: Uri = fleet_url.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(8444);
        Ok(Self { host, port, patience, tracked })
    }

    /// Sends `message` to `path`; `member` is shown where there is one, and
    /// the fleet is recognised by `ca`.
    pub(super) async fn tell(
        &self,
        path: &str,
        message: &(impl Serialize + Sync),
        ca: Fingerprint,
        member: Option<(&Enrolment, &DeviceKey)>,
    ) -> Result<Answered, CallError> {
        let body = serde_json::to_vec(message).unwrap_or_default();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(path);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let (answer, _) = self.call(request, ca, member).await?;
        let retry_after = retry_after(answer.headers());
        let response = read(answer, self.patience).await?;
        Ok(Answered { response, retry_after })
    }

    /// Opens the tunnel.
    pub(super) async fn open(
        &self,
        enrolment: &Enrolment,
        key: &DeviceKey,
    ) -> Result<Opened, CallError> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri(tunnel::TUNNEL_PATH);
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(tunnel::UPGRADE));
        let member = Some((enrolment, key));
        let (answer, peer) = self.call(request, enrolment.ca, member).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(CallError::Answer(
                format!("{} instead of a tunnel", answer.status()).into(),
            ));
        }
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok())
        };
        let now_ms = header(TIME_HEADER).and_then(|text| text.parse().ok());
        let grant_key =
            header(GRANT_KEY_HEADER).and_then(|text| text.parse().ok());
        let (Some(now_ms), Some(grant_key)) = (now_ms, grant_key) else {
            return Err(CallError::Answer(
                "the tunnel came without time or grant key".into(),
            ));
        };
        let io = hyper::upgrade::on(answer).await?;
        Ok(Opened { io, peer, now_ms, grant_key })
    }

    /// The answer, and who gave it.
    async fn call(
        &self,
        mut request: Request<Full<Bytes>>,
        ca: Fingerprint,
        member: Option<(&Enrolment, &DeviceKey)>,
    ) -> Result<(Response<Incoming>, SocketAddr), CallError> {
        let config = tls(ca, member)?;
        let slow = |_| CallError::Slow(self.patience);
        let to = || {
            if self.host.contains(':') {
                format!("[{}]:{}", self.host, self.port)
            } else {
                format!("{}:{}", self.host, self.port)
            }
        };
        let connect = |source: std::io::Error| {
            let inner = source.get_ref().and_then(|it| it.downcast_ref());
            // No TLS, or the certificate of somebody else.
            let strange = matches!(
                inner,
                Some(
                    rustls::Error::InvalidMessage(_)
                        | rustls::Error::InvalidCertificate(_)
                        | rustls::Error::PeerIncompatible(_)
                )
            );
            if strange {
                CallError::Elsewhere { to: to(), source: source.into() }
            } else {
                CallError::Connect { to: to(), source }
            }
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| CallError::Address(to()))?;
        let stream = async {
            let address = (self.host.as_str(), self.port);
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let peer = stream.peer_addr()?;
            let tls = TlsConnector::from(Arc::new(config));
            Ok((tls.connect(name, stream).await?, peer))
        };
        let (stream, peer) = timeout(self.patience, stream)
            .await
            .map_err(slow)?
            .map_err(connect)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = HeaderValue::try_from(to())
            .map_err(|_| CallError::Address(to()))?;
        headers.insert(HOST, host);
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(64)
            .handshake(TokioIo::new(stream))
            .await?;
        // Hands the connection over when the fleet switches protocols.
        hyper::rt::Executor::execute(&self.tracked, async move {
            connection.with_upgrades().await.is_ok()
        });
        let answer = timeout(self.patience, sender.send_request(request))
            .await
            .map_err(slow)??;
        if answer.status().is_client_error()
            || answer.status().is_server_error()
        {
            let retry_after = retry_after(answer.headers());
            let status = answer.status();
            let body = match read(answer, self.patience).await {
                // What stands before a fleet that starts says this, too.
                Err(CallError::Answer(_)) if status.is_client_error() => {
                    let source = format!("it said {status}").into();
                    return Err(CallError::Elsewhere { to: to(), source });
                }
                body => body?,
            };
            return Err(CallError::Refused { body, retry_after });
        }
        Ok((answer, peer))
    }
}

impl CallError {
    /// The refusal, if it is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { body, .. } => Some(body.code),
            _ => None,
        }
    }
}

fn tls(
    ca: Fingerprint,
    member: Option<(&Enrolment, &DeviceKey)>,
) -> Result<ClientConfig, CallError> {
    let config =
        ClientConfig::builder_with_provider(crate::verifier::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned(ca));
    let mut config = match member {
        Some((enrolment, key)) => config.with_client_auth_cert(
            vec![enrolment.certificate.clone()],
            key.private(),
        )?,
        None => config.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

async fn read<T: serde::de::DeserializeOwned>(
    answer: Response<Incoming>,
    patience: Duration,
) -> Result<T, CallError> {
    let body = Limited::new(answer.into_body(), MAX_MESSAGE).collect();
    let body = timeout(patience, body)
        .await
        .map_err(|_| CallError::Slow(patience))?
        .map_err(CallError::Answer)?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| CallError::Answer(error.into()))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn uri(path: &str) -> Uri {
    path.parse().unwrap_or_default()
}
