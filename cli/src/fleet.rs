//! Calls operations of the fleet as the description says.

use std::{fs, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::ArgMatches;
use onprem_description::{Operation, Shape};
use reqwest::{
    Certificate, ClientBuilder, Method, RequestBuilder, Response, StatusCode,
    Upgraded, Url,
    header::{
        AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue,
        SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    },
    redirect,
};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::SecureRandom as _,
};
use serde_json::Value;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use crate::{
    config::{self, Target},
    failure::{Code, Failure},
};

/// How many items are asked for at once.
const PAGE: usize = 1000;

/// How long an answer may take unless said otherwise.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A fleet that can be called.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) http: reqwest::Client,
    pub(crate) target: Target,
    timeout: Option<Duration>,
}

/// How long an answer may take.
pub(crate) fn timeout(matches: &ArgMatches) -> Duration {
    let seconds = matches.get_one::<u64>("timeout");
    seconds.map_or(TIMEOUT, |seconds| Duration::from_secs(*seconds))
}

impl Fleet {
    pub(crate) fn open(
        target: Target,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let http = build(client(&target, timeout)?)?;
        Ok(Self { http, target, timeout })
    }

    /// The fleet that flags, environment and contexts name.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Self, Failure> {
        Self::open(Target::find(matches)?, Some(timeout(matches)))
    }

    /// The same, for calls that may last for any time.
    pub(crate) fn patient(matches: &ArgMatches) -> Result<Self, Failure> {
        Self::open(Target::find(matches)?, None)
    }

    /// The same, with our credentials in every request.
    pub(crate) fn authenticated(self) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.target.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| {
                Failure::new(Code::Denied, "the token is not well-formed")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let builder =
            client(&self.target, self.timeout)?.default_headers(headers);
        Ok(Self { http: build(builder)?, ..self })
    }

    /// A request with our credentials; `path` begins with a slash.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.target.url);
        let request = self.http.request(method, url);
        match &self.target.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; an answer that is no success is a failure.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<Response, Failure> {
        let answer =
            request.send().await.map_err(|error| self.unreached(&error))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(answer).await)
        }
    }

    /// A WebSocket (RFC 6455) at `path`.
    pub(crate) async fn socket(
        &self,
        path: &str,
    ) -> Result<WebSocketStream<Upgraded>, Failure> {
        let http = build(client(&self.target, None)?.http1_only())?;
        let fleet = Self { http, timeout: None, ..self.clone() };
        let mut key = [0; 16];
        let random = ring::rand::SystemRandom::new();
        random.fill(&mut key).map_err(|_| {
            Failure::other("this machine has no random numbers")
        })?;
        let key = BASE64_STANDARD.encode(key);
        let request = fleet
            .request(Method::GET, path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let answer = timeout_of(request.send()).await;
        let Some(answer) = answer else {
            let what = format!("no answer from {} in time", self.target.url);
            return Err(Failure::new(Code::Offline, what));
        };
        let answer = answer.map_err(|error| self.unreached(&error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(answer).await);
        }
        let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|it| it.as_bytes() != accept(&key).as_bytes()) {
            let what = format!("{} speaks no WebSocket", self.target.url);
            return Err(Failure::other(what));
        }
        let io = answer.upgrade().await;
        let io = io.map_err(|error| self.unreached(&error))?;
        Ok(WebSocketStream::from_raw_socket(io, Role::Client, None).await)
    }

    /// Calls `operation`; null where it answers nothing.
    pub(crate) async fn call(
        &self,
        operation: &Operation,
        variables: &[&str],
        query: &[(String, String)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        // An address has another meaning for such names.
        let odd = |name: &&&str| matches!(**name, "" | "." | "..");
        if let Some(name) = variables.iter().find(odd) {
            return Err(Failure::usage(format!("`{name}` is no name")));
        }
        let method = Method::from_bytes(operation.method.as_bytes())
            .map_err(|e| Failure::because("cannot call the fleet", &e))?;
        let mut request = self.request(method, &operation.fill(variables));
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request).await?;
        let bytes =
            answer.bytes().await.map_err(|error| self.unreached(&error))?;
        if bytes.is_empty() || operation.answer.shape == Shape::Empty {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let url = &self.target.url;
            let what = format!("cannot understand the answer of {url}");
            Failure::because(&what, &error).hint("is that a fleet?")
        })
    }

    /// At most `limit` items of a list, and whether there are more.
    pub(crate) async fn list(
        &self,
        operation: &Operation,
        variables: &[&str],
        query: &[(String, String)],
        limit: usize,
    ) -> Result<(Vec<Value>, bool), Failure> {
        let mut items: Vec<Value> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut page = match &next {
                // A page's token says what was asked for at first.
                Some(token) => vec![("page_token".into(), token.clone())],
                None => query.to_vec(),
            };
            if operation.paged {
                let missing = limit.saturating_sub(items.len());
                let size = missing.clamp(1, PAGE);
                page.push(("limit".into(), size.to_string()));
            }
            let answer = self.call(operation, variables, &page, None).await?;
            match answer {
                Value::Array(all) => items.extend(all),
                Value::Object(mut page) => {
                    if let Some(Value::Array(all)) = page.remove("items") {
                        items.extend(all);
                    }
                    let after = page.get("next_page");
                    let after = after.and_then(Value::as_str);
                    if after.is_some() && after == next.as_deref() {
                        let text = "the fleet gives the same page for ever";
                        return Err(Failure::other(text));
                    }
                    next = after.map(str::to_owned);
                }
                _ => {}
            }
            let full = items.len() >= limit;
            if full || next.is_none() {
                let more = items.len() > limit || (full && next.is_some());
                items.truncate(limit);
                return Ok((items, more));
            }
        }
    }

    /// No answer came.
    pub(crate) fn unreached(&self, error: &reqwest::Error) -> Failure {
        let url = &self.target.url;
        let text = if error.is_timeout() {
            format!("no answer from {url} in time")
        } else {
            // Those between are the libraries' names for it.
            let mut cause: &dyn std::error::Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            format!("cannot reach the fleet at {url}: {cause}")
        };
        let distrusted = text.contains("certificate");
        let failure = Failure::new(Code::Offline, text);
        if distrusted {
            failure.hint("say whom to trust: `--ca-file FILE`")
        } else if error.is_connect() {
            failure.hint("say where the fleet is: --url, ONPREM_URL or `onprem context use`")
        } else {
            failure
        }
    }

    /// The answer says no.
    pub(crate) async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = answer.bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        self.refusal(status, &headers, &body)
    }

    /// What an answer that says no means.
    pub(crate) fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Value,
    ) -> Failure {
        let header = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let text = |key: &str| body.get(key)?.as_str().map(str::to_owned);
        let message = text("message").unwrap_or_else(|| {
            format!("the fleet at {} answered {status}", self.target.url)
        });
        let message = match text("pointer") {
            Some(pointer) if !pointer.is_empty() => {
                format!("{message} (at {pointer})")
            }
            _ => message,
        };
        let code = Code::of_status(status);
        let hint = match (status.as_u16(), header("retry-after")) {
            (401, _) => Some(match &self.target.token {
                None => "`onprem login`, or set ONPREM_TOKEN".to_owned(),
                Some(token) if config::is_of_environment(token) => {
                    "the token in ONPREM_TOKEN is not, or no longer, good: \
                     set another, or unset it and `onprem login`"
                        .into()
                }
                Some(_) => "the token may have ended: `onprem login`".into(),
            }),
            (_, Some(seconds)) => Some(format!("try again in {seconds} s")),
            _ => None,
        };
        let id = text("request_id").filter(|id| !id.is_empty());
        let request_id = id.or_else(|| header("x-request-id"));
        Failure { code, message, hint, request_id }
    }
}

