//! `OutboundConnection`: the way to the fleet.
//!
//! A POST joins a fleet and a DELETE leaves it; where the configuration names
//! a fleet, it is there from the start. In one thing this is not what the
//! schema says: the tunnel is no WebSocket but HTTP/2 in TLS, after an upgrade
//! to `onprem-tunnel`, so that `EndpointURI` begins with `https` and is
//! refused with `wss`.

use http::StatusCode;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        outbound_connection::{
            self, AuthenticationType, Links, OutboundConnectionRetryPolicyType,
            RetryPolicyType,
        },
        outbound_connection_collection::OutboundConnectionCollection,
        resource::{Health, State, Status},
    },
};
use serde_json::{Value, json};

use super::With as _;
use crate::{
    phone_home::{self, LineError},
    redfish::{
        error::Error,
        fleet::ID,
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        uri,
    },
};

/// What the fleet's people can be on this machine.
pub(super) const ROLES: [&str; 3] = ["Administrator", "Operator", "ReadOnly"];
const ENDPOINT: &str = "EndpointURI";
const ENABLED: &str = "/ConnectionEnabled";
const HEADERS: &str = "PreUpgradeHTTPHeaders";
const RETRY: &str = "/RetryPolicy/ConnectionRetryPolicy";
const PING: &str = "/WebSocketPingIntervalMinutes";

/// `/redfish/v1/AccountService/OutboundConnections`
pub(crate) struct OutboundConnections;

impl Resource for OutboundConnections {
    fn uri(&self) -> &'static str {
        uri::OUTBOUND_CONNECTIONS
    }

    fn kind(&self) -> &'static str {
        "OutboundConnectionCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let wanted = view.service.line().ok()?.wanted();
        let uris = wanted.iter().map(|_| here());
        let name = "Outbound connections";
        let body = OutboundConnectionCollection::new("", name, uris);
        Some(answer(body.members_count(wanted.iter().len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "/EndpointURI",
            "/Authentication",
            "/Roles",
            "/PreUpgradeHTTPHeaders",
            PING,
            ENABLED,
            RETRY,
        ])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let line = write.service.line()?;
            only(write, "/Authentication", &json!("MTLS"))?;
            only(write, PING, &json!(0))?;
            only(write, RETRY, &json!("RetryForever"))?;
            let mut roles = write.texts("/Roles").unwrap_or_default();
            roles.sort();
            if roles != ROLES {
                let text = roles.join(", ");
                let message = base::property_value_incorrect("Roles", text);
                return Err(Error::bad(vec![
                    message.about("/Roles").resolved_by(format!(
                        "Send {}: each request of the fleet says which one \
                         counts.",
                        ROLES.join(", ")
                    )),
                ]));
            }
            let token = token(write)?;
            let url = write.text("/EndpointURI").unwrap_or_default();
            let enabled = write.flag(ENABLED).unwrap_or(true);
            line.join(url, token, enabled).await.map_err(refused)?;
            tracing::info!(fleet = url, "to join this fleet");
            Ok(here().into())
        })
    }
}

/// `/redfish/v1/AccountService/OutboundConnections/{OutboundConnectionId}`
pub(crate) struct OutboundConnection;

impl Resource for OutboundConnection {
    fn uri(&self) -> &'static str {
        uri::OUTBOUND_CONNECTION
    }

    fn kind(&self) -> &'static str {
        "OutboundConnection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use outbound_connection::OutboundConnection as Typed;
        if ids != [ID] {
            return None;
        }
        let (wanted, state) = view.service.connection()?;
        let retry = RetryPolicyType::new().connection_retry_policy(
            OutboundConnectionRetryPolicyType::RetryForever,
        );
        let below = |pattern| Reference::new(uri::of(pattern, &[ID]));
        let session = view.service.tunnel().map(|tunnel| {
            let session = uri::of(uri::SESSION, &[tunnel.session]);
            Links::new().session(Reference::new(session))
        });
        let body = Typed::new("", ID, "Tunnel to the fleet")
            .description(format!("Tunnel to the fleet; {}.", told(&state)))
            .authentication(AuthenticationType::Mtls)
            .certificates(below(uri::FLEET_CERTIFICATES))
            .client_certificates(below(uri::FLEET_CLIENT_CERTIFICATES))
            .connection_enabled(wanted.enabled)
            .endpoint_uri(wanted.fleet_url)
            // What a request through it may do, its signed grant says.
            .roles(ROLES)
            .retry_policy(retry)
            // The tunnel has a keep-alive of its own.
            .web_socket_ping_interval_minutes(0)
            .with(session, Typed::links)
            .status(status(&state));
        let mut answer = answer(body);
        // They hold secrets.
        answer.body.insert(HEADERS.to_owned(), json!({}));
        Some(answer)
    }

    fn writable(&self) -> &'static [&'static str] {
        &[ENABLED]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let Some(enabled) = write.flag(ENABLED) else { return Ok(()) };
            let line = write.service.line()?;
            line.enable(enabled).await.map_err(refused)
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let line = write.service.line()?;
            line.leave().await.map_err(refused)?;
            tracing::info!("to leave the fleet");
            Ok(())
        })
    }
}

