//! A recording as a picture shows it.

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path, Query,
    RequestContext, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    capture::CapturePath,
};
use crate::{Fleet, auth::Role, error::Error};

/// How many points there are unless said.
const POINTS: u32 = 900;
/// The most.
const MOST: u32 = 10_000;

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_capture_envelope)
}

/// A recording, of each stretch of time the lowest and the highest value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaptureEnvelope {
    /// When the first value was, in seconds from the trigger.
    pub from_seconds: f64,
    /// When the last value was, in seconds from the trigger.
    pub to_seconds: f64,
    /// How many values of each series there are in all.
    pub values: u64,
    /// What was recorded.
    pub series: Vec<EnvelopeSeries>,
}

/// One series of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvelopeSeries {
    /// Its name.
    pub name: String,
    /// The unit of its values; a logic input has none, and is 0 or 1.
    pub unit: Option<String>,
    /// The lowest values, one a stretch.
    pub low: Vec<f64>,
    /// The highest values, one a stretch.
    pub high: Vec<f64>,
}

/// How closely to look.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Points {
    /// In how many stretches; 900 unless said, 10,000 at most.
    #[schemars(range(min = 1, max = 10_000))]
    points: Option<u32>,
}

/// View the outline of what a device's instrument recorded
///
/// Of each of so many stretches of time the lowest and the highest value of
/// each series: what a picture needs, however long the recording is.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/captures/{capture}/envelope",
    tags = ["device-captures"],
}]
async fn device_capture_envelope(
    rqctx: RequestContext<Fleet>,
    path: Path<CapturePath>,
    query: Query<Points>,
) -> Answer<HttpResponseOk<CaptureEnvelope>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let CapturePath { device, capture } = path.into_inner();
        let points = query.into_inner().points.unwrap_or(POINTS);
        if !(1..=MOST).contains(&points) {
            let message = format!("`{points}` is not from 1 to {MOST}");
            return Err(Error::invalid("?points", message));
        }
        let points = usize::try_from(points).unwrap_or(usize::MAX);
        let live = call.live(&device)?;
        Ok(HttpResponseOk(
            live.envelope(call.fleet.envelopes(), &capture, points).await?,
        ))
    })
    .await
}
