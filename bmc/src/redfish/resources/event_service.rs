//! `EventService`: what can be heard of, and where.

use onprem_redfish::{
    message::resource_event,
    schema::{
        Reference,
        event_destination::EventFormatType,
        event_service::{self, SseFilterPropertiesSupported},
    },
};

use super::enabled;
use crate::{
    model::Health,
    redfish::{
        delivery::{ATTEMPTS, INTERVAL},
        event::REGISTRIES,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const TEST: &str = "EventService.SubmitTestEvent";

/// `/redfish/v1/EventService`
pub(crate) struct EventService;

impl Resource for EventService {
    fn uri(&self) -> &'static str {
        uri::EVENT_SERVICE
    }

    fn kind(&self) -> &'static str {
        "EventService"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Static
    }

    fn get(&self, _: &View<'_>, _: &[&str]) -> Option<Answer> {
        let body = event_service::EventService::new(
            "",
            "EventService",
            "Event service",
        )
        .service_enabled(true)
        .status(enabled(Health::Ok))
        .server_sent_event_uri(uri::SSE)
        .event_format_types([EventFormatType::Event])
        .registry_prefixes(REGISTRIES.iter().copied())
        .delivery_retry_attempts(ATTEMPTS.into())
        .delivery_retry_interval_seconds(
            i64::try_from(INTERVAL.as_secs()).unwrap_or_default(),
        )
        .subordinate_resources_supported(false)
        .include_origin_of_condition_supported(false)
        .exclude_message_id(false)
        .exclude_registry_prefix(false)
        .sse_filter_properties_supported(
            SseFilterPropertiesSupported::new()
                .event_format_type(false)
                .message_id(false)
                .registry_prefix(false)
                .resource_type(false)
                .origin_resource(false)
                .metric_report_definition(false),
        )
        .subscriptions(Reference::new(uri::SUBSCRIPTIONS));
        Some(answer(&body).action(TEST, serde_json::Map::new()))
    }

    fn actions(&self) -> &'static [Action] {
        &[(TEST, &["/MessageId", "/Message", "/OriginOfCondition"])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        _: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async {
            let events = &write.service.events;
            let message = resource_event::test_message();
            events.send(&message, uri::EVENT_SERVICE);
            Ok(Acted::Done)
        })
    }
}
