//! Status codes and the DMTF messages that go with them.

use std::{io, time::Duration};

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};
use onprem_link::{file, log::Chain, span::in_words};
use onprem_redfish::message::{self, Message, base};
use serde_json::Value;

use super::uri;
use crate::{
    accounts::{ChangeError, Denied},
    commands::CommandError,
    model::Part,
    server::TrustError,
};

const CHALLENGE: HeaderValue =
    HeaderValue::from_static(r#"Basic realm="on-prem", charset="UTF-8""#);

/// Why a request was not carried out, in the protocol's own words.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) status: StatusCode,
    pub(crate) messages: Vec<Message>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Error {
    pub(crate) fn new(status: StatusCode, message: Message) -> Self {
        Self { status, messages: vec![message], headers: Vec::new() }
    }

    /// The request itself is wrong, in all these ways.
    pub(crate) fn bad(messages: Vec<Message>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, messages, headers: Vec::new() }
    }

    /// The same with another word on what to do about it.
    pub(crate) fn resolved_by(mut self, advice: &str) -> Self {
        let messages = self.messages.into_iter();
        self.messages =
            messages.map(|it| it.resolved_by(advice.to_owned())).collect();
        self
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Nobody said who asks, or who says so cannot prove it.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, base::no_valid_session())
            .with(WWW_AUTHENTICATE, CHALLENGE)
    }

    /// A client certificate lets nobody in, and this is why.
    pub(crate) fn uncertified(why: &str) -> Self {
        let message = base::no_valid_session();
        let advice = format!("Show another client certificate: {why}.");
        Self::new(StatusCode::UNAUTHORIZED, message.resolved_by(advice))
            .with(WWW_AUTHENTICATE, CHALLENGE)
    }

    /// What has to be on disk is not, because of `error`.
    pub(crate) fn unstored(error: &io::Error) -> Self {
        if !file::is_full(error) {
            return Self::internal();
        }
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            base::insufficient_storage(),
        )
    }

    /// Who asks may not.
    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, base::insufficient_privilege())
    }

    /// Who asks may do nothing but change the password at `account`.
    pub(crate) fn password_change_required(account: &str) -> Self {
        let message = base::password_change_required(account);
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(uri: &str) -> Self {
        let message = base::resource_missing_at_uri(uri);
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The resource knows other methods only.
    pub(crate) fn method_not_allowed(allow: HeaderValue) -> Self {
        let message = base::operation_not_allowed();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message).with(ALLOW, allow)
    }

    /// No resource knows the method.
    pub(crate) fn method_unknown() -> Self {
        let message = base::operation_not_allowed();
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, base::internal_error())
    }

    /// A bound is reached; it may work in `seconds`.
    pub(crate) fn busy(seconds: u32) -> Self {
        let text = seconds.to_string();
        let message = base::service_temporarily_unavailable(text);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn malformed() -> Self {
        Self::bad(vec![base::malformed_json()])
    }

    pub(crate) fn too_large() -> Self {
        let message = base::payload_too_large();
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The request's `header` cannot be honoured.
    pub(crate) fn header(status: StatusCode, header: &str) -> Self {
        Self::new(status, base::header_invalid(header))
    }

    /// Another version is there than the one the caller knows.
    pub(crate) fn precondition_failed() -> Self {
        let message = base::precondition_failed();
        Self::new(StatusCode::PRECONDITION_FAILED, message)
    }

    /// The error object of DSP0266.
    pub(crate) fn body(&self) -> Value {
        message::error(&self.messages)
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong | Denied::NowLocked | Denied::Locked => {
                let message = base::no_valid_session();
                let message = message.resolved_by(WRONG_CREDENTIALS);
                Self::new(StatusCode::UNAUTHORIZED, message)
                    .with(WWW_AUTHENTICATE, CHALLENGE)
            }
            Denied::Busy => Self::busy(1),
        }
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        match &error {
            ChangeError::Exists(name) => Self::new(
                StatusCode::CONFLICT,
                base::resource_already_exists(
                    "ManagerAccount",
                    "UserName",
                    name,
                ),
            ),
            ChangeError::Unknown(name) => Self::new(
                StatusCode::NOT_FOUND,
                base::resource_not_found("ManagerAccount", name),
            ),
            ChangeError::Full => Self::new(
                StatusCode::CONFLICT,
                base::create_limit_reached_for_resource(),
            ),
            ChangeError::PasswordLength { minimum, maximum } => {
                let message = base::password_incorrect_length().resolved_by(
                    format!("Send {minimum} to {maximum} characters."),
                );
                Self::bad(vec![message.about("/Password")])
            }
            ChangeError::PasswordReused(last) => {
                let message = base::password_reuse_too_recent().resolved_by(
                    format!("Send none of the last {last} passwords."),
                );
                Self::bad(vec![message.about("/Password")])
            }
            ChangeError::LastAdministrator(_) | ChangeError::RoleInUse(_) => {
                let message = base::resource_in_use();
                let message = message.resolved_by(format!("Here {error}."));
                Self::new(StatusCode::CONFLICT, message)
            }
            ChangeError::UnknownRole(id) => {
                let message = base::property_value_not_in_list(id, "RoleId");
                Self::bad(vec![message.about("/RoleId")])
            }
            ChangeError::RoleName(id) => {
                let message = base::property_value_format_error(id, "RoleId");
                Self::bad(vec![message.about("/RoleId")])
            }
            ChangeError::RoleExists(id) => Self::new(
                StatusCode::CONFLICT,
                base::resource_already_exists("Role", "RoleId", id),
            ),
            ChangeError::Predefined(id) => {
                let message = base::resource_cannot_be_deleted();
                let message = message
                    .resolved_by(format!("The role {id} is predefined."));
                Self::new(StatusCode::FORBIDDEN, message)
            }
            ChangeError::Busy => Self::busy(1),
            ChangeError::Store { source, .. } => {
                tracing::error!(error = %Chain(&error), "account not changed");
                Self::unstored(source)
            }
        }
    }
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        const TEXT: &str = "CertificateString";
        let about = format!("/{TEXT}");
        match &error {
            TrustError::NoCertificate | TrustError::NoIssuer => {
                let message = base::property_value_error(TEXT);
                let message = message.resolved_by(format!("Here {error}."));
                Self::bad(vec![message.about(about)])
            }
            TrustError::Known(id) => {
                let message = base::resource_already_exists(
                    "Certificate",
                    "Id",
                    id.to_string(),
                );
                Self::new(StatusCode::CONFLICT, message.about(about))
            }
            TrustError::Full => Self::new(
                StatusCode::CONFLICT,
                base::create_limit_reached_for_resource(),
            ),
            TrustError::Needed(_) => {
                let message = base::resource_in_use();
                let message = message.resolved_by(format!("Here {error}."));
                Self::new(StatusCode::CONFLICT, message)
            }
            TrustError::Unknown(id) => Self::new(
                StatusCode::NOT_FOUND,
                base::resource_not_found("Certificate", id.to_string()),
            ),
            TrustError::Store { source, .. } => {
                let error = Chain(&error);
                tracing::error!(%error, "client certificates not changed");
                Self::unstored(source)
            }
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        tracing::warn!(%error, "command not carried out");
        match error {
            CommandError::Unknown { part } => Self::new(
                StatusCode::NOT_FOUND,
                base::resource_not_found(part.to_string(), ""),
            ),
            CommandError::Unsupported { what, .. } => {
                Self::bad(vec![base::action_not_supported(what)])
            }
            CommandError::Refused { part, key, .. } => {
                let at = match &part {
                    Part::Chassis(id) if key == "allow_network_changes" => {
                        uri::of(uri::FABRIC, &[id])
                    }
                    Part::System(id) if key == "allow_power_model" => {
                        uri::of(uri::SYSTEM, &[id])
                    }
                    part => reset_uri(part),
                };
                let message = base::service_disabled(at);
                let message = if key == "allow_host_power" {
                    message.resolved_by(ALLOW_HOST_POWER)
                } else {
                    message.resolved_by(format!("Set `{key} = true`."))
                };
                Self::new(StatusCode::FORBIDDEN, message)
            }
            CommandError::Invalid { what, value, .. } => {
                let message = base::property_value_format_error(value, what);
                Self::bad(vec![message.about(format!("/{what}"))])
            }
            CommandError::Volume { fault } => {
                let message = base::resource_in_use();
                let message = message.resolved_by(format!("Here {fault}."));
                Self::new(StatusCode::CONFLICT, message)
            }
            CommandError::Alarm { part, sensor } => {
                let id = match &part {
                    Part::System(id)
                    | Part::Chassis(id)
                    | Part::Manager(id) => id,
                };
                let message = base::property_value_resource_conflict(
                    "ControlMode",
                    "Manual",
                    uri::of(uri::SENSOR, &[id, &sensor]),
                );
                let message = message.about("/ControlMode");
                Self::new(StatusCode::CONFLICT, message)
            }
            CommandError::Off { .. } => {
                Self::new(StatusCode::CONFLICT, base::resource_in_standby())
            }
            CommandError::Interlock { other, .. } => {
                let message = base::property_value_resource_conflict(
                    "SetPoint", "100", other,
                );
                let message = message.about("/SetPoint");
                Self::new(StatusCode::CONFLICT, message)
            }
            CommandError::TooSoon { wait, .. } => {
                // What is left of a second counts.
                let seconds = wait.as_secs().saturating_add(1);
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                let text = seconds.to_string();
                let message = base::service_temporarily_unavailable(text);
                let message = message.resolved_by(TOO_SOON);
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
                    .with(RETRY_AFTER, HeaderValue::from(seconds))
            }
            CommandError::TooOften { limit, wait, .. } => {
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                let text = seconds.max(1).to_string();
                let message = base::service_temporarily_unavailable(text);
                let message = message.resolved_by(too_often(limit, wait));
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
                    .with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
            }
            CommandError::Unconfirmed { .. } => {
                let message = base::resource_in_use();
                let message = message.resolved_by(UNCONFIRMED);
                Self::new(StatusCode::CONFLICT, message)
            }
            CommandError::Busy { .. } => Self::busy(2),
            CommandError::Timeout { .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                base::operation_timeout(),
            ),
            CommandError::Full { .. } => {
                Self::unstored(&io::ErrorKind::StorageFull.into())
            }
            CommandError::Failed { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                base::operation_failed(),
            ),
        }
    }
}

