//! What a device says of itself right now: its Redfish resources, read through
//! its tunnel and made into our words.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use onprem_link::id::Xid;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    api::{
        Device, DeviceFan, DeviceNetworkInterface, DevicePower, DeviceSensor,
        DeviceSystem, Health, PowerSupply,
    },
    error::Error,
    tunnel::{self, GrantFor, TunnelError, Tunnels},
};

/// The largest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// How long an answer that has begun may take to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Requests to one device at the same time.
const AT_ONCE: usize = 8;

/// Members of a collection that are read.
const MAX_MEMBERS: usize = 1000;

/// Which devices can give a collection with all that is in it.
#[derive(Debug, Default)]
pub struct Abilities(Mutex<HashMap<Xid, bool>>);

impl Abilities {
    fn get(&self, device: Xid) -> Option<bool> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&device)
            .copied()
    }

    fn set(&self, device: Xid, expands: bool) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(device, expands);
    }

    /// Forgets a device: another version of its agent may come back.
    pub(crate) fn forget(&self, device: Xid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }
}

/// A device, and who asks it.
#[derive(Debug)]
pub struct Live {
    tunnels: Tunnels,
    abilities: Arc<Abilities>,
    device: Arc<Device>,
    grant: GrantFor,
}

impl Live {
    pub(crate) fn new(
        tunnels: Tunnels,
        abilities: Arc<Abilities>,
        device: Arc<Device>,
        grant: GrantFor,
    ) -> Self {
        Self { tunnels, abilities, device, grant }
    }

    pub(crate) fn failed(&self, source: TunnelError) -> Error {
        Error::Tunnel { device: self.device.name.to_string(), source }
    }

    pub(crate) fn strange(&self, message: impl Into<String>) -> Error {
        self.refused(StatusCode::OK, message)
    }

    /// The device said no.
    pub(crate) fn refused(
        &self,
        status: StatusCode,
        message: impl Into<String>,
    ) -> Error {
        let device = self.device.name.to_string();
        Error::Device { device, status, message: message.into() }
    }

