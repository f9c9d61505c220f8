//! The connection to a subscriber, kept open from one event to the next.

use std::{error::Error as StdError, net::Ipv6Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use onprem_link::task::Tasks as _;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use super::{
    subscription::{Protocol, Subscription, Trusted},
    tls,
};

/// Why a subscriber was not told.
pub(super) type Failure = Box<dyn StdError + Send + Sync>;

/// A connection that was not used for so long is not used again.
const IDLE: Duration = Duration::from_mins(1);
/// How much of an answer is read, in bytes; the connection of a subscriber
/// that says more is not used again.
const ANSWER: usize = 16 << 10;

/// The way to one subscriber.
#[derive(Debug)]
pub(super) struct Line {
    open: Option<Open>,
    /// TLS with what it was made for; it knows the sessions of before.
    tls: Option<(bool, Vec<Trusted>, Arc<ClientConfig>)>,
    /// Where connections are driven.
    tasks: TaskTracker,
}

/// An open connection.
#[derive(Debug)]
struct Open {
    to: String,
    used: Instant,
    wire: Wire,
}

enum Wire {
    Http(SendRequest<Full<Bytes>>),
    Datagrams(UdpSocket),
    Stream(Box<dyn Duplex>),
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A destination taken apart.
#[derive(Debug)]
struct Target {
    uri: Uri,
    host: String,
    port: u16,
}

impl Target {
    fn new(destination: &str, default: u16) -> Result<Self, Failure> {
        let uri: Uri = destination.parse()?;
        let host = uri.host().ok_or("no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.to_owned();
        let port = uri.port_u16().unwrap_or(default);
        Ok(Self { uri, host, port })
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }
}

impl Line {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { open: None, tls: None, tasks }
    }

    /// Ends the connection; sessions of TLS are still known.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Posts `payload` to `destination`; anything but a success is a failure,
    /// a redirection too.
    pub(super) async fn post(
        &mut self,
        subscription: &Subscription,
        destination: &str,
        payload: Bytes,
    ) -> Result<(), Failure> {
        let secure = destination.starts_with("https:");
        let target = Target::new(destination, if secure { 443 } else { 80 })?;
        if let Some(Wire::Http(mut sender)) =
            self.reuse(subscription, destination)
            && sender.ready().await.is_ok()
        {
            let request = request(subscription, &target.uri, &payload)?;
            // It may have been closed at this very moment.
            if let Ok(response) = sender.send_request(request).await {
                return self.answered(destination, sender, response).await;
            }
        }
        let tcp = target.connect().await?;
        let mut sender = if secure {
            let tls = self.secure(subscription, &target, tcp).await?;
            self.handshake(tls).await?
        } else {
            self.handshake(tcp).await?
        };
        let request = request(subscription, &target.uri, &payload)?;
        let response = sender.send_request(request).await?;
        self.answered(destination, sender, response).await
    }

    /// Sends the lines, each a syslog message, to `destination`.
    pub(super) async fn log(
        &mut self,
        subscription: &Subscription,
        destination: &str,
        lines: &[Vec<u8>],
    ) -> Result<(), Failure> {
        let secure = subscription.protocol == Protocol::SyslogTLS;
        let target = Target::new(destination, if secure { 6514 } else { 514 })?;
        let open = match self.reuse(subscription, destination) {
            Some(wire) => still_open(wire).await,
            None => None,
        };
        let mut wire = match open {
            Some(wire) => wire,
            None => match subscription.protocol {
                Protocol::SyslogUDP => {
                    Wire::Datagrams(datagrams(&target).await?)
                }
                Protocol::SyslogTLS => {
                    let tcp = target.connect().await?;
                    let tls = self.secure(subscription, &target, tcp).await?;
                    Wire::Stream(Box::new(tls))
                }
                _ => Wire::Stream(Box::new(target.connect().await?)),
            },
        };
        match &mut wire {
            Wire::Datagrams(socket) => {
                for line in lines {
                    socket.send(line).await?;
                }
            }
            Wire::Stream(stream) => {
                // RFC 6587 and RFC 5425: the length first.
                let mut bytes = Vec::new();
                for line in lines {
                    bytes.extend(format!("{} ", line.len()).into_bytes());
                    bytes.extend(line);
                }
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Wire::Http(_) => return Err("not a connection for syslog".into()),
        }
        self.keep(destination, wire);
        Ok(())
    }

    /// The open connection, if it leads to `destination`, is no old one, and
    /// whom it leads to was checked as it would be now.
    fn reuse(
        &mut self,
        subscription: &Subscription,
        destination: &str,
    ) -> Option<Wire> {
        let open = self.open.take()?;
        let Subscription { verify, trusted, .. } = subscription;
        let checked = self
            .tls
            .as_ref()
            .is_none_or(|it| it.0 == *verify && it.1 == *trusted);
        let fresh = open.to == destination && open.used.elapsed() < IDLE;
        (checked && fresh).then_some(open.wire)
    }

    fn keep(&mut self, destination: &str, wire: Wire) {
        let (to, used) = (destination.to_owned(), Instant::now());
        self.open = Some(Open { to, used, wire });
    }

    async fn answered(
        &mut self,
        destination: &str,
        sender: SendRequest<Full<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<(), Failure> {
        let status = response.status();
        let rest = Limited::new(response.into_body(), ANSWER).collect();
        if rest.await.is_ok() && !sender.is_closed() {
            self.keep(destination, Wire::Http(sender));
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("answered {status}").into())
        }
    }

    async fn handshake<S>(
        &self,
        stream: S,
    ) -> Result<SendRequest<Full<Bytes>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped.
        self.tasks.start(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a subscriber");
            }
        });
        Ok(sender)
    }

    async fn secure(
        &mut self,
        subscription: &Subscription,
        target: &Target,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(target.host.clone())?;
        let Subscription { verify, trusted, .. } = subscription;
        let known =
            self.tls.as_ref().filter(|it| it.0 == *verify && it.1 == *trusted);
        let config = match known {
            Some((_, _, config)) => Arc::clone(config),
            None => tls::client(*verify, trusted).await?,
        };
        let made = (*verify, trusted.clone(), Arc::clone(&config));
        self.tls = Some(made);
        Ok(TlsConnector::from(config).connect(name, tcp).await?)
    }
}

fn request(
    subscription: &Subscription,
    uri: &Uri,
    payload: &Bytes,
) -> Result<Request<Full<Bytes>>, Failure> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |it| it.as_str());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header("odata-version", "4.0")
        .body(Full::new(payload.clone()))?;
    for (name, value) in &subscription.headers {
        let mut value: HeaderValue = value.parse()?;
        value.set_sensitive(true);
        request.headers_mut().insert(name.parse::<HeaderName>()?, value);
    }
    Ok(request)
}

/// A syslog server says nothing; if there is something to read, it is the
/// end.
async fn still_open(mut wire: Wire) -> Option<Wire> {
    if let Wire::Stream(stream) = &mut wire {
        let mut byte = [0];
        let read = timeout(Duration::ZERO, stream.read(&mut byte)).await;
        return read.is_err().then_some(wire);
    }
    Some(wire)
}

async fn datagrams(target: &Target) -> Result<UdpSocket, Failure> {
    let host = (target.host.as_str(), target.port);
    let address = lookup_host(host).await?.next().ok_or("no address")?;
    let socket = if address.is_ipv6() {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?
    } else {
        UdpSocket::bind(("0.0.0.0", 0)).await?
    };
    socket.connect(address).await?;
    Ok(socket)
}
