//! Looks again and again which parts are there.

use std::time::Duration;

use onprem_link::task::{Tasks as _, blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use super::{poll::poll, pulse::Pulse};
use crate::{
    boards::{Board, Scan, look},
    commands::Commands,
    model::Model,
};

/// How often links, addresses and disks are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Scans `board` until `stop`, and polls parts that come.
pub(crate) async fn scan(
    mut board: Box<dyn Board>,
    model: Model,
    commands: Commands,
    tasks: TaskTracker,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let scanning = blocking(move || {
            let scan = look(&mut *board);
            (board, scan)
        });
        let scanned = tokio::select! {
            () = stop.cancelled() => return,
            scanned = scanning => scanned,
        };
        let found = match scanned {
            Ok((back, found)) => {
                board = back;
                found
            }
            Err(error) => {
                error!(%error, "inventory lost");
                return;
            }
        };
        model.update_inventory(found.inventory);
        Scan::tell_troubles(found.troubles, &model);
        for driver in found.drivers {
            info!(driver = driver.name(), "part found");
            let (model, commands) = (model.clone(), commands.clone());
            let (pulse, stop) = (pulse.clone(), stop.child_token());
            tasks.start(poll(driver, model, commands, pulse, stop));
        }
    }
}
