//! What can go wrong, and what the caller is told of it. The only place in
//! the fleet that knows status codes.

use std::fmt;

use dropshot::{
    Body, ErrorStatusCode, HttpError, HttpResponseError, RequestContext,
};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use onprem_link::log::Chain;
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{error, warn};

use crate::{Fleet, store::StoreError, tunnel::TunnelError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or none that the caller may see.
    #[error("no {kind} named `{name}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// What it was called.
        name: String,
    },
    /// The request is wrong.
    #[error("{message}")]
    Invalid {
        /// Where: a JSON pointer into the body, or `?name` for a parameter.
        pointer: String,
        /// What is wrong, with the value.
        message: String,
    },
    /// The body is not JSON.
    #[error("the body is not application/json")]
    NotJson,
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The body is too large.
    #[error("the body is larger than this operation takes")]
    TooLarge,
    /// The state of things forbids it.
    #[error("{message}")]
    Conflict {
        /// Where the request contradicts it.
        pointer: Option<String>,
        /// What contradicts what.
        message: String,
    },
    /// Nobody known.
    #[error("log in first, or show a token that is valid")]
    Unauthenticated,
    /// Name and password do not belong together.
    #[error("name and password do not belong together")]
    WrongPassword,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again in {seconds} s")]
    Throttled {
        /// For how long.
        seconds: u64,
    },
    /// Somebody known, who may not do this.
    #[error("the role `{role}` may not do this")]
    Forbidden {
        /// What they are.
        role: crate::auth::Role,
    },
    /// A page of another site made the browser send this.
    #[error("this request comes from another site")]
    OtherSite,
    /// The device cannot be asked.
    #[error("device `{device}`: {source}")]
    Tunnel {
        /// Its name.
        device: String,
        /// Why.
        source: TunnelError,
    },
    /// The device did it, and cannot be asked since.
    #[error("device `{device}`: {message}")]
    CutOff {
        /// Its name.
        device: String,
        /// What was done, and what becomes of it.
        message: String,
    },
    /// The device said no, or something strange.
    #[error("device `{device}` answered {status}: {message}")]
    Device {
        /// Its name.
        device: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        message: String,
    },
    /// Too much at the same time.
    #[error("{0}")]
    Busy(&'static str),
    /// The store failed.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    /// We failed.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// The request is wrong at `pointer`.
    pub fn invalid(
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::Invalid { pointer: pointer.into(), message: message.into() }
    }

    /// What was to be done with a device that somebody has deleted meanwhile.
    pub(crate) fn device_deleted() -> Self {
        let message = "the device was deleted".to_owned();
        Self::Conflict { pointer: None, message }
    }

    /// There is no `kind` named `name`.
    #[must_use]
    pub fn not_found(kind: &'static str, name: &str) -> Self {
        let name = name.chars().take(100).collect();
        Self::NotFound { kind, name }
    }

    /// The state of things forbids what is asked for at `pointer`.
    pub fn conflict(pointer: &str, message: impl Into<String>) -> Self {
        let pointer = Some(pointer.to_owned());
        Self::Conflict { pointer, message: message.into() }
    }

    /// Where the request is wrong.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Invalid { pointer, .. } => Some(pointer),
            Self::Conflict { pointer, .. } => pointer.as_deref(),
            _ => None,
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.facts().0
    }

    /// What programs tell this error by.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.facts().1
    }

    fn facts(&self) -> (StatusCode, &'static str) {
        use TunnelError as T;
        match self {
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated")
            }
            Self::WrongPassword => (StatusCode::UNAUTHORIZED, "wrong_password"),
            Self::Throttled { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "throttled")
            }
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            Self::OtherSite => (StatusCode::FORBIDDEN, "other_site"),
            Self::CutOff { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "device_cut_off")
            }
            Self::Tunnel { source, .. } => match source {
                T::Offline => {
                    (StatusCode::SERVICE_UNAVAILABLE, "device_offline")
                }
                T::Timeout(_) => {
                    (StatusCode::GATEWAY_TIMEOUT, "device_timeout")
                }
                T::Lost(_) => (StatusCode::BAD_GATEWAY, "device_lost"),
                T::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "device_busy"),
                T::Request(_) => (StatusCode::BAD_REQUEST, "bad_request"),
                T::Grant(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            },
            Self::Device { status, .. } => match status.as_u16() {
                400..=499 => (StatusCode::CONFLICT, "device_refused"),
                _ => (StatusCode::BAD_GATEWAY, "device_failed"),
            },
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
            Self::Internal(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthenticated | Self::WrongPassword => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"on-prem\""),
            )),
            Self::Throttled { seconds } => {
                Some((header::RETRY_AFTER, HeaderValue::from(*seconds)))
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some((header::RETRY_AFTER, HeaderValue::from(5)))
            }
            _ => None,
        }
    }

    /// The answer to the request that met this error, which is logged when
    /// it is ours.
    pub(crate) fn failure(self, rqctx: &RequestContext<Fleet>) -> Failure {
        let operation = &*rqctx.endpoint.operation_id;
        match self.status().as_u16() {
            500 => error!(error = %Chain(&self), operation, "request failed"),
            501.. => warn!(error = %Chain(&self), operation, "request failed"),
            _ => {}
        }
        Failure {
            error_code: Some(self.code().to_owned()),
            message: self.to_string(),
            pointer: self.pointer().map(str::to_owned),
            request_id: rqctx.request_id.clone(),
            status: self.status(),
            header: self.header(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => {
                Self::Conflict { pointer: None, message: error.to_string() }
            }
            StoreError::Taken { key, .. } => {
                Self::conflict(&format!("/{key}"), error.to_string())
            }
            StoreError::Failed(_) => Self::Store(error),
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        let message = error.external_message;
        match error.status_code.as_status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            status if status.is_server_error() => {
                Self::Internal(anyhow::Error::msg(error.internal_message))
            }
            // Dropshot has no other word for a body past its bound.
            _ if message.contains("exceeded maximum size") => Self::TooLarge,
            _ => Self::BadRequest(message),
        }
    }
}

/// Why a request was not served.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct Failure {
    /// What programs tell errors by, such as `not_found` or `device_offline`;
    /// absent where no operation has this path and method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    error_code: Option<String>,
    /// What is wrong, for people.
    message: String,
    /// Where the request is wrong: a JSON pointer into its body, or `?name`
    /// for a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    pointer: Option<String>,
    /// The id of the request, as in the log and in `x-request-id`.
    request_id: String,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    header: Option<(HeaderName, HeaderValue)>,
}

/// A text that is absent rather than null.
fn text(
    generator: &mut schemars::r#gen::SchemaGenerator,
) -> schemars::schema::Schema {
    String::json_schema(generator)
}

impl Failure {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole answer.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.extend(self.header);
        response
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<HttpError> for Failure {
    /// What dropshot itself refuses before an operation is reached.
    fn from(error: HttpError) -> Self {
        Self {
            status: error.status_code.as_status(),
            error_code: error.error_code,
            message: error.external_message,
            pointer: None,
            request_id: String::new(),
            header: None,
        }
    }
}

impl HttpResponseError for Failure {
    fn status_code(&self) -> ErrorStatusCode {
        ErrorStatusCode::from_status(self.status)
            .unwrap_or(ErrorStatusCode::INTERNAL_SERVER_ERROR)
    }
}
