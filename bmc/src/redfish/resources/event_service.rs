//! `EventService`: what can be heard of, and where.

use http::StatusCode;
use onprem_redfish::{
    message::{REGISTRIES, Registry, base, resource_event},
    schema::{
        Reference,
        event_destination::EventFormatType,
        event_service::{self, SseFilterPropertiesSupported},
        resource as common,
    },
};
use serde_json::{Map, Value, json};

use super::{RESOURCES, enabled};
use crate::{
    model::Health,
    redfish::{
        error::Error,
        event::registries,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const SUBMIT: &str = "EventService.SubmitTestEvent";
const TEST: &str = "EventService.TestEventSubscription";

/// How often an event may be tried again.
const MOST_ATTEMPTS: u32 = 1000;
/// The most seconds between two attempts.
const LONGEST_INTERVAL: u32 = 3600;

/// The types of the resources that an event can be about.
pub(super) fn resource_types() -> impl Iterator<Item = &'static str> {
    let mut kinds: Vec<_> = RESOURCES.iter().map(|it| it.kind()).collect();
    kinds.retain(|kind| !kind.ends_with("Collection"));
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter()
}

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
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let settings = view.service.events.settings();
        let status = if settings.enabled {
            enabled(Health::Ok)
        } else {
            common::Status::new().state(common::State::Disabled)
        };
        let body = event_service::EventService::new(
            "",
            "EventService",
            "Event service",
        )
        .service_enabled(settings.enabled)
        .status(status)
        .server_sent_event_uri(uri::SSE)
        .event_format_types([
            EventFormatType::Event,
            EventFormatType::MetricReport,
        ])
        .registry_prefixes(registries())
        .resource_types(resource_types())
        .severities([
            common::Health::Ok,
            common::Health::Warning,
            common::Health::Critical,
        ])
        .delivery_retry_attempts(settings.attempts.into())
        .delivery_retry_interval_seconds(settings.interval_seconds.into())
        .subordinate_resources_supported(true)
        .origin_resources_supported(true)
        .include_origin_of_condition_supported(true)
        .exclude_message_id(true)
        .exclude_registry_prefix(true)
        .sse_include_origin_of_condition_supported(true)
        .sse_filter_properties_supported(
            SseFilterPropertiesSupported::new()
                .event_format_type(true)
                .message_id(true)
                .registry_prefix(true)
                .resource_type(true)
                .origin_resource(true)
                .subordinate_resources(true)
                .metric_report_definition(true),
        )
        .subscriptions(Reference::new(uri::SUBSCRIPTIONS));
        Some(answer(body).action(SUBMIT, Map::new()).action(TEST, Map::new()))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/ServiceEnabled",
            "/DeliveryRetryAttempts",
            "/DeliveryRetryIntervalSeconds",
        ]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let attempts =
                within(write, "/DeliveryRetryAttempts", 0, MOST_ATTEMPTS)?;
            let interval = within(
                write,
                "/DeliveryRetryIntervalSeconds",
                1,
                LONGEST_INTERVAL,
            )?;
            if write.values.get("/ServiceEnabled") == Some(&Value::Null) {
                let name = "ServiceEnabled";
                let message = base::property_value_type_error("null", name);
                return Err(Error::bad(vec![message.about("/ServiceEnabled")]));
            }
            let enabled = write.flag("/ServiceEnabled");
            let events = &write.service.events;
            events
                .keep(|kept| {
                    let settings = &mut kept.settings;
                    settings.enabled = enabled.unwrap_or(settings.enabled);
                    settings.attempts = attempts.unwrap_or(settings.attempts);
                    settings.interval_seconds =
                        interval.unwrap_or(settings.interval_seconds);
                })
                .await
        })
    }

    fn actions(&self) -> &'static [Action] {
        &[
            (
                SUBMIT,
                &[
                    "/MessageId",
                    "/Message",
                    "/MessageArgs",
                    "/MessageSeverity",
                    "/Severity",
                    "/EventId",
                    "/EventGroupId",
                    "/EventTimestamp",
                    "/EventType",
                    "/OriginOfCondition",
                ],
            ),
            (TEST, &[]),
        ]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let events = &write.service.events;
            if !events.settings().enabled {
                let message = base::service_disabled(uri::EVENT_SERVICE);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Err(Error::new(status, message));
            }
            if action == SUBMIT {
                known(write, action)?;
                events.send_test(record(write));
            } else {
                let message = resource_event::test_message();
                events.send(&message, uri::EVENT_SERVICE);
            }
            Ok(Acted::Done)
        })
    }
}

/// The number at `pointer`, if it lies within these bounds.
fn within(
    write: &Write<'_>,
    pointer: &str,
    least: u32,
    most: u32,
) -> Result<Option<u32>, Error> {
    match write.number(pointer)? {
        Some(number) if !(least..=most).contains(&number) => {
            let name = pointer.trim_start_matches('/');
            let text = number.to_string();
            let message = base::property_value_out_of_range(text, name);
            Err(Error::bad(vec![message.about(pointer)]))
        }
        number => Ok(number),
    }
}

/// Whether the message of a test is one of a registry that the service sends
/// messages of, in any version of it.
fn known(write: &Write<'_>, action: &str) -> Result<(), Error> {
    let Some(id) = write.text("/MessageId") else { return Ok(()) };
    let mut parts = id.split('.');
    let registry = parts.next().and_then(Registry::named);
    let key = parts.next_back().unwrap_or_default();
    // `Base.1.0.Success`.
    let numbers: Vec<&str> = parts.collect();
    let versioned = numbers.len() == 2
        && numbers.iter().all(|it| it.parse::<u16>().is_ok());
    let found = registry.and_then(|it| it.template(key));
    if versioned && found.is_some() {
        return Ok(());
    }
    let shown: String = id.chars().take(100).collect();
    let message =
        base::action_parameter_value_not_in_list(shown, "MessageId", action);
    let advice = match registry {
        Some(it) if versioned => format!(
            "The registry {} has no message `{}`.",
            it.name,
            key.chars().take(64).collect::<String>()
        ),
        Some(it) => format!(
            "Send registry, version and message: \
             `{}.{}.TheMessage`.",
            it.name, it.version
        ),
        None => {
            let names = REGISTRIES.iter().map(|it| it.name);
            let names: Vec<&str> = names.collect();
            format!("Name one of these registries: {}.", names.join(", "))
        }
    };
    Err(Error::bad(vec![message.resolved_by(advice)]))
}

/// The event that a test describes: what is given and nothing else.
fn record(write: &Write<'_>) -> Map<String, Value> {
    let mut record = Map::new();
    for (pointer, value) in write.values {
        let name = pointer.trim_start_matches('/');
        let value = match name {
            "OriginOfCondition" => json!({ "@odata.id": value }),
            _ => value.clone(),
        };
        record.insert(name.to_owned(), value);
    }
    record
}
