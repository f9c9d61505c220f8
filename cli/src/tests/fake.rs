//! A fleet that answers what it is told to.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

/// What came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Inner {
    /// By method and path; the last answer is given again and again.
    answers: HashMap<String, VecDeque<Response<Bytes>>>,
    seen: Vec<Seen>,
}

/// The fleet; it ends with its last handle.
#[derive(Clone)]
pub(super) struct FakeFleet {
    inner: Arc<Mutex<Inner>>,
    pub(super) url: String,
    _tasks: Arc<JoinSet<()>>,
}

impl FakeFleet {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let shared = Arc::clone(&inner);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move {
                        Ok::<_, Infallible>(answer(&shared, request).await)
                    }
                });
                connections.spawn(async move {
                    let stream = TokioIo::new(stream);
                    let _ = http1::Builder::new()
                        .serve_connection(stream, service)
                        .await;
                });
            }
        });
        let url = format!("http://{address}");
        Self { inner, url, _tasks: Arc::new(tasks) }
    }

    fn inner<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers `line` (`GET /v1/devices`) with JSON; said again, the next
    /// time.
    pub(super) fn on(&self, line: &str, status: u16, body: &Value) {
        let body =
            if body.is_null() { String::new() } else { body.to_string() };
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("x-request-id", "request-1")
            .body(Bytes::from(body))
            .expect("an answer");
        self.on_response(line, response);
    }

    pub(super) fn on_response(&self, line: &str, response: Response<Bytes>) {
        self.inner(|inner| {
            let answers = inner.answers.entry(line.to_owned()).or_default();
            answers.push_back(response);
        });
    }

    /// What came in, and forgets it.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.inner(|inner| std::mem::take(&mut inner.seen))
    }
}

async fn answer(
    inner: &Mutex<Inner>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let path = head.uri.path();
    let key = format!("{} {path}", head.method);
    let line = format!("{} {}", head.method, head.uri);
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.seen.push(Seen {
        line,
        headers: head.headers,
        body: body.unwrap_or_default(),
    });
    let found = inner.answers.get_mut(&key).and_then(|answers| {
        if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        }
    });
    let response = found.unwrap_or_else(|| {
        let body = serde_json::json!({
            "error_code": "not_found",
            "message": format!("no answer for {key}"),
            "request_id": "request-404",
        });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        response
    });
    response.map(Full::new)
}
