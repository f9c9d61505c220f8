//! What is done to a device beyond changing what is known of it.

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseAccepted,
    HttpResponseOk, HttpResponseUpdatedNoContent, Path, RequestContext,
    endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Json, answer},
    device::{Device, DevicePath, ResetType},
    node::{Affected, Impact},
    task::Task,
};
use crate::{Fleet, auth::Role, error::Error};

/// Nodes that one request may name.
const MAX_NODES: usize = 128;

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_approve)?;
    api.register(device_approve_impact)?;
    api.register(device_reset)?;
    api.register(device_identify)
}

/// Which key is meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DeviceApprove {
    /// The fingerprint of the new key; whichever waits unless said.
    pub fingerprint: Option<String>,
}

/// A reset to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceReset {
    /// How to reset.
    pub reset_type: ResetType,
    /// Which of its nodes, by ids or names, or from one to another (`c0-c3`);
    /// unless said, all that can be.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub nodes: Option<Vec<String>>,
}

impl DeviceReset {
    /// The nodes that are named.
    fn nodes(&self) -> Result<&[String], Error> {
        let nodes = self.nodes.as_deref().unwrap_or_default();
        if nodes.len() > MAX_NODES {
            let message = format!("{MAX_NODES} nodes at most");
            return Err(Error::invalid("/nodes", message));
        }
        if self.nodes.is_some() && nodes.is_empty() {
            let message = "say which, or leave it out for all";
            return Err(Error::invalid("/nodes", message));
        }
        Ok(nodes)
    }
}

/// Whether the locator light shines.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceIdentify {
    /// Whether the locator light shines.
    pub on: bool,
}

/// View the key that waits to be approved
///
/// Compare its fingerprint with what the machine itself shows before you
/// approve it.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/approve",
    tags = ["devices"],
}]
async fn device_approve_impact(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseOk<Impact>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let device = call.fleet.devices().get(&path.into_inner().device)?;
        let mut impact = Impact::default();
        let mut waiting = Vec::new();
        if let Some(key) = &device.pending_key {
            let from = key.address.map(|address| format!(" from {address}"));
            let since = key.since.format("%Y-%m-%d %H:%M:%S UTC");
            impact.affects.push(Affected {
                name: format!("new key {}", key.fingerprint),
                state: Some(format!("waits since {since}")),
                note: Some(format!("asked{}", from.unwrap_or_default())),
            });
            let name = &device.name;
            impact.warnings.push(format!(
                "Whoever has the key of {name} until now is shut out."
            ));
            waiting.push(key.fingerprint.clone());
        }
        impact.choices.insert("fingerprint".to_owned(), waiting);
        Ok(HttpResponseOk(impact))
    })
    .await
}

/// Approve a device's new key
///
/// A known machine that comes with a key that is not known waits until this
/// is called; the new key then takes the place of the old. With a fingerprint
/// only the key that has it is approved, whatever came meanwhile.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/approve",
    tags = ["devices"],
}]
async fn device_approve(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<DeviceApprove>,
) -> Answer<HttpResponseOk<Device>> {
    answer(rqctx, Role::Admin, |call| async move {
        let device = path.into_inner().device;
        let meant = body.get()?.fingerprint;
        let (fleet, caller) = (&call.fleet, &call.caller);
        let approved = fleet.device_approve(caller, &device, meant.as_deref());
        let approved = approved.await?;
        call.note(approved.key_fingerprint.as_deref().unwrap_or_default());
        Ok(HttpResponseOk(approved))
    })
    .await
}

/// Reset a device
///
/// A device that looks after several nodes resets those that are named, or all
/// that can be: not the one that its agent runs on. Answers with the task that
/// does it.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/reset",
    tags = ["devices"],
}]
async fn device_reset(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<DeviceReset>,
) -> Answer<HttpResponseAccepted<Task>> {
    answer(rqctx, Role::Operator, |call| async move {
        let device = path.into_inner().device;
        let reset = body.get()?;
        let (kind, nodes) = (reset.reset_type, reset.nodes()?);
        let of = if nodes.is_empty() { "" } else { " of " };
        call.note(&format!("{kind:?}{of}{}", nodes.join(", ")));
        let fleet = &call.fleet;
        Ok(HttpResponseAccepted(
            fleet.device_reset(&call.caller, &device, kind, nodes).await?,
        ))
    })
    .await
}

/// Switch a device's locator light
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/identify",
    tags = ["devices"],
}]
async fn device_identify(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<DeviceIdentify>,
) -> Answer<HttpResponseUpdatedNoContent> {
    answer(rqctx, Role::Operator, |call| async move {
        let device = path.into_inner().device;
        let on = body.get()?.on;
        call.fleet.device_identify(&call.caller, &device, on).await?;
        Ok(HttpResponseUpdatedNoContent())
    })
    .await
}
