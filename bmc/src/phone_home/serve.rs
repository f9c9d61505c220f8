//! Serves the fleet through an open tunnel.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::TokioTimer;
use onprem_http::{Answer, Body, Stream};
use onprem_link::{
    executor::Tracked,
    grant::{GrantChecker, GrantError},
    tunnel::{
        CONNECTION_WINDOW, GRANT_HEADER, KeepAlive, MAX_HEADERS,
        MAX_PENDING_RESETS, MAX_STREAMS, SEND_BUFFER, STREAM_WINDOW,
    },
};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Handler;

/// How long requests on their way get when the agent stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves the fleet on `stream` until one of both ends it.
pub(super) async fn serve(
    stream: Box<dyn Stream>,
    handler: Handler,
    checker: GrantChecker,
    keep_alive: KeepAlive,
    tracked: Tracked,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut manner = http2::Builder::new(tracked);
    manner
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
        .enable_connect_protocol();
    let handler: onprem_http::Handler =
        Arc::new(move |request| answer(request, &handler, &checker));
    let served = onprem_http::http2(stream, handler, manner, stop.clone());
    let drained = async {
        stop.cancelled().await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        ended = served => ended,
        () = drained => Ok(()),
    }
}

fn answer(
    mut request: Request<Incoming>,
    handler: &Handler,
    checker: &GrantChecker,
) -> Answer {
    let grant = request
        .headers_mut()
        .remove(GRANT_HEADER)
        .ok_or(GrantError::Missing)
        .and_then(|text| {
            let text = text.to_str().map_err(|_| GrantError::Malformed)?;
            checker.check(text, request.method().as_str())
        });
    match grant {
        Ok(grant) => handler(request, grant),
        Err(error) => {
            warn!(
                %error, method = %request.method(), path = request.uri().path(),
                "request of the fleet refused"
            );
            refuse(error).into()
        }
    }
}

fn refuse(error: GrantError) -> Response<Body> {
    let body = json!({"error": {
        "code": "OnPrem.1.0.GrantRefused",
        "message": error.to_string(),
    }});
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = match error {
        GrantError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        GrantError::OtherMethod => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::TokioIo;
    use onprem_link::{
        clock::FleetClock,
        grant::{Grant, GrantSigner, MethodClass, Role},
        id::Xid,
    };
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use tokio_util::task::TaskTracker;
    use uuid::Uuid;

    use super::*;

    const NOW_S: u64 = 1_767_225_600;

    fn signer() -> GrantSigner {
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = PrivatePkcs8KeyDer::from(key);
        GrantSigner::new(key.into(), &crate::verifier::provider()).unwrap()
    }

    fn grant(device: Uuid) -> Grant {
        Grant {
            subject: "ada".to_owned(),
            role: Role::ReadOnly,
            class: MethodClass::Read,
            device,
            issued: NOW_S,
            expires: NOW_S + 60,
            request: "r".to_owned(),
            id: Xid::new(),
        }
    }

    /// What the agent answers to a request that carries this.
    async fn ask(
        signer: &GrantSigner,
        device: Uuid,
        method: Method,
        header: Option<String>,
    ) -> (StatusCode, String) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let tracked = Tracked { tasks: tasks.clone(), stop: stop.clone() };
        let checker = GrantChecker::new(
            device,
            signer.public().clone(),
            crate::verifier::provider(),
            FleetClock::new(NOW_S * 1000),
        );
        let handler = |request: Request<Incoming>, grant: Grant| async move {
            assert!(!request.headers().contains_key(GRANT_HEADER));
            let who = format!("{} {}", grant.subject, grant.role);
            Response::new(Body::from(who))
        };
        let keep_alive = KeepAlive::default();
        let serving = serve(
            Box::new(theirs),
            super::super::handler(handler),
            checker,
            keep_alive,
            tracked.clone(),
            &stop,
        );
        let asking = async {
            let (mut sender, connection) =
                hyper::client::conn::http2::Builder::new(tracked)
                    .handshake(TokioIo::new(ours))
                    .await
                    .unwrap();
            tasks.spawn(async move { connection.await.is_ok() });
            let mut request =
                Request::builder().method(method).uri("https://device/");
            if let Some(header) = header {
                request = request.header(GRANT_HEADER, header);
            }
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap();
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            (status, body)
        };
        tokio::select! {
            answer = asking => answer,
            ended = serving => panic!("the agent ended: {ended:?}"),
        }
    }

    #[tokio::test]
    async fn a_good_grant_says_who_asks() {
        let (signer, device) = (signer(), Uuid::new_v4());
        let text = signer.sign(&grant(device)).unwrap();
        let answer = ask(&signer, device, Method::GET, Some(text)).await;
        assert_eq!(answer, (StatusCode::OK, "ada ReadOnly".to_owned()));
    }

    #[tokio::test]
    async fn a_request_without_a_good_grant_does_not_reach_the_handler() {
        let (signer, device) = (signer(), Uuid::new_v4());
        let sign = |change: fn(&mut Grant)| {
            let mut grant = grant(device);
            change(&mut grant);
            Some(signer.sign(&grant).unwrap())
        };
        let another = self::signer();
        let forged = another.sign(&grant(device)).unwrap();
        let refused = [
            (None, Method::GET, 401, "carries no grant"),
            (Some("a.b".to_owned()), Method::GET, 401, "cannot be read"),
            (Some(forged), Method::GET, 401, "signature"),
            (sign(|g| g.device = Uuid::nil()), Method::GET, 401, "another"),
            (
                sign(|g| {
                    g.issued = NOW_S - 61;
                    g.expires = NOW_S - 1;
                }),
                Method::GET,
                401,
                "expired",
            ),
            (sign(|_| {}), Method::POST, 403, "does not cover the method"),
        ];
        for (header, method, status, text) in refused {
            let answer = ask(&signer, device, method, header).await;
            assert_eq!(answer.0.as_u16(), status, "{text}");
            assert!(answer.1.contains(text), "{answer:?}");
        }
    }
}
