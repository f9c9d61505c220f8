//! `Triggers`: what is done when a metric is what somebody waits for.

use onprem_redfish::schema::{
    triggers, triggers_collection::TriggersCollection,
};

use super::{extend, new_id, telemetry_service::status};
use crate::{
    redfish::{
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        telemetry::refused,
        uri,
    },
    telemetry::{self, Refused, TRIGGERS, Trigger as Kept},
};

const KIND: &str = "Triggers";

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
        Box::pin(async {
            let service = write.service;
            let snapshot = service.model.snapshot();
            let resolver = service.resolver(&snapshot);
            let id = new_id(write)?;
            let made = service.telemetry.watch(&resolver, |kept| {
                if kept.triggers.contains_key(&id) {
                    return Err(Refused::Known);
                }
                if kept.triggers.len() >= TRIGGERS {
                    return Err(Refused::Full);
                }
                let empty = Kept::default();
                let merged = telemetry::merge(&empty, write.values);
                let merged = merged.map_err(Refused::Wrong)?;
                Ok(Kept { id: id.clone(), ..merged })
            });
            let made = made.await.map_err(|it| refused(it, KIND, &id))?;
            Ok(uri::of(uri::TRIGGER, &[made]).into())
        })
    }
}

/// `/redfish/v1/TelemetryService/Triggers/{TriggersId}`
pub(crate) struct Trigger;

impl Resource for Trigger {
    fn uri(&self) -> &'static str {
        uri::TRIGGER
    }

    fn kind(&self) -> &'static str {
        KIND
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
        Box::pin(async {
            let service = write.service;
            let snapshot = service.model.snapshot();
            let resolver = service.resolver(&snapshot);
            let id = write.id(0);
            let changed = service.telemetry.watch(&resolver, |kept| {
                let now = kept.triggers.get(id);
                let now = now.ok_or(Refused::Unknown)?;
                let merged = telemetry::merge(now, write.values);
                merged.map_err(Refused::Wrong)
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
            let gone = write.service.telemetry.unwatch(id).await;
            gone.map_err(|it| refused(it, KIND, id))
        })
    }
}
