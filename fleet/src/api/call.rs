//! What every operation shares: who calls, may they, the audit record, and
//! the one shape of an error.

use std::{
    any::type_name,
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use dropshot::{
    ApiEndpointBodyContentType, ApiEndpointResponse, Body, ExclusiveExtractor,
    ExtractorMetadata, HttpCodedResponse, HttpError, HttpResponse,
    RequestContext, ServerContext, TypedBody, UntypedBody,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use onprem_link::id::Xid;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    Fleet,
    audit::Entry,
    auth::{Caller, Role},
    error::{Error, Failure},
    live::Live,
};

/// What an operation answers: its result or the failure, with the headers
/// that belong to it. The error type is there for the document.
pub(super) type Answer<T> = Result<Reply<T>, Failure>;

/// A result or a failure.
pub(crate) enum Reply<T> {
    Done(T),
    Failed(Failure),
}

impl<T: HttpCodedResponse> HttpResponse for Reply<T> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        match self {
            Self::Done(result) => result.into(),
            Self::Failed(failure) => Ok(failure.into_response()),
        }
    }

    fn response_metadata() -> ApiEndpointResponse {
        T::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        match self {
            Self::Done(_) => T::STATUS_CODE,
            Self::Failed(failure) => failure.status(),
        }
    }
}

/// A request whose caller is known and may make it.
#[derive(Debug)]
pub struct Call {
    /// The fleet.
    pub fleet: Fleet,
    /// Who calls.
    pub caller: Caller,
    noted: Arc<OnceLock<String>>,
}

impl Call {
    /// Notes what exactly is asked, for the audit record.
    pub(super) fn note(&self, what: &str) {
        let what = what.chars().take(500).collect();
        self.noted.get_or_init(|| what);
    }

    /// What `device` says of itself now.
    pub(super) fn live(&self, device: &str) -> Result<Live, Error> {
        self.fleet.live(&self.caller, device)
    }
}

/// A request of somebody who need not say who they are.
#[derive(Debug)]
pub struct Anyone {
    /// The fleet.
    pub fleet: Fleet,
    /// Where the request comes from.
    pub source: IpAddr,
    claimed: Arc<OnceLock<String>>,
}

impl Anyone {
    /// Notes the account that the caller claims to be, for the audit record.
    pub(super) fn claims(&self, account: &str) {
        let account = account.chars().take(64).collect();
        self.claimed.get_or_init(|| account);
    }
}

/// Answers a request of somebody who may do at `least` this much.
pub(super) async fn answer<T, W, F>(
    rqctx: RequestContext<Fleet>,
    least: Role,
    work: W,
) -> Answer<T>
where
    T: HttpCodedResponse,
    W: FnOnce(Call) -> F,
    F: Future<Output = Result<T, Error>>,
{
    let caller = match authenticate(&rqctx).await {
        Ok(caller) => caller,
        Err(error) => return Ok(Reply::Failed(error.failure(&rqctx))),
    };
    let account = Some(caller.account().to_owned());
    let device = device_of(&rqctx);
    let noted = Arc::<OnceLock<String>>::default();
    let result = match caller.require(least) {
        Ok(()) => {
            let fleet = rqctx.context().clone();
            let noted = Arc::clone(&noted);
            work(Call { fleet, caller, noted }).await
        }
        Err(error) => Err(error),
    };
    let who = Who { account, device, detail: noted.get().cloned() };
    conclude(&rqctx, who, T::STATUS_CODE, result).await
}

/// Answers a request of anyone.
pub(super) async fn answer_anyone<T, W, F>(
    rqctx: RequestContext<Fleet>,
    work: W,
) -> Answer<T>
where
    T: HttpCodedResponse,
    W: FnOnce(Anyone) -> F,
    F: Future<Output = Result<T, Error>>,
{
    let fleet = rqctx.context().clone();
    let source = source(&rqctx);
    let claimed = Arc::<OnceLock<String>>::default();
    let visitor = Anyone { fleet, source, claimed: Arc::clone(&claimed) };
    let result = work(visitor).await;
    let account = claimed.get().cloned();
    let who = Who { account, ..Who::default() };
    conclude(&rqctx, who, T::STATUS_CODE, result).await
}

/// Who calls, by the credentials of the request.
pub(crate) async fn authenticate(
    rqctx: &RequestContext<Fleet>,
) -> Result<Caller, Error> {
    let request = &rqctx.request;
    rqctx.context().auth().caller(request.method(), request.headers()).await
}

/// What an audit record says beside the request.
#[derive(Default)]
struct Who {
    account: Option<String>,
    device: Option<Xid>,
    detail: Option<String>,
}

/// Writes the audit record, then gives the answer.
async fn conclude<T>(
    rqctx: &RequestContext<Fleet>,
    who: Who,
    success: StatusCode,
    result: Result<T, Error>,
) -> Answer<T> {
    let failure = result.as_ref().err();
    let Who { account, device, detail } = who;
    let entry = Entry {
        account,
        source: source(rqctx),
        operation: rqctx.endpoint.operation_id.clone(),
        method: rqctx.request.method().to_string(),
        path: rqctx.request.uri().path().to_owned(),
        device,
        detail,
        status: failure.map_or(success, Error::status).as_u16(),
        error_code: failure.map(|error| error.code().to_owned()),
        request_id: rqctx.request_id.clone(),
    };
    let result = match record(rqctx, entry).await {
        Ok(()) => result,
        Err(error) => Err(error),
    };
    Ok(match result {
        Ok(result) => Reply::Done(result),
        Err(error) => Reply::Failed(error.failure(rqctx)),
    })
}

