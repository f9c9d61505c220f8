//! Records signals with an instrument of a device.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Rest, device_task,
    progress::{Done, Progress},
};
use crate::{
    Fleet,
    api::{CaptureCreate, Device, DeviceCapture, Task},
    auth::Caller,
    error::Error,
    live::{CAPTURE, Live, number, text, time},
};

/// What a recording consists of.
const STEPS: &[&str] = &["Send the request", "Record"];

/// How long a device may take: it waits at most a minute for a trigger.
pub(super) const PATIENCE: Duration = Duration::from_mins(3);

/// Where captures are.
const CAPTURES: &str = "/redfish/v1/TelemetryService/TelemetryData";
/// What they are called.
const KIND: &str = "OnPrem.Capture";

/// What the device calls what we call so.
const NAMES: &[(&str, &str)] = &[
    ("instrument", "Instrument"),
    ("channels", "Channels"),
    ("rate", "SampleRateHz"),
    ("samples", "Samples"),
    ("preTrigger", "PreTriggerSamples"),
    ("range", "RangeVolts"),
    ("mode", "TraceMode"),
    ("dump", "DumpMode"),
    ("block", "SamplesPerValue"),
    ("trigger", "TriggerSource"),
    ("triggerType", "TriggerType"),
    ("triggerLevel", "TriggerLevelVolts"),
    ("triggerPattern", "TriggerPattern"),
    ("triggerFilter", "TriggerFilterSamples"),
    ("triggerDelay", "TriggerDelayMicroseconds"),
    ("triggerTimeout", "TriggerTimeoutSeconds"),
    ("triggerMode", "TriggerMode"),
    ("generator", "GeneratorFunction"),
    ("generatorFrequency", "GeneratorFrequencyHz"),
    ("generatorLevel", "GeneratorLevelVolts"),
    ("generatorOffset", "GeneratorOffsetVolts"),
    ("generatorDuty", "GeneratorDutyPercent"),
];

/// Begins to record with an instrument of `device`.
pub(crate) async fn capture(
    fleet: &Fleet,
    caller: &Caller,
    device: &Device,
    wanted: &CaptureCreate,
) -> Result<Task, Error> {
    // What cannot be done is said at once.
    let live = fleet.live(caller, &device.id.to_string())?;
    live.check()?;
    let target = live.capture_target(wanted.instrument.as_deref()).await?;
    let description = format!("Record signals of {}", device.name);
    let task = fleet
        .tasks()
        .begin(caller, "device_capture", description, device, STEPS)
        .await?;
    let mut progress = Progress::new(fleet.clone(), &task);
    let body = parameters(wanted);
    fleet.spawn(async move {
        let done = run(&live, &target, &body, &mut progress).await;
        progress.end(done).await;
    });
    Ok(task)
}

/// The parameters of the action.
fn parameters(wanted: &CaptureCreate) -> Value {
    let said = serde_json::to_value(wanted).unwrap_or_default();
    let value = |(ours, theirs): &(&str, &str)| {
        let value = said.get(ours).filter(|value| !value.is_null())?;
        Some(((*theirs).to_owned(), value.clone()))
    };
    Value::Object(NAMES.iter().filter_map(value).collect::<Map<_, _>>())
}

/// A recording that a device makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begun {
    /// The device's task.
    task: String,
}

impl From<Begun> for Rest {
    fn from(begun: Begun) -> Self {
        Self::Capture(begun)
    }
}

async fn run(
    live: &Live,
    target: &str,
    body: &Value,
    progress: &mut Progress,
) -> Result<String, Error> {
    let begun = progress
        .hand_over(async {
            let task = live.send(Method::POST, target, Some(body)).await?;
            let task = text(&task, "/@odata.id");
            let task = task.ok_or_else(|| live.strange("no task came back"))?;
            Ok((Begun { task }, None))
        })
        .await?;
    progress.step(follow(live, begun, Instant::now() + PATIENCE)).await
}

