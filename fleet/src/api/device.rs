//! Devices: the machines that an agent runs on.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseDeleted,
    HttpResponseOk, Path, RequestContext, ResultsPage, endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    call::{Answer, Json, answer},
    page::{Key, Listed, Listing, sorted, sorts},
};
use crate::{Fleet, auth::Role, error::Error, name::Name};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_list)?;
    api.register(device_view)?;
    api.register(device_update)?;
    api.register(device_delete)
}

/// Tags that a device may have.
const MAX_TAGS: usize = 64;

/// A machine that an agent runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The id that the fleet gave it.
    pub id: Xid,
    /// What people call it; unique in the fleet.
    pub name: Name,
    /// Who made the machine.
    pub manufacturer: Option<String>,
    /// Which machine it is.
    pub model: Option<String>,
    /// The serial number of the machine.
    pub serial_number: Option<String>,
    /// Follows from the machine's own identity; the same after each
    /// re-installation.
    pub uuid: Uuid,
    /// The address it was last connected from.
    pub last_ip_addr: Option<IpAddr>,
    /// Whether the machine is not as it should be.
    pub tainted: bool,
    /// Why it is tainted.
    pub tainted_reasons: Vec<String>,
    /// Whether it is connected.
    pub state: DeviceState,
    /// The worst health of its parts, as last heard.
    pub health: Option<Health>,
    /// Why it is not well, as last heard.
    #[serde(default)]
    pub health_reasons: Vec<String>,
    /// Whether the machine, or any of its nodes, is powered, as last heard.
    pub power_state: Option<PowerState>,
    /// The name that its operating system goes by.
    pub host_name: Option<String>,
    /// What is written on its label; kept by the machine itself.
    pub asset_tag: Option<String>,
    /// Names and values to find it by.
    pub tags: BTreeMap<String, String>,
    /// When it was last connected; now, while it is online.
    pub last_seen: Option<DateTime<Utc>>,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// What not every machine can, as last heard.
    #[serde(default)]
    pub abilities: Vec<DeviceAbility>,
    /// When it was enrolled.
    pub created_at: DateTime<Utc>,
    /// SHA-256 of the key that its agent proves itself with.
    pub key_fingerprint: Option<String>,
    /// A new key that asks to take the place of the known one.
    pub pending_key: Option<PendingKey>,
}

/// What not every machine can.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DeviceAbility {
    /// It has an instrument that records signals.
    Capture,
    /// It has I²C buses that can be looked at.
    I2cdetect,
}

/// Whether a device is connected.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DeviceState {
    /// It is connected.
    Online,
    /// It is not connected.
    Offline,
    /// It came with a new key, which somebody has to approve.
    Waiting,
}

/// How well something is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Health {
    /// All is well.
    #[serde(rename = "OK")]
    Ok,
    /// It needs attention.
    Warning,
    /// It needs attention now.
    Critical,
}

/// Whether a machine is powered.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
pub enum PowerState {
    /// It is powered.
    On,
    /// It is not powered.
    Off,
    /// It is about to be on.
    PoweringOn,
    /// It is about to be off.
    PoweringOff,
    /// It is powered and does not run.
    Paused,
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::PoweringOn => "powering on",
            Self::PoweringOff => "powering off",
            Self::Paused => "paused",
        })
    }
}

/// A key that asks to take the place of the known one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingKey {
    /// SHA-256 of the key.
    pub fingerprint: String,
    /// When it first asked.
    pub since: DateTime<Utc>,
    /// Where it asked from.
    pub address: Option<IpAddr>,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceFilter {
    /// Words, each of which appears in id, name, UUID, serial number, maker,
    /// model, address, host name, asset tag or a tag.
    pub q: Option<String>,
    /// Only devices in this state.
    pub state: Option<DeviceState>,
    /// Only devices that are, or are not, tainted.
    pub tainted: Option<bool>,
    /// Only connected devices of this health.
    pub health: Option<Health>,
    /// Only devices of this maker.
    pub manufacturer: Option<String>,
    /// Only devices of this model.
    pub model: Option<String>,
    /// Only devices with this tag: `name` or `name=value`.
    pub tag: Option<String>,
    /// What to sort by; with `-` before it, downwards. By `name` unless said.
    #[schemars(schema_with = "sorts::<Device>")]
    pub sort: Option<String>,
}
sorted!(DeviceFilter);

