//! `EventDestination`: who is told of events.

use http::Uri;
use onprem_redfish::{
    message::base,
    schema::{
        event_destination::{
            DeliveryRetryPolicy, EventDestination, EventDestinationProtocol,
            EventDestinationRequired, EventFormatType, SubscriptionType,
        },
        event_destination_collection::EventDestinationCollection,
        resource::{self, Health, State},
    },
};

use super::With as _;
use crate::redfish::{
    error::Error,
    event::{Destination, REGISTRIES, Subscription as Kept},
    resource::{
        Answer, Created, Freshness, Pending, Resource, View, Write, answer,
    },
    uri,
};

/// How long a context or a destination may be.
const LONGEST: u16 = 1024;

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
        Some(answer(&body.members_count(all.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "/Destination",
            "/Protocol",
            "/Context",
            "/SubscriptionType",
            "/EventFormatType",
            "/DeliveryRetryPolicy",
            "/RegistryPrefixes",
            "/VerifyCertificate",
        ])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let destination = destination(write)?;
            supported(write, "Protocol", "Redfish")?;
            supported(write, "SubscriptionType", "RedfishEvent")?;
            supported(write, "EventFormatType", "Event")?;
            supported(write, "DeliveryRetryPolicy", "RetryForever")?;
            if write.flag("/VerifyCertificate") == Some(true) {
                return Err(not_in_list("true", "VerifyCertificate"));
            }
            let registries = write.texts("/RegistryPrefixes");
            let registries = registries.unwrap_or_default();
            let unknown =
                registries.iter().find(|it| !REGISTRIES.contains(&&***it));
            if let Some(unknown) = unknown {
                return Err(not_in_list(unknown, "RegistryPrefixes"));
            }
            let context = context(write)?;
            let made = write
                .service
                .events
                .subscribe(destination, context, registries)
                .await?;
            Ok(uri::of(uri::SUBSCRIPTION, &[&made.id]).into())
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
        let it = find(view, ids)?;
        let (kind, target) = match &it.destination {
            Destination::Post { uri } => {
                (SubscriptionType::RedfishEvent, Some(uri.clone()))
            }
            Destination::Stream => (SubscriptionType::Sse, None),
        };
        let posts = target.is_some();
        let body = EventDestination::new(EventDestinationRequired {
            odata_id: String::new(),
            id: it.id.clone(),
            name: "Event subscription".to_owned(),
            context: Some(it.context.clone().unwrap_or_default()),
            subscription_type: Some(kind),
        })
        .protocol(EventDestinationProtocol::Redfish)
        .with(target, EventDestination::destination)
        .event_format_type(EventFormatType::Event)
        .registry_prefixes(it.registries.iter().cloned())
        .with(posts.then_some(false), EventDestination::verify_certificate)
        .with(
            posts.then_some(DeliveryRetryPolicy::RetryForever),
            EventDestination::delivery_retry_policy,
        )
        .status(
            resource::Status::new()
                .state(State::Enabled)
                .health(if it.failing { Health::Warning } else { Health::Ok }),
        );
        Some(answer(&body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/Context"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let context = context(write)?;
            let events = &write.service.events;
            events.change(write.id(0), |it| it.context = context).await
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(write.service.events.unsubscribe(write.id(0)))
    }
}

fn find(view: &View<'_>, ids: &[&str]) -> Option<Kept> {
    let id = ids.first()?;
    let all = view.service.events.subscriptions();
    all.into_iter().find(|it| it.id == *id)
}

fn not_in_list(value: &str, property: &str) -> Error {
    let message = base::property_value_not_in_list(value, property);
    Error::bad(vec![message.about(format!("/{property}"))])
}

/// Refuses a value that the schema knows and the service does not do.
fn supported(
    write: &Write<'_>,
    property: &str,
    only: &str,
) -> Result<(), Error> {
    match write.text(&format!("/{property}")) {
        Some(value) if value != only => Err(not_in_list(value, property)),
        _ => Ok(()),
    }
}

/// What the subscriber wants to hear with each event.
fn context(write: &Write<'_>) -> Result<Option<String>, Error> {
    let Some(text) = write.text("/Context") else { return Ok(None) };
    if text.chars().count() > LONGEST.into() {
        let start: String = text.chars().take(40).collect();
        let message = base::string_value_too_long(start, LONGEST);
        return Err(Error::bad(vec![message.about("/Context")]));
    }
    Ok(Some(text.to_owned()))
}

fn destination(write: &Write<'_>) -> Result<Destination, Error> {
    let text = write.text("/Destination").unwrap_or_default();
    let parsed: Option<Uri> = text.parse().ok();
    let short = text.len() <= LONGEST.into();
    let usable = parsed.filter(|_| short).is_some_and(|uri| {
        // A password in it would be shown to every reader, and logged.
        uri.authority().is_some_and(|it| !it.as_str().contains('@'))
            && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if usable {
        return Ok(Destination::Post { uri: text.to_owned() });
    }
    let message = base::property_value_format_error(text, "Destination");
    Err(Error::bad(vec![message.about("/Destination")]))
}
