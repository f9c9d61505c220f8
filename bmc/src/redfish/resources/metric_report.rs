//! `MetricReport`: what was collected.

use onprem_redfish::schema::metric_report_collection::MetricReportCollection;

use crate::redfish::{
    resource::{Answer, Freshness, Resource, View, answer},
    uri,
};

/// `/redfish/v1/TelemetryService/MetricReports`
pub(crate) struct MetricReports;

impl Resource for MetricReports {
    fn uri(&self) -> &'static str {
        uri::METRIC_REPORTS
    }

    fn kind(&self) -> &'static str {
        "MetricReportCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let ids = view.service.telemetry.reports();
        let uris = ids.iter().map(|id| uri::of(uri::METRIC_REPORT, &[id]));
        let body = MetricReportCollection::new("", "Metric reports", uris);
        Some(answer(body.members_count(ids.len() as u64)))
    }
}

/// `/redfish/v1/TelemetryService/MetricReports/{MetricReportId}`
pub(crate) struct MetricReport;

impl Resource for MetricReport {
    fn uri(&self) -> &'static str {
        uri::METRIC_REPORT
    }

    fn kind(&self) -> &'static str {
        "MetricReport"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let service = view.service;
        let telemetry = &service.telemetry;
        let report = telemetry.report(ids.first()?, service, view.snapshot)?;
        let body = report.body();
        Some(Answer { body, volatile: &[], actions: Vec::new() })
    }
}
