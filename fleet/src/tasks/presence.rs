//! Notes when devices come and go.
//!
//! While they are connected nothing is written for each of them: once a minute
//! the server notes that it is alive itself, and that is when those who were
//! connected were last seen, should it be killed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use onprem_link::log::Chain;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Fleet,
    api::{Device, DeviceState, EventKind, Severity},
    devices::says_where,
    events,
    store::{Change as Changed, Collection, Expect, StoreError, Write},
    tunnel::Change,
};

/// Devices that are noted together, after the fleet restarted, say.
const TOGETHER: usize = 256;

/// How often the server notes that it is alive.
const ALIVE_EVERY: Duration = Duration::from_mins(1);

/// Under which id it does.
const ALIVE: &str = "alive";

/// Notes of the devices that were connected when the server ended that they
/// were seen until then.
///
/// # Errors
/// The store does not work.
pub(crate) async fn recover(fleet: &Fleet) -> Result<(), StoreError> {
    let noted = fleet.store().get(Collection::Server, ALIVE).await?;
    let alive: Option<DateTime<Utc>> =
        noted.and_then(|noted| noted.body.as_str()?.parse().ok());
    let all = fleet.devices().table.all();
    let connected: Vec<_> =
        all.iter().filter(|d| d.state == DeviceState::Online).collect();
    for group in connected.chunks(TOGETHER) {
        let noted = group.iter().map(|device| {
            keep(fleet, device, |device| {
                device.state = DeviceState::Offline;
                device.last_seen = device.last_seen.max(alive);
            })
        });
        for noted in join_all(noted).await {
            noted?;
        }
    }
    Ok(())
}

/// Follows the tunnels until `stop`.
pub async fn run(
    fleet: Fleet,
    mut changes: Receiver<Change>,
    stop: CancellationToken,
) {
    let mut minutes = interval(ALIVE_EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            _ = minutes.tick() => {
                alive(&fleet).await;
                continue;
            }
            () = stop.cancelled() => {
                alive(&fleet).await;
                return;
            }
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

/// Notes that the server is alive, and of which devices it is.
async fn alive(fleet: &Fleet) {
    if let Err(error) = try_alive(fleet).await {
        warn!(error = %Chain(&error), "presence not noted");
    }
}

async fn try_alive(fleet: &Fleet) -> Result<(), StoreError> {
    let now = Utc::now();
    // Those that came while too many came at once.
    for device in fleet.devices().table.all() {
        let online = fleet.tunnels().is_online(device.id);
        if online && device.state != DeviceState::Online {
            keep(fleet, &device, |device| {
                device.state = DeviceState::Online;
                device.last_seen = Some(now);
            })
            .await?;
        }
    }
    let change = Changed::Put { body: now.to_rfc3339().into(), unique: vec![] };
    let write = Write {
        collection: Collection::Server,
        id: ALIVE.to_owned(),
        expect: Expect::Any,
        change,
    };
    fleet.store().apply(vec![write]).await.map(drop)
}

async fn keep(
    fleet: &Fleet,
    device: &Device,
    change: impl Fn(&mut Device),
) -> Result<(), StoreError> {
    let id = device.id.to_string();
    let change = |device: &mut Device| {
        change(device);
        Ok::<_, StoreError>(())
    };
    fleet.devices().table.update(&id, change).await.map(drop)
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
                device.state = if online {
                    DeviceState::Online
                } else {
                    DeviceState::Offline
                };
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
