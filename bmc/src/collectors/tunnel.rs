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
    state: OnceLock<(String, watch::Receiver<State>)>,
}

impl Tunnel {
    /// Follows the task that calls the fleet at `url`; the first one counts.
    pub fn follow(&self, url: String, state: watch::Receiver<State>) {
        let _ = self.state.set((url, state));
    }

    /// Where the fleet is, where there is one.
    #[must_use]
    pub fn fleet(&self) -> Option<&str> {
        self.state.get().map(|(url, _)| &**url)
    }

    /// How things stand; nothing where there is no fleet.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.state.get().map(|(_, state)| state.borrow().clone())
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