/// Writes the audit record of a request that may have changed something.
/// A stranger who is told to wait leaves none, or whoever has no account
/// could fill the disk.
pub(super) async fn record(
    rqctx: &RequestContext<Fleet>,
    entry: Entry,
) -> Result<(), Error> {
    let reads = matches!(*rqctx.request.method(), Method::GET | Method::HEAD);
    let waits = entry.status == StatusCode::TOO_MANY_REQUESTS.as_u16();
    if reads || waits {
        return Ok(());
    }
    rqctx.context().audit().append(entry).await
}

/// Where a request comes from.
pub(super) fn source(rqctx: &RequestContext<Fleet>) -> IpAddr {
    source_of(rqctx.request.headers(), rqctx.request.remote_addr().ip())
}

/// Where a request with these headers comes from: what a proxy on this host
/// says, else the peer. What the proxy says comes last; all before it is what
/// the client said.
pub(crate) fn source_of(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let said = || {
        let said = headers.get_all("x-forwarded-for").iter().next_back()?;
        said.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    let peer = peer.to_canonical();
    let said: Option<IpAddr> = peer.is_loopback().then(said).flatten();
    said.map_or(peer, |said| said.to_canonical())
}

/// The device that the path of a request names.
pub(super) fn device_of(rqctx: &RequestContext<Fleet>) -> Option<Xid> {
    let path = rqctx.request.uri().path();
    let named = path.split('/').filter(|part| !part.is_empty());
    let mut named = named.skip_while(|part| *part != "devices").skip(1);
    let named = percent_decode_str(named.next()?).decode_utf8().ok()?;
    rqctx.context().devices().find(&named).map(|device| device.id)
}

/// A JSON body. It is read at once and understood when it is asked for, so
/// that a caller who may not do a thing hears that first.
pub(super) struct Json<T>(Result<T, Error>);

impl<T> Json<T> {
    /// The value of the body.
    pub(super) fn get(self) -> Result<T, Error> {
        self.0
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies may hold passwords.
        write!(f, "Json<{}>", type_name::<T>())
    }
}

#[async_trait]
impl<T> ExclusiveExtractor for Json<T>
where
    T: JsonSchema + DeserializeOwned + Send + Sync + 'static,
{
    async fn from_request<Context: ServerContext>(
        rqctx: &RequestContext<Context>,
        request: Request<Body>,
    ) -> Result<Self, HttpError> {
        let is_json = is_json(request.headers());
        let body = UntypedBody::from_request(rqctx, request).await;
        Ok(Self(match body {
            Ok(body) if is_json => read(body.as_bytes()),
            Ok(_) => Err(Error::NotJson),
            Err(error) => Err(error.into()),
        }))
    }

    fn metadata(content: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <TypedBody<T> as ExclusiveExtractor>::metadata(content)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // Serde takes a list of the fields' values as well.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Error::invalid("", "invalid type: list, expected object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value =
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            Error::invalid(pointer(error.path()), without_place(error.inner()))
        })?;
    json.end().map_err(|error| Error::invalid("", error.to_string()))?;
    Ok(value)
}

/// A JSON pointer to where a value could not be read.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => {
                format!("/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// The message without "at line 1 column 5", unless the text itself is wrong.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (error.classify(), text.rfind(" at line ")) {
        (serde_json::error::Category::Data, Some(at)) => {
            text.chars().take(text[..at].chars().count()).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::JoinTokenCreate;

    #[test]
    fn only_a_proxy_on_this_host_says_where_a_request_comes_from() {
        let mut headers = HeaderMap::new();
        for said in ["198.51.100.1", "198.51.100.2, 192.0.2.7"] {
            headers.append("x-forwarded-for", said.parse().unwrap());
        }
        let proxy = IpAddr::from([127, 0, 0, 1]);
        let client = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(source_of(&headers, proxy), client);
        let stranger = IpAddr::from([192, 0, 2, 8]);
        assert_eq!(source_of(&headers, stranger), stranger);
        assert_eq!(source_of(&HeaderMap::new(), proxy), proxy);
    }

    #[test]
    fn an_error_in_a_body_points_to_the_place() {
        let read = |text: &str| {
            let error = read::<JoinTokenCreate>(text.as_bytes()).unwrap_err();
            (error.pointer().map(str::to_owned), error.to_string())
        };
        let (pointer, message) = read(r#"{"uses": "many"}"#);
        assert_eq!(pointer.as_deref(), Some("/uses"));
        assert_eq!(message, "invalid type: string \"many\", expected u32");
        let (pointer, message) = read(r#"{"used": 3}"#);
        assert_eq!(pointer.as_deref(), Some("/used"));
        assert!(message.starts_with("unknown field `used`"), "{message}");
        let (_, message) = read("[\"\", 1, 60]");
        assert_eq!(message, "invalid type: list, expected object");
        let (pointer, message) = read("{");
        assert_eq!(pointer.as_deref(), Some(""));
        assert!(message.contains("line 1"), "{message}");
    }
}
