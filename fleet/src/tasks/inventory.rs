//! Keeps what the fleet knows of each device right: reads it when it comes,
//! and again whenever its events say that something changed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{Method, Request, StatusCode, header::ACCEPT};
use http_body_util::BodyExt as _;
use onprem_link::{grant, id::Xid, log::Chain};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, broadcast::error::RecvError},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Fleet,
    api::{Device, DeviceAbility, Health, Severity},
    auth::Role,
    devices::Heard,
    error::Error,
    live::I2CDETECT,
    tunnel::{self, GrantFor, Incoming, TunnelError},
};

/// In whose name devices are read.
const SUBJECT: &str = "fleet";

/// Where devices tell their events.
const EVENTS: &str = "/redfish/v1/EventService/SSE";

/// Devices that are read at the same time; all come at once after the fleet
/// was restarted.
const AT_ONCE: usize = 32;

/// Changes come in groups; this long after the first the device is read.
const SETTLE: Duration = Duration::from_millis(100);

/// How often a device that tells no events is read.
const POLL: Duration = Duration::from_secs(30);

/// Follows all devices that are connected, until `stop`.
pub async fn run(fleet: Fleet, stop: CancellationToken) {
    let mut changes = fleet.tunnels().changes();
    let mut followed = Followed {
        fleet: fleet.clone(),
        places: Arc::new(Semaphore::new(AT_ONCE)),
        devices: HashMap::new(),
        stop: stop.clone(),
    };
    followed.reconcile();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) if change.online => followed.begin(change.device),
            Ok(change) => followed.end(change.device),
            Err(RecvError::Lagged(_)) => followed.reconcile(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// The devices that are followed.
struct Followed {
    fleet: Fleet,
    places: Arc<Semaphore>,
    devices: HashMap<Xid, CancellationToken>,
    stop: CancellationToken,
}

impl Followed {
    /// Follows a device, anew if it was followed before: it has a new
    /// connection, and may be another version.
    fn begin(&mut self, device: Xid) {
        let stop = self.stop.child_token();
        if let Some(older) = self.devices.insert(device, stop.clone()) {
            older.cancel();
        }
        let (fleet, places) = (self.fleet.clone(), Arc::clone(&self.places));
        self.fleet.work().spawn(async move {
            let follower = Follower { fleet, places, device };
            stop.run_until_cancelled(follower.follow()).await;
        });
    }

    fn end(&mut self, device: Xid) {
        if let Some(stop) = self.devices.remove(&device) {
            stop.cancel();
        }
    }

    /// Follows those that are there, and no others.
    fn reconcile(&mut self) {
        let online = self.fleet.tunnels().online();
        self.devices.retain(|device, stop| {
            let stays = online.contains(device);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for device in online {
            if !self.devices.contains_key(&device) {
                self.begin(device);
            }
        }
    }
}

/// Follows one device.
struct Follower {
    fleet: Fleet,
    places: Arc<Semaphore>,
    device: Xid,
}

impl Follower {
    async fn follow(&self) {
        loop {
            // The events first: what changes while the device is read is then
            // heard of.
            let events = self.events().await;
            self.read().await;
            match events {
                Ok(Some(events)) => self.hear(events).await,
                Ok(None) => {}
                Err(error) => {
                    let device = self.device;
                    debug!(%device, error = %Chain(&error), "no events");
                }
            }
            sleep(POLL).await;
        }
    }

    /// The device's stream of events, if it has one.
    async fn events(&self) -> Result<Option<Incoming>, TunnelError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(EVENTS)
            .header(ACCEPT, "text/event-stream")
            .body(tunnel::empty())?;
        let grant = GrantFor {
            subject: SUBJECT.to_owned(),
            role: grant::Role::ReadOnly,
        };
        let answer =
            self.fleet.tunnels().send(self.device, request, &grant).await?;
        let there = answer.status() == StatusCode::OK;
        Ok(there.then(|| answer.into_body()))
    }

    /// Reads the device after each event, until there are no more.
    async fn hear(&self, mut events: Incoming) {
        while let Some(Ok(frame)) = events.frame().await {
            // A comment only says that the device is still there.
            if frame.data_ref().is_none_or(|data| data.starts_with(b":")) {
                continue;
            }
            sleep(SETTLE).await;
            while let Some(Some(Ok(_))) = events.frame().now_or_never() {}
            self.read().await;
        }
    }

    async fn read(&self) {
        let Ok(_place) = self.places.acquire().await else { return };
        let Err(error) = self.try_read().await else { return };
        let device = self.device;
        if matches!(error, Error::Tunnel { .. }) {
            debug!(%device, error = %Chain(&error), "device not read");
        } else {
            warn!(%device, error = %Chain(&error), "device not read");
        }
    }

    async fn try_read(&self) -> Result<(), Error> {
        let role = Role::Readonly;
        let Some(live) = self.fleet.live_as(SUBJECT, role, self.device) else {
            return Ok(());
        };
        let live = live.once();
        let system = live.system().await?;
        let managers = live.members("/redfish/v1/Managers").await?;
        let manager = managers.into_iter().next().unwrap_or_default();
        let version = manager.pointer("/FirmwareVersion");
        let condition = live.condition().await?;
        // An older agent, or another's, may not say how it is joined.
        if let Ok(ports) = live.wires().await {
            self.fleet.wiring().seen(self.device, ports);
        }
        let interfaces = live.network_interfaces().await?;
        let mut abilities = Vec::new();
        if condition.captures {
            abilities.push(DeviceAbility::Capture);
        }
        if manager.pointer(I2CDETECT).is_some() {
            abilities.push(DeviceAbility::I2cdetect);
        }
        let heard = Heard {
            abilities: Some(abilities),
            manufacturer: system.manufacturer,
            model: system.model,
            serial_number: system.serial_number,
            host_name: system.host_name,
            // A device without a label says so by saying nothing.
            asset_tag: Some(system.asset_tag.unwrap_or_default()),
            agent_version: version.and_then(Value::as_str).map(str::to_owned),
            health: condition.health,
            health_reasons: Some(condition.reasons),
            power_state: condition.power_state,
            addresses: interfaces
                .into_iter()
                .flat_map(|interface| interface.addresses)
                .collect(),
        };
        self.fleet.heard(self.device, heard).await
    }
}

/// What to tell of a device that was read again, if something changed.
pub(crate) fn news(
    before: &Device,
    now: &Device,
) -> Option<(Severity, String)> {
    let name = &now.name;
    if before.health != now.health
        && let Some(health) = now.health
    {
        let (severity, what) = match health {
            Health::Ok => (Severity::Info, "is well"),
            Health::Warning => (Severity::Warning, "needs attention"),
            Health::Critical => (Severity::Critical, "needs attention now"),
        };
        let why = now.health_reasons.first().filter(|_| health != Health::Ok);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        return Some((severity, format!("{name} {what}{why}")));
    }
    if before.power_state != now.power_state
        && let Some(power) = now.power_state
    {
        let message = format!("{name} is {power}");
        return Some((Severity::Info, message));
    }
    let facts = [
        ("manufacturer", &before.manufacturer, &now.manufacturer),
        ("model", &before.model, &now.model),
        ("serial number", &before.serial_number, &now.serial_number),
        ("host name", &before.host_name, &now.host_name),
        ("asset tag", &before.asset_tag, &now.asset_tag),
        ("agent", &before.agent_version, &now.agent_version),
    ];
    let changed: Vec<_> = facts
        .into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, _, now)| match now {
            Some(now) => format!("{what} is `{now}`"),
            None => format!("{what} is gone"),
        })
        .collect();
    (!changed.is_empty())
        .then(|| (Severity::Info, format!("{name}: {}", changed.join(", "))))
}
