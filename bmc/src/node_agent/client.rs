//! What is said to a node's own agent: Redfish, over TLS to who shows the
//! certificate that the board file names.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use onprem_link::{log::Chain, task::Tasks as _};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use super::target::{Pin, Target};
use crate::{
    commands::ResetType,
    verifier::{Shown, Verifier, provider},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The same to a reset: a host waits for its `shutdown` that long.
const RESET: Duration = Duration::from_secs(15);
/// The same to a question whether it is there.
const KNOCK: Duration = Duration::from_secs(2);
/// How much of an answer is read, in bytes.
const BODY: usize = 256 << 10;

/// Why a node's own agent is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be reached, or is somebody else.
    #[error("{what}: {reason}")]
    Away {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
    /// Nobody listens there: its machine is up, and the agent is not.
    #[error("connection: {0}")]
    Refused(io::Error),
    /// It does not take the password.
    #[error("it refuses the password of `{user}`")]
    Password {
        /// The account.
        user: String,
    },
    /// It answers something else than it should.
    #[error("it answers {status} to {method} {path}{said}")]
    Status {
        /// What it answers.
        status: StatusCode,
        /// What it was asked.
        method: Method,
        /// Where.
        path: String,
        /// Its own words, if it has some.
        said: String,
    },
    /// What it says makes no sense.
    #[error("{0}")]
    Odd(String),
}

/// What the node's own agent offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Where a reset is asked for.
    target: String,
    /// The graceful ways.
    pub(super) kinds: Vec<ResetType>,
}

/// Whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It answers.
    There,
    /// It has ended: it closed a connection, or its machine says that nobody
    /// listens.
    Ended,
    /// Nothing is heard from there, as where it has no power or the network is
    /// lost.
    Silent,
}

/// Who talks to one. It keeps a session there, and a connection.
#[derive(Debug)]
pub(super) struct Client {
    target: Arc<Target>,
    tasks: TaskTracker,
    open: Option<SendRequest<Full<Bytes>>>,
    /// The token of the session, and where it is ended.
    session: Option<(HeaderValue, String)>,
}

impl Client {
    pub(super) fn new(target: Arc<Target>, tasks: TaskTracker) -> Self {
        Self { target, tasks, open: None, session: None }
    }

    /// What it offers now.
    pub(super) async fn look(&mut self) -> Result<Offer, Error> {
        let path = match &self.target.system {
            Some(id) => format!("/redfish/v1/Systems/{id}"),
            None => self.only().await?,
        };
        let system = self.ask(Method::GET, &path, None, ANSWER).await?;
        let action = system.pointer("/Actions/#ComputerSystem.Reset");
        let of = |name: &str| action.and_then(|action| action.get(name));
        let target = of("target").and_then(Value::as_str).unwrap_or_default();
        if !target.starts_with("/redfish/v1/") {
            let why = format!("{path} has no action `ComputerSystem.Reset`");
            return Err(Error::Odd(why));
        }
        let said = of("ResetType@Redfish.AllowableValues");
        let said = said.and_then(Value::as_array);
        let said = said.map_or(&[][..], Vec::as_slice);
        let ways = [ResetType::GracefulShutdown, ResetType::GracefulRestart];
        let has = |way: &ResetType| said.iter().any(|it| *it == way.as_str());
        let kinds: Vec<_> = ways.into_iter().filter(has).collect();
        if kinds.is_empty() {
            let why = format!("{path} offers no graceful reset");
            return Err(Error::Odd(why));
        }
        Ok(Offer { target: target.to_owned(), kinds })
    }

    /// Where its only system is.
    async fn only(&mut self) -> Result<String, Error> {
        let all = "/redfish/v1/Systems";
        let all = self.ask(Method::GET, all, None, ANSWER).await?;
        let members = all.get("Members").and_then(Value::as_array);
        let members = members.map_or(&[][..], Vec::as_slice);
        let [member] = members else {
            let why = format!(
                "it has {} systems: say in `system` which one the node is",
                members.len()
            );
            return Err(Error::Odd(why));
        };
        let at = member.get("@odata.id").and_then(Value::as_str);
        let at = at.unwrap_or_default();
        if !at.starts_with("/redfish/v1/") {
            return Err(Error::Odd("its system has no URI".to_owned()));
        }
        Ok(at.to_owned())
    }

