//! The fleet server itself: version, health, and how the fleet is.

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk,
    RequestContext, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Answer, answer, answer_anyone};
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(version_view)?;
    api.register(health_view)?;
    api.register(overview_view)
}

/// What runs here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The version of the fleet server.
    pub version: String,
}

/// How the server is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerHealth {
    /// `OK` when it can read and write.
    pub health: super::device::Health,
    /// For how long it has been up, in seconds.
    pub uptime_seconds: u64,
}

/// How the fleet is, in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// All devices.
    pub devices: u64,
    /// Devices that are connected.
    pub devices_online: u64,
    /// Devices that are not connected.
    pub devices_offline: u64,
    /// Devices whose new key waits for approval.
    pub devices_waiting: u64,
    /// Devices that are not as they should be.
    pub devices_tainted: u64,
    /// Devices that need attention.
    pub devices_warning: u64,
    /// Devices that need attention now.
    pub devices_critical: u64,
    /// Tasks that are not done yet.
    pub tasks_running: u64,
    /// Tasks that failed in the last 24 hours.
    pub tasks_failed: u64,
}

/// View the server's version
#[endpoint { method = GET, path = "/v1/version", tags = ["system"] }]
async fn version_view(
    rqctx: RequestContext<Fleet>,
) -> Answer<HttpResponseOk<Version>> {
    answer_anyone(rqctx, |_| async {
        Ok(HttpResponseOk(Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    })
    .await
}

/// View the server's health
///
/// Answers 503 when the server cannot do its work.
#[endpoint { method = GET, path = "/v1/health", tags = ["system"] }]
async fn health_view(
    rqctx: RequestContext<Fleet>,
) -> Answer<HttpResponseOk<ServerHealth>> {
    answer_anyone(rqctx, |call| async move {
        Ok(HttpResponseOk(call.fleet.health().await?))
    })
    .await
}

/// View how the fleet is
#[endpoint { method = GET, path = "/v1/overview", tags = ["system"] }]
async fn overview_view(
    rqctx: RequestContext<Fleet>,
) -> Answer<HttpResponseOk<Overview>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.fleet.overview()))
    })
    .await
}
