//! The ports of a device's switches and network adapters, and how they are
//! changed: what is changed is undone unless somebody confirms it.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path,
    RequestContext, ResultsPage, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Json, answer},
    device::{DevicePath, Health},
    page::{Key, Listed, Listing},
    part::{By, Part, list},
};
use crate::{
    Fleet,
    auth::Role,
    error::Error,
    live::{Live, Verdict},
};

/// The most VLANs that one request may name: all that there are.
const MAX_VLANS: usize = 4094;

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_port_list)?;
    api.register(device_port_view)?;
    api.register(device_port_update)?;
    api.register(device_port_confirm)?;
    api.register(device_port_revert)
}

/// A port of a switch or of a network adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePort {
    /// Its id, unique in its device: its part and its name.
    pub id: String,
    /// What its part calls it.
    pub name: String,
    /// What it is a port of.
    pub kind: PortKind,
    /// The id of the switch or the adapter.
    pub part: String,
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// Whether a link is there: `LinkUp`, `LinkDown`, `NoLink`.
    pub link_status: Option<String>,
    /// The speed of the link in Mbit/s.
    pub speed_mbps: Option<u64>,
    /// Its hardware address.
    pub mac_address: Option<String>,
    /// The VLAN of frames without a tag.
    pub untagged_vlan: Option<u16>,
    /// The VLANs of frames with a tag.
    pub tagged_vlans: Vec<u16>,
    /// The port of the same device at the other end, where it is known.
    pub joined_to: Option<String>,
    /// Who is at the other end, as it says of itself by LLDP.
    pub neighbour: Option<String>,
    /// Which of its ports that is, as it says.
    pub neighbour_port: Option<String>,
    /// How the neighbour tells itself from all others, often an address.
    pub neighbour_chassis: Option<String>,
    /// Where the neighbour is managed.
    pub neighbour_address: Option<IpAddr>,
    /// How well it is.
    pub health: Option<Health>,
    /// Bytes that came in.
    pub rx_bytes: Option<u64>,
    /// Bytes that went out.
    pub tx_bytes: Option<u64>,
    /// Frames that came in broken.
    pub rx_errors: Option<u64>,
    /// Frames that could not be sent.
    pub tx_errors: Option<u64>,
    /// Frames that came in and found no room.
    pub rx_dropped: Option<u64>,
    /// Frames that were to go out and found no room.
    pub tx_dropped: Option<u64>,
    /// Whether a change of it waits to be confirmed.
    pub change_state: ChangeState,
    /// The id of the change that waits.
    pub change: Option<String>,
    /// Who asked for it: an account of the device's own by its name, one of
    /// the fleet with `fleet/` before it.
    pub changed_by: Option<String>,
    /// When it is undone unless it is confirmed, by the device's clock.
    pub undone_at: Option<DateTime<Utc>>,
    /// In how many seconds that is.
    pub undone_in_seconds: Option<u64>,
    /// When this was read.
    pub read_at: DateTime<Utc>,
}

/// What a port is of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum PortKind {
    /// A switch, or a bridge of a kernel.
    Switch,
    /// A network adapter of a computer.
    Adapter,
}

/// Whether a change waits to be confirmed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ChangeState {
    /// None waits.
    Settled,
    /// One waits, and is undone unless it is confirmed.
    Waiting,
}

/// What to change. What is left out stays.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PortUpdate {
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// The VLAN of frames without a tag, 1 to 4094; 0 for none.
    #[schemars(range(max = 4094))]
    pub untagged_vlan: Option<u16>,
    /// The VLANs of frames with a tag, 1 to 4094, in place of all it has.
    #[schemars(length(max = 4094), inner(range(min = 1, max = 4094)))]
    pub tagged_vlans: Option<Vec<u16>>,
}

impl PortUpdate {
    fn check(&self) -> Result<(), Error> {
        let Self { untagged_vlan, tagged_vlans, .. } = self;
        if let Some(vlan) = untagged_vlan.filter(|vlan| *vlan > 4094) {
            let message = format!("`{vlan}` is no VLAN: 1 to 4094, 0 for none");
            return Err(Error::invalid("/untaggedVlan", message));
        }
        let tagged = tagged_vlans.as_deref().unwrap_or_default();
        if tagged.len() > MAX_VLANS {
            let message = format!("{MAX_VLANS} VLANs at most");
            return Err(Error::invalid("/taggedVlans", message));
        }
        let wrong = |vlan: &u16| !(1..=4094).contains(vlan);
        if let Some(at) = tagged.iter().position(wrong) {
            let vlan = tagged.get(at).copied().unwrap_or_default();
            let message = format!("`{vlan}` is no VLAN: 1 to 4094");
            return Err(Error::invalid(format!("/taggedVlans/{at}"), message));
        }
        Ok(())
    }

