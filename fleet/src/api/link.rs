//! Which ports of the fleet are joined.

use std::fmt;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk,
    RequestContext, ResultsPage, endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    page::{Key, Listed, Listing, sorted, sorts},
};
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(link_list)
}

/// A cable between a port of a device and somebody else's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Tells it from all others.
    pub id: String,
    /// The device.
    pub device: Xid,
    /// What people call the device.
    pub device_name: String,
    /// The id of its port.
    pub port: String,
    /// Who is at the other end, as it says of itself.
    pub neighbour: String,
    /// The device of the fleet that this is, by its name; absent where it is
    /// none, or nobody can tell.
    pub neighbour_device: Option<String>,
    /// The port at the other end: its id where the device is known, else as
    /// the neighbour calls it.
    pub neighbour_port: Option<String>,
    /// The VLAN of frames without a tag, where the port says it.
    pub vlan: Option<u16>,
    /// Whether a link is there: `LinkUp`, `LinkDown`, `NoLink`.
    pub link_status: Option<String>,
    /// How one knows.
    pub source: LinkSource,
    /// When it was last read from the device that says it.
    pub seen_at: DateTime<Utc>,
}

/// How one knows that ports are joined.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum LinkSource {
    /// The device knows it of its own inside.
    Inventory,
    /// By LLDP; the neighbour has a hardware address that one device has.
    MacAddress,
    /// By LLDP; the neighbour goes by a name that one device has.
    SystemName,
    /// By LLDP; the neighbour is no device of the fleet.
    Lldp,
}

impl fmt::Display for LinkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inventory => "inside",
            Self::MacAddress | Self::SystemName | Self::Lldp => "lldp",
        })
    }
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct LinkFilter {
    /// Only what one end of is this device, seen from there; by id or name.
    pub device: Option<String>,
    /// What to sort by; with `-` before it, downwards. By `device` unless
    /// said.
    #[schemars(schema_with = "sorts::<Link>")]
    pub sort: Option<String>,
}
sorted!(LinkFilter);

impl Listed for Link {
    const DEFAULT_SORT: &'static str = "device";
    const SORTS: &'static [&'static str] =
        &["device", "port", "neighbour", "neighbourPort", "seenAt"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "port" => Key::text(&self.port),
            "neighbour" => Key::text(&self.neighbour),
            "neighbourPort" => Key::maybe(self.neighbour_port.as_ref()),
            "seenAt" => Key::time(Some(self.seen_at)),
            _ => Key::text(&self.device_name),
        }
    }

    fn id(&self) -> String {
        format!("{} {}", self.port, self.id)
    }
}

/// List which ports are joined
///
/// On which port of which switch a device is, and what is on its own ports: as
/// the devices last heard by LLDP, and know of their own inside. A switch that
/// belongs to no device is named where a device hears it. A device that
/// neither says nor hears anything by LLDP has no cables here.
#[endpoint { method = GET, path = "/v1/links", tags = ["links"] }]
async fn link_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<LinkFilter>,
) -> Answer<HttpResponseOk<ResultsPage<Link>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let listing = listing.get()?;
        let links = call.fleet.links(listing.filter.device.as_deref())?;
        Ok(HttpResponseOk(listing.page(links)?))
    })
    .await
}
