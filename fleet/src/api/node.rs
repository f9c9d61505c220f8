//! The computers that a device looks after: itself, or the nodes of a rack.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseAccepted,
    HttpResponseOk, Path, Query, RequestContext, ResultsPage, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Json, answer},
    device::{DevicePath, Health, PowerState, ResetType},
    page::{Key, Listed, Listing},
    part::{By, Part, list},
    task::Task,
};
use crate::{Fleet, auth::Role, error::Error, live::Live};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_node_list)?;
    api.register(device_node_view)?;
    api.register(device_node_reset)?;
    api.register(device_node_reset_impact)?;
    api.register(device_reset_impact)
}

/// A computer that a device looks after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// Its id in the device's Redfish service.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is powered; absent while nobody can tell.
    pub power_state: Option<PowerState>,
    /// How well it is.
    pub health: Option<Health>,
    /// Why it is not well.
    pub reasons: Vec<String>,
    /// The chassis that it is in.
    pub chassis: Option<String>,
    /// What is written beside its place.
    pub place: Option<String>,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Which model it is.
    pub model: Option<String>,
    /// The ways it can be reset; none where it cannot.
    pub reset_types: Vec<String>,
    /// Whether the device's agent runs on it, and goes off with it.
    pub runs_agent: bool,
    /// The console of this node, where it has one.
    pub console: Option<String>,
    /// How often it may be started now: each start, and each restart that
    /// cuts its power, counts for an hour. Absent where that has no limit.
    pub starts_left: Option<u32>,
    /// How often it may be started within an hour.
    pub starts_per_hour: Option<u32>,
    /// When this was read.
    pub read_at: DateTime<Utc>,
}

impl Listed for DeviceNode {
    const DEFAULT_SORT: &'static str = "id";
    const SORTS: &'static [&'static str] =
        &["id", "name", "chassis", "health", "powerState"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "name" => Key::text(&self.name),
            "chassis" => Key::maybe(self.chassis.as_ref()),
            "health" => match self.health {
                Some(health) => Key::Number(f64::from(health as u8)),
                None => Key::None,
            },
            "powerState" => match self.power_state {
                Some(state) => Key::Number(f64::from(state as u8)),
                None => Key::None,
            },
            _ => Key::text(&self.id),
        }
    }

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Part for DeviceNode {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.nodes().await
    }
}

/// What an action would do.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// What it would touch.
    pub affects: Vec<Affected>,
    /// What it would leave alone although it is near.
    pub spares: Vec<Affected>,
    /// What a person has to know before, each a sentence.
    pub warnings: Vec<String>,
    /// The values that a field of the action can have here.
    pub choices: BTreeMap<String, Vec<String>>,
}

/// Something that an action touches, or leaves alone.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Affected {
    /// What people call it.
    pub name: String,
    /// How it is now.
    pub state: Option<String>,
    /// What else one has to know.
    pub note: Option<String>,
}

/// A node of a device.
#[derive(Debug, Deserialize, JsonSchema)]
struct NodePath {
    /// The id or the name of the device.
    device: String,
    /// The id or the name of the node.
    node: String,
}

/// A reset of a node to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeReset {
    /// How to reset.
    reset_type: ResetType,
}

/// What would be asked of a node.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NodeImpactQuery {
    /// How to reset; each way unless said.
    reset_type: Option<ResetType>,
}

/// What would be asked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ImpactQuery {
    /// How to reset; each way unless said.
    pub(super) reset_type: Option<ResetType>,
    /// The nodes, by ids or names with commas or spaces between, or from one to
    /// another (`c0-c3`); all unless said.
    pub(super) nodes: Option<String>,
}

/// List a device's nodes
///
/// The computers that it looks after: itself, or those in its rack. Read from
/// the device now; answers 503 with the code `device_offline` while it is not
/// connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/nodes",
    tags = ["device-nodes"],
}]
async fn device_node_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DeviceNode>>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceNode>>> {
    list(rqctx, path, listing).await
}

/// View a node of a device
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/nodes/{node}",
    tags = ["device-nodes"],
}]
async fn device_node_view(
    rqctx: RequestContext<Fleet>,
    path: Path<NodePath>,
) -> Answer<HttpResponseOk<DeviceNode>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let NodePath { device, node } = path.into_inner();
        Ok(HttpResponseOk(call.live(&device)?.node(&node).await?))
    })
    .await
}

/// View what a reset of a node would do
///
/// What would be interrupted, how often it may still be started, and what can
/// be asked. Nothing is reset.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/nodes/{node}/reset",
    tags = ["device-nodes"],
}]
async fn device_node_reset_impact(
    rqctx: RequestContext<Fleet>,
    path: Path<NodePath>,
    query: Query<NodeImpactQuery>,
) -> Answer<HttpResponseOk<Impact>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let NodePath { device, node } = path.into_inner();
        let live = call.live(&device)?;
        let node = live.node(&node).await?.id;
        let kind = query.into_inner().reset_type;
        Ok(HttpResponseOk(live.impact(kind, &[node]).await?))
    })
    .await
}

/// Reset a node of a device
///
/// Answers with the task that does it.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/nodes/{node}/reset",
    tags = ["device-nodes"],
}]
async fn device_node_reset(
    rqctx: RequestContext<Fleet>,
    path: Path<NodePath>,
    body: Json<NodeReset>,
) -> Answer<HttpResponseAccepted<Task>> {
    answer(rqctx, Role::Operator, |call| async move {
        let NodePath { device, node } = path.into_inner();
        let kind = body.get()?.reset_type;
        let (fleet, caller) = (&call.fleet, &call.caller);
        let node = call.live(&device)?.node(&node).await?.id;
        call.note(&format!("{kind:?} of {node}"));
        Ok(HttpResponseAccepted(
            fleet.device_reset(caller, &device, kind, &[node]).await?,
        ))
    })
    .await
}

/// View what a reset of a device would do
///
/// Which nodes it would touch and which not, and what can be asked. Nothing
/// is reset.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/reset",
    tags = ["devices"],
}]
async fn device_reset_impact(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    query: Query<ImpactQuery>,
) -> Answer<HttpResponseOk<Impact>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let ImpactQuery { reset_type, nodes } = query.into_inner();
        let nodes = nodes.filter(|it| !it.trim().is_empty());
        let nodes: Vec<String> = nodes.into_iter().collect();
        let live = call.live(&path.into_inner().device)?;
        Ok(HttpResponseOk(live.impact(reset_type, &nodes).await?))
    })
    .await
}
