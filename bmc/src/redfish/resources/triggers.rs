//! `Triggers`: what is done when a metric is what somebody waits for.

use onprem_redfish::schema::{
    triggers, triggers_collection::TriggersCollection,
};

use super::{extend, telemetry_service::status};
use crate::{
    redfish::{
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        telemetry::{change, create, remove},
        uri,
    },
    telemetry::{Defined as _, Trigger as Kept},
};

/// `/redfish/v1/TelemetryService/Triggers`
pub(crate) struct Triggers;

impl Resource for Triggers {
    fn uri(&self) -> &'static str {
        uri::TRIGGERS
    }

    fn kind(&self) -> &'static str {
        "TriggersCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let kept = view.service.telemetry.kept();
        let ids = kept.triggers.keys();
        let uris = ids.map(|id| uri::of(uri::TRIGGER, &[id]));
        let body = TriggersCollection::new("", "Triggers", uris);
        Some(answer(body.members_count(kept.triggers.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "/Id",
            "/Name",
            "/Description",
            "/MetricType",
            "/TriggerEnabled",
            "/TriggerActions",
            "/NumericThresholds",
            "/DiscreteTriggerCondition",
            "/DiscreteTriggers",
            "/EventTriggers",
            "/MetricIds",
            "/MetricProperties",
            "/Wildcards",
            "/HysteresisReading",
            "/HysteresisDuration",
            "/Links/MetricReportDefinitions",
        ])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(create::<Kept>(write, uri::TRIGGER))
    }
}

/// `/redfish/v1/TelemetryService/Triggers/{TriggersId}`
pub(crate) struct Trigger;

impl Resource for Trigger {
    fn uri(&self) -> &'static str {
        uri::TRIGGER
    }

    fn kind(&self) -> &'static str {
        Kept::KIND
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let kept = view.service.telemetry.kept();
        let it = kept.triggers.get(*ids.first()?)?;
        let body = triggers::Triggers::new("", &*it.id, &*it.name)
            .status(status(it.enabled && kept.enabled));
        Some(extend(answer(body), it))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/TriggerEnabled",
            "/NumericThresholds",
            "/DiscreteTriggers",
            "/EventTriggers",
            "/MetricIds",
            "/MetricProperties",
            "/Wildcards",
            "/HysteresisReading",
            "/HysteresisDuration",
            "/Links/MetricReportDefinitions",
        ]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(change::<Kept>(write))
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(remove::<Kept>(write))
    }
}