/// What a server answers to the key of a client (RFC 6455, section 1.3).
fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    BASE64_STANDARD.encode(digest)
}

/// Waits for an answer as long as for any.
async fn timeout_of<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(TIMEOUT, answer).await.ok()
}

/// How connections to `target` are made.
fn client(
    target: &Target,
    timeout: Option<Duration>,
) -> Result<ClientBuilder, Failure> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("onprem/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .redirect(redirect::Policy::none());
    if let Some(timeout) = timeout {
        builder = builder.timeout(timeout);
    }
    if Url::parse(&target.url).is_ok_and(|url| config::is_here(&url)) {
        // Nobody between us and this machine is to see what we send.
        builder = builder.no_proxy();
    }
    if target.url.starts_with("http://") {
        // Reading the system's certificates takes longer than the call.
        builder = builder.tls_certs_only([]);
    } else if let Some(path) = &target.ca_file {
        let what = format!("cannot read {}", path.display());
        let pem = fs::read(path).map_err(|e| Failure::because(&what, &e))?;
        let all = Certificate::from_pem_bundle(&pem)
            .map_err(|e| Failure::because(&what, &e))?;
        builder = builder.tls_certs_merge(all);
    }
    Ok(builder)
}

fn build(builder: ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| {
        Failure::because("cannot set up the connection", &error)
    })
}
