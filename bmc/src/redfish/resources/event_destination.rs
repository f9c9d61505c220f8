//! `EventDestination`: who is told of events.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        event_destination::{
            EventDestination, EventDestinationRequired, EventFormatType,
            SubscriptionType,
        },
        event_destination_collection::EventDestinationCollection,
        resource::{self, Health, State},
    },
};
use serde_json::{Value, json};

use super::{
    With as _,
    event_wish::{self, Wish},
};
use crate::redfish::{
    error::Error,
    event::{Format, Policy, Subscription as Kept},
    resource::{
        Acted, Action, Answer, Created, Freshness, Pending, Resource, View,
        Write, answer,
    },
    uri,
};

const RESUME: &str = "EventDestination.ResumeSubscription";
const SUSPEND: &str = "EventDestination.SuspendSubscription";
/// The parameter of the first.
const AGE: &str = "DeliverBufferedEventDuration";

/// `/redfish/v1/EventService/Subscriptions`
pub(crate) struct Subscriptions;

impl Resource for Subscriptions {
    fn uri(&self) -> &'static str {
        uri::SUBSCRIPTIONS
    }

    fn kind(&self) -> &'static str {
        "EventDestinationCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let all = view.service.events.subscriptions();
        let uris = all.iter().map(|it| uri::of(uri::SUBSCRIPTION, &[&it.id]));
        let body = EventDestinationCollection::new("", "Subscriptions", uris);
        Some(answer(body.members_count(all.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(event_wish::ON_CREATE)
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let subscription = Wish::of(write).subscription()?;
            let id = write.service.events.subscribe(subscription).await?;
            Ok(uri::of(uri::SUBSCRIPTION, &[&id]).into())
        })
    }
}

/// `/redfish/v1/EventService/Subscriptions/{EventDestinationId}`
pub(crate) struct Subscription;

impl Resource for Subscription {
    fn uri(&self) -> &'static str {
        uri::SUBSCRIPTION
    }

    fn kind(&self) -> &'static str {
        "EventDestination"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.service.events.subscription(ids.first()?)?;
        let answer = answer(common(&it));
        Some(if it.is_stream() {
            stream(answer, &it)
        } else {
            posted(answer, &it)
        })
    }

    fn writable(&self) -> &'static [&'static str] {
        event_wish::ON_PATCH
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let events = &write.service.events;
            let id = write.id(0);
            let now = events.subscription(id).ok_or_else(gone)?;
            if now.is_stream() {
                // It says what the service made it, and lives for a while.
                let names = write.values.keys();
                let messages = names.map(|pointer| {
                    let name = pointer.trim_start_matches('/');
                    base::property_not_writable(name).about(pointer)
                });
                return Err(Error::bad(messages.collect()));
            }
            let mut next = now;
            Wish::of(write).change(&mut next)?;
            events.change(id, |it| *it = next).await
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(write.service.events.unsubscribe(write.id(0)))
    }

    fn actions(&self) -> &'static [Action] {
        &[(RESUME, &["/DeliverBufferedEventDuration"]), (SUSPEND, &[])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let events = &write.service.events;
            let id = write.id(0);
            let it = events.subscription(id).ok_or_else(gone)?;
            if it.is_stream() {
                return Err(Error::bad(vec![base::action_not_supported(
                    action,
                )]));
            }
            if action == SUSPEND {
                events.change(id, |it| it.suspended = true).await?;
            } else {
                let age = write.text(&format!("/{AGE}"));
                let age = age.map(|text| duration(text, action)).transpose()?;
                events.resume(id, age).await?;
            }
            events.resource_changed(&uri::of(uri::SUBSCRIPTION, &[id]));
            Ok(Acted::Done)
        })
    }
}

fn gone() -> Error {
    Error::not_found(uri::SUBSCRIPTIONS)
}

