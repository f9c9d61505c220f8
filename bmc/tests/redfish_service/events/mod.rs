//! Events: the stream, what is posted to subscribers, and what is in them.

mod content;
mod delivery;
mod filters;
mod receiver;
mod stream;
mod subscriptions;
mod syslog;

use serde_json::{Value, json};

use crate::client::{Client, until};

/// Where the stream is.
const SSE: &str = "/redfish/v1/EventService/SSE";
const EVENTS: &str = "/redfish/v1/EventService";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
const SERVICE: &str = "/redfish/v1/AccountService";
const SUBMIT: &str =
    "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";
const TEST: &str =
    "/redfish/v1/EventService/Actions/EventService.TestEventSubscription";

/// Lets something happen.
async fn change(client: &Client, threshold: u32) {
    let body = json!({"AccountLockoutThreshold": threshold});
    assert_eq!(client.patch(SERVICE, &body).await.status, 200);
}

/// Submits a test event with this id.
async fn submit(client: &Client, id: &str) {
    let body = json!({"MessageId": "ResourceEvent.1.4.TestMessage",
        "EventId": id, "MessageSeverity": "OK",
        "OriginOfCondition": EVENTS});
    let done = client.post(SUBMIT, &body).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

/// Subscribes with `more` beside what is needed; returns the URI.
async fn subscribe(client: &Client, destination: &str, more: Value) -> String {
    let mut body = json!({"Destination": destination, "Protocol": "Redfish",
        "Context": "rack 4"});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let made = client.post(SUBSCRIPTIONS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(onprem_redfish::check(&made.body), []);
    made.header("location").to_owned()
}

/// How often and how fast the service tries again.
async fn retry(client: &Client, attempts: u32) {
    let body = json!({"DeliveryRetryAttempts": attempts,
        "DeliveryRetryIntervalSeconds": 1});
    let done = client.patch(EVENTS, &body).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

/// What is wrong with an `Event`. Its `EventType` is deprecated, and required
/// all the same.
fn problems(event: &Value) -> Vec<onprem_redfish::Problem> {
    let mut found = onprem_redfish::check(event);
    found.retain(|it| !it.pointer.ends_with("/EventType"));
    found
}
