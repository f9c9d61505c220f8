//! Telemetry: what is refused, and what the refusal names.

use serde_json::{Value, json};

use crate::{
    client::{Blade, Reply},
    telemetry::{DEFINITIONS, LOAD, SERVICE, define, with},
    telemetry_triggers::TRIGGERS,
};

fn says(reply: &Reply, message: &str, about: &str, words: &str) {
    assert_eq!(reply.status, 400, "{}", reply.body);
    let info = &reply.body["error"]["@Message.ExtendedInfo"];
    let fits = info.as_array().unwrap().iter().any(|it| {
        let id = it["MessageId"].as_str().unwrap();
        let property = format!("#{about}");
        let related = it["RelatedProperties"].as_array();
        id.ends_with(message)
            && related.is_some_and(|all| all.contains(&json!(property)))
            && it.to_string().contains(words)
    });
    assert!(fits, "{message} about {about} with `{words}`: {info:#}");
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn a_definition_that_cannot_be_served_is_refused_by_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let good = json!({
        "Id": "x", "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "MetricProperties": [LOAD],
    });
    let wrong = "PropertyValueIncorrect";
    let range = "PropertyValueOutOfRange";
    let conflict = "PropertyValueConflict";
    let missing = "PropertyMissing";
    let sensors = "/redfish/v1/Chassis/blade/Sensors";
    let metric = |more: Value| {
        let metric = with(json!({"MetricProperties": [LOAD]}), more);
        json!({"MetricProperties": [], "Metrics": [metric]})
    };
    let property = |path: &str| json!({"MetricProperties": [path]});
    for (more, message, about, words) in [
        (
            property(&format!("{sensors}/Nope#/Reading")),
            wrong,
            "/MetricProperties/0",
            "Sensors/Nope#/Reading",
        ),
        (
            property(&format!("{sensors}/CPU_Load#/Colour")),
            wrong,
            "/MetricProperties/0",
            "CPU_Load#/Colour",
        ),
        (
            property("/redfish/v1/Systems/node#/Status"),
            wrong,
            "/MetricProperties/0",
            "object",
        ),
        (
            property("/redfish/v1/Systems/node"),
            wrong,
            "/MetricProperties/0",
            "JSON pointer",
        ),
        (
            property("https://elsewhere/redfish/v1/Systems/node#/Id"),
            wrong,
            "/MetricProperties/0",
            "JSON pointer",
        ),
        (
            property("/redfish/v1/TelemetryService#/MaxReports"),
            wrong,
            "/MetricProperties/0",
            "no such resource",
        ),
        (
            property("/redfish/v1/AccountService/Accounts/admin#/RoleId"),
            wrong,
            "/MetricProperties/0",
            "no such resource",
        ),
        (
            property(&format!("{sensors}/{{Who}}#/Reading")),
            wrong,
            "/MetricProperties/0",
            "`Who`",
        ),
        (
            with(
                property(&format!("{sensors}/{{Who}}#/Reading")),
                json!({"Wildcards": [
                    {"Name": "Who", "Values": ["CPU_Load", "Nope"]}]}),
            ),
            wrong,
            "/MetricProperties/0",
            "Sensors/Nope#/Reading",
        ),
        (
            json!({"Wildcards": [{"Name": "W", "Values": ["a/b"]}]}),
            wrong,
            "/Wildcards/0/Values",
            "a/b",
        ),
        (
            json!({"Wildcards": [{"Name": "W", "Keys": ["a"]}]}),
            "PropertyNotWritable",
            "/Wildcards/0/Keys",
            "Keys",
        ),
        (
            json!({"Metrics": [{"MetricId": "Humidity"}]}),
            wrong,
            "/Metrics/0/MetricId",
            "Humidity",
        ),
        (json!({"MetricProperties": []}), missing, "/MetricProperties", ""),
        (
            json!({"Schedule": {"RecurrenceInterval": "PT0.5S"}}),
            range,
            "/Schedule/RecurrenceInterval",
            "PT0.5S",
        ),
        (
            json!({"Schedule": {"RecurrenceInterval": "P1000D"}}),
            range,
            "/Schedule/RecurrenceInterval",
            "P1000D",
        ),
        (json!({"Schedule": {}}), missing, "/Schedule/RecurrenceInterval", ""),
        (
            json!({"Schedule": {"RecurrenceInterval": "hourly"}}),
            "PropertyValueFormatError",
            "/Schedule/RecurrenceInterval",
            "hourly",
        ),
        (
            json!({"Schedule": {"RecurrenceInterval": "PT1S",
                "Lifetime": "P1D"}}),
            "PropertyNotWritable",
            "/Schedule/Lifetime",
            "Lifetime",
        ),
        (
            json!({"MetricReportHeartbeatInterval": "PT1S"}),
            conflict,
            "/MetricReportHeartbeatInterval",
            "RecurrenceInterval",
        ),
        (
            json!({"ReportUpdates": "AppendWrapsWhenFull",
                "AppendLimit": 1_000_000}),
            range,
            "/AppendLimit",
            "1000000",
        ),
        (json!({"AppendLimit": 5}), conflict, "/AppendLimit", "ReportUpdates"),
        (
            metric(json!({"CollectionFunction": "Average"})),
            missing,
            "/Metrics/0/CollectionDuration",
            "",
        ),
        (
            metric(json!({"CollectionFunction": "Average",
                "CollectionDuration": "PT5S",
                "CollectionTimeScope": "Point"})),
            conflict,
            "/Metrics/0/CollectionTimeScope",
            "CollectionFunction",
        ),
        (
            metric(json!({"CollectionFunction": "Median"})),
            "PropertyValueNotInList",
            "/Metrics/0/CollectionFunction",
            "Median",
        ),
        (
            metric(json!({"MetricId": "ProcessorLoad"})),
            conflict,
            "/Metrics/0/MetricId",
            "MetricProperties",
        ),
        (
            with(
                property(LOAD),
                json!({"Metrics": [{"MetricProperties":
                    ["/redfish/v1/Systems/node#/PowerState"],
                    "CollectionFunction": "Average",
                    "CollectionDuration": "PT5S"}]}),
            ),
            wrong,
            "/Metrics",
            "needs numbers",
        ),
        (json!({"Id": "a b"}), "PropertyValueFormatError", "/Id", "a b"),
    ] {
        let reply = admin.post(DEFINITIONS, &with(good.clone(), more)).await;
        says(&reply, message, about, words);
    }
    define(&admin, &good).await;
    let uri = format!("{DEFINITIONS}/x");
    let reply =
        admin.patch(&uri, &property(&format!("{sensors}/Nope#/A"))).await;
    says(&reply, wrong, "/MetricProperties/0", "Sensors/Nope#/A");
    let kept = admin.get(&uri).await.body;
    assert_eq!(kept["MetricProperties"], json!([LOAD]));
}

