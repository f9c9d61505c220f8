//! The Redfish service of each device, as it is: any method, body and headers
//! unchanged both ways, but for what a device may not say to a browser that
//! takes it for the fleet.

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, ApiEndpoint,
    ApiEndpointVersions, Body, Path, RawRequest, RequestContext,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header,
    uri::PathAndQuery,
};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::Deserialize;

use super::call::{authenticate, device_of, record, source};
use crate::{
    Fleet,
    audit::Entry,
    auth::{Caller, Role},
    error::{Error, Failure},
    tunnel::{self, GrantFor},
};

/// The methods that are passed on.
const METHODS: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PATCH,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a browser would keep or allow for the whole fleet.
const NOT_FOR_THE_FLEET: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "alt-svc",
    "clear-site-data",
    "refresh",
    "service-worker-allowed",
    "set-cookie",
    "strict-transport-security",
];

/// A page that a device answers runs nothing and belongs to nobody.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; sandbox");

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    for method in METHODS {
        let id = format!("device_redfish_{}", method.as_str().to_lowercase());
        let endpoint = ApiEndpoint::new(
            id.clone(),
            root,
            method.clone(),
            "application/json",
            "/v1/devices/{device}/redfish",
            ApiEndpointVersions::All,
        );
        api.register(endpoint.visible(false))?;
        let endpoint = ApiEndpoint::new(
            id,
            below,
            method.clone(),
            "application/json",
            "/v1/devices/{device}/redfish/{path:.*}",
            ApiEndpointVersions::All,
        );
        api.register(endpoint.visible(false))?;
    }
    Ok(())
}

// The path is taken from the request as it was sent; the router has decoded
// it.
#[derive(Debug, Deserialize, JsonSchema)]
struct RootPath {
    device: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct BelowPath {
    device: String,
    #[serde(rename = "path")]
    _path: Vec<String>,
}

async fn root(
    rqctx: RequestContext<Fleet>,
    path: Path<RootPath>,
    request: RawRequest,
) -> Result<Response<Body>, Failure> {
    Ok(pass(rqctx, path.into_inner().device, request).await)
}

async fn below(
    rqctx: RequestContext<Fleet>,
    path: Path<BelowPath>,
    request: RawRequest,
) -> Result<Response<Body>, Failure> {
    Ok(pass(rqctx, path.into_inner().device, request).await)
}

async fn pass(
    rqctx: RequestContext<Fleet>,
    device: String,
    request: RawRequest,
) -> Response<Body> {
    let caller = match authenticate(&rqctx).await {
        Ok(caller) => caller,
        Err(error) => return error.failure(&rqctx).into_response(),
    };
    // A deletion may come between: the record names the device all the same.
    let about = device_of(&rqctx);
    let answer = send(&rqctx, &caller, &device, request.into_inner()).await;
    let entry = Entry {
        account: Some(caller.account().to_owned()),
        source: source(&rqctx),
        operation: rqctx.endpoint.operation_id.clone(),
        method: rqctx.request.method().to_string(),
        path: rqctx.request.uri().path().to_owned(),
        device: about,
        // The device keeps what was sent.
        detail: None,
        status: match &answer {
            Ok(answer) => answer.status().as_u16(),
            Err(error) => error.status().as_u16(),
        },
        error_code: answer.as_ref().err().map(|e| e.code().to_owned()),
        request_id: rqctx.request_id.clone(),
    };
    let answer = match record(&rqctx, entry).await {
        Ok(()) => answer,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| error.failure(&rqctx).into_response())
}

async fn send(
    rqctx: &RequestContext<Fleet>,
    caller: &Caller,
    device: &str,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    caller.require(if reads { Role::Readonly } else { Role::Operator })?;
    let fleet = rqctx.context();
    let device = fleet.devices().get(device)?;
    let (mut parts, body) = request.into_parts();
    parts.uri = within(&parts.uri).ok_or_else(|| {
        Error::not_found("resource", rqctx.request.uri().path())
    })?;
    // The device's own log then tells the request by the same id.
    if let Ok(id) = HeaderValue::from_str(&rqctx.request_id) {
        parts.headers.insert(REQUEST_ID, id);
    }
    let grant = GrantFor {
        subject: caller.account().to_owned(),
        role: caller.role().into(),
    };
    let request = Request::from_parts(
        parts,
        body.map_err(tunnel::BodyError).boxed_unsync(),
    );
    let answer = fleet.tunnels().send(device.id, request, &grant).await;
    let answer = answer.map_err(|source| Error::Tunnel {
        device: device.name.to_string(),
        source,
    })?;
    let mut answer = answer.map(Body::wrap);
    disarm(answer.headers_mut());
    Ok(answer)
}

/// Takes from a device's answer what would make a browser do something to
/// the fleet, whose address it has.
fn disarm(headers: &mut HeaderMap) {
    for name in NOT_FOR_THE_FLEET {
        headers.remove(*name);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

/// The path within the device, with the query: what follows the device's
/// name, as it was sent.
fn within(uri: &Uri) -> Option<Uri> {
    let whole = uri.path_and_query()?.as_str();
    let mut rest = whole;
    for _ in ["v1", "devices", "name"] {
        rest = rest.trim_start_matches('/');
        rest = rest.get(rest.find('/')?..)?;
    }
    let rest = rest.trim_start_matches('/');
    let path: PathAndQuery = format!("/{rest}").parse().ok()?;
    Some(Uri::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_speak_to_a_browser_as_the_fleet() {
        let mut headers: HeaderMap = [
            ("set-cookie", "onprem_session=mine; Path=/"),
            ("clear-site-data", "*"),
            ("access-control-allow-origin", "https://evil.example"),
            ("content-security-policy", "default-src *"),
            ("content-type", "text/html"),
            ("etag", "\"1\""),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect::<HeaderMap>();
        let csp = header::CONTENT_SECURITY_POLICY;
        headers.append(&csp, HeaderValue::from_static("script-src *"));
        disarm(&mut headers);
        let left: Vec<_> = headers.get_all(&csp).iter().collect();
        assert_eq!(left, ["default-src 'none'; sandbox"]);
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["etag"], "\"1\"");
        assert_eq!(headers.len(), 4, "{headers:?}");
    }

    #[test]
    fn the_path_within_the_device_is_as_it_was_sent() {
        let within = |uri: &str| {
            let within = within(&uri.parse().unwrap());
            within.map(|uri| uri.to_string())
        };
        let found = within(
            "/v1/devices/redfish/redfish/v1/Chassis/a%2Fb/?$expand=.&x=%20",
        );
        let expected = "/redfish/v1/Chassis/a%2Fb/?$expand=.&x=%20";
        assert_eq!(found.as_deref(), Some(expected));
        let root = within("/v1//devices/d/redfish");
        assert_eq!(root.as_deref(), Some("/redfish"));
        let root = within("http://fleet:1/v1/devices/d/redfish/v1");
        assert_eq!(root.as_deref(), Some("/redfish/v1"));
    }
}
