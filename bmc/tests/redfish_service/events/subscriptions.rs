//! Subscriptions: what can be asked for, what cannot, and who sees what.

use serde_json::json;

use super::{EVENTS, SUBMIT, SUBSCRIPTIONS, receiver::Receiver, subscribe};
use crate::client::Blade;

#[tokio::test]
async fn a_subscription_the_service_cannot_serve_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let whole = json!({"Destination": "https://localhost/x",
        "Protocol": "Redfish", "Context": "c"});
    let many = vec!["Base"; 33];
    for (name, value, message) in [
        ("Protocol", json!("FTP"), "PropertyValueNotInList"),
        ("Protocol", json!("Kafka"), "PropertyValueNotInList"),
        ("SubscriptionType", json!("Syslog"), "PropertyValueNotInList"),
        ("Destination", json!("ftp://x/"), "PropertyValueFormatError"),
        ("Destination", json!("nonsense"), "PropertyValueFormatError"),
        ("Destination", json!(""), "PropertyValueFormatError"),
        ("Destination", json!("https://u:p@x/"), "PropertyValueFormatError"),
        ("Destination", json!("https://x:0/"), "PropertyValueFormatError"),
        ("Destination", json!("https://x:99999/"), "PropertyValueFormatError"),
        ("Destination", json!("http://10.0.0.1/"), "PropertyValueFormatError"),
        ("Destination", json!("syslog://x"), "PropertyValueFormatError"),
        ("RegistryPrefixes", json!(["Nope"]), "PropertyValueNotInList"),
        ("ExcludeRegistryPrefixes", json!(["N"]), "PropertyValueNotInList"),
        ("RegistryPrefixes", json!(many), "ArraySizeTooLong"),
        ("MessageIds", json!(["Base.Nope"]), "PropertyValueNotInList"),
        ("ExcludeMessageIds", json!(["Base"]), "PropertyValueNotInList"),
        ("ResourceTypes", json!(["Toaster"]), "PropertyValueNotInList"),
        ("Severities", json!(["Dire"]), "PropertyValueNotInList"),
        (
            "OriginResources",
            json!([{"@odata.id": "/elsewhere"}]),
            "PropertyValueNotInList",
        ),
        (
            "MetricReportDefinitions",
            json!([{"@odata.id": "/redfish/v1/Systems"}]),
            "PropertyValueNotInList",
        ),
        ("DeliveryRetryPolicy", json!("Never"), "PropertyValueNotInList"),
        ("HttpHeaders", json!([{"Host": "x"}]), "PropertyValueError"),
        ("HttpHeaders", json!([{"A b": "x"}]), "PropertyValueError"),
        ("HttpHeaders", json!([{"A": "x\ny"}]), "PropertyValueError"),
        ("SyslogFilters", json!([{}]), "PropertyValueError"),
        ("Context", json!("c".repeat(1025)), "StringValueTooLong"),
        ("HeartbeatIntervalMinutes", json!(5), "PropertyValueError"),
        ("EventTypes", json!(["Alert"]), "PropertyNotWritable"),
        ("BackupDestinations", json!(["x"]), "PropertyValueFormatError"),
    ] {
        let mut body = whole.clone();
        body[name] = value;
        let refused = admin.post(SUBSCRIPTIONS, &body).await;
        assert_eq!(refused.status, 400, "{body} {}", refused.body);
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let all = admin.get(SUBSCRIPTIONS).await;
    assert_eq!(all.body["Members"], json!([]));
}

#[tokio::test]
async fn headers_are_never_shown_again() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let more = json!({"HttpHeaders": [{"Authorization": "Bearer s3cret"}]});
    let uri = subscribe(&admin, &receiver.uri("/"), more).await;
    let shown = admin.get(&uri).await;
    assert_eq!(shown.body["HttpHeaders"], json!([]));
    assert!(!shown.body.to_string().contains("s3cret"));
    let expanded = admin.get(&format!("{SUBSCRIPTIONS}?$expand=.")).await;
    assert!(!expanded.body.to_string().contains("s3cret"));
    // They are sent, and can be changed.
    super::submit(&admin, "t-1").await;
    let sent = receiver.next().await;
    assert_eq!(sent.headers["authorization"], "Bearer s3cret");
    let new = json!({"HttpHeaders": [{"X-Key": "0ther"}]});
    let patched = admin.patch(&uri, &new).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert!(!patched.body.to_string().contains("0ther"));
    let blade = blade.restarted().await;
    super::submit(&blade.admin(), "t-2").await;
    let mut sent = receiver.next().await;
    while !sent.headers.contains_key("x-key") {
        sent = receiver.next().await;
    }
    assert!(!sent.headers.contains_key("authorization"));
    // A wrong value is not repeated.
    let wrong = json!({"HttpHeaders": [{"X-Key": "s3cret\n"}]});
    let refused = blade.admin().patch(&uri, &wrong).await;
    assert_eq!(refused.status, 400);
    assert!(!refused.body.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_subscription_can_be_changed_in_part() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let uri = subscribe(&admin, "https://127.0.0.1:1/", json!({})).await;
    let body = json!({"Context": "rack 5",
        "DeliveryRetryPolicy": "RetryForeverWithBackoff"});
    let patched = admin.patch(&uri, &body).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(patched.body["Context"], "rack 5");
    assert_eq!(patched.body["DeliveryRetryPolicy"], "RetryForeverWithBackoff");
    for name in ["Destination", "Protocol", "SubscriptionType"] {
        let body = json!({name: admin.get(&uri).await.body[name]});
        let refused = admin.patch(&uri, &body).await;
        assert_eq!(refused.messages(), ["PropertyNotWritable"], "{name}");
    }
    let blade = blade.restarted().await;
    let shown = blade.admin().get(&uri).await.body;
    assert_eq!(shown["Context"], "rack 5");
}

