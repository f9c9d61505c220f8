//! The body of a request, read within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use onprem_redfish::{
    json::{self, Unusable},
    message::{Message, base},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{error::Error, incoming::Incoming};

/// How long a client may take to send a body.
const DEADLINE: Duration = Duration::from_secs(10);

/// The JSON in the body of a PATCH or a POST.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Value, Error> {
    check_type(headers)?;
    parse(&collect(headers, body, limit).await?, |name, pointer| {
        base::property_duplicate(name).about(pointer)
    })
}

/// The JSON in the body of an action, which may be left out.
pub(super) async fn read_parameters(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
    action: &str,
) -> Result<Value, Error> {
    let bytes = collect(headers, body, limit).await?;
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    check_type(headers)?;
    parse(&bytes, |name, _| base::action_parameter_duplicate(action, name))
}

/// Makes sure that the body of a DELETE asks for nothing.
pub(super) async fn read_nothing(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<(), Error> {
    let bytes = collect(headers, body, limit).await?;
    if bytes.is_empty() {
        return Ok(());
    }
    check_type(headers)?;
    let body = parse(&bytes, |name, pointer| {
        base::property_duplicate(name).about(pointer)
    })?;
    let Value::Object(body) = body else {
        return Err(Error::bad(vec![base::unrecognized_request_body()]));
    };
    let asked = body.keys().find(|name| !name.contains("@odata."));
    match asked {
        None => Ok(()),
        Some(name) => {
            let message = base::property_unknown(name);
            Err(Error::bad(vec![message.about(format!("/{name}"))]))
        }
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Error> {
    let json = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    };
    if headers.get(CONTENT_TYPE).is_some_and(|value| !json(value)) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Error::header(status, "Content-Type"));
    }
    Ok(())
}

async fn collect(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Bytes, Error> {
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Error::too_large());
    }
    let body = Limited::new(body, limit).collect();
    let body = timeout(DEADLINE, body).await.map_err(|_| {
        Error::new(StatusCode::REQUEST_TIMEOUT, base::operation_timeout())
    })?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::too_large()
        } else {
            Error::malformed()
        }
    })?;
    Ok(body.to_bytes())
}

fn parse(
    bytes: &Bytes,
    twice: impl Fn(&str, &str) -> Message,
) -> Result<Value, Error> {
    json::parse(bytes).map_err(|error| match error {
        Unusable::Malformed => Error::malformed(),
        Unusable::Duplicate(pointer) => {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            Error::bad(vec![twice(name, &pointer)])
        }
    })
}
