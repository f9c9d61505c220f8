//! Serves the fleet through an open tunnel.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming, server::conn::http2, service::service_fn, upgrade::Upgraded,
};
use hyper_util::rt::TokioTimer;
use onprem_link::{
    executor::Tracked,
    grant::{GrantChecker, GrantError},
    tunnel::{
        CONNECTION_WINDOW, GRANT_HEADER, KeepAlive, MAX_HEADERS,
        MAX_PENDING_RESETS, MAX_STREAMS, SEND_BUFFER, STREAM_WINDOW,
    },
};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Handler;

/// How long requests on their way get when the agent stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves the fleet on `io` until one of both ends it.
pub(super) async fn serve<H: Handler>(
    io: Upgraded,
    handler: H,
    checker: GrantChecker,
    keep_alive: KeepAlive,
    tracked: Tracked,
    stop: &CancellationToken,
) -> Result<(), hyper::Error> {
    let checker = Arc::new(checker);
    let service = service_fn(move |request| {
        let (handler, checker) = (handler.clone(), Arc::clone(&checker));
        async move { Ok::<_, Infallible>(answer(request, &handler, &checker).await) }
    });
    let mut connection = pin!(
        http2::Builder::new(tracked)
            .timer(TokioTimer::new())
            .keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout)
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_PENDING_RESETS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADERS)
            .serve_connection(io, service)
    );
    if let Some(ended) = stop.run_until_cancelled(connection.as_mut()).await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    timeout(DRAIN, connection).await.unwrap_or(Ok(()))
}

async fn answer<H: Handler>(
    mut request: Request<Incoming>,
    handler: &H,
    checker: &GrantChecker,
) -> Response<AnswerBody<H::Body>> {
    let grant = request
        .headers_mut()
        .remove(GRANT_HEADER)
        .ok_or(GrantError::Missing)
        .and_then(|text| {
            let text = text.to_str().map_err(|_| GrantError::Malformed)?;
            checker.check(text, request.method().as_str())
        });
    match grant {
        Ok(grant) => {
            handler.handle(request, grant).await.map(AnswerBody::Handler)
        }
        Err(error) => {
            warn!(
                %error, method = %request.method(), path = request.uri().path(),
                "request of the fleet refused"
            );
            refuse(error)
        }
    }
}

fn refuse<B>(error: GrantError) -> Response<AnswerBody<B>> {
    let body = json!({"error": {
        "code": "OnPrem.1.0.GrantRefused",
        "message": error.to_string(),
    }});
    let body = Full::from(body.to_string());
    let mut answer = Response::new(AnswerBody::Refusal(body));
    *answer.status_mut() = match error {
        GrantError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        GrantError::OtherMethod => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// The handler's body, or a refusal before it came to the handler.
enum AnswerBody<B> {
    Handler(B),
    Refusal(Full<Bytes>),
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut *self {
            Self::Handler(body) => Pin::new(body).poll_frame(context),
            Self::Refusal(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Handler(body) => body.is_end_stream(),
            Self::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Handler(body) => body.size_hint(),
            Self::Refusal(body) => body.size_hint(),
        }
    }
}
