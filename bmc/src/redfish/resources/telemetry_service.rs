//! `TelemetryService`: metrics, reports of them, and triggers that watch them.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        resource::{Health, State, Status},
        telemetry_service::{self, CollectionFunction},
    },
};
use serde_json::{Map, Value};

use super::With as _;
use crate::{
    log::Kind,
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        telemetry::refused,
        uri,
    },
    telemetry::{self, Entry, Host as _, Report},
};

const KIND: &str = "TelemetryService";
const TEST: &str = "TelemetryService.SubmitTestMetricReport";
const CLEAR: &str = "TelemetryService.ClearMetricReports";
const RESET_DEFINITIONS: &str =
    "TelemetryService.ResetMetricReportDefinitionsToDefaults";
const RESET_TRIGGERS: &str = "TelemetryService.ResetTriggersToDefaults";
const NAME: &str = "/MetricReportName";
const VALUES: &str = "/GeneratedMetricReportValues";
/// The most values of a test report.
const MOST: u16 = 256;

/// `/redfish/v1/TelemetryService`
pub(crate) struct TelemetryService;

impl Resource for TelemetryService {
    fn uri(&self) -> &'static str {
        uri::TELEMETRY
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let enabled = view.service.telemetry.kept().enabled;
        let most = telemetry::DEFINITIONS + telemetry::NEW_REPORTS;
        let interval = telemetry::SLOWEST.as_secs();
        let system = view.snapshot.inventory.systems.first();
        let log = system.map(|system| {
            let ids = [&*system.id, Kind::Hardware.id()];
            Reference::new(uri::of(uri::SYSTEM_LOG, &ids))
        });
        let body =
            telemetry_service::TelemetryService::new("", KIND, "Telemetry")
                .service_enabled(enabled)
                .status(status(enabled))
                .max_reports(i64::try_from(most).unwrap_or(i64::MAX))
                .min_collection_interval(format!("PT{interval}S"))
                .supported_collection_functions([
                    CollectionFunction::Average,
                    CollectionFunction::Maximum,
                    CollectionFunction::Minimum,
                    CollectionFunction::Summation,
                ])
                .metric_definitions(Reference::new(uri::METRIC_DEFINITIONS))
                .metric_report_definitions(Reference::new(
                    uri::METRIC_REPORT_DEFINITIONS,
                ))
                .metric_reports(Reference::new(uri::METRIC_REPORTS))
                .triggers(Reference::new(uri::TRIGGERS))
                .telemetry_data(Reference::new(uri::TELEMETRY_DATA))
                .with(log, telemetry_service::TelemetryService::log_service);
        Some(
            answer(body)
                .action(TEST, Map::new())
                .action(CLEAR, Map::new())
                .action(RESET_DEFINITIONS, Map::new())
                .action(RESET_TRIGGERS, Map::new()),
        )
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/ServiceEnabled"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let telemetry = &write.service.telemetry;
            if let Some(enabled) = write.flag("/ServiceEnabled") {
                let done = telemetry.enable(enabled).await;
                done.map_err(|it| refused(it, KIND, KIND))?;
            }
            Ok(())
        })
    }

    fn actions(&self) -> &'static [Action] {
        &[
            (TEST, &[NAME, VALUES]),
            (CLEAR, &[]),
            (RESET_DEFINITIONS, &[]),
            (RESET_TRIGGERS, &[]),
        ]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let service = write.service;
            let telemetry = &service.telemetry;
            let done = match action {
                TEST => {
                    service.report(&test(write)?);
                    Ok(())
                }
                CLEAR => telemetry.clear().await,
                RESET_DEFINITIONS => {
                    let snapshot = service.model.snapshot();
                    telemetry.reset_definitions(&snapshot).await
                }
                RESET_TRIGGERS => {
                    let snapshot = service.model.snapshot();
                    telemetry.reset_triggers(&snapshot).await
                }
                _ => return Err(Error::internal()),
            };
            done.map_err(|it| refused(it, KIND, KIND))?;
            Ok(Acted::Done)
        })
    }
}

/// In use or switched off.
pub(super) fn status(enabled: bool) -> Status {
    let state = if enabled { State::Enabled } else { State::Disabled };
    Status::new().state(state).health(Health::Ok)
}

/// The report that the parameters describe.
fn test(write: &Write<'_>) -> Result<Report, Error> {
    let wrong = |message| Err(Error::bad(vec![message]));
    let name = write.text(NAME).unwrap_or_default();
    let bare = NAME.trim_start_matches('/');
    if name.is_empty() {
        let message =
            base::action_parameter_value_format_error(name, bare, TEST);
        return wrong(message);
    }
    let id: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    let none = Vec::new();
    let values = write.values.get(VALUES).and_then(Value::as_array);
    let values = values.unwrap_or(&none);
    if values.len() > MOST.into() {
        let bare = VALUES.trim_start_matches('/');
        return wrong(base::array_size_too_long(bare, MOST));
    }
    let now = Utc::now();
    let entries: VecDeque<Entry> = values
        .iter()
        .map(|value| {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            let at = text("Timestamp")
                .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
            Entry::test(
                text("MetricId"),
                text("MetricProperty"),
                text("MetricValue"),
                at.map_or(now, |at| at.to_utc()),
            )
        })
        .collect();
    Ok(Report {
        id,
        name: name.chars().take(256).collect(),
        definition: None,
        at: now,
        entries,
        number: 0,
    })
}
