//! A device as it is right now: its Redfish service, asked through its tunnel.

mod network;
mod part;
mod port;
mod value;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use onprem_link::id::Xid;
use serde_json::{Value, json};
use tokio::time::timeout;

pub(crate) use self::port::Verdict;
pub(crate) use self::value::{health, link, number, reason, text, time, word};
use crate::{
    api::Device,
    devices::Devices,
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

/// What records signals, in a chassis that has an instrument.
pub(crate) const CAPTURE: &str = "/Actions/Oem/#OnPremChassis.Capture/target";

/// Where the serial console of a system is.
pub(crate) const CONSOLE: &str = "/SerialConsole/WebSocket/ConsoleURI";

/// What looks at I²C buses, in a manager that can.
pub(crate) const I2CDETECT: &str =
    "/Actions/Oem/#OnPremManager.DetectI2C/target";

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
    devices: Arc<Devices>,
    device: Arc<Device>,
    grant: GrantFor,
    /// The collections that were read, where each is to be read once.
    kept: Option<Mutex<HashMap<String, Vec<Value>>>>,
}

impl Live {
    pub(crate) fn new(
        tunnels: Tunnels,
        abilities: Arc<Abilities>,
        devices: Arc<Devices>,
        device: Arc<Device>,
        grant: GrantFor,
    ) -> Self {
        Self { tunnels, abilities, devices, device, grant, kept: None }
    }

    /// The same, which reads each collection once: for a look at the whole
    /// device that is over soon.
    pub(crate) fn once(self) -> Self {
        Self { kept: Some(Mutex::default()), ..self }
    }

    pub(crate) fn device_id(&self) -> Xid {
        self.device.id
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

    /// What was asked for was done, and cut the way to the device.
    fn cut_off(&self, message: String) -> Error {
        Error::CutOff { device: self.device.name.to_string(), message }
    }

    /// Refuses while the device is not connected.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.tunnels.is_online(self.device.id) {
            Ok(())
        } else {
            Err(self.failed(TunnelError::Offline))
        }
    }

    /// Whether nobody has deleted it meanwhile; who was deleted does not come
    /// back.
    ///
    /// # Errors
    /// It was.
    pub(crate) fn exists(&self) -> Result<(), Error> {
        let known = self.devices.find(&self.device.id.to_string());
        known.map(drop).ok_or_else(Error::device_deleted)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        Ok(self.exchange(method, path, body).await?.1)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Error> {
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
            return Ok((status, Value::Null));
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            Ok((status, value))
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

    /// Calls an action; where the device makes a task of it, the path of that.
    pub(crate) async fn begin(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Option<String>, Error> {
        let answer = self.exchange(Method::POST, path, Some(body));
        let (status, task) = answer.await?;
        if status != StatusCode::ACCEPTED {
            return Ok(None);
        }
        Ok(Some(self.path_of(&task)?))
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
        let kept = |kept: &Mutex<HashMap<String, Vec<Value>>>| {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(path).cloned()
        };
        if let Some(members) = self.kept.as_ref().and_then(kept) {
            return Ok(members);
        }
        let members = self.read_members(path).await?;
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(path.to_owned(), members.clone());
        }
        Ok(members)
    }

    async fn read_members(&self, path: &str) -> Result<Vec<Value>, Error> {
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

    /// What the device is: its computer, or, where it is several, the one
    /// chassis that is in no other. Where there are several of those, nobody
    /// says which it is: then it is the first computer.
    async fn whole(&self) -> Result<Value, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        if systems.len() > 1 {
            let chassis = self.members("/redfish/v1/Chassis").await?;
            let outer = |it: &Value| link(it, "/Links/ContainedBy").is_none();
            let mut outer = chassis.into_iter().filter(outer);
            if let (Some(outer), None) = (outer.next(), outer.next()) {
                return Ok(outer);
            }
        }
        let first = systems.into_iter().next();
        first.ok_or_else(|| self.strange("it has no computer system"))
    }

    /// Writes what is on the label.
    pub(crate) async fn set_asset_tag(&self, tag: &str) -> Result<(), Error> {
        let whole = self.whole().await?;
        let path = self.path_of(&whole)?;
        self.patch(&path, &json!({ "AssetTag": tag })).await
    }

    /// Looks who is on an I²C bus of the manager.
    pub(crate) async fn i2cdetect(&self, body: &Value) -> Result<Value, Error> {
        let managers = self.members("/redfish/v1/Managers").await?;
        let target = managers.iter().find_map(|it| text(it, I2CDETECT));
        let target = target.ok_or_else(|| self.no_i2c())?;
        self.send(Method::POST, &target, Some(body)).await
    }

    fn no_i2c(&self) -> Error {
        let name = &self.device.name;
        let message = format!("`{name}` has no I²C bus that can be looked at");
        Error::Conflict { pointer: None, message }
    }

    /// The I²C buses that the managers say they have.
    pub(crate) async fn i2c_buses(&self) -> Result<Vec<Value>, Error> {
        let managers = self.members("/redfish/v1/Managers").await?;
        if managers.iter().all(|it| it.pointer(I2CDETECT).is_none()) {
            return Err(self.no_i2c());
        }
        let buses = managers.iter().filter_map(|manager| {
            manager.pointer("/Oem/OnPrem/I2CBuses")?.as_array()
        });
        Ok(buses.flatten().cloned().collect())
    }

    /// Switches the locator light.
    pub(crate) async fn set_locator(&self, on: bool) -> Result<(), Error> {
        let whole = self.whole().await?;
        let path = self.path_of(&whole)?;
        self.patch(&path, &json!({ "LocationIndicatorActive": on })).await
    }

    fn path_of(&self, resource: &Value) -> Result<String, Error> {
        let path = text(resource, "/@odata.id");
        path.ok_or_else(|| self.strange("a resource without a path"))
    }
}
