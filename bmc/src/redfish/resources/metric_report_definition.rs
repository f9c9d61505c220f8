//! `MetricReportDefinition`: which metrics are reported, when and how.

use onprem_redfish::schema::{
    Reference,
    metric_report_definition::{self, Links},
    metric_report_definition_collection::MetricReportDefinitionCollection,
};

use super::{With as _, extend, telemetry_service::status};
use crate::{
    redfish::{
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        telemetry::{change, create, remove},
        uri,
    },
    telemetry::{Defined as _, Definition},
};

/// `/redfish/v1/TelemetryService/MetricReportDefinitions`
pub(crate) struct MetricReportDefinitions;

impl Resource for MetricReportDefinitions {
    fn uri(&self) -> &'static str {
        uri::METRIC_REPORT_DEFINITIONS
    }

    fn kind(&self) -> &'static str {
        "MetricReportDefinitionCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let kept = view.service.telemetry.kept();
        let ids = kept.definitions.keys();
        let uris = ids.map(|id| uri::of(uri::METRIC_REPORT_DEFINITION, &[id]));
        let body = MetricReportDefinitionCollection::new(
            "",
            "Metric report definitions",
            uris,
        );
        Some(answer(body.members_count(kept.definitions.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "/Id",
            "/Name",
            "/Description",
            "/MetricReportDefinitionType",
            "/MetricReportDefinitionEnabled",
            "/Schedule/RecurrenceInterval",
            "/Schedule/MaxOccurrences",
            "/Metrics",
            "/MetricProperties",
            "/Wildcards",
            "/ReportActions",
            "/ReportUpdates",
            "/AppendLimit",
            "/ReportTimespan",
            "/SuppressRepeatedMetricValue",
            "/MetricReportHeartbeatInterval",
        ])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(create::<Definition>(write, uri::METRIC_REPORT_DEFINITION))
    }
}

/// `/redfish/v1/TelemetryService/MetricReportDefinitions/
/// {MetricReportDefinitionId}`
pub(crate) struct MetricReportDefinition;

impl Resource for MetricReportDefinition {
    fn uri(&self) -> &'static str {
        uri::METRIC_REPORT_DEFINITION
    }

    fn kind(&self) -> &'static str {
        Definition::KIND
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use metric_report_definition::MetricReportDefinition as Typed;
        let telemetry = &view.service.telemetry;
        let kept = telemetry.kept();
        let it = kept.definitions.get(*ids.first()?)?;
        let here = uri::of(uri::METRIC_REPORT_DEFINITION, ids);
        let triggers = kept.triggers.values().filter(|trigger| {
            let mut links = trigger.links.metric_report_definitions.iter();
            links.any(|link| link.uri == here)
        });
        let triggers =
            triggers.map(|trigger| uri::of(uri::TRIGGER, &[&trigger.id]));
        let triggers: Vec<_> = triggers.collect();
        let count = triggers.len() as u64;
        let report = telemetry.latest(&it.id);
        let report = report.map(|id| uri::of(uri::METRIC_REPORT, &[id]));
        let body = Typed::new("", &*it.id, &*it.name)
            .status(status(it.enabled && kept.enabled))
            .links(Links::new().triggers(triggers).triggers_count(count))
            .with(report.map(Reference::new), Typed::metric_report);
        Some(extend(answer(body), it))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/MetricReportDefinitionType",
            "/MetricReportDefinitionEnabled",
            "/Schedule/RecurrenceInterval",
            "/Schedule/MaxOccurrences",
            "/Metrics",
            "/MetricProperties",
            "/Wildcards",
            "/ReportActions",
            "/ReportUpdates",
            "/ReportTimespan",
            "/SuppressRepeatedMetricValue",
            "/MetricReportHeartbeatInterval",
        ]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(change::<Definition>(write))
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(remove::<Definition>(write))
    }
}