    /// What is asked, for the audit record.
    fn said(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which change is meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PortSettle {
    /// The id of the change. Unless said, the one that waits, which the same
    /// account must have asked for.
    pub change: Option<String>,
}

impl Listed for DevicePort {
    const DEFAULT_SORT: &'static str = "id";
    const SORTS: &'static [&'static str] =
        &["id", "name", "kind", "linkStatus", "speedMbps", "neighbour"];

    fn key(&self, sort: &str) -> Key {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a speed in Mbit/s fits into 53 bits"
        )]
        match sort {
            "name" => Key::text(&self.name),
            "kind" => Key::Number(f64::from(self.kind as u8)),
            "linkStatus" => Key::maybe(self.link_status.as_ref()),
            "speedMbps" => {
                let speed = self.speed_mbps.map(|it| it as f64);
                speed.map_or(Key::None, Key::Number)
            }
            "neighbour" => Key::maybe(self.neighbour.as_ref()),
            _ => Key::text(&self.id),
        }
    }

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Part for DevicePort {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.ports().await
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct PortPath {
    /// The id or the name of the device.
    device: String,
    /// The id of the port, or its name where no other has it.
    port: String,
}

/// List a device's ports
///
/// Those of its switches and of its network adapters, with what is at the
/// other ends. Read from the device now; answers 503 with the code
/// `device_offline` while it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/ports",
    tags = ["device-ports"],
}]
async fn device_port_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DevicePort>>,
) -> Answer<HttpResponseOk<ResultsPage<DevicePort>>> {
    list(rqctx, path, listing).await
}

/// View a port of a device
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/ports/{port}",
    tags = ["device-ports"],
}]
async fn device_port_view(
    rqctx: RequestContext<Fleet>,
    path: Path<PortPath>,
) -> Answer<HttpResponseOk<DevicePort>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let PortPath { device, port } = path.into_inner();
        Ok(HttpResponseOk(call.live(&device)?.port(&port).await?))
    })
    .await
}

/// Change a port of a switch
///
/// The change holds at once, and is undone after a minute, or what the device
/// is configured to wait, unless somebody confirms it: nobody locks himself
/// out. One change of a device waits at a time. A change that cuts the way to
/// the device itself answers 504 with the code `device_cut_off`.
#[endpoint {
    method = PATCH,
    path = "/v1/devices/{device}/ports/{port}",
    tags = ["device-ports"],
}]
async fn device_port_update(
    rqctx: RequestContext<Fleet>,
    path: Path<PortPath>,
    body: Json<PortUpdate>,
) -> Answer<HttpResponseOk<DevicePort>> {
    answer(rqctx, Role::Operator, |call| async move {
        let PortPath { device, port } = path.into_inner();
        let update = body.get()?;
        update.check()?;
        call.note(&format!("{port}: {}", update.said()));
        let live = call.live(&device)?;
        if update == PortUpdate::default() {
            return Ok(HttpResponseOk(live.port(&port).await?));
        }
        Ok(HttpResponseOk(live.set_port(&port, &update).await?))
    })
    .await
}

/// Confirm the change of a port
///
/// What was changed stays then. Until it is confirmed, it is undone when its
/// time is up.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/ports/{port}/confirm",
    tags = ["device-ports"],
}]
async fn device_port_confirm(
    rqctx: RequestContext<Fleet>,
    path: Path<PortPath>,
    body: Json<PortSettle>,
) -> Answer<HttpResponseOk<DevicePort>> {
    settle(rqctx, path, body, Verdict::Confirm).await
}

/// Undo the change of a port
///
/// The port is again as it was before the change that waits to be confirmed.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/ports/{port}/revert",
    tags = ["device-ports"],
}]
async fn device_port_revert(
    rqctx: RequestContext<Fleet>,
    path: Path<PortPath>,
    body: Json<PortSettle>,
) -> Answer<HttpResponseOk<DevicePort>> {
    settle(rqctx, path, body, Verdict::Revert).await
}

async fn settle(
    rqctx: RequestContext<Fleet>,
    path: Path<PortPath>,
    body: Json<PortSettle>,
    verdict: Verdict,
) -> Answer<HttpResponseOk<DevicePort>> {
    answer(rqctx, Role::Operator, |call| async move {
        let PortPath { device, port } = path.into_inner();
        let change = body.get()?.change;
        call.note(&match &change {
            Some(change) => format!("{port}: {change}"),
            None => port.clone(),
        });
        let live = call.live(&device)?;
        let settled = live.settle_port(&port, change.as_deref(), verdict);
        Ok(HttpResponseOk(settled.await?))
    })
    .await
}