    /// Asks for a reset. Only where this is no error it is known to be heard.
    pub(super) async fn reset(
        &mut self,
        offer: &Offer,
        kind: ResetType,
    ) -> Result<(), Error> {
        let body = json!({ "ResetType": kind.as_str() });
        let path = &offer.target;
        self.ask(Method::POST, path, Some(body), RESET).await.map(drop)
    }

    /// Whether it is there. It keeps a connection open, at whose end is seen
    /// that the agent ended.
    pub(super) async fn presence(&mut self) -> Presence {
        let mut ended = false;
        if let Some(open) = self.open.take() {
            match timeout(KNOCK, self.knock(open)).await {
                Ok(Ok(())) => return Presence::There,
                Ok(Err(_)) => ended = true,
                Err(_) => return Presence::Silent,
            }
        }
        let anew = async {
            let open = self.connect().await?;
            self.knock(open).await
        };
        match timeout(KNOCK, anew).await {
            Ok(Ok(())) => Presence::There,
            Ok(Err(Error::Refused(_))) => Presence::Ended,
            _ if ended => Presence::Ended,
            _ => Presence::Silent,
        }
    }

    async fn knock(
        &mut self,
        mut open: SendRequest<Full<Bytes>>,
    ) -> Result<(), Error> {
        let request = request(&self.target, &Method::GET, "/redfish", None)
            .map_err(|error| away("request", &error))?;
        let answer = open.send_request(request).await;
        let answer = answer.map_err(|error| away("request", &error))?;
        let body = Limited::new(answer.into_body(), BODY).collect().await;
        if body.is_ok() {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Ends the session, if it is easily done.
    pub(super) async fn leave(&mut self) {
        let Some((_, at)) = self.session.clone() else { return };
        let _ = self.once(&Method::DELETE, &at, None, ANSWER / 5).await;
        self.session = None;
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        patience: Duration,
    ) -> Result<Value, Error> {
        let known = self.session.is_some();
        if !known {
            self.log_in().await?;
        }
        let (mut status, mut answer, _) =
            self.once(&method, path, body.as_ref(), patience).await?;
        if status == StatusCode::UNAUTHORIZED && known {
            // The session is over, as sessions are.
            self.log_in().await?;
            (status, answer, _) =
                self.once(&method, path, body.as_ref(), patience).await?;
        }
        if status == StatusCode::UNAUTHORIZED {
            self.session = None;
        }
        if status.is_success() {
            return Ok(answer);
        }
        let path = path.to_owned();
        Err(Error::Status { status, method, path, said: said(&answer) })
    }

    async fn log_in(&mut self) -> Result<(), Error> {
        self.session = None;
        let path = "/redfish/v1/SessionService/Sessions";
        let user = self.target.user.clone();
        let body =
            json!({ "UserName": user, "Password": self.target.password.0 });
        let method = Method::POST;
        let (status, answer, headers) =
            self.once(&method, path, Some(&body), ANSWER).await?;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Error::Password { user });
        }
        let token = headers.get("x-auth-token").cloned();
        let Some(mut token) = token.filter(|_| status.is_success()) else {
            let path = path.to_owned();
            let said = said(&answer);
            return Err(Error::Status { status, method, path, said });
        };
        token.set_sensitive(true);
        let at = headers.get(header::LOCATION);
        let at = at.and_then(|it| it.to_str().ok()).unwrap_or_default();
        // It may be a path, or have the host before it.
        let at = at.find("/redfish/").and_then(|from| at.get(from..));
        self.session = Some((token, at.unwrap_or_default().to_owned()));
        Ok(())
    }

