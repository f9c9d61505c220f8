//! Events: what happened in the fleet.

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
    page::Listing,
};
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(event_list)
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id.
    pub id: Xid,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// What happened.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, in words.
    pub message: String,
    /// The device that it happened to.
    pub device: Option<Xid>,
    /// The name of that device at the time.
    pub device_name: Option<String>,
    /// The task that it belongs to.
    pub task: Option<Xid>,
}

/// What happened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// A device was let in.
    DeviceEnrolled,
    /// A device connected.
    DeviceOnline,
    /// A device is no longer connected.
    DeviceOffline,
    /// A device came with a new key.
    DeviceWaiting,
    /// Something about a device was changed.
    DeviceChanged,
    /// A device was deleted.
    DeviceDeleted,
    /// A task began, went on or ended.
    TaskChanged,
    /// The fleet server started.
    FleetStarted,
}

/// How much something matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It needs attention.
    Warning,
    /// It needs attention now.
    Critical,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events of this severity.
    pub severity: Option<Severity>,
    /// Only events of this device, by its id or its name.
    pub device: Option<String>,
}

/// List events
///
/// The newest comes first. The fleet keeps the last 10,000.
#[endpoint { method = GET, path = "/v1/events", tags = ["events"] }]
async fn event_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<EventFilter>,
) -> Answer<HttpResponseOk<ResultsPage<Event>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.fleet.events_list(&listing.get()?).await?))
    })
    .await
}
