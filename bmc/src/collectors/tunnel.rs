//! The connection to the fleet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{
    Scrape,
    text::{Kind, Text},
};

/// Whether the agent is connected to the fleet, and how often it had to try.
#[derive(Debug, Default)]
pub struct Tunnel {
    configured: AtomicBool,
    connected: AtomicBool,
    attempts: AtomicU64,
    connects: AtomicU64,
}

impl Tunnel {
    /// There is a fleet to connect to.
    pub fn configured(&self) {
        self.configured.store(true, Ordering::Relaxed);
    }

    /// The agent dials.
    pub fn dialling(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// The connection stands.
    pub fn connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
    }

    /// The connection is gone.
    pub fn lost(&self) {
        self.connected.store(false, Ordering::Relaxed);
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    let tunnel = &scrape.metrics.tunnel;
    if !tunnel.configured.load(Ordering::Relaxed) {
        return;
    }
    text.single(
        "onprem_tunnel_connected",
        Kind::Gauge,
        "Whether the agent is connected to the fleet: 1 or 0.",
        u8::from(tunnel.is_connected()),
    );
    text.single(
        "onprem_tunnel_attempts_total",
        Kind::Counter,
        "How often the agent dialled the fleet.",
        tunnel.attempts.load(Ordering::Relaxed),
    );
    text.single(
        "onprem_tunnel_connects_total",
        Kind::Counter,
        "How often the connection to the fleet came up.",
        tunnel.connects.load(Ordering::Relaxed),
    );
}
