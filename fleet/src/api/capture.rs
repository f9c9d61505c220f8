//! What the instruments of a device recorded.

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseAccepted,
    HttpResponseDeleted, HttpResponseOk, Path, RequestContext, ResultsPage,
    endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Json, answer},
    device::DevicePath,
    page::Listing,
    part::{By, Part, list, named},
    task::Task,
};
use crate::{Fleet, auth::Role, error::Error, live::Live};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_capture_list)?;
    api.register(device_capture_view)?;
    api.register(device_capture)?;
    api.register(device_capture_delete)
}

/// What an instrument recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCapture {
    /// Its id in the device's Redfish service.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The instrument that recorded it.
    pub instrument: Option<String>,
    /// Which model that is.
    pub model: Option<String>,
    /// What was recorded: analog series in volts, and logic ones.
    pub series: Vec<String>,
    /// How many values each series has.
    pub values: Option<u64>,
    /// Values a second.
    pub rate: Option<f64>,
    /// The range, in volts.
    pub range: Option<f64>,
    /// Whether the trigger came, or none was asked for.
    pub triggered: Option<bool>,
    /// When the trigger came, by the device's clock.
    pub trigger_time: Option<DateTime<Utc>>,
    /// When it was made, by the device's clock.
    pub made_at: Option<DateTime<Utc>>,
    /// Where the values are as comma-separated text, under
    /// `/v1/devices/{device}`.
    pub csv_path: Option<String>,
    /// Where they are as a sigrok session file, under `/v1/devices/{device}`.
    pub session_path: Option<String>,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $word:ident,)* })*) => {
        $($(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name { $($(#[$about])* $word,)* })*
    };
}

words! {
    /// What triggers a recording.
    TriggerSource {
        /// The first analog input.
        A,
        /// The second analog input.
        B,
        /// The logic inputs.
        Logic,
    }
    /// What the source of a trigger has to do.
    TriggerType {
        /// It comes from below and stays above.
        Rising,
        /// It comes from above and stays below.
        Falling,
        /// It is above.
        High,
        /// It is below.
        Low,
    }
    /// What to do without a trigger.
    TriggerMode {
        /// Record nothing.
        Normal,
        /// Record what there is.
        Auto,
    }
    /// What is sent of the samples.
    DumpMode {
        /// Each, as 8 bits.
        Raw,
        /// Each, as 16 bits.
        Native,
        /// The mean of a block.
        Summed,
        /// The lowest and the highest of a block.
        MinMax,
        /// What all and what any of a block of logic samples have set.
        AndOr,
        /// A block, low-pass filtered.
        Filter,
        /// How far the highest of a block is above the lowest.
        Span,
    }
    /// A wave that a generator makes.
    GeneratorFunction {
        /// None.
        Off,
        /// A sine.
        Sine,
        /// Up and down in straight lines.
        Triangle,
        /// Charged and discharged.
        Exponential,
        /// High and low.
        Square,
    }
}

/// What to record; the device has a value for what is not said.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CaptureCreate {
    /// The instrument, where the device has several.
    pub instrument: Option<String>,
    /// The inputs: `A`, `B`, and `L0` to `L7`.
    pub channels: Option<Vec<String>>,
    /// Samples a second of each input.
    pub rate: Option<f64>,
    /// How many samples of each input; the most is the instrument's.
    #[schemars(range(min = 1))]
    pub samples: Option<u32>,
    /// How many of them are before the trigger.
    pub pre_trigger: Option<u32>,
    /// The range in volts, from the lowest to the highest level.
    pub range: Option<f64>,
    /// The trace mode of the instrument.
    pub mode: Option<String>,
    /// What is sent of the samples.
    pub dump: Option<DumpMode>,
    /// How many samples make one value, where they are reduced.
    #[schemars(range(min = 1))]
    pub block: Option<u32>,
    /// What triggers the recording; it begins at once where nothing is said.
    pub trigger: Option<TriggerSource>,
    /// What the source has to do.
    pub trigger_type: Option<TriggerType>,
    /// The level of an analog trigger, in volts.
    pub trigger_level: Option<f64>,
    /// The pattern of a logic trigger, L7 first: `0`, `1` or `x`.
    pub trigger_pattern: Option<String>,
    /// How many samples a level has to last.
    pub trigger_filter: Option<u32>,
    /// How long after the trigger the recording begins, in microseconds.
    pub trigger_delay: Option<u32>,
    /// How long to wait for the trigger, in seconds.
    pub trigger_timeout: Option<f64>,
    /// What to do without a trigger.
    pub trigger_mode: Option<TriggerMode>,
    /// What the generator makes from then on.
    pub generator: Option<GeneratorFunction>,
    /// The frequency of the generator, in hertz.
    pub generator_frequency: Option<f64>,
    /// The level of the generator from bottom to top, in volts.
    pub generator_level: Option<f64>,
    /// How far its middle is moved, in volts.
    pub generator_offset: Option<f64>,
    /// For how much of a period it is high or rises, in percent.
    pub generator_duty: Option<f64>,
}

named! {
    DeviceCapture: |it| it.id.clone();
}

impl Part for DeviceCapture {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.captures().await
    }
}

/// A recording of a device.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CapturePath {
    /// The device's id or name.
    pub(super) device: String,
    /// The capture's id.
    pub(super) capture: String,
}

/// List a device's captures
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected. A device keeps the newest 64.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/captures",
    tags = ["device-captures"],
}]
async fn device_capture_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DeviceCapture>>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceCapture>>> {
    list(rqctx, path, listing).await
}

/// View what a device's instrument recorded
///
/// The values themselves are the device's: a Redfish request for its
/// `csvPath` or `sessionPath` fetches them.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/captures/{capture}",
    tags = ["device-captures"],
}]
async fn device_capture_view(
    rqctx: RequestContext<Fleet>,
    path: Path<CapturePath>,
) -> Answer<HttpResponseOk<DeviceCapture>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let CapturePath { device, capture } = path.into_inner();
        Ok(HttpResponseOk(call.live(&device)?.capture(&capture).await?))
    })
    .await
}

/// Record signals with a device's instrument
///
/// Answers with the task that does it; its result ends with the id of the
/// capture.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/capture",
    tags = ["devices"],
}]
async fn device_capture(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<CaptureCreate>,
) -> Answer<HttpResponseAccepted<Task>> {
    answer(rqctx, Role::Operator, |call| async move {
        let device = path.into_inner().device;
        let wanted = body.get()?;
        Ok(HttpResponseAccepted(
            call.fleet.device_capture(&call.caller, &device, &wanted).await?,
        ))
    })
    .await
}

/// Delete a capture
#[endpoint {
    method = DELETE,
    path = "/v1/devices/{device}/captures/{capture}",
    tags = ["device-captures"],
}]
async fn device_capture_delete(
    rqctx: RequestContext<Fleet>,
    path: Path<CapturePath>,
) -> Answer<HttpResponseDeleted> {
    answer(rqctx, Role::Operator, |call| async move {
        let CapturePath { device, capture } = path.into_inner();
        call.live(&device)?.delete_capture(&capture).await?;
        Ok(HttpResponseDeleted())
    })
    .await
}
