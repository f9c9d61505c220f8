//! `TelemetryData`: what instruments recorded.

use chrono::SecondsFormat;
use onprem_redfish::schema::telemetry_data::{self, TelemetryDataTypes};
use serde_json::json;

use crate::redfish::{
    error::Error,
    resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
    uri,
};

/// What our telemetry data are called.
pub(super) const KIND: &str = "OnPrem.Capture";

/// `/redfish/v1/TelemetryService/TelemetryData/{TelemetryDataId}`
pub(crate) struct TelemetryData;

impl Resource for TelemetryData {
    fn uri(&self) -> &'static str {
        uri::TELEMETRY_DATUM
    }

    fn kind(&self) -> &'static str {
        "TelemetryData"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.service.captures.get(ids.first()?)?;
        let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let time = |at: chrono::DateTime<chrono::Utc>| {
            at.to_rfc3339_opts(SecondsFormat::Millis, true)
        };
        let body = telemetry_data::TelemetryData::new("", &*it.id, &*it.name)
            .timestamp(time(it.made))
            .telemetry_data_type(TelemetryDataTypes::Oem)
            .oem_telemetry_data_type(KIND)
            .additional_data_uri(uri::of(uri::CAPTURE_SESSION, ids))
            .additional_data_size_bytes(bytes(it.session_bytes));
        let mut answer = answer(body);
        let about = json!({
            "@odata.type": "#OnPremTelemetryData.v1_0_0.OnPrem",
            "Capture": {
                "Chassis": it.chassis,
                "Instrument": it.instrument,
                "Model": it.model,
                "TraceMode": it.mode,
                "DumpMode": it.reduction.as_str(),
                "SamplesPerValue": it.block,
                "ValueRateHz": it.rate,
                "Values": it.values,
                "RangeVolts": it.range,
                "Series": it.series,
                "Triggered": it.triggered,
                "TriggerValue": it.trigger,
                "TriggerTime": time(it.at),
                "CSVDataURI": uri::of(uri::CAPTURE_CSV, ids),
                "CSVDataSizeBytes": it.csv_bytes,
            },
        });
        answer.body.insert("Oem".to_owned(), json!({ "OnPrem": about }));
        Some(answer)
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let removed: Result<(), Error> =
                write.service.captures.remove(write.id(0)).await;
            removed
        })
    }
}
