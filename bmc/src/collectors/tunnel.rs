//! The connection to the fleet.

use std::sync::OnceLock;

use tokio::sync::watch;

use super::{
    Scrape,
    text::{Kind, Text},
};
use crate::phone_home::State;

/// How things stand with the fleet, once the agent calls home.
#[derive(Debug, Default)]
pub struct Tunnel {
    state: OnceLock<watch::Receiver<State>>,
}

impl Tunnel {
    /// Follows the task that calls the fleet; the first one counts.
    pub fn follow(&self, state: watch::Receiver<State>) {
        let _ = self.state.set(state);
    }

    /// How things stand; nothing where there is no fleet.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let state = self.state.get()?.borrow().clone();
        (state != State::Absent).then_some(state)
    }
}

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    let Some(state) = scrape.metrics.tunnel.state() else { return };
    text.single(
        "onprem_tunnel_connected",
        Kind::Gauge,
        "Whether the fleet can reach the agent: 1 or 0.",
        u8::from(matches!(state, State::Connected { .. })),
    );
    let name = "onprem_tunnel_info";
    text.begin(name, Kind::Gauge, "How things stand with the fleet; always 1.");
    text.line(name, &[("state", state.name())], 1);
}
