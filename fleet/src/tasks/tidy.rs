//! Forgets what has ended: sessions, tokens, wrong passwords.

use std::time::Duration;

use onprem_link::log::Chain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Fleet, store::StoreError};

/// How often.
const EVERY: Duration = Duration::from_mins(5);

/// Tidies until `stop`.
pub async fn run(fleet: Fleet, stop: CancellationToken) {
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = tidy(&fleet).await {
            warn!(error = %Chain(&error), "not tidied");
        }
    }
}

async fn tidy(fleet: &Fleet) -> Result<(), StoreError> {
    fleet.auth().tidy().await?;
    fleet.join_tokens().tidy().await
}