/// What all subscriptions have.
fn common(it: &Kept) -> EventDestination {
    let kind = if it.is_stream() {
        SubscriptionType::Sse
    } else if it.is_syslog() {
        SubscriptionType::Syslog
    } else {
        SubscriptionType::RedfishEvent
    };
    let filter = &it.filter;
    let links =
        |uris: &[String]| uris.iter().map(Reference::new).collect::<Vec<_>>();
    let some = |uris: &Vec<String>| (!uris.is_empty()).then(|| links(uris));
    let state = if it.suspended { State::Disabled } else { State::Enabled };
    EventDestination::new(EventDestinationRequired {
        odata_id: String::new(),
        id: it.id.clone(),
        name: "Event subscription".to_owned(),
        context: it.context.clone(),
        subscription_type: Some(kind),
    })
    .event_format_type(match filter.format {
        Format::Event => EventFormatType::Event,
        Format::MetricReport => EventFormatType::MetricReport,
    })
    .registry_prefixes(filter.registry_prefixes.iter().cloned())
    .exclude_registry_prefixes(filter.exclude_registry_prefixes.iter().cloned())
    .message_ids(filter.message_ids.iter().cloned())
    .exclude_message_ids(filter.exclude_message_ids.iter().cloned())
    .resource_types(filter.resource_types.iter().cloned())
    .with(some(&filter.origin_resources), EventDestination::origin_resources)
    .subordinate_resources(filter.subordinate_resources)
    .with(
        some(&filter.metric_report_definitions),
        EventDestination::metric_report_definitions,
    )
    .include_origin_of_condition(it.include_origin)
    .status(resource::Status::new().state(state).health(if it.failing {
        Health::Warning
    } else {
        Health::Ok
    }))
}

/// What a stream has. It ends with its connection: nothing is tried again.
fn stream(mut answer: Answer, it: &Kept) -> Answer {
    let mut put = |name: &str, value: Value| {
        answer.body.insert(name.to_owned(), value);
    };
    put("Protocol", json!(it.protocol));
    put("DeliveryRetryPolicy", json!(Policy::TerminateAfterRetries));
    if let Some(listener) = it.listener {
        put("Destination", json!(format!("redfish-sse://{listener}")));
    }
    answer
}

/// What those have whom the service calls.
fn posted(mut answer: Answer, it: &Kept) -> Answer {
    let mut put = |name: &str, value: Value| {
        answer.body.insert(name.to_owned(), value);
    };
    put("Protocol", json!(it.protocol));
    put("Destination", json!(it.destination));
    put("Severities", json!(it.filter.severities));
    put("DeliveryRetryPolicy", json!(it.policy));
    put("VerifyCertificate", json!(it.verify));
    let certificates = uri::of(uri::EVENT_CERTIFICATES, &[&it.id]);
    put("Certificates", json!({ "@odata.id": certificates }));
    if let Some(backups) = &it.backups {
        put("BackupDestinations", json!(backups));
    }
    if it.is_syslog() {
        put("SyslogFilters", json!(it.syslog));
    } else {
        // They are secrets.
        put("HttpHeaders", json!([]));
    }
    if let Some(minutes) = it.heartbeat_minutes {
        put("SendHeartbeat", json!(true));
        put("HeartbeatIntervalMinutes", json!(minutes));
    }
    answer
        .action(RESUME, serde_json::Map::new())
        .action(SUSPEND, serde_json::Map::new())
}

/// The ISO 8601 duration that the schema lets through: days, hours, minutes
/// and seconds.
fn duration(text: &str, action: &str) -> Result<chrono::TimeDelta, Error> {
    let wrong = || {
        Error::bad(vec![base::action_parameter_value_format_error(
            text, AGE, action,
        )])
    };
    let mut seconds = 0.0;
    let mut number = String::new();
    for letter in text.trim_start_matches('P').chars() {
        let unit = match letter {
            'T' => continue,
            'D' => 86_400.0,
            'H' => 3_600.0,
            'M' => 60.0,
            'S' => 1.0,
            digit => {
                number.push(digit);
                continue;
            }
        };
        let count: f64 = number.parse().map_err(|_| wrong())?;
        seconds += count * unit;
        number.clear();
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds);
    let delta = whole.ok().and_then(|it| chrono::TimeDelta::from_std(it).ok());
    delta.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read() {
        let seconds = |text| duration(text, RESUME).unwrap().num_seconds();
        assert_eq!(seconds("PT0S"), 0);
        assert_eq!(seconds("P1DT2H3M4.5S"), 93_784);
        assert!(duration("PT999999999999999999999S", RESUME).is_err());
    }
}