    /// Asks once, on the connection that is open or on a new one.
    async fn once(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<(StatusCode, Value, http::HeaderMap), Error> {
        let asking = self.exchange(method, path, body);
        let done = timeout(patience, asking).await;
        done.unwrap_or_else(|_| {
            let reason = format!("no answer in {} s", patience.as_secs());
            Err(Error::Away { what: "request", reason })
        })
        .inspect_err(|_| self.open = None)
    }

    async fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value, http::HeaderMap), Error> {
        let mut open = self.open.take();
        if let Some(sender) = &mut open
            && sender.ready().await.is_err()
        {
            open = None;
        }
        let mut sender = match open {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = request(&self.target, method, path, body)
            .map_err(|error| away("request", &error))?;
        if let Some((token, _)) = &self.session {
            request.headers_mut().insert("x-auth-token", token.clone());
        }
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| away("request", &error))?;
        let (parts, body) = answer.into_parts();
        let bytes = Limited::new(body, BODY).collect().await;
        let bytes = bytes.map_err(|_| {
            Error::Odd(format!("{path} is no answer of 256 KiB or less"))
        })?;
        let value = serde_json::from_slice(&bytes.to_bytes());
        self.open = Some(sender);
        Ok((parts.status, value.unwrap_or_default(), parts.headers))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let Target { host, port, name, .. } = &*self.target;
        let connected = TcpStream::connect((host.as_str(), *port)).await;
        let tcp = connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Error::Refused(error),
            _ => away("connection", &error),
        })?;
        let tls = TlsConnector::from(Arc::clone(&self.target.tls));
        let tls = tls.connect(name.clone(), tcp).await.map_err(|error| {
            let of_certificate = error
                .get_ref()
                .and_then(|it| it.downcast_ref::<rustls::Error>())
                .is_some_and(|it| {
                    matches!(it, rustls::Error::InvalidCertificate(_))
                });
            let what = if of_certificate {
                "its certificate is not the one that the board file names"
            } else {
                "TLS"
            };
            away(what, &error)
        })?;
        let shaken = http1::handshake(TokioIo::new(tls)).await;
        let (sender, connection) =
            shaken.map_err(|error| away("connection", &error))?;
        // It ends when the sender is dropped.
        self.tasks.start(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a node's own agent");
            }
        });
        Ok(sender)
    }
}

fn away(
    what: &'static str,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    Error::Away { what, reason: Chain(error).to_string() }
}

/// The first message of an answer that says no.
fn said(answer: &Value) -> String {
    let text = |pointer| answer.pointer(pointer).and_then(Value::as_str);
    let first = text("/error/@Message.ExtendedInfo/0/Message");
    let first = first.or_else(|| text("/error/message"));
    let said = first.map(|it| it.chars().take(200).collect::<String>());
    said.map_or_else(String::new, |said| format!(": {said}"))
}

fn request(
    target: &Target,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let Target { host, port, .. } = target;
    let host = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header("odata-version", "4.0");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let bytes = body.map_or_else(Bytes::new, |it| it.to_string().into());
    request.body(Full::new(bytes))
}

/// TLS to who shows what is pinned.
pub(super) fn tls(pin: &Pin) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous();
    let unknown = || {
        Err(rustls::Error::from(
            CertificateError::ApplicationVerificationFailure,
        ))
    };
    let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> =
        match pin.clone() {
            Pin::Sha256(wanted) => {
                Verifier::new(provider, move |shown: Shown<'_>| {
                    let found = Sha256::digest(shown.certificate);
                    if found[..] == wanted { Ok(()) } else { unknown() }
                })
            }
            Pin::Certificates(pinned) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(pinned.iter().cloned());
                let authorities = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                )
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
                Verifier::new(provider, move |shown: Shown<'_>| {
                    if pinned.iter().any(|it| it == shown.certificate) {
                        return Ok(());
                    }
                    let Shown { certificate, others, name, now } = shown;
                    authorities
                        .verify_server_cert(certificate, others, name, &[], now)
                        .map(drop)
                })
            }
        };
    let config = builder.with_custom_certificate_verifier(verifier);
    Ok(Arc::new(config.with_no_client_auth()))
}
