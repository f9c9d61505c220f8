//! What a subscriber is sent, and what it is not.

use serde_json::{Value, json};

use super::{SUBMIT, SUBSCRIPTIONS, receiver::Receiver, subscribe};
use crate::client::Blade;

const SENSOR: &str = "/redfish/v1/Chassis/blade/Sensors/CPU_Temperature";
const DEFINITIONS: &str =
    "/redfish/v1/TelemetryService/MetricReportDefinitions";

/// Two events that have nothing in common.
fn events() -> [Value; 2] {
    [
        json!({"MessageId": "SensorEvent.1.1.SensorFailure", "EventId": "a",
            "MessageSeverity": "Warning", "OriginOfCondition": SENSOR}),
        json!({"MessageId": "ResourceEvent.1.4.TestMessage", "EventId": "b",
            "MessageSeverity": "OK",
            "OriginOfCondition": "/redfish/v1/Systems/node"}),
    ]
}

#[tokio::test]
async fn each_filter_lets_its_own_through_and_nothing_else() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let origin = |uri: &str| json!([{ "@odata.id": uri }]);
    let filters = [
        (json!({"RegistryPrefixes": ["SensorEvent"]}), "a"),
        (json!({"RegistryPrefixes": ["SensorEvent", "ResourceEvent"]}), "ab"),
        (json!({"ExcludeRegistryPrefixes": ["SensorEvent"]}), "b"),
        (json!({"MessageIds": ["ResourceEvent.TestMessage"]}), "b"),
        (json!({"MessageIds": ["ResourceEvent.1.0.TestMessage"]}), "b"),
        (json!({"ExcludeMessageIds": ["ResourceEvent.TestMessage"]}), "a"),
        (json!({"ResourceTypes": ["Sensor"]}), "a"),
        (json!({"ResourceTypes": ["ComputerSystem"]}), "b"),
        (json!({"Severities": ["Warning"]}), "a"),
        (json!({"OriginResources": origin(SENSOR)}), "a"),
        (json!({"OriginResources": origin("/redfish/v1/Chassis/blade")}), ""),
        (
            json!({"OriginResources": origin("/redfish/v1/Chassis/blade"),
                "SubordinateResources": true}),
            "a",
        ),
        (json!({"Severities": ["OK"], "ResourceTypes": ["Sensor"]}), ""),
        (json!({"EventFormatType": "MetricReport"}), ""),
    ];
    for (index, (filter, _)) in filters.iter().enumerate() {
        let to = receiver.uri(&format!("/{index}"));
        let uri = subscribe(&admin, &to, filter.clone()).await;
        let shown = admin.get(&uri).await.body;
        for (name, value) in filter.as_object().unwrap() {
            assert_eq!(shown[name], *value, "{name}");
        }
    }
    for event in events() {
        assert_eq!(admin.post(SUBMIT, &event).await.status, 200);
    }
    let mut heard = vec![String::new(); filters.len()];
    let wanted: usize = filters.iter().map(|(_, ids)| ids.len()).sum();
    while heard.iter().map(String::len).sum::<usize>() < wanted {
        let posted = receiver.next().await;
        let index: usize = posted.path[1..].parse().unwrap();
        for record in posted.records() {
            let id = record["EventId"].as_str().unwrap();
            if ["a", "b"].contains(&id) {
                heard[index] += id;
            }
        }
    }
    assert!(receiver.is_quiet().await);
    for ((filter, wanted), heard) in filters.iter().zip(heard) {
        assert_eq!(*wanted, heard, "{filter}");
    }
}

#[tokio::test]
async fn the_service_announces_what_it_takes() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let service = admin.get("/redfish/v1/EventService").await.body;
    assert_eq!(onprem_redfish::check(&service), []);
    for name in [
        "ServiceEnabled",
        "SubordinateResourcesSupported",
        "OriginResourcesSupported",
        "IncludeOriginOfConditionSupported",
        "ExcludeMessageId",
        "ExcludeRegistryPrefix",
    ] {
        assert_eq!(service[name], true, "{name}");
    }
    // Whatever it lists can be asked for.
    let body = json!({"Destination": "https://127.0.0.1:1/",
        "Protocol": "Redfish",
        "RegistryPrefixes": service["RegistryPrefixes"],
        "Severities": service["Severities"]});
    let made = admin.post(SUBSCRIPTIONS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let types = service["ResourceTypes"].as_array().unwrap();
    assert!(types.iter().any(|it| it == "Sensor"));
    assert!(types.len() > 20);
}

#[tokio::test]
async fn the_resource_comes_along_where_that_is_asked_for() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let receiver = Receiver::start().await;
    let more = json!({"IncludeOriginOfCondition": true,
        "MessageIds": ["SensorEvent.SensorFailure",
            "ResourceEvent.TestMessage"]});
    subscribe(&admin, &receiver.uri("/"), more).await;
    let [sensor, _] = events();
    assert_eq!(admin.post(SUBMIT, &sensor).await.status, 200);
    let record = receiver.event("a").await;
    let origin = &record["OriginOfCondition"];
    assert_eq!(origin["@odata.id"], SENSOR);
    assert_eq!(origin["ReadingUnits"], "Cel");
    // Who may log in may not see accounts.
    let account = "/redfish/v1/AccountService/Accounts/admin";
    let body = json!({"MessageId": "ResourceEvent.1.4.TestMessage",
        "EventId": "c", "OriginOfCondition": account});
    assert_eq!(admin.post(SUBMIT, &body).await.status, 200);
    let record = receiver.event("c").await;
    let origin = json!({ "@odata.id": account });
    assert_eq!(record["OriginOfCondition"], origin);
    assert_eq!(record["OriginOfConditionUnavailable"], true);
}

#[tokio::test]
async fn reports_can_be_asked_for_by_definition() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let link = json!([{ "@odata.id": format!("{DEFINITIONS}/power") }]);
    let more = json!({"EventFormatType": "MetricReport",
        "MetricReportDefinitions": link});
    let uri = subscribe(&admin, "https://127.0.0.1:1/", more).await;
    let shown = admin.get(&uri).await.body;
    assert_eq!(shown["EventFormatType"], "MetricReport");
    assert_eq!(shown["MetricReportDefinitions"], link);
}
