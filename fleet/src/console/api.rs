//! The fleet's own API, as a page asks it: over loopback, with the credential
//! of whoever looks at the page.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::Refusal;

/// How long a page waits for one operation.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer that a page is made from.
const LARGEST: usize = 32 * 1024 * 1024;

/// What an operation answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON; null where there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Asks operations on behalf of one person.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    session: Option<String>,
    source: Option<IpAddr>,
}

/// The API could not be asked at all.
#[derive(Debug, Error)]
pub(crate) enum Unreachable {
    #[error("cannot connect to the API")]
    Connect(#[source] std::io::Error),
    #[error("the API did not answer in time")]
    Late,
    #[error("the exchange with the API broke off")]
    Broken(#[source] hyper::Error),
    #[error("the API's answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot make the request")]
    Request(#[source] http::Error),
}

impl Api {
    pub(crate) fn new(
        mut address: SocketAddr,
        session: Option<String>,
    ) -> Self {
        // A server that listens everywhere also listens on loopback.
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self { address, session, source: None }
    }

    /// The same, with where the person is.
    pub(crate) fn on_behalf_of(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of the session's cookie.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The answer of a reading operation, which must be a success.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Refusal> {
        let reply = self.call(&Method::GET, path, None).await?;
        if reply.status.is_success() {
            Ok(reply.json())
        } else {
            Err(Refusal::from(&reply))
        }
    }

    /// The answer of any operation, whatever its status.
    pub(crate) async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Unreachable> {
        match timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(reply) => reply,
            Err(_) => Err(Unreachable::Late),
        }
    }

    /// One connection a request: on loopback it costs less than the trouble
    /// of keeping some, and a fresh one never waits for a delayed ACK.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Unreachable> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(Unreachable::Connect)?;
        stream.set_nodelay(true).map_err(Unreachable::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Unreachable::Broken)?;
        let request = self.request(method, path, body)?;
        let answer = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(Unreachable::Broken)?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST)
                .collect()
                .await
                .map_err(Unreachable::Body)?
                .to_bytes();
            Ok(Reply { status: parts.status, body })
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may end just before its answer is taken.
            ended = connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(Unreachable::Broken(error)),
            },
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Unreachable> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::ACCEPT, "application/json")
            // The console has checked where the browser's request came from.
            .header("sec-fetch-site", "same-origin");
        if let Some(session) = &self.session {
            let cookie = format!("{}={session}", super::page::SESSION);
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(source) = self.source {
            request = request.header("x-forwarded-for", source.to_string());
        }
        let bytes = match body {
            Some(body) => {
                request =
                    request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(bytes)).map_err(Unreachable::Request)
    }
}
