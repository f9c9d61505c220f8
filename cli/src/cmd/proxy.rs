//! `proxy`: a local port through which unmodified Redfish tools reach a
//! device.
//!
//! The port answers plain HTTP and TLS alike; the first byte tells which. The
//! tools' own `Authorization` is replaced by ours, for it is the fleet that
//! says who may do what. All else passes unchanged in both directions.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, value_parser};
use futures_util::TryStreamExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header,
};
use http_body_util::{
    BodyExt as _, BodyStream, Full, StreamBody, combinators::BoxBody,
};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use onprem_description::PageModel;
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::curl::device_path;
use crate::{
    failure::Failure,
    fleet::Fleet,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "proxy",
    build,
    run: |run, matches| Box::pin(proxy(run, matches)),
};

/// How many connections are served at the same time.
const CONNECTIONS: usize = 256;

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is for one hop only.
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn build(_: &'static PageModel) -> Command {
    Command::new("proxy")
        .about("Open a local port that is a device's Redfish service")
        .long_about(
            "Open a local port that is a device's Redfish service\n\n\
             Prints its address, then serves until Ctrl-C. Any Redfish tool \
             works with it, over http and https. The fleet says who you are: \
             the user and password that a tool sends with each request \
             (Basic) are not looked at. A tool that opens a session is \
             checked by the device: it needs a user and a password of the \
             device. The certificate is made anew each \
             time, so tell the tool not to check it. Everybody on this \
             machine can use the port while it is open.",
        )
        .arg(
            Arg::new("device")
                .value_name("DEVICE")
                .required(true)
                .help("Its id or its name"),
        )
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("PORT")
                .default_value("0")
                .hide_default_value(true)
                .help("The local port; any free one unless said")
                .value_parser(value_parser!(u16)),
        )
}

async fn proxy(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let device = matches.get_one::<String>("device").map_or("", |d| d);
    let port = matches.get_one::<u16>("port").copied().unwrap_or(0);
    let proxy = Proxy::open(run, matches, device, port).await?;
    run.screen.print(&format!("https://{}", proxy.address))?;
    run.screen.flush()?;
    run.screen.note(&format!(
        "{device} answers there, over http as well; Ctrl-C ends it"
    ));
    proxy.warn(run);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = proxy.serve() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// A local port that is a device's Redfish service.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    door: Arc<Door>,
    state: Option<String>,
}

impl Proxy {
    /// Takes the port; 0 for any free one.
    pub(crate) async fn open(
        run: &Run<'_>,
        matches: &ArgMatches,
        device: &str,
        port: u16,
    ) -> Result<Self, Failure> {
        // A device that is not there is told now, not to each tool.
        let found = match run.model.operation("device_view") {
            Some(view) => {
                Fleet::of(matches)?.call(view, &[device], &[], None).await?
            }
            None => Value::Null,
        };
        let fleet = Fleet::patient(matches)?;
        let door = Arc::new(Door { fleet, device: device.to_owned() });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let what = format!("cannot listen on {address}");
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Failure::because(&what, &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::because(&what, &error))?;
        let acceptor = acceptor()?;
        let state = found.get("state").and_then(Value::as_str);
        let state = state.map(str::to_owned);
        Ok(Self { address, listener, acceptor, door, state })
    }

