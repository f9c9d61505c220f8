//! `OutboundConnection`: the way to the fleet.
//!
//! It is shown where a fleet is configured, and cannot be written: the agent
//! joins its fleet by configuration and a join token. `EndpointURI` is left
//! out, since the schema says that it leads to a WebSocket and the tunnel is
//! none (it is HTTP/2 in TLS, after an upgrade to `onprem-tunnel`).

use onprem_redfish::schema::{
    outbound_connection::{
        self, AuthenticationType, OutboundConnectionRetryPolicyType,
        RetryPolicyType,
    },
    outbound_connection_collection::OutboundConnectionCollection,
    resource::{Health, State, Status},
};

use crate::{
    phone_home,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

const ID: &str = "Fleet";
/// What the fleet's people can be on this machine.
const ROLES: [&str; 3] = ["Administrator", "Operator", "ReadOnly"];

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
        fleet(view)?;
        let uris = [uri::of(uri::OUTBOUND_CONNECTION, &[ID])];
        let name = "Outbound connections";
        let body = OutboundConnectionCollection::new("", name, uris);
        Some(answer(body.members_count(1)))
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
        let (url, state) = fleet(view)?;
        let retry = RetryPolicyType::new().connection_retry_policy(
            OutboundConnectionRetryPolicyType::RetryForever,
        );
        let body = Typed::new("", ID, "Tunnel to the fleet")
            .description(format!("The fleet is at {url}; {}.", told(&state)))
            .authentication(AuthenticationType::Mtls)
            .connection_enabled(true)
            // What a request through it may do, its signed grant says.
            .roles(ROLES)
            .retry_policy(retry)
            // The tunnel has a keep-alive of its own.
            .web_socket_ping_interval_minutes(0)
            .status(status(&state));
        Some(answer(body))
    }
}

/// Where the fleet is and how things stand with it, if there is one.
fn fleet(view: &View<'_>) -> Option<(String, phone_home::State)> {
    let tunnel = &view.service.exporter.metrics().tunnel;
    Some((tunnel.fleet()?.to_owned(), tunnel.state()?))
}

fn status(state: &phone_home::State) -> Status {
    use phone_home::State as Tunnel;
    let (state, health) = match state {
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
        Tunnel::Connected { device } => format!("connected as {device}"),
        Tunnel::Connecting { problem: None } => "on the way".to_owned(),
        Tunnel::Connecting { problem: Some(problem) } => {
            format!("not connected: {problem}")
        }
        Tunnel::Waiting { .. } => "waiting for approval".to_owned(),
        Tunnel::NoToken => "waiting for a join token".to_owned(),
        Tunnel::Refused { message } => format!("refused: {message}"),
    }
}