    /// Refuses while the device is not connected.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.tunnels.is_online(self.device.id) {
            Ok(())
        } else {
            Err(self.failed(TunnelError::Offline))
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json");
        let request = match body {
            None => request.body(tunnel::empty()),
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(tunnel::full(body.to_string())),
        };
        let request = request.map_err(|e| self.failed(e.into()))?;
        let (status, body) = self.answer(request).await?;
        if body.is_empty() && status.is_success() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            Ok(value)
        } else {
            Err(self.refused(status, reason(&value)))
        }
    }

    /// Sends a request, and returns what comes back as soon as it begins to.
    pub(crate) async fn ask(
        &self,
        request: Request<tunnel::Body>,
    ) -> Result<Response<tunnel::Incoming>, Error> {
        let answer = self.tunnels.send(self.device.id, request, &self.grant);
        answer.await.map_err(|error| self.failed(error))
    }

    async fn answer(
        &self,
        request: Request<tunnel::Body>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let answer = self.ask(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect();
        let body = timeout(PATIENCE, body)
            .await
            .map_err(|_| self.failed(TunnelError::Timeout(PATIENCE)))?
            .map_err(|_| self.strange("an answer that breaks off"))?;
        Ok((status, body.to_bytes()))
    }

    /// Reads what is no JSON.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Bytes, Error> {
        let request = Request::builder().uri(path).body(tunnel::empty());
        let request = request.map_err(|e| self.failed(e.into()))?;
        let (status, body) = self.answer(request).await?;
        if status.is_success() {
            return Ok(body);
        }
        let value = serde_json::from_slice(&body).unwrap_or_default();
        Err(self.refused(status, reason(&value)))
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(Method::GET, path, None).await
    }

    /// Changes a resource.
    pub(crate) async fn patch(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<(), Error> {
        self.send(Method::PATCH, path, Some(body)).await?;
        Ok(())
    }

    /// Calls an action.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<(), Error> {
        self.send(Method::POST, path, Some(body)).await?;
        Ok(())
    }

    /// Reads a resource that may not be there.
    async fn get_if_there(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.get(path).await {
            Ok(value) => Ok(Some(value)),
            Err(Error::Device { status: StatusCode::NOT_FOUND, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn expands(&self) -> Result<bool, Error> {
        if let Some(known) = self.abilities.get(self.device.id) {
            return Ok(known);
        }
        let root = self.get("/redfish/v1/").await?;
        let pointer = "/ProtocolFeaturesSupported/ExpandQuery/Levels";
        let expands = root.pointer(pointer) == Some(&Value::Bool(true));
        self.abilities.set(self.device.id, expands);
        Ok(expands)
    }

    /// All members of the collection at `path`; none where it is not.
    pub(crate) async fn members(
        &self,
        path: &str,
    ) -> Result<Vec<Value>, Error> {
        let path = if self.expands().await? {
            format!("{path}?$expand=.($levels=1)")
        } else {
            path.to_owned()
        };
        let Some(mut collection) = self.get_if_there(&path).await? else {
            return Ok(Vec::new());
        };
        let members = collection.get_mut("Members").map(Value::take);
        let Some(Value::Array(mut members)) = members else {
            return Ok(Vec::new());
        };
        members.truncate(MAX_MEMBERS);
        stream::iter(members)
            .map(|member| async move {
                let is_link = member.as_object().is_none_or(|m| m.len() <= 1);
                match link(&member, "") {
                    Some(path) if is_link => self.get(path).await,
                    _ => Ok(member),
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Each chassis, by its id.
    pub(crate) async fn chassis(&self) -> Result<Vec<(String, Value)>, Error> {
        let chassis = self.members("/redfish/v1/Chassis").await?;
        let by_id = |chassis: Value| {
            (text(&chassis, "/Id").unwrap_or_default(), chassis)
        };
        Ok(chassis.into_iter().map(by_id).collect())
    }

    async fn system_resource(&self) -> Result<Value, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let first = systems.into_iter().next();
        first.ok_or_else(|| self.strange("it has no computer system"))
    }

    /// The computer.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn system(&self) -> Result<DeviceSystem, Error> {
        let system = self.system_resource().await?;
        let gib = system.pointer("/MemorySummary/TotalSystemMemoryGiB");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size in GiB is a small number above zero"
        )]
        let bytes = gib
            .and_then(Value::as_f64)
            .map(|gib| (gib.max(0.0) * f64::from(1 << 30)).round() as u64);
        let cores = system
            .pointer("/ProcessorSummary/CoreCount")
            .or_else(|| system.pointer("/ProcessorSummary/Count"));
        Ok(DeviceSystem {
            id: text(&system, "/Id").unwrap_or_default(),
            name: text(&system, "/Name").unwrap_or_default(),
            manufacturer: text(&system, "/Manufacturer"),
            model: text(&system, "/Model"),
            serial_number: text(&system, "/SerialNumber"),
            sku: text(&system, "/SKU"),
            uuid: text(&system, "/UUID").and_then(|uuid| uuid.parse().ok()),
            host_name: text(&system, "/HostName"),
            asset_tag: text(&system, "/AssetTag"),
            bios_version: text(&system, "/BiosVersion"),
            power_state: word(&system, "/PowerState"),
            health: health(&system),
            locator_active: system
                .pointer("/LocationIndicatorActive")
                .and_then(Value::as_bool),
            processor_model: text(&system, "/ProcessorSummary/Model"),
            processor_cores: cores
                .and_then(Value::as_u64)
                .and_then(|cores| u32::try_from(cores).ok()),
            memory_bytes: bytes,
            read_at: Utc::now(),
        })
    }

    /// All sensors.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn sensors(&self) -> Result<Vec<DeviceSensor>, Error> {
        let mut found = Vec::new();
        for (id, chassis) in self.chassis().await? {
            if let Some(path) = link(&chassis, "/Sensors") {
                let members = self.members(path).await?;
                found.extend(members.into_iter().map(|m| (id.clone(), m)));
            }
        }
        let sensor = |(chassis, sensor): (String, Value)| DeviceSensor {
            id: text(&sensor, "/Id").unwrap_or_default(),
            chassis,
            name: text(&sensor, "/Name").unwrap_or_default(),
            reading_type: text(&sensor, "/ReadingType"),
            reading: number(&sensor, "/Reading"),
            reading_units: text(&sensor, "/ReadingUnits"),
            physical_context: text(&sensor, "/PhysicalContext"),
            status: text(&sensor, "/Status/State"),
            health: health(&sensor),
            upper_caution: threshold(&sensor, "UpperCaution"),
            upper_critical: threshold(&sensor, "UpperCritical"),
            lower_caution: threshold(&sensor, "LowerCaution"),
            lower_critical: threshold(&sensor, "LowerCritical"),
            reading_time: time(&sensor, "/ReadingTime"),
        };
        Ok(found.into_iter().map(sensor).collect())
    }

    /// All fans.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn fans(&self) -> Result<Vec<DeviceFan>, Error> {
        let mut found = Vec::new();
        for (id, chassis) in self.chassis().await? {
            let Some(path) = link(&chassis, "/ThermalSubsystem") else {
                continue;
            };
            let Some(subsystem) = self.get_if_there(path).await? else {
                continue;
            };
            if let Some(path) = link(&subsystem, "/Fans") {
                let members = self.members(path).await?;
                found.extend(members.into_iter().map(|m| (id.clone(), m)));
            }
        }
        let fan = |(chassis, fan): (String, Value)| DeviceFan {
            id: text(&fan, "/Id").unwrap_or_default(),
            chassis,
            name: text(&fan, "/Name").unwrap_or_default(),
            speed_percent: number(&fan, "/SpeedPercent/Reading"),
            speed_rpm: number(&fan, "/SpeedPercent/SpeedRPM"),
            physical_context: text(&fan, "/PhysicalContext"),
            status: text(&fan, "/Status/State"),
            health: health(&fan),
        };
        Ok(found.into_iter().map(fan).collect())
    }

    /// What the device draws, and from where.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn power(&self) -> Result<DevicePower, Error> {
        let system = self.system_resource().await?;
        let mut capacity = None;
        let mut consumed = None;
        let mut supplies = Vec::new();
        for (id, chassis) in self.chassis().await? {
            if let Some(path) = link(&chassis, "/EnvironmentMetrics") {
                let metrics = self.get_if_there(path).await?;
                let watts =
                    metrics.and_then(|m| number(&m, "/PowerWatts/Reading"));
                consumed = sum(consumed, watts);
            }
            let Some(path) = link(&chassis, "/PowerSubsystem") else {
                continue;
            };
            let Some(subsystem) = self.get_if_there(path).await? else {
                continue;
            };
            capacity = sum(capacity, number(&subsystem, "/CapacityWatts"));
            if let Some(path) = link(&subsystem, "/PowerSupplies") {
                for supply in self.members(path).await? {
                    supplies.push(self.supply(&id, &supply).await?);
                }
            }
        }
        Ok(DevicePower {
            power_state: word(&system, "/PowerState"),
            consumed_watts: consumed,
            capacity_watts: capacity,
            supplies,
            read_at: Utc::now(),
        })
    }

    async fn supply(
        &self,
        chassis: &str,
        supply: &Value,
    ) -> Result<PowerSupply, Error> {
        let metrics = match link(supply, "/Metrics") {
            Some(path) => self.get_if_there(path).await?,
            None => None,
        }
        .unwrap_or_default();
        Ok(PowerSupply {
            id: text(supply, "/Id").unwrap_or_default(),
            chassis: chassis.to_owned(),
            name: text(supply, "/Name").unwrap_or_default(),
            model: text(supply, "/Model"),
            capacity_watts: number(supply, "/PowerCapacityWatts"),
            output_watts: number(&metrics, "/OutputPowerWatts/Reading"),
            input_volts: number(&metrics, "/InputVoltage/Reading"),
            status: text(supply, "/Status/State"),
            health: health(supply),
        })
    }

    /// All network interfaces of the computer.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn network_interfaces(
        &self,
    ) -> Result<Vec<DeviceNetworkInterface>, Error> {
        let system = self.system_resource().await?;
        self.interfaces_of(&system).await
    }

    /// All network interfaces of a system or a manager.
    pub(crate) async fn interfaces_of(
        &self,
        resource: &Value,
    ) -> Result<Vec<DeviceNetworkInterface>, Error> {
        let Some(path) = link(resource, "/EthernetInterfaces") else {
            return Ok(Vec::new());
        };
        let interface = |interface: Value| {
            let addresses = ["/IPv4Addresses", "/IPv6Addresses"]
                .iter()
                .filter_map(|list| interface.pointer(list)?.as_array())
                .flatten()
                .filter_map(|address| text(address, "/Address")?.parse().ok())
                .collect();
            DeviceNetworkInterface {
                id: text(&interface, "/Id").unwrap_or_default(),
                name: text(&interface, "/Name").unwrap_or_default(),
                mac_address: text(&interface, "/MACAddress"),
                link_status: text(&interface, "/LinkStatus"),
                speed_mbps: interface
                    .pointer("/SpeedMbps")
                    .and_then(Value::as_u64),
                mtu: interface
                    .pointer("/MTUSize")
                    .and_then(Value::as_u64)
                    .and_then(|mtu| u32::try_from(mtu).ok()),
                addresses,
                health: health(&interface),
            }
        };
        let found = self.members(path).await?;
        Ok(found.into_iter().map(interface).collect())
    }

    /// Writes what is on the label.
    pub(crate) async fn set_asset_tag(&self, tag: &str) -> Result<(), Error> {
        let system = self.system_resource().await?;
        let path = self.path_of(&system)?;
        self.patch(&path, &json!({ "AssetTag": tag })).await
    }

    /// Looks who is on an I²C bus of the manager.
    pub(crate) async fn i2cdetect(&self, body: &Value) -> Result<Value, Error> {
        let managers = self.members("/redfish/v1/Managers").await?;
        let target = "/Actions/Oem/#OnPremManager.DetectI2C/target";
        let target = managers.iter().find_map(|it| text(it, target));
        let target = target.ok_or_else(|| Error::Conflict {
            pointer: None,
            message: format!(
                "device `{}` has no I²C bus that can be looked at",
                self.device.name
            ),
        })?;
        self.send(Method::POST, &target, Some(body)).await
    }

    /// Switches the locator light.
    pub(crate) async fn set_locator(&self, on: bool) -> Result<(), Error> {
        let system = self.system_resource().await?;
        let path = self.path_of(&system)?;
        self.patch(&path, &json!({ "LocationIndicatorActive": on })).await
    }

    fn path_of(&self, resource: &Value) -> Result<String, Error> {
        let path = text(resource, "/@odata.id");
        path.ok_or_else(|| self.strange("a resource without a path"))
    }
}

