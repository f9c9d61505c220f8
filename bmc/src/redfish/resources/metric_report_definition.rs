//! `MetricReportDefinition`: which metrics are reported, when and how.

use onprem_redfish::schema::{
    Reference,
    metric_report_definition::{self, Links},
    metric_report_definition_collection::MetricReportDefinitionCollection,
};

use super::{With as _, extend, new_id, telemetry_service::status};
use crate::{
    redfish::{
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        telemetry::refused,
        uri,
    },
    telemetry::{self, DEFINITIONS, Definition, Refused},
};

const KIND: &str = "MetricReportDefinition";

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
        Box::pin(async {
            let service = write.service;
            let snapshot = service.model.snapshot();
            let resolver = service.resolver(&snapshot);
            let id = new_id(write)?;
            let made = service.telemetry.define(&resolver, |kept| {
                if kept.definitions.contains_key(&id) {
                    return Err(Refused::Known);
                }
                if kept.definitions.len() >= DEFINITIONS {
                    return Err(Refused::Full);
                }
                let empty = Definition::default();
                let merged = telemetry::merge(&empty, write.values);
                let merged = merged.map_err(Refused::Wrong)?;
                Ok(Definition { id: id.clone(), ..merged })
            });
            let made = made.await.map_err(|it| refused(it, KIND, &id))?;
            Ok(uri::of(uri::METRIC_REPORT_DEFINITION, &[made]).into())
        })
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
        KIND
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
        Box::pin(async {
            let service = write.service;
            let snapshot = service.model.snapshot();
            let resolver = service.resolver(&snapshot);
            let id = write.id(0);
            let changed = service.telemetry.define(&resolver, |kept| {
                let now = kept.definitions.get(id);
                let now = now.ok_or(Refused::Unknown)?;
                let merged = telemetry::merge(now, write.values);
                let mut merged = merged.map_err(Refused::Wrong)?;
                // The limit cannot be written, and means nothing now.
                if !merged.appends() {
                    merged.append_limit = None;
                }
                Ok(merged)
            });
            let changed = changed.await;
            changed.map(drop).map_err(|it| refused(it, KIND, id))
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let id = write.id(0);
            let gone = write.service.telemetry.undefine(id).await;
            gone.map_err(|it| refused(it, KIND, id))
        })
    }
}