#[tokio::test]
async fn the_number_of_subscriptions_is_bounded() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for _ in 0..32 {
        subscribe(&admin, "https://127.0.0.1:1/", json!({})).await;
    }
    let body =
        json!({"Destination": "https://127.0.0.1:1/", "Protocol": "Redfish"});
    let refused = admin.post(SUBSCRIPTIONS, &body).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.messages(), ["EventSubscriptionLimitExceeded"]);
    assert_eq!(admin.get(super::SSE).await.status, 503);
}

#[tokio::test]
async fn what_is_set_on_the_service_has_bounds_and_is_kept() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (name, value) in [
        ("DeliveryRetryAttempts", json!(-1)),
        ("DeliveryRetryAttempts", json!(1001)),
        ("DeliveryRetryIntervalSeconds", json!(0)),
        ("DeliveryRetryIntervalSeconds", json!(3601)),
    ] {
        let refused = admin.patch(EVENTS, &json!({name: value})).await;
        assert_eq!(refused.status, 400, "{name} {value}");
        assert_eq!(refused.messages(), ["PropertyValueOutOfRange"]);
    }
    let null = json!({"ServiceEnabled": null});
    assert_eq!(admin.patch(EVENTS, &null).await.status, 400);
    let body = json!({"DeliveryRetryAttempts": 7,
        "DeliveryRetryIntervalSeconds": 42});
    assert_eq!(admin.patch(EVENTS, &body).await.status, 200);
    let blade = blade.restarted().await;
    let shown = blade.admin().get(EVENTS).await.body;
    assert_eq!(shown["DeliveryRetryAttempts"], 7);
    assert_eq!(shown["DeliveryRetryIntervalSeconds"], 42);
    assert_eq!(onprem_redfish::check(&shown), []);
}

#[tokio::test]
async fn a_test_event_has_what_was_given_and_nothing_else() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    subscribe(&admin, &receiver.uri("/"), json!({})).await;
    let origin = "/redfish/v1/Systems/node";
    let whole = json!({
        "EventGroupId": 3, "EventId": "t-1",
        "EventTimestamp": "2026-11-22T15:00:00Z", "EventType": "Alert",
        "Message": "All is well.", "MessageArgs": ["a", "b"],
        "MessageId": "Base.1.0.Success", "MessageSeverity": "Warning",
        "Severity": "Warning", "OriginOfCondition": origin});
    let done = admin.post(SUBMIT, &whole).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let mut expected = whole;
    expected["OriginOfCondition"] = json!({ "@odata.id": origin });
    expected["MemberId"] = json!("0");
    let record = receiver.event("t-1").await;
    for (name, value) in expected.as_object().unwrap() {
        if name != "MemberId" {
            assert_eq!(record[name], *value, "{name}");
        }
    }
    assert_eq!(
        record.as_object().unwrap().len(),
        expected.as_object().unwrap().len()
    );
    for (body, message) in [
        (json!({}), "ActionParameterMissing"),
        (json!({"MessageId": "Nope"}), "ActionParameterValueFormatError"),
        (
            json!({"MessageId": "Base.1.0.Success", "Colour": "red"}),
            "ActionParameterUnknown",
        ),
        (
            json!({"MessageId": "Base.1.0.Success", "EventGroupId": "3"}),
            "ActionParameterValueTypeError",
        ),
        (
            json!({"MessageId": "Base.1.0.Success",
                "MessageSeverity": "Dire"}),
            "ActionParameterValueNotInList",
        ),
    ] {
        let refused = admin.post(SUBMIT, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.messages(), [message], "{body}");
    }
}

#[tokio::test]
async fn subscriptions_that_cannot_be_understood_are_put_aside() {
    let blade = Blade::simulated().await;
    let state = std::sync::Arc::clone(&blade.state);
    let kept = state.path().join("redfish.json");
    std::fs::write(&kept, "{").unwrap();
    let blade = blade.restarted().await;
    let aside = state.path().join("redfish.json.broken");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{");
    let all = blade.admin().get(SUBSCRIPTIONS).await;
    assert_eq!(all.body["Members"], json!([]));
}