#[tokio::test]
async fn a_trigger_that_cannot_be_served_is_refused_by_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let good = json!({
        "Id": "x", "MetricType": "Numeric",
        "TriggerActions": ["RedfishEvent"],
        "NumericThresholds": {"UpperCritical": {"Reading": 90}},
        "MetricProperties": [LOAD],
    });
    let conflict = "PropertyValueConflict";
    let missing = "PropertyMissing";
    for (more, message, about, words) in [
        (json!({"TriggerActions": []}), missing, "/TriggerActions", ""),
        (json!({"NumericThresholds": {}}), missing, "/NumericThresholds", ""),
        (
            json!({"NumericThresholds": {"UpperCritical": {}}}),
            missing,
            "/NumericThresholds/UpperCritical/Reading",
            "",
        ),
        (
            json!({"NumericThresholds": {"UpperCritical": {"Reading": 5},
                "UpperWarning": {"Reading": 9}}}),
            conflict,
            "/NumericThresholds/UpperCritical/Reading",
            "UpperWarning",
        ),
        (
            json!({"NumericThresholds": {"UpperCritical":
                {"Reading": 5, "DwellTime": "P900D"}}}),
            "PropertyValueOutOfRange",
            "/NumericThresholds/UpperCritical/DwellTime",
            "P900D",
        ),
        (
            json!({"MetricProperties":
                ["/redfish/v1/Systems/node#/PowerState"]}),
            "PropertyValueIncorrect",
            "/MetricProperties/0",
            "number",
        ),
        (json!({"MetricProperties": []}), missing, "/MetricProperties", ""),
        (
            json!({"DiscreteTriggerCondition": "Changed"}),
            conflict,
            "/DiscreteTriggers",
            "MetricType",
        ),
        (
            json!({"EventTriggers": ["ResourceEvent.1.4.ResourceChanged"]}),
            conflict,
            "/EventTriggers",
            "MetricType",
        ),
        (
            json!({"TriggerActions": ["RedfishMetricReport"], "Links":
                {"MetricReportDefinitions": [{"@odata.id": "/nope"}]}}),
            "PropertyValueIncorrect",
            "/Links/MetricReportDefinitions/0",
            "/nope",
        ),
    ] {
        let reply = admin.post(TRIGGERS, &with(good.clone(), more)).await;
        says(&reply, message, about, words);
    }
}

