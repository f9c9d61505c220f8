//! Delivery: order, retries, suspension, restarts, overflow.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use super::{
    SERVICE, SUBSCRIPTIONS, TEST, change, problems,
    receiver::{QUIET, Receiver},
    retry, submit, subscribe, until,
};
use crate::client::{Blade, Client};

/// A blade that tells a receiver.
struct Subscribed {
    blade: Blade,
    admin: Client,
    receiver: Receiver,
    /// Of the subscription.
    uri: String,
}

/// Subscribes with `more` a receiver that answers with `status`, to a blade
/// that tries again `attempts` times.
async fn subscribed(status: u16, attempts: u32, more: Value) -> Subscribed {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    retry(&admin, attempts).await;
    let receiver = Receiver::start().await;
    receiver.answer(status);
    let uri = subscribe(&admin, &receiver.uri("/"), more).await;
    Subscribed { blade, admin, receiver, uri }
}

#[tokio::test]
async fn events_come_in_order_on_one_connection() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let more = json!({"RegistryPrefixes": ["ResourceEvent"],
        "HttpHeaders": [{"X-Rack": "four"}]});
    subscribe(&admin, &receiver.uri("/events?a=b"), more).await;
    let mut ids = Vec::new();
    for threshold in 10..15 {
        change(&admin, threshold).await;
        let posted = receiver.next().await;
        assert_eq!(posted.path, "/events");
        assert_eq!(posted.headers["x-rack"], "four");
        assert_eq!(posted.headers["content-type"], "application/json");
        assert_eq!(posted.body["Context"], "rack 4");
        assert_eq!(problems(&posted.body), []);
        let records = posted.records();
        assert_eq!(records[0]["OriginOfCondition"]["@odata.id"], SERVICE);
        for record in records {
            let id = record["EventId"].as_str().unwrap().to_owned();
            ids.push(id.parse::<u64>().unwrap());
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_subscriber_is_not_dialled_for_its_own_subscription() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = format!("https://127.0.0.1:{port}/Destination1");
    let more = json!({"OriginResources": [{"@odata.id": SUBSCRIPTIONS}],
        "SubordinateResources": true});
    let uri = subscribe(&admin, &to, more).await;
    assert!(timeout(QUIET, listener.accept()).await.is_err());
    assert_eq!(admin.delete(&uri).await.status, 204);
}

#[tokio::test]
async fn a_subscriber_that_is_slow_does_not_hold_up_requests() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    // It takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = format!("https://127.0.0.1:{port}/");
    subscribe(&admin, &to, json!({})).await;
    for threshold in 10..30 {
        let done = timeout(Duration::from_secs(5), change(&admin, threshold));
        done.await.unwrap();
    }
}

#[tokio::test]
async fn retries_go_on_until_the_event_is_taken() {
    let Subscribed { blade: _blade, admin, receiver, uri } =
        subscribed(503, 0, json!({"DeliveryRetryPolicy": "RetryForever"}))
            .await;
    submit(&admin, "t-1").await;
    receiver.event("t-1").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
    receiver.event("t-1").await;
    receiver.answer(200);
    receiver.event("t-1").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "OK").await;
    submit(&admin, "t-2").await;
    receiver.event("t-2").await;
}

#[tokio::test]
async fn a_redirection_is_a_failure_and_is_not_followed() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    retry(&admin, 0).await;
    let receiver = Receiver::start().await;
    receiver.answer(307);
    let uri = subscribe(&admin, &receiver.uri("/here"), json!({})).await;
    submit(&admin, "t-1").await;
    for _ in 0..2 {
        assert_eq!(receiver.next().await.path, "/here");
    }
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
}

