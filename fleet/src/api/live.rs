//! What a device says of itself right now, read through its tunnel.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path,
    RequestContext, ResultsPage, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    call::{Answer, answer},
    device::{DevicePath, Health, PowerState},
    page::{Key, Listed, Listing, sorted, sorts},
    part::{By, Part, list, named},
};
use crate::{Fleet, auth::Role, error::Error, live::Live};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_system_view)?;
    api.register(device_sensor_list)?;
    api.register(device_fan_list)?;
    api.register(device_power_view)?;
    api.register(device_network_interface_list)
}

/// The computer that a device is, or the rack where it is several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSystem {
    /// Its id in the device's Redfish service.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Which model it is.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
    /// The maker's order number.
    pub sku: Option<String>,
    /// Its UUID.
    pub uuid: Option<Uuid>,
    /// The name its operating system goes by.
    pub host_name: Option<String>,
    /// What is written on its label.
    pub asset_tag: Option<String>,
    /// The version of its firmware.
    pub bios_version: Option<String>,
    /// Whether it is powered.
    pub power_state: Option<PowerState>,
    /// How well it is, with all its parts.
    pub health: Option<Health>,
    /// Whether its locator light shines.
    pub locator_active: Option<bool>,
    /// The model of its processors.
    pub processor_model: Option<String>,
    /// How many processor cores it has.
    pub processor_cores: Option<u32>,
    /// Its memory in bytes.
    pub memory_bytes: Option<u64>,
    /// When this was read.
    pub read_at: DateTime<Utc>,
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSensor {
    /// Its id, unique in its chassis.
    pub id: String,
    /// The chassis it sits in.
    pub chassis: String,
    /// Its name.
    pub name: String,
    /// What it measures: `Temperature`, `Voltage`, `Rotational`…
    pub reading_type: Option<String>,
    /// What it measures now; absent while it cannot be read.
    pub reading: Option<f64>,
    /// In what unit (UCUM).
    pub reading_units: Option<String>,
    /// What it is attached to.
    pub physical_context: Option<String>,
    /// Whether it works: `Enabled`, `Absent`, `UnavailableOffline`…
    pub status: Option<String>,
    /// How well what it measures is.
    pub health: Option<Health>,
    /// Above this it is worth a warning.
    pub upper_caution: Option<f64>,
    /// Above this it is critical.
    pub upper_critical: Option<f64>,
    /// Below this it is worth a warning.
    pub lower_caution: Option<f64>,
    /// Below this it is critical.
    pub lower_critical: Option<f64>,
    /// When the device read it.
    pub reading_time: Option<DateTime<Utc>>,
}

/// A fan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceFan {
    /// Its id, unique in its chassis.
    pub id: String,
    /// The chassis it cools.
    pub chassis: String,
    /// Its name.
    pub name: String,
    /// Its speed in percent of what it can.
    pub speed_percent: Option<f64>,
    /// Its speed in turns a minute.
    pub speed_rpm: Option<f64>,
    /// What it cools.
    pub physical_context: Option<String>,
    /// Whether it works: `Enabled`, `Absent`…
    pub status: Option<String>,
    /// How well it is.
    pub health: Option<Health>,
}

/// What a device draws, and from where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePower {
    /// Whether it is powered.
    pub power_state: Option<PowerState>,
    /// What it draws now, in watts.
    pub consumed_watts: Option<f64>,
    /// What its supplies can give, in watts.
    pub capacity_watts: Option<f64>,
    /// Its power supplies.
    pub supplies: Vec<PowerSupply>,
    /// When this was read.
    pub read_at: DateTime<Utc>,
}

/// A power supply or a supply rail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerSupply {
    /// Its id, unique in its chassis.
    pub id: String,
    /// The chassis it feeds.
    pub chassis: String,
    /// Its name.
    pub name: String,
    /// Which model it is.
    pub model: Option<String>,
    /// What it can give, in watts.
    pub capacity_watts: Option<f64>,
    /// What it gives now, in watts.
    pub output_watts: Option<f64>,
    /// The voltage that comes in.
    pub input_volts: Option<f64>,
    /// Whether it works: `Enabled`, `Absent`…
    pub status: Option<String>,
    /// How well it is.
    pub health: Option<Health>,
}

/// A network interface of the computer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNetworkInterface {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac_address: Option<String>,
    /// Whether a link is there: `LinkUp`, `LinkDown`, `NoLink`.
    pub link_status: Option<String>,
    /// The speed of the link in Mbit/s.
    pub speed_mbps: Option<u64>,
    /// The largest frame in bytes.
    pub mtu: Option<u32>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// How well it is.
    pub health: Option<Health>,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct SensorFilter {
    /// Only what measures this: `Temperature`, `Voltage`…
    #[serde(rename = "readingType")]
    pub reading_type: Option<String>,
    /// What to sort by; with `-` before it, downwards. By `id` unless said.
    #[schemars(schema_with = "sorts::<DeviceSensor>")]
    pub sort: Option<String>,
}

sorted!(SensorFilter);

named! {
    DeviceNetworkInterface: |it| it.id.clone();
    DeviceFan: |it| format!("{}/{}", it.chassis, it.id);
}

impl Part for DeviceNetworkInterface {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.network_interfaces().await
    }
}

impl Part for DeviceFan {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.fans().await
    }
}

impl Listed for DeviceSensor {
    const DEFAULT_SORT: &'static str = "id";
    const SORTS: &'static [&'static str] =
        &["id", "name", "chassis", "readingType", "reading", "health"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "name" => Key::text(&self.name),
            "chassis" => Key::text(&self.chassis),
            "readingType" => Key::maybe(self.reading_type.as_ref()),
            "reading" => self.reading.map_or(Key::None, Key::Number),
            "health" => match self.health {
                Some(health) => Key::Number(f64::from(health as u8)),
                None => Key::None,
            },
            _ => Key::text(&self.id),
        }
    }

    fn id(&self) -> String {
        format!("{}/{}", self.chassis, self.id)
    }
}

/// View a device's computer
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/system",
    tags = ["device-system"],
}]
async fn device_system_view(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseOk<DeviceSystem>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let live = call.live(&path.into_inner().device)?;
        Ok(HttpResponseOk(live.system().await?))
    })
    .await
}

/// List a device's sensors
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/sensors",
    tags = ["device-sensors"],
}]
async fn device_sensor_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<SensorFilter>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceSensor>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let listing = listing.get()?;
        let live = call.live(&path.into_inner().device)?;
        let mut sensors = live.sensors().await?;
        if let Some(wanted) = &listing.filter.reading_type {
            sensors.retain(|s| s.reading_type.as_ref() == Some(wanted));
        }
        Ok(HttpResponseOk(listing.page(sensors)?))
    })
    .await
}

/// List a device's fans
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/fans",
    tags = ["device-fans"],
}]
async fn device_fan_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DeviceFan>>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceFan>>> {
    list(rqctx, path, listing).await
}

/// View what a device draws
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/power",
    tags = ["device-power"],
}]
async fn device_power_view(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseOk<DevicePower>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let live = call.live(&path.into_inner().device)?;
        Ok(HttpResponseOk(live.power().await?))
    })
    .await
}

/// List a device's network interfaces
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/network-interfaces",
    tags = ["device-network-interfaces"],
}]
async fn device_network_interface_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DeviceNetworkInterface>>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceNetworkInterface>>> {
    list(rqctx, path, listing).await
}
