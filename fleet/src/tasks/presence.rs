//! Notes when devices come and go.

use futures_util::future::join_all;
use onprem_link::log::Chain;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Fleet,
    api::{EventKind, Severity},
    devices::says_where,
    events,
    store::StoreError,
    tunnel::Change,
};

/// Devices that are noted together, after the fleet restarted, say.
const TOGETHER: usize = 256;

/// Follows the tunnels until `stop`.
pub async fn run(
    fleet: Fleet,
    mut changes: Receiver<Change>,
    stop: CancellationToken,
) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => return,
        };
        let mut group = match change {
            Ok(change) => vec![change],
            Err(RecvError::Lagged(missed)) => {
                warn!(missed, "devices came and went too fast to note all");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        while group.len() < TOGETHER
            && let Ok(change) = changes.try_recv()
        {
            group.push(change);
        }
        join_all(group.into_iter().map(|change| note(&fleet, change))).await;
    }
}

async fn note(fleet: &Fleet, change: Change) {
    let Change { device, online, peer, at } = change;
    if !online {
        fleet.abilities().forget(device);
    }
    let noted = fleet
        .devices()
        .table
        .update(&device.to_string(), |device| {
            // Changes of one group are noted at the same time.
            if device.last_seen.is_none_or(|seen| seen <= at) {
                device.last_seen = Some(at);
                let peer = peer.ip().to_canonical();
                if device.last_ip_addr.is_none() || says_where(peer) {
                    device.last_ip_addr = Some(peer);
                }
            }
            Ok::<_, StoreError>(())
        })
        .await;
    let device = match noted {
        Ok(Some(device)) => device,
        // It was deleted, and cut off for that.
        Ok(None) => return,
        Err(error) => {
            warn!(error = %Chain(&error), %device, "presence not noted");
            return;
        }
    };
    info!(device = %device.name, online, %peer, "device");
    let (kind, severity, what) = if online {
        (EventKind::DeviceOnline, Severity::Info, "is online")
    } else {
        (EventKind::DeviceOffline, Severity::Warning, "is offline")
    };
    let message = format!("{} {what}", device.name);
    let event = events::about(&device, kind, severity, message);
    fleet.events().tell(event).await;
}
