//! How the agent stands with its fleet, as the service shows it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, SecondsFormat, Utc};
use onprem_link::{id::Xid, task::Tasks as _};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{Service, error::Error, exchange::Exchange, resource::Origin, uri};
use crate::phone_home::{Line, State, Wanted};

/// The id of the only connection.
pub(super) const ID: &str = "Fleet";

/// The way to the fleet, and how things stand there.
#[derive(Debug)]
pub(super) struct Fleet {
    line: Arc<Line>,
    now: ArcSwap<Now>,
}

/// How things stand.
#[derive(Debug)]
struct Now {
    state: State,
    since: DateTime<Utc>,
    /// The session that stands for the connection.
    session: String,
}

impl Now {
    fn of(state: State) -> Self {
        let session = Xid::new().to_string();
        Self { state, since: Utc::now(), session }
    }
}

/// The tunnel, while it is open.
pub(super) struct Tunnel {
    /// The id of the session that stands for it.
    pub(super) session: String,
    /// The fleet's end of it.
    pub(super) peer: SocketAddr,
    pub(super) since: DateTime<Utc>,
}

impl Service {
    /// Shows the fleet that `line` leads to, until `stop`.
    pub(crate) fn show_fleet(
        self: &Arc<Self>,
        line: Arc<Line>,
        stop: CancellationToken,
    ) {
        let mut states = line.states();
        let now = Now::of(states.borrow_and_update().clone());
        let now = ArcSwap::from_pointee(now);
        if self.fleet.set(Fleet { line, now }).is_err() {
            return;
        }
        self.touch();
        let service = Arc::clone(self);
        self.tasks.start(async move {
            let following = async {
                while states.changed().await.is_ok() {
                    let Some(fleet) = service.fleet.get() else { return };
                    let state = states.borrow_and_update().clone();
                    // Another try that failed as the one before is no news.
                    if state == fleet.now.load().state {
                        continue;
                    }
                    fleet.now.store(Arc::new(Now::of(state)));
                    service.touch();
                    let place = uri::of(uri::OUTBOUND_CONNECTION, &[ID]);
                    service.events.resource_changed(&place);
                }
            };
            stop.run_until_cancelled(following).await;
        });
    }

    /// The way to a fleet.
    pub(super) fn line(&self) -> Result<&Line, Error> {
        let fleet = self.fleet.get();
        let fleet =
            fleet.ok_or_else(|| Error::not_found(uri::OUTBOUND_CONNECTIONS))?;
        Ok(&fleet.line)
    }

    /// The fleet, and how things stand with it.
    pub(super) fn connection(&self) -> Option<(Wanted, State)> {
        let fleet = self.fleet.get()?;
        Some((fleet.line.wanted()?, fleet.now.load().state.clone()))
    }

    /// The tunnel, if it is open.
    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        let now = self.fleet.get()?.now.load();
        let State::Connected { peer, .. } = now.state else { return None };
        let session = now.session.clone();
        Some(Tunnel { session, peer, since: now.since })
    }

    /// The client's address: `peer`, or the fleet's where it asks.
    pub(super) fn far_end(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.or_else(|| Some(self.tunnel()?.peer.ip()))
    }

    /// `Fleet` of the schema `OnPremManager`.
    pub(super) fn fleet_shown(&self) -> Option<Value> {
        let fleet = self.fleet.get()?;
        let url = fleet.line.wanted()?.fleet_url;
        Some(shown(&url, &fleet.now.load()))
    }
}

impl Exchange<'_> {
    /// The client's end of the connection.
    pub(super) fn far_end(&self) -> Option<SocketAddr> {
        match self.origin {
            Origin::Tls { peer, .. } => Some(*peer),
            Origin::Tunnel(_) => Some(self.service.tunnel()?.peer),
        }
    }
}

fn shown(url: &str, now: &Now) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: &str| {
        shown.insert(name.to_owned(), value.into());
    };
    put("URL", url);
    put("Since", &now.since.to_rfc3339_opts(SecondsFormat::Secs, true));
    let state = match &now.state {
        State::Absent | State::Disabled => "Disabled",
        State::NoToken => "NoToken",
        State::Connecting { problem } => {
            if let Some(problem) = problem {
                put("Problem", problem);
            }
            "Connecting"
        }
        State::Waiting { device } => {
            put("DeviceId", &device.to_string());
            "Waiting"
        }
        State::Connected { device, .. } => {
            put("DeviceId", &device.to_string());
            "Connected"
        }
        State::Refused { message } => {
            put("Problem", message);
            "Refused"
        }
    };
    put("State", state);
    shown.into()
}
