//! `/metrics`: what the agent knows, as Prometheus reads it. One file a family
//! of metrics; a scrape never touches hardware.

mod build;
mod process;
mod readings;
mod requests;
mod system;
mod text;
mod tunnel;

use std::sync::Arc;

use tokio::time::Instant;

use self::text::Text;
pub use self::{requests::Requests, tunnel::Tunnel};
use crate::model::{Model, Snapshot};

/// The type of a scrape's body.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is made from.
struct Scrape<'a> {
    snapshot: &'a Snapshot,
    metrics: &'a Metrics,
    now: Instant,
}

/// Writes one family of metrics.
type Collect = fn(&Scrape<'_>, &mut Text);

/// All families, in the order of the scrape.
const COLLECTORS: &[Collect] = &[
    build::collect,
    process::collect,
    system::collect,
    readings::collect,
    requests::collect,
    tunnel::collect,
];

/// What the agent counts about itself.
#[derive(Debug)]
pub struct Metrics {
    /// Redfish requests answered.
    pub requests: Requests,
    /// The connection to the fleet.
    pub tunnel: Tunnel,
    started: Instant,
}

/// Answers scrapes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exporter {
    model: Model,
    metrics: Arc<Metrics>,
}

impl Exporter {
    /// The exporter of `model`, of a process that starts now.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let metrics = Metrics {
            requests: Requests::default(),
            tunnel: Tunnel::default(),
            started: Instant::now(),
        };
        Self { model, metrics: Arc::new(metrics) }
    }

    /// The counters, to be counted up.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A scrape's body.
    #[must_use]
    pub fn render(&self) -> String {
        let snapshot = self.model.snapshot();
        let scrape = Scrape {
            snapshot: &snapshot,
            metrics: &self.metrics,
            now: Instant::now(),
        };
        let mut text = Text::default();
        for collect in COLLECTORS {
            collect(&scrape, &mut text);
        }
        text.finish()
    }
}
