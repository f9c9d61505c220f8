//! The computers that a device looks after: itself, or the nodes of a rack.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path, Query,
    RequestContext, ResultsPage, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    device::{DevicePath, Health, PowerState, ResetType},
    page::{Key, Listed, Listing},
    part::{By, Part, list},
};
use crate::{Fleet, auth::Role, error::Error, live::Live};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_node_list)?;
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
    /// Whether the device's agent runs on it.
    pub runs_agent: bool,
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

/// What would be asked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ImpactQuery {
    /// How to reset; each way unless said.
    pub(super) reset_type: Option<ResetType>,
    /// The nodes, by ids or names with commas between; all unless said.
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
        let nodes = nodes.unwrap_or_default();
        let nodes = nodes.split(',').map(str::trim);
        let nodes: Vec<String> =
            nodes.filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let live = call.live(&path.into_inner().device)?;
        Ok(HttpResponseOk(live.impact(reset_type, &nodes).await?))
    })
    .await
}