fn here() -> String {
    uri::of(uri::OUTBOUND_CONNECTION, &[ID])
}

/// Makes sure that a value, where there is one, is the one there can be.
fn only(
    write: &Write<'_>,
    pointer: &str,
    expected: &Value,
) -> Result<(), Error> {
    let Some(value) = write.values.get(pointer) else { return Ok(()) };
    if value == expected {
        return Ok(());
    }
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let plain = |it: &Value| match it {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let message = base::property_value_incorrect(name, plain(value));
    let advice = format!("Send {}: there is no other way.", plain(expected));
    Err(Error::bad(vec![message.about(pointer).resolved_by(advice)]))
}

/// The join token in the headers that are to be sent at first.
fn token<'a>(write: &'a Write<'_>) -> Result<&'a str, Error> {
    let pointer = format!("/{HEADERS}");
    let headers = write.values.get(&*pointer).and_then(Value::as_object);
    let advice = "Send {\"Authorization\": \"Bearer TOKEN\"} with a join \
        token of the fleet, and nothing else.";
    let Some(headers) = headers else {
        let message = base::property_missing(HEADERS).about(pointer);
        return Err(Error::bad(vec![message.resolved_by(advice)]));
    };
    let only = headers.iter().next().filter(|_| headers.len() == 1);
    let token = only.and_then(|(name, value)| {
        let (scheme, token) = value.as_str()?.split_once(' ')?;
        let known = name.eq_ignore_ascii_case("authorization")
            && scheme.eq_ignore_ascii_case("bearer");
        known.then_some(token.trim())
    });
    token.ok_or_else(|| bad_token(advice))
}

fn bad_token(advice: &'static str) -> Error {
    let message = base::property_value_error(HEADERS);
    let message = message.about(format!("/{HEADERS}"));
    Error::bad(vec![message.resolved_by(advice)])
}

/// Why the connection is not as it was asked for.
pub(super) fn refused(error: LineError) -> Error {
    match error {
        LineError::Taken => Error::new(
            StatusCode::CONFLICT,
            base::create_limit_reached_for_resource(),
        ),
        LineError::Absent => Error::not_found(&here()),
        LineError::Address(url) => {
            let message = base::property_value_format_error(url, ENDPOINT);
            Error::bad(vec![message.about(format!("/{ENDPOINT}")).resolved_by(
                "Send the fleet's listener for devices as \
                     https://host:port: the tunnel is no WebSocket.",
            )])
        }
        LineError::Token => {
            bad_token("Send a join token as the fleet made it.")
        }
        LineError::Keep(error) => {
            tracing::error!(%error, "connection to the fleet not kept");
            Error::unstored(&error)
        }
    }
}

fn status(state: &phone_home::State) -> Status {
    use phone_home::State as Tunnel;
    let (state, health) = match state {
        Tunnel::Absent | Tunnel::Disabled => (State::Disabled, Health::Ok),
        Tunnel::Connected { .. } => (State::Enabled, Health::Ok),
        Tunnel::Connecting { problem: None } => (State::Starting, Health::Ok),
        Tunnel::Connecting { .. } => {
            (State::UnavailableOffline, Health::Warning)
        }
        Tunnel::Waiting { .. } | Tunnel::NoToken => {
            (State::StandbyOffline, Health::Warning)
        }
        Tunnel::Refused { .. } => (State::UnavailableOffline, Health::Critical),
    };
    Status::new().state(state).health(health)
}

fn told(state: &phone_home::State) -> String {
    use phone_home::State as Tunnel;
    match state {
        Tunnel::Absent | Tunnel::Disabled => "not wanted".to_owned(),
        Tunnel::Connected { device, .. } => format!("connected as {device}"),
        Tunnel::Connecting { problem: None } => "on the way".to_owned(),
        Tunnel::Connecting { problem: Some(problem) } => {
            format!("not connected: {problem}")
        }
        Tunnel::Waiting { .. } => "waiting for approval".to_owned(),
        Tunnel::NoToken => "waiting for a join token".to_owned(),
        Tunnel::Refused { message } => format!("refused: {message}"),
    }
}