#[tokio::test]
async fn a_subscription_ends_when_there_were_retries_enough() {
    let Subscribed { blade, admin, receiver, uri } = subscribed(
        500,
        1,
        json!({"DeliveryRetryPolicy": "TerminateAfterRetries"}),
    )
    .await;
    submit(&admin, "t-1").await;
    receiver.event("t-1").await;
    receiver.event("t-1").await;
    until(&admin, SUBSCRIPTIONS, |it| it["Members"] == json!([])).await;
    assert_eq!(admin.get(&uri).await.status, StatusCode::NOT_FOUND);
    assert!(receiver.is_quiet().await);
    let blade = blade.restarted().await;
    assert_eq!(blade.admin().get(&uri).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_subscription_is_suspended_and_resumed() {
    let Subscribed { blade, admin, receiver, uri } = subscribed(
        500,
        0,
        json!({"DeliveryRetryPolicy": "SuspendRetries",
            "MessageIds": ["ResourceEvent.TestMessage"]}),
    )
    .await;
    submit(&admin, "t-1").await;
    receiver.event("t-1").await;
    until(&admin, &uri, |it| it["Status"]["State"] == "Disabled").await;
    receiver.answer(200);
    submit(&admin, "t-2").await;
    assert!(receiver.is_quiet().await);

    // It survives a restart as it is.
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let state = &admin.get(&uri).await.body["Status"]["State"];
    assert_eq!(*state, "Disabled");
    let resume = format!("{uri}/Actions/EventDestination.ResumeSubscription");
    assert_eq!(admin.post(&resume, &json!({})).await.status, 200);
    let posted = receiver.next().await.records();
    let ids: Vec<_> = posted.iter().map(|it| &it["EventId"]).collect();
    assert_eq!(ids, ["t-1", "t-2"]);

    let suspend = format!("{uri}/Actions/EventDestination.SuspendSubscription");
    assert_eq!(admin.post(&suspend, &json!({})).await.status, 200);
    let state = &admin.get(&uri).await.body["Status"]["State"];
    assert_eq!(*state, "Disabled");
    submit(&admin, "t-3").await;
    let none = json!({"DeliverBufferedEventDuration": "PT0S"});
    assert_eq!(admin.post(&resume, &none).await.status, 200);
    submit(&admin, "t-4").await;
    assert_eq!(receiver.next().await.records()[0]["EventId"], "t-4");
    let wrong = json!({"DeliverBufferedEventDuration": "soon"});
    assert_eq!(admin.post(&resume, &wrong).await.status, 400);
}

#[tokio::test]
async fn what_was_not_delivered_survives_a_restart() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    retry(&admin, 0).await;
    // Nobody is there yet.
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let to = format!("https://localhost:{}/", address.port());
    let more = json!({"MessageIds": ["ResourceEvent.TestMessage"]});
    let uri = subscribe(&admin, &to, more).await;
    for id in ["t-1", "t-2", "t-3"] {
        submit(&admin, id).await;
    }
    let blade = blade.restarted().await;
    assert_eq!(blade.admin().get(&uri).await.body["Destination"], to);
    let receiver = Receiver::at(address).await;
    let posted = receiver.next().await;
    let ids: Vec<_> =
        posted.records().iter().map(|it| it["EventId"].clone()).collect();
    assert_eq!(ids, ["t-1", "t-2", "t-3"]);
    assert!(receiver.is_quiet().await);
}

#[tokio::test]
async fn who_misses_too_much_is_told_how_much() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let more = json!({"MessageIds": ["ResourceEvent.TestMessage"]});
    let uri = subscribe(&admin, &receiver.uri("/"), more).await;
    let suspend = format!("{uri}/Actions/EventDestination.SuspendSubscription");
    assert_eq!(admin.post(&suspend, &json!({})).await.status, 200);
    // A megabyte of events is kept.
    let long = "x".repeat(200 << 10);
    for id in 0..12 {
        let body = json!({"MessageId": "ResourceEvent.1.4.TestMessage",
            "EventId": format!("t-{id}"), "Message": long});
        assert_eq!(admin.post(super::SUBMIT, &body).await.status, 200);
    }
    let resume = format!("{uri}/Actions/EventDestination.ResumeSubscription");
    assert_eq!(admin.post(&resume, &json!({})).await.status, 200);
    let records = receiver.next().await.records();
    let notice = &records[0];
    let id = notice["MessageId"].as_str().unwrap();
    assert!(id.ends_with(".EventBufferExceeded"), "{id}");
    let text = notice["Message"].as_str().unwrap();
    assert!(text.contains("No longer known: events "), "{text}");
    let mut ids = Vec::new();
    let mut rest: Vec<Value> = records[1..].to_vec();
    while ids.last().is_none_or(|it| it != "t-11") {
        ids.extend(rest.iter().map(|it| it["EventId"].clone()));
        if ids.last().is_none_or(|it| it != "t-11") {
            rest = receiver.next().await.records();
        }
    }
    assert!(ids.len() < 12 && ids[0] != "t-0", "{ids:?}");
}

