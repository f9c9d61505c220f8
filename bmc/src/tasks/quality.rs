//! Marks readings that are overdue, and logs which sensors can be trusted.

use std::time::Duration;

use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::pulse::Pulse;
use crate::model::{Change, Id, Model, Quality};

/// How often overdue readings are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Looks after the quality of readings until `stop`.
pub(crate) async fn watch(model: Model, pulse: Pulse, stop: CancellationToken) {
    let mut changes = model.changes();
    let mut looks = interval(LOOK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {
                model.expire(Instant::now());
                pulse.beat();
            }
            change = changes.recv() => match change {
                Ok(Change::Quality(sensor)) => log(&model, &sensor),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

fn log(model: &Model, sensor: &Id) {
    let snapshot = model.snapshot();
    match snapshot.reading(sensor).map(|reading| &reading.quality) {
        Some(Quality::Good) => info!(%sensor, "sensor reads again"),
        Some(Quality::Stale) => warn!(%sensor, "sensor is stale"),
        Some(Quality::Failed(reason)) => {
            warn!(%sensor, %reason, "sensor failed");
        }
        None => {}
    }
}