#[tokio::test]
async fn there_is_an_end_to_definitions_and_to_what_they_stand_for() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = json!({"MetricReportDefinitionType": "OnRequest",
        "MetricProperties": [LOAD]});
    let mut made = 0;
    let refused = loop {
        let reply = admin.post(DEFINITIONS, &body).await;
        if reply.status != 201 {
            break reply;
        }
        made += 1;
        assert!(made < 100);
    };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.messages(), ["CreateLimitReachedForResource"]);
    let many: Vec<String> = (0..3000).map(|it| format!("s{it}")).collect();
    let body = with(
        body,
        json!({
        "Wildcards": [{"Name": "A", "Values": many}]}),
    );
    let uri = format!("{DEFINITIONS}/AllSensors");
    let change = json!({"Wildcards": body["Wildcards"]});
    let reply = admin.patch(&uri, &change).await;
    says(&reply, "ArraySizeTooLong", "/Wildcards/0/Values", "2048");
}

#[tokio::test]
async fn there_is_an_end_to_what_all_reports_hold() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = json!({"MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1H"},
        "ReportUpdates": "AppendWrapsWhenFull", "AppendLimit": 4096,
        "MetricProperties": [LOAD]});
    let mut made = Vec::new();
    let refused = loop {
        let reply = admin.post(DEFINITIONS, &body).await;
        if reply.status != 201 {
            break reply;
        }
        made.push(reply.header("location").to_owned());
        assert!(made.len() < 10);
    };
    assert_eq!(made.len(), 4, "with what is there at first");
    says(&refused, "PropertyValueIncorrect", "/AppendLimit", "20480");
    // There is room again where one goes.
    assert_eq!(admin.delete(&made[0]).await.status, 204);
    assert_eq!(admin.post(DEFINITIONS, &body).await.status, 201);
}

#[tokio::test]
async fn a_test_report_needs_its_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let uri =
        format!("{SERVICE}/Actions/TelemetryService.SubmitTestMetricReport");
    let values = json!([{"MetricValue": "5", "MetricId": "T"}]);
    let body = json!({"GeneratedMetricReportValues": values});
    let refused = admin.post(&uri, &body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.messages(), ["ActionParameterMissing"]);
    let body = with(body, json!({"MetricReportName": "Try"}));
    let done = admin.post(&uri, &body).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let reader = blade.account("ada", "ReadOnly").await;
    assert_eq!(reader.post(&uri, &body).await.status, 403);
    assert_eq!(reader.post(DEFINITIONS, &json!({})).await.status, 403);
}

#[tokio::test]
async fn what_is_kept_and_cannot_be_read_is_put_aside() {
    let blade = Blade::simulated().await;
    let file = blade.state.path().join("telemetry.json");
    let admin = blade.admin();
    let uri = format!("{DEFINITIONS}/Fans");
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert!(file.exists());
    std::fs::write(&file, "{\"definitions\": 7").unwrap();
    let blade = blade.restarted().await;
    assert_eq!(blade.admin().get(&uri).await.status, 200);
    assert!(blade.state.path().join("telemetry.json.broken").exists());
}