impl Listed for Device {
    const DEFAULT_SORT: &'static str = "name";
    const SORTS: &'static [&'static str] = &[
        "name",
        "id",
        "manufacturer",
        "model",
        "uuid",
        "lastIpAddr",
        "tainted",
        "state",
        "health",
        "powerState",
        "lastSeen",
        "createdAt",
    ];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "id" => Key::text(self.id),
            "manufacturer" => Key::maybe(self.manufacturer.as_ref()),
            "model" => Key::maybe(self.model.as_ref()),
            "uuid" => Key::text(self.uuid),
            "lastIpAddr" => match self.last_ip_addr {
                Some(IpAddr::V4(ip)) => Key::Number(u32::from(ip).into()),
                Some(IpAddr::V6(ip)) => {
                    Key::Text(format!("{:032x}", u128::from(ip)))
                }
                None => Key::None,
            },
            "tainted" => Key::Number(self.tainted.into()),
            "state" => Key::Number(f64::from(self.state as u8)),
            "health" => match self.health {
                Some(health) => Key::Number(f64::from(health as u8)),
                None => Key::None,
            },
            "powerState" => match self.power_state {
                Some(state) => Key::Number(f64::from(state as u8)),
                None => Key::None,
            },
            "lastSeen" => Key::time(self.last_seen),
            "createdAt" => Key::time(Some(self.created_at)),
            _ => Key::text(&self.name),
        }
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// What to change. What is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeviceUpdate {
    /// What people call it; unique in the fleet.
    pub name: Option<Name>,
    /// What is written on its label; empty for none. The device must be
    /// online, for it keeps this itself.
    #[schemars(length(max = 63))]
    pub asset_tag: Option<String>,
    /// Names and values to find it by, in place of all it has.
    pub tags: Option<BTreeMap<String, String>>,
}

impl DeviceUpdate {
    /// Refuses what no device may have.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(tag) = &self.asset_tag
            && (tag.chars().count() > 63 || tag.chars().any(char::is_control))
        {
            let message = "an asset tag is one line of 63 characters at most";
            return Err(Error::invalid("/assetTag", message));
        }
        let Some(tags) = &self.tags else { return Ok(()) };
        if tags.len() > MAX_TAGS {
            let message = format!("a device has {MAX_TAGS} tags at most");
            return Err(Error::invalid("/tags", message));
        }
        for (name, value) in tags {
            let good = |text: &str| {
                text.chars().count() <= 63
                    && !text.chars().any(char::is_control)
            };
            let pointer = || {
                let name: String = name.chars().take(63).collect();
                format!("/tags/{}", name.replace('~', "~0").replace('/', "~1"))
            };
            if name.is_empty() || name.contains('=') || !good(name) {
                let message =
                    "the name of a tag is 1 to 63 characters without `=`";
                return Err(Error::invalid(pointer(), message));
            }
            if !good(value) {
                let message =
                    "the value of a tag is one line of 63 characters at most";
                return Err(Error::invalid(pointer(), message));
            }
        }
        Ok(())
    }
}

/// How to reset.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
pub enum ResetType {
    /// Power on.
    On,
    /// Power off at once.
    ForceOff,
    /// Ask the operating system to shut down.
    GracefulShutdown,
    /// Ask the operating system to restart.
    GracefulRestart,
    /// Restart at once.
    ForceRestart,
    /// Power off and on again.
    PowerCycle,
    /// Push the power button.
    PushPowerButton,
}

/// A device.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct DevicePath {
    /// Its id or its name.
    pub(super) device: String,
}

/// List devices
///
/// Devices that are offline are included, with the time they were last seen.
#[endpoint { method = GET, path = "/v1/devices", tags = ["devices"] }]
async fn device_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<DeviceFilter>,
) -> Answer<HttpResponseOk<ResultsPage<Device>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.fleet.devices().list(&listing.get()?)?))
    })
    .await
}

/// View a device
#[endpoint { method = GET, path = "/v1/devices/{device}", tags = ["devices"] }]
async fn device_view(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseOk<Device>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let device = path.into_inner().device;
        Ok(HttpResponseOk(call.fleet.devices().view(&device)?))
    })
    .await
}

/// Update a device
///
/// What is left out stays as it is. The asset tag is kept by the machine
/// itself, so the device must be online to change it.
#[endpoint {
    method = PATCH,
    path = "/v1/devices/{device}",
    tags = ["devices"],
}]
async fn device_update(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<DeviceUpdate>,
) -> Answer<HttpResponseOk<Device>> {
    answer(rqctx, Role::Operator, |call| async move {
        let device = path.into_inner().device;
        let change = body.get()?;
        Ok(HttpResponseOk(
            call.fleet.device_update(&call.caller, &device, change).await?,
        ))
    })
    .await
}

/// Delete a device
///
/// Its connection is cut at once, and its certificate is worth nothing from
/// then on.
#[endpoint {
    method = DELETE,
    path = "/v1/devices/{device}",
    tags = ["devices"],
}]
async fn device_delete(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseDeleted> {
    answer(rqctx, Role::Operator, |call| async move {
        let device = path.into_inner().device;
        call.fleet.device_delete(&call.caller, &device).await?;
        Ok(HttpResponseDeleted())
    })
    .await
}