    /// Says so if the device cannot answer yet.
    pub(crate) fn warn(&self, run: &mut Run<'_>) {
        let device = &self.door.device;
        let state = self.state.as_deref();
        if let Some(state) = state.filter(|state| *state != "online") {
            run.screen.note(&format!(
                "warning: {device} is {state}; it answers once it is online"
            ));
        }
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(&self) {
        serve(&self.listener, &self.acceptor, &self.door).await;
    }
}

/// A certificate of our own, made for this run.
fn acceptor() -> Result<TlsAcceptor, Failure> {
    let told = |error: &(dyn std::error::Error + 'static)| {
        Failure::because("cannot make a certificate", error)
    };
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| told(&error))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::from(key),
        )
        .map_err(|error| told(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The way to one device.
#[derive(Debug)]
struct Door {
    fleet: Fleet,
    device: String,
}

async fn serve(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    door: &Arc<Door>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, door) = (acceptor.clone(), Arc::clone(door));
                connections.spawn(connection(stream, acceptor, door));
            }
            // Out of file descriptors, most likely; that passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, door: Arc<Door>) {
    // How a connection ends is the tool's business.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let Ok(Ok(1)) = timeout(PATIENCE, stream.peek(&mut first)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.pass(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    // The first byte of TLS is that of a handshake.
    if first == [0x16] {
        let handshake = timeout(PATIENCE, acceptor.accept(stream)).await;
        if let Ok(Ok(stream)) = handshake {
            let _ =
                server.serve_connection(TokioIo::new(stream), service).await;
        }
    } else {
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }
}

type Body = BoxBody<Bytes, reqwest::Error>;

impl Door {
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if !is_from_a_tool(&head.headers) {
            return own(StatusCode::FORBIDDEN, Bytes::new());
        }
        if head.uri.path().trim_end_matches('/') == "/redfish" {
            // The one resource above the version; it is always the same.
            let versions = br#"{"v1":"/redfish/v1/"}"#;
            return own(StatusCode::OK, Bytes::from_static(versions));
        }
        let Some(path) = self.path(&head.uri) else {
            return own(StatusCode::NOT_FOUND, Bytes::new());
        };
        let mut onward = self.fleet.request(head.method, &path);
        let mut headers = passed(&head.headers);
        // We say who we are; the fleet says to the device who may what.
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::HOST);
        // A browser sends here what it has for the console beside us.
        headers.remove(header::COOKIE);
        let has_body = headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        onward = onward.headers(headers);
        if has_body {
            let frames = BodyStream::new(body);
            let bytes = frames.try_filter_map(|frame| {
                let data = frame.into_data().ok();
                async move { Ok(data) }
            });
            onward = onward.body(reqwest::Body::wrap_stream(bytes));
        }
        match onward.send().await {
            Ok(answer) => back(answer),
            Err(error) => {
                let failure = self.fleet.unreached(&error);
                let status = if error.is_timeout() {
                    StatusCode::GATEWAY_TIMEOUT
                } else {
                    StatusCode::BAD_GATEWAY
                };
                let body = serde_json::json!({"error": {
                    "code": "Base.1.0.GeneralError",
                    "message": failure.message,
                }});
                own(status, Bytes::from(body.to_string()))
            }
        }
    }

    /// The way of a device's path through the fleet.
    fn path(&self, uri: &Uri) -> Option<String> {
        let path = uri.path();
        if !path.starts_with("/redfish/") {
            return None;
        }
        let query = uri.query().map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        Some(format!("{}{query}", device_path(&self.device, path)?))
    }
}

/// Whether a tool asks, and not a page of some site in a browser: such a page
/// says where it is from, or calls us by a name of its own.
fn is_from_a_tool(headers: &HeaderMap) -> bool {
    let local = |authority: &str| {
        let name = authority.rsplit_once(':').map_or(authority, |(n, _)| n);
        matches!(name, "localhost" | "127.0.0.1")
    };
    let text = |name: HeaderName| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    let host = text(header::HOST);
    let origin = text(header::ORIGIN);
    // Another port of this machine may serve a page of another site.
    let own = origin.is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, rest)| rest);
        authority.is_some() && authority == host
    });
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let from_here = site.is_none_or(|s| matches!(s, "same-origin" | "none"));
    host.is_none_or(local) && own && from_here
}

/// The headers that pass a hop.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP {
        headers.remove(*name);
    }
    for name in named {
        headers.remove(name);
    }
    headers
}

fn back(answer: reqwest::Response) -> Response<Body> {
    let status = answer.status();
    let headers = passed(answer.headers());
    let frames = answer.bytes_stream().map_ok(Frame::data);
    let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn own(status: StatusCode, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