/// Goes on with what was begun before the server was restarted.
pub(super) async fn go_on(
    live: Live,
    begun: Begun,
    patience: Duration,
    mut progress: Progress,
) {
    let end = Instant::now() + patience;
    let result = progress.step(follow(&live, begun, end)).await;
    progress.end(result).await;
}

/// Waits until the device's task ends; says what it made.
async fn follow(live: &Live, begun: Begun, end: Instant) -> Done<String> {
    let task = device_task::follow(live, &begun.task, end).await?;
    let made = text(&task, "/Links/CreatedResources/0/@odata.id");
    let made = made.ok_or_else(|| live.strange("it made nothing"))?;
    let id = made.rsplit('/').next().unwrap_or_default();
    Ok((format!("recorded {id}"), None))
}

impl Live {
    /// What was recorded with the device's instruments.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn captures(&self) -> Result<Vec<DeviceCapture>, Error> {
        let all = self.members(CAPTURES).await?;
        let ours = all.iter().filter(|data| {
            text(data, "/OEMTelemetryDataType").as_deref() == Some(KIND)
        });
        Ok(ours.map(told).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// There is none; the device cannot be asked.
    pub(crate) async fn capture(
        &self,
        id: &str,
    ) -> Result<DeviceCapture, Error> {
        Ok(told(&self.of_capture(Method::GET, id).await?))
    }

    /// Deletes a capture.
    ///
    /// # Errors
    /// There is none; the device cannot be asked.
    pub(crate) async fn delete_capture(&self, id: &str) -> Result<(), Error> {
        self.of_capture(Method::DELETE, id).await?;
        Ok(())
    }

    async fn of_capture(
        &self,
        method: Method,
        id: &str,
    ) -> Result<Value, Error> {
        let none = || Error::not_found("capture", id);
        let known = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if id.is_empty() || !id.chars().all(known) {
            return Err(none());
        }
        match self.send(method, &format!("{CAPTURES}/{id}"), None).await {
            Err(Error::Device { status: StatusCode::NOT_FOUND, .. }) => {
                Err(none())
            }
            answer => answer,
        }
    }

    /// Where to ask for a capture with this instrument, or the only one.
    async fn capture_target(
        &self,
        instrument: Option<&str>,
    ) -> Result<String, Error> {
        let has = |chassis: &Value| {
            let Some(wanted) = instrument else { return true };
            let all = chassis.pointer("/Oem/OnPrem/Instruments");
            let mut all = all.and_then(Value::as_array).into_iter().flatten();
            all.any(|it| text(it, "/Id").as_deref() == Some(wanted))
        };
        let chassis = self.chassis().await?;
        let mut targets = chassis
            .iter()
            .filter(|(_, chassis)| has(chassis))
            .filter_map(|(_, chassis)| text(chassis, CAPTURE));
        targets.next().ok_or_else(|| {
            if let Some(name) = instrument {
                return Error::not_found("instrument", name);
            }
            let message = "the device has no instrument".to_owned();
            Error::Conflict { pointer: None, message }
        })
    }
}

fn told(data: &Value) -> DeviceCapture {
    let about = data.pointer("/Oem/OnPrem/Capture").unwrap_or(&Value::Null);
    let below = |path: Option<String>| {
        path.filter(|path| path.starts_with("/redfish/v1/"))
    };
    let series = about.get("Series").and_then(Value::as_array);
    let series = series.into_iter().flatten().filter_map(Value::as_str);
    DeviceCapture {
        id: text(data, "/Id").unwrap_or_default(),
        name: text(data, "/Name").unwrap_or_default(),
        instrument: text(about, "/Instrument"),
        model: text(about, "/Model"),
        series: series.map(str::to_owned).collect(),
        values: about.get("Values").and_then(Value::as_u64),
        rate: number(about, "/ValueRateHz"),
        range: number(about, "/RangeVolts"),
        triggered: about.get("Triggered").and_then(Value::as_bool),
        trigger_time: time(about, "/TriggerTime"),
        made_at: time(data, "/Timestamp"),
        csv_path: below(text(about, "/CSVDataURI")),
        session_path: below(text(data, "/AdditionalDataURI")),
    }
}