/// What to do while a change of the network waits.
const UNCONFIRMED: &str = "A change of the network waits: confirm it with the \
    action of its fabric, or delete its task, or wait until it is undone.";

fn reset_uri(part: &Part) -> String {
    match part {
        Part::System(id) => {
            uri::of(uri::SYSTEM, &[id]) + "/Actions/ComputerSystem.Reset"
        }
        Part::Chassis(id) => {
            uri::of(uri::CHASSIS, &[id]) + "/Actions/Chassis.Reset"
        }
        Part::Manager(id) => {
            uri::of(uri::MANAGER, &[id]) + "/Actions/Manager.Reset"
        }
    }
}

const TOO_SOON: &str = "The switch stays as it is for as long as \
    `least_on_seconds` or `least_off_seconds` in the board file says: wait.";

/// When it can be started again, and why not now.
fn too_often(limit: usize, wait: Duration) -> String {
    if limit == 0 {
        return "`cycles_per_hour = 0` in the board file allows no start."
            .to_owned();
    }
    let times = if limit == 1 { "once" } else { &format!("{limit} times") };
    format!(
        "The system was started {times} within an hour, as often as \
         `cycles_per_hour` in the board file allows: it can be started again \
         in {}.",
        in_words(wait)
    )
}

const ALLOW_HOST_POWER: &str = "Set `allow_host_power = true` in the \
    configuration of the agent to let it change the power of its own host.";

const WRONG_CREDENTIALS: &str = "The user name or the password is wrong, or \
    the account is locked for a while: check both, and wait before the next \
    try.";