#[tokio::test]
async fn another_destination_stands_in() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.answer(500);
    let more = json!({"BackupDestinations": [second.uri("/b")]});
    let uri = subscribe(&admin, &first.uri("/a"), more).await;
    submit(&admin, "t-1").await;
    first.event("t-1").await;
    second.event("t-1").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "OK").await;
}

#[tokio::test]
async fn a_certificate_is_checked_where_that_is_asked_for() {
    let Subscribed { blade: _blade, admin, receiver, uri } =
        subscribed(200, 0, json!({"VerifyCertificate": true})).await;
    assert_eq!(admin.get(&uri).await.body["VerifyCertificate"], true);
    submit(&admin, "t-1").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
    assert!(receiver.is_quiet().await);
    let body = json!({"VerifyCertificate": false});
    assert_eq!(admin.patch(&uri, &body).await.status, 200);
    receiver.event("t-1").await;
}

#[tokio::test]
async fn a_subscriber_can_be_known_by_its_certificate() {
    let Subscribed { blade, admin, receiver, uri } =
        subscribed(200, 0, json!({"VerifyCertificate": true})).await;
    let shown = admin.get(&uri).await.body;
    let certificates = shown["Certificates"]["@odata.id"].as_str().unwrap();
    for wrong in ["", "nonsense", &receiver.pem.repeat(2)] {
        let body = json!({"CertificateString": wrong,
            "CertificateType": "PEM"});
        let refused = admin.post(certificates, &body).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert_eq!(refused.messages(), ["PropertyValueError"]);
    }
    let body = json!({"CertificateString": receiver.pem,
        "CertificateType": "PEM"});
    let made = admin.post(certificates, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(onprem_redfish::check(&made.body), []);
    submit(&admin, "t-1").await;
    receiver.event("t-1").await;
    // It survives a restart, and goes when it is told to.
    let blade = blade.restarted().await;
    let admin = blade.admin();
    submit(&admin, "t-2").await;
    receiver.event("t-2").await;
    let certificate = made.header("location");
    assert_eq!(admin.delete(certificate).await.status, 204);
    assert_eq!(admin.get(certificate).await.status, 404);
    submit(&admin, "t-3").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
}

#[tokio::test]
async fn a_disabled_service_tells_nobody() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let more = json!({"MessageIds": ["ResourceEvent.TestMessage",
        "ResourceEvent.ResourceChanged"]});
    subscribe(&admin, &receiver.uri("/"), more).await;
    let off = json!({"ServiceEnabled": false});
    let done = admin.patch(super::EVENTS, &off).await;
    assert_eq!(done.status, 200);
    assert_eq!(done.body["Status"]["State"], "Disabled");
    change(&admin, 11).await;
    for action in [super::SUBMIT, TEST] {
        let body = if action == TEST {
            json!({})
        } else {
            json!({"MessageId": "ResourceEvent.1.4.TestMessage"})
        };
        let refused = admin.post(action, &body).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.messages(), ["ServiceDisabled"]);
    }
    let refused = admin.get(super::SSE).await;
    assert_eq!(refused.status, 503);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let enabled = &admin.get(super::EVENTS).await.body["ServiceEnabled"];
    assert_eq!(*enabled, false);
    let on = json!({"ServiceEnabled": true});
    assert_eq!(admin.patch(super::EVENTS, &on).await.status, 200);
    assert_eq!(admin.post(TEST, &json!({})).await.status, 200);
    // What happened in between is told to nobody.
    let record = receiver.next().await.records().remove(0);
    let origin = &record["OriginOfCondition"]["@odata.id"];
    assert_eq!(*origin, super::EVENTS, "{record}");
}
