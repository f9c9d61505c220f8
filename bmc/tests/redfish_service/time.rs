//! The clock: told to all, set by nobody without permission.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::client::Blade;

const MANAGER: &str = "/redfish/v1/Managers/bmc";
const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";

#[tokio::test]
async fn the_clock_is_not_set_without_permission() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let told = admin.get(MANAGER).await.body;
    let time = told["DateTime"].as_str().unwrap();
    let time = DateTime::parse_from_rfc3339(time).unwrap();
    assert!((time.to_utc() - Utc::now()).abs() < TimeDelta::seconds(5));
    let offset = told["DateTimeLocalOffset"].as_str().unwrap();
    assert_eq!(time.format("%:z").to_string(), offset);
    for (wrong, status, message) in [
        (json!("2030-01-01T00:00:00Z"), 403, "ServiceDisabled"),
        (json!("2030-01-01T00:00:00"), 400, "PropertyValueFormatError"),
        (json!("2030-02-30T00:00:00Z"), 400, "PropertyValueFormatError"),
        (json!("now"), 400, "PropertyValueFormatError"),
        (json!(1_900_000_000), 400, "PropertyValueTypeError"),
        (json!("1999-01-01T00:00:00Z"), 400, "PropertyValueOutOfRange"),
        (json!("9999-01-01T00:00:00Z"), 400, "PropertyValueOutOfRange"),
    ] {
        let reply = admin.patch(MANAGER, &json!({"DateTime": wrong})).await;
        assert_eq!(reply.status, status, "{wrong}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{wrong}");
    }
    let set = json!({"DateTime": "2030-01-01T00:00:00Z"});
    let refused = admin.patch(MANAGER, &set).await.body;
    let info = &refused["error"]["@Message.ExtendedInfo"][0];
    let advice = info["Resolution"].as_str().unwrap();
    assert!(advice.contains("allow_set_clock"), "{advice}");
    assert!(Utc::now() - time.to_utc() < TimeDelta::minutes(5));
    let operator = blade.account("olga", "Operator").await;
    let refused = operator.patch(MANAGER, &set).await;
    assert_eq!(refused.messages(), ["InsufficientPrivilege"]);
}

#[tokio::test]
async fn time_servers_are_kept_but_not_asked_without_permission() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let set = json!({"NTP": {"NTPServers": ["192.0.2.1", "ntp.example"]}});
    assert_eq!(admin.patch(PROTOCOL, &set).await.status, 200);
    let ask = json!({"NTP": {"ProtocolEnabled": true}});
    let refused = admin.patch(PROTOCOL, &ask).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.messages(), ["ServiceDisabled"]);
    let not = json!({"NTP": {"ProtocolEnabled": false}});
    assert_eq!(admin.patch(PROTOCOL, &not).await.status, 200);
    let blade = blade.restarted().await;
    let now = blade.admin().get(PROTOCOL).await.body;
    assert_eq!(now["NTP"]["ProtocolEnabled"], false);
    assert_eq!(now["NTP"]["NTPServers"], set["NTP"]["NTPServers"]);
    assert_eq!(now["NTP"]["Port"], 123);
}