/// What a Redfish service says is wrong, and what to do about it.
pub(crate) fn reason(answer: &Value) -> String {
    said(answer).unwrap_or_else(|| "no reason given".into())
}

fn said(answer: &Value) -> Option<String> {
    let first = answer.pointer("/error/@Message.ExtendedInfo/0");
    let said = |name| first?.get(name)?.as_str();
    let text = said("Message")
        .or_else(|| answer.pointer("/error/message")?.as_str())?;
    let advice = said("Resolution").filter(|advice| !advice.is_empty());
    Some(advice.map_or(text.into(), |advice| format!("{text} {advice}")))
}

pub(crate) fn text(resource: &Value, pointer: &str) -> Option<String> {
    let text = resource.pointer(pointer)?.as_str()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(crate) fn number(resource: &Value, pointer: &str) -> Option<f64> {
    resource.pointer(pointer)?.as_f64()
}

pub(crate) fn link<'a>(resource: &'a Value, pointer: &str) -> Option<&'a str> {
    resource.pointer(pointer)?.get("@odata.id")?.as_str()
}

pub(crate) fn time(resource: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    let text = resource.pointer(pointer)?.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// A value of an enum; none where the device has a word that we have not.
pub(crate) fn word<T: DeserializeOwned>(
    resource: &Value,
    pointer: &str,
) -> Option<T> {
    T::deserialize(resource.pointer(pointer)?).ok()
}

pub(crate) fn health(resource: &Value) -> Option<Health> {
    word(resource, "/Status/HealthRollup")
        .or_else(|| word(resource, "/Status/Health"))
}

fn threshold(sensor: &Value, name: &str) -> Option<f64> {
    number(sensor, &format!("/Thresholds/{name}/Reading"))
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
