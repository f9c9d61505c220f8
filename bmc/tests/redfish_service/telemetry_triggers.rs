//! Triggers: what sets them off, and what they do.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use onprem_bmc::model::Change;

use crate::{
    client::{Blade, Client},
    telemetry::{SERVICE, define},
};

pub(crate) const TRIGGERS: &str = "/redfish/v1/TelemetryService/Triggers";
const REPORT: &str = "/redfish/v1/TelemetryService/MetricReports/taken";
const POWER: &str = "/redfish/v1/Systems/node#/PowerState";
const RESET: &str = "/redfish/v1/Systems/node/Actions/ComputerSystem.Reset";

/// A definition whose report is made in an hour, or by a trigger.
async fn taken(admin: &Client, property: &str) {
    let body = json!({
        "Id": "taken", "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1H"},
        "ReportUpdates": "AppendWrapsWhenFull",
        "MetricProperties": [property],
    });
    define(admin, &body).await;
    // The one that begins the hour.
    values(admin, 1).await;
}

async fn values(admin: &Client, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let report = admin.get(REPORT).await.body;
        let values = report["MetricValues"].as_array().unwrap().clone();
        if values.len() >= count {
            return values;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{report}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn links() -> Value {
    let uri = format!("{SERVICE}/MetricReportDefinitions/taken");
    json!({"MetricReportDefinitions": [{"@odata.id": uri}]})
}

#[tokio::test]
async fn a_discrete_trigger_makes_the_report_it_is_linked_to() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    taken(&admin, POWER).await;
    let body = json!({
        "Id": "off", "DiscreteTriggers": [
            {"Value": "Off", "Severity": "Critical", "DwellTime": "PT1S"}],
        "TriggerActions": ["RedfishMetricReport", "RedfishEvent"],
        "MetricProperties": [POWER], "Links": links(),
    });
    let made = admin.post(TRIGGERS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(onprem_redfish::check(&made.body), []);
    assert_eq!(made.body["MetricType"], "Discrete");
    assert_eq!(made.body["DiscreteTriggerCondition"], "Specified");
    let definition =
        admin.get(&format!("{SERVICE}/MetricReportDefinitions/taken")).await;
    let uri = made.header("location");
    let link = &definition.body["Links"]["Triggers"][0]["@odata.id"];
    assert_eq!(link, uri);

    let off = json!({"ResetType": "ForceOff"});
    let started = Instant::now();
    assert!(admin.post(RESET, &off).await.status.is_success());
    let values = values(&admin, 2).await;
    assert_eq!(values[1]["MetricValue"], "Off");
    assert!(started.elapsed() >= Duration::from_secs(1), "it dwells");
    // It has said so once.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(self::values(&admin, 2).await.len(), 2);
}

#[tokio::test]
async fn a_numeric_trigger_waits_for_its_dwell_time() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let watts = "/redfish/v1/Chassis/blade/Sensors/Input_Power#/Reading";
    taken(&admin, watts).await;
    let body = json!({
        "Id": "low", "MetricType": "Numeric",
        "NumericThresholds": {
            "LowerCritical": {"Reading": 1.5, "DwellTime": "PT2S"}},
        "TriggerActions": ["RedfishMetricReport"],
        "MetricProperties": [watts], "Links": links(),
    });
    let made = admin.post(TRIGGERS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let threshold = &made.body["NumericThresholds"]["LowerCritical"];
    assert_eq!(threshold["Activation"], "Decreasing");
    // It has to be seen above before it can fall.
    let mut changes = blade.agent.model().changes();
    let seen = async {
        for _ in 0..2 {
            while !matches!(changes.recv().await, Ok(Change::Readings(ids))
                if ids.iter().any(|id| **id == *"Input_Power"))
            {}
        }
    };
    timeout(Duration::from_secs(20), seen).await.expect("two readings");
    let off = json!({"ResetType": "ForceOff"});
    let started = Instant::now();
    assert!(admin.post(RESET, &off).await.status.is_success());
    let values = values(&admin, 2).await;
    let watts: f64 =
        values[1]["MetricValue"].as_str().unwrap().parse().unwrap();
    assert!(watts < 1.5, "{watts}");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn an_event_can_set_a_trigger_off() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    taken(&admin, POWER).await;
    let registries = admin.get("/redfish/v1/Registries").await.body;
    let registries = registries.to_string();
    let version = registries.split("ResourceEvent.").nth(1).unwrap();
    let version: Vec<&str> = version.split(['.', '"']).take(2).collect();
    let id = format!("ResourceEvent.{}.ResourceChanged", version.join("."));
    let body = json!({
        "Id": "changed", "EventTriggers": [id],
        "TriggerActions": ["RedfishMetricReport", "LogToLogService"],
        "Links": links(),
    });
    let made = admin.post(TRIGGERS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let change = json!({"AccountLockoutThreshold": 9});
    let service = "/redfish/v1/AccountService";
    assert_eq!(admin.patch(service, &change).await.status, 200);
    values(&admin, 2).await;
    // What is logged is read where the logs of the hardware are.
    let about = made.header("location");
    let log = "/redfish/v1/Systems/node/LogServices/SEL/Entries";
    let logged = async {
        loop {
            let all = admin.get(log).await.body;
            let mut all = all["Members"].as_array().unwrap().iter();
            let is = |it: &&Value| {
                let origin = &it["Links"]["OriginOfCondition"]["@odata.id"];
                origin == about
            };
            if let Some(found) = all.find(is) {
                return found.clone();
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let entry = timeout(Duration::from_secs(20), logged).await.expect("it");
    assert_eq!(onprem_redfish::check(&entry), []);
    let message = entry["MessageId"].as_str().unwrap();
    let met = ".TriggerDiscreteConditionMet";
    assert!(message.starts_with("Telemetry.") && message.ends_with(met));
}

#[tokio::test]
async fn triggers_survive_a_restart_and_can_be_changed_and_deleted() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let hot = format!("{TRIGGERS}/CPU_Temperature");
    let first = admin.get(&hot).await;
    assert_eq!(
        first.body["NumericThresholds"]["UpperCritical"]["Reading"],
        85.0
    );
    let change = json!({"TriggerEnabled": false, "NumericThresholds":
        {"UpperCritical": {"Reading": 91}, "UpperWarning":
        {"Activation": "Disabled"}}});
    let changed = admin.patch(&hot, &change).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let read_only = json!({"TriggerActions": ["RedfishEvent"]});
    let refused = admin.patch(&hot, &read_only).await;
    assert_eq!(refused.messages(), ["PropertyNotWritable"]);

    let blade = blade.restarted().await;
    let admin = blade.admin();
    let kept = admin.get(&hot).await.body;
    assert_eq!(kept["TriggerEnabled"], false);
    let thresholds = &kept["NumericThresholds"];
    assert_eq!(thresholds["UpperCritical"]["Reading"], 91.0);
    assert_eq!(thresholds["UpperCritical"]["DwellTime"], "PT5S");
    assert_eq!(thresholds["UpperWarning"]["Activation"], "Disabled");
    assert_eq!(thresholds["UpperWarning"]["Reading"], 80.0);
    assert_eq!(admin.delete(&hot).await.status, 204);
    assert_eq!(admin.get(&hot).await.status, 404);
    let reset =
        format!("{SERVICE}/Actions/TelemetryService.ResetTriggersToDefaults");
    assert_eq!(admin.post(&reset, &json!({})).await.status, 200);
    assert_eq!(admin.get(&hot).await.body["TriggerEnabled"], true);
}

#[tokio::test]
async fn a_report_is_sent_to_who_subscribed() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let definition = format!("{SERVICE}/MetricReportDefinitions/sent");
    let body = json!({
        "Destination": format!("http://{address}/reports"),
        "Protocol": "Redfish", "Context": "rack 4",
        "EventFormatType": "MetricReport",
    });
    let subscriptions = "/redfish/v1/EventService/Subscriptions";
    let made = admin.post(subscriptions, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let body = json!({
        "Id": "sent", "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "ReportActions": ["RedfishEvent"], "MetricProperties": [POWER],
    });
    let made = define(&admin, &body).await;
    // What is only sent cannot be read.
    assert_eq!(made.body.get("MetricReport"), None);
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    while !text.ends_with('}') {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let report: Value = serde_json::from_str(body).unwrap();
    assert_eq!(onprem_redfish::check(&report), []);
    assert_eq!(report["Context"], "rack 4");
    assert_eq!(report["MetricReportDefinition"]["@odata.id"], definition);
    assert_eq!(report["MetricValues"][0]["MetricValue"], "On");
}
