//! What happens to the machine, as events tell it.

use onprem_bmc::model::{Celsius, Quantity, Sample};
use serde_json::{Value, json};
use std::time::Duration;

use super::{SUBMIT, stream::Stream, until};
use crate::client::{Blade, SESSIONS};

const SENSOR: &str = "/redfish/v1/Chassis/blade/Sensors/Intake_Temperature";
const SYSTEM: &str = "/redfish/v1/Systems/node";

fn short(event: &Value) -> String {
    let id = event["Events"][0]["MessageId"].as_str().unwrap();
    let (registry, _) = id.split_once('.').unwrap();
    let (_, key) = id.rsplit_once('.').unwrap();
    format!("{registry}.{key}")
}

#[tokio::test]
async fn a_test_event_that_no_registry_has_is_refused_by_its_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for id in [
        "Nonsense",
        "ResourceEvent.1.4.Nothing",
        "ResourceEvent.TestMessage",
        "ResourceEvent.x.4.TestMessage",
        "ResourceEvent.1.4.0.0.TestMessage",
        "Nobody.1.0.TestMessage",
        "",
    ] {
        let refused = admin.post(SUBMIT, &json!({"MessageId": id})).await;
        assert_eq!(refused.status, 400, "{id}: {}", refused.body);
        let messages = refused.messages();
        // What has no form of a message's id is refused for that.
        let form = messages == ["ActionParameterValueFormatError"];
        let known = messages == ["ActionParameterValueNotInList"];
        assert!(form || known, "{id}: {messages:?}");
        let said = refused.body.to_string();
        assert!(said.contains(&format!("'{id}'")), "{id}: {said}");
    }
    for id in ["ResourceEvent.1.0.TestMessage", "Base.1.19.Success"] {
        let sent = admin.post(SUBMIT, &json!({"MessageId": id})).await;
        assert_eq!(sent.status, 200, "{id}: {}", sent.body);
    }
}

#[tokio::test]
async fn a_sensor_that_leaves_its_range_raises_an_alarm_that_is_cleared() {
    let blade = Blade::simulated().await;
    let mut stream = Stream::open(&blade.admin()).await;
    let id = "Intake_Temperature".into();
    let reads = |value: f64| {
        let value = Quantity::from(Celsius(value));
        let sample = Sample::good(&id, value, Duration::from_mins(1));
        blade.agent.model().post(vec![sample]);
    };
    // The board reads about 23 °C in between.
    reads(38.5);
    let (_, event) = stream.about(SENSOR).await;
    assert_eq!(short(&event), "SensorEvent.ReadingAboveUpperCautionThreshold");
    let record = &event["Events"][0];
    assert_eq!(record["MessageSeverity"], "Warning");
    let arguments = json!(["Intake Temperature", "38.5", "Cel", "35"]);
    assert_eq!(record["MessageArgs"], arguments);
    reads(50.0);
    loop {
        let (_, event) = stream.about(SENSOR).await;
        if short(&event) == "SensorEvent.ReadingAboveUpperCriticalThreshold" {
            break;
        }
    }
    loop {
        let (_, event) = stream.about(SENSOR).await;
        if short(&event) == "SensorEvent.SensorReadingNormalRange" {
            break;
        }
    }
}

#[tokio::test]
async fn a_port_that_loses_its_link_is_told_of_within_a_second() {
    const PORT: &str = "/redfish/v1/Fabrics/blade/Switches/sw0/Ports/p1";
    let blade = Blade::simulated().await;
    let mut stream = Stream::open(&blade.admin()).await;
    let switches = blade.agent.buses().switches().unwrap();
    for (cable, expected) in [
        (false, "Fabric.DownstreamLinkDropped"),
        (true, "Fabric.DownstreamLinkEstablished"),
    ] {
        switches.plug("sw0", "p1", cable);
        let (_, event) = stream.about(PORT).await;
        assert_eq!(short(&event), expected);
        let arguments = json!(["sw0", "p1"]);
        assert_eq!(event["Events"][0]["MessageArgs"], arguments);
    }
}

#[tokio::test]
async fn a_sensor_that_is_lost_and_found_is_told_of() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let part = blade.agent.simulation().unwrap().part("Intake_Temperature");
    part.unplug();
    let (_, event) = stream.about(SENSOR).await;
    assert_eq!(short(&event), "SensorEvent.SensorFailure");
    let (_, event) = stream.about("/redfish/v1/Chassis/blade").await;
    assert_eq!(short(&event), "ResourceEvent.ResourceStatusChangedWarning");
    part.mend();
    let (_, event) = stream.about(SENSOR).await;
    assert_eq!(short(&event), "SensorEvent.SensorRestored");
    let (_, event) = stream.about("/redfish/v1/Chassis/blade").await;
    assert_eq!(short(&event), "ResourceEvent.ResourceStatusChangedOK");
}

#[tokio::test]
async fn a_change_of_power_is_told_of_step_by_step() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let reset = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let off = json!({"ResetType": "ForceOff"});
    assert!(admin.post(&reset, &off).await.status.is_success());
    until(&admin, SYSTEM, |it| it["PowerState"] == "Off").await;
    let on = json!({"ResetType": "On"});
    assert!(admin.post(&reset, &on).await.status.is_success());
    let mut heard = Vec::new();
    while heard.last().is_none_or(|it| it != "ResourcePoweredOn") {
        let (_, event) = stream.about(SYSTEM).await;
        let key = short(&event).split_off("ResourceEvent.".len());
        if key.starts_with("ResourcePower") {
            heard.push(key);
        }
    }
    let expected =
        ["ResourcePoweredOff", "ResourcePoweringOn", "ResourcePoweredOn"];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn an_account_that_is_locked_is_told_of() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let _ada = blade.account("ada", "ReadOnly").await;
    let policy = json!({"AccountLockoutThreshold": 2});
    assert_eq!(admin.patch(super::SERVICE, &policy).await.status, 200);
    let mut stream = Stream::open(&admin).await;
    for _ in 0..3 {
        let refused = blade.user("ada", "wrong").get(super::SERVICE).await;
        assert_eq!(refused.status, 401);
    }
    let account = "/redfish/v1/AccountService/Accounts/ada";
    let (_, event) = stream.about(account).await;
    assert_eq!(short(&event), "AccountSecurity.AccountLocked");
    assert_eq!(event["Events"][0]["MessageArgs"], json!(["ada"]));
}

#[tokio::test]
async fn a_login_is_told_of() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let body = json!({"UserName": "admin", "Password": blade.password});
    let opened = blade.stranger().post(SESSIONS, &body).await;
    let (_, event) = stream.about(opened.header("location")).await;
    assert_eq!(short(&event), "AccountSecurity.SuccessfulLogin");
    let arguments = json!(["admin", "127.0.0.1", "Redfish"]);
    assert_eq!(event["Events"][0]["MessageArgs"], arguments);
}
