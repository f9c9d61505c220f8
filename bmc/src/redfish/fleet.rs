//! How the agent stands with its fleet, as the manager shows it.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::phone_home::State;

/// How the agent stands with its fleet.
#[derive(Debug)]
pub(super) struct Fleet {
    url: Arc<str>,
    state: State,
    since: DateTime<Utc>,
}

impl Fleet {
    /// `Fleet` of the schema `OnPremManager`.
    pub(super) fn show(&self) -> Value {
        let mut shown = Map::new();
        let mut put = |name: &str, value: &str| {
            shown.insert(name.to_owned(), value.into());
        };
        put("URL", &self.url);
        let since = self.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        put("Since", &since);
        let state = match &self.state {
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
            State::Connected { device } => {
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
}

/// Shows in `service` how things stand with the fleet at `url`, until `stop`.
pub(crate) async fn follow(
    service: Arc<Service>,
    url: String,
    mut states: watch::Receiver<State>,
    stop: CancellationToken,
) {
    let url: Arc<str> = url.into();
    loop {
        let state = states.borrow_and_update().clone();
        let (url, since) = (Arc::clone(&url), Utc::now());
        service.fleet.store(Some(Arc::new(Fleet { url, state, since })));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = states.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
