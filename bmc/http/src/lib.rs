//! The agent's side of HTTP connections. Nothing here is generic: hyper and
//! TLS are compiled once for all doors, in this package, which is optimised
//! for speed while the rest of the agent is made small.

mod alarm;
mod body;

use std::{
    convert::Infallible,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use onprem_link::executor::Tracked;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use self::alarm::Alarm;
pub use self::body::Body;

/// The largest head of a request, and what is read ahead of its body, in bytes.
const HEAD: usize = 64 << 10;

/// What a connection's bytes come from and go to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An answer under way.
type Later = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// An answer: one that is at hand, or one under way.
pub struct Answer(Stage);

enum Stage {
    /// Nobody has it yet.
    Now(Option<Response<Body>>),
    Later(Later),
}

impl Answer {
    /// An answer under way.
    pub fn later(
        answer: impl Future<Output = Response<Body>> + Send + 'static,
    ) -> Self {
        Self(Stage::Later(Box::pin(answer)))
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self(Stage::Now(Some(response)))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Stage::Now(_) => "Now",
            Stage::Later(_) => "Later",
        })
    }
}

impl Future for Answer {
    type Output = Response<Body>;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Self::Output> {
        match &mut self.0 {
            Stage::Now(response) => response
                .take()
                .map_or_else(|| unreachable!("it was taken"), Poll::Ready),
            Stage::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

/// A connection that is served, until it ends.
pub type Served = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What answers the requests of a connection.
pub type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// How an HTTP/1.1 connection is held.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How long it may take for the head of a request, on a connection that
    /// may have been idle before.
    pub header: Duration,
    /// May there be another request after the first?
    pub keep_alive: bool,
}

/// Serves a connection until it ends by itself, or `stop` asks it to end
/// after the requests under way.
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

/// Shakes hands over TLS with who connected.
#[must_use]
pub fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>> {
    Box::pin(acceptor.accept(stream))
}

/// Serves HTTP/1.1 until the connection ends, or `stop` asks it to end after
/// the request under way.
///
/// # Errors
/// The stream broke, or carried no HTTP.
#[must_use]
pub fn http1(
    stream: Box<dyn Stream>,
    handler: Handler,
    manner: Manner,
    stop: CancellationToken,
) -> Served {
    Box::pin(async move {
        let service = service_fn(|request| {
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(Alarm::default())
            .header_read_timeout(manner.header)
            .keep_alive(manner.keep_alive)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        drain!(connection, stop)
    })
}

/// Serves HTTP/2 as `manner` says until the connection ends, or `stop` asks it
/// to end after the requests under way. Each is answered in a task of its own:
/// one that takes long, or panics, is nothing to the others.
///
/// # Errors
/// The stream broke, or carried no HTTP/2.
#[must_use]
pub fn http2(
    stream: Box<dyn Stream>,
    handler: Handler,
    manner: http2::Builder<Tracked>,
    stop: CancellationToken,
) -> Served {
    Box::pin(async move {
        let service = service_fn(|request| {
            let handler = Arc::clone(&handler);
            async move { Ok::<_, Infallible>(handler(request).await) }
        });
        let connection = manner.serve_connection(TokioIo::new(stream), service);
        drain!(connection, stop)
    })
}
