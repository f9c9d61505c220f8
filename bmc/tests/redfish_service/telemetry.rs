//! Telemetry: definitions of reports, and the reports they make.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Blade, Client, Reply};

pub(crate) const SERVICE: &str = "/redfish/v1/TelemetryService";
pub(crate) const DEFINITIONS: &str =
    "/redfish/v1/TelemetryService/MetricReportDefinitions";
const REPORTS: &str = "/redfish/v1/TelemetryService/MetricReports";
pub(crate) const LOAD: &str =
    "/redfish/v1/Chassis/blade/Sensors/CPU_Load#/Reading";

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The blade with a processor's load that is known at any time: it rises by
/// one percent a second.
async fn ramp() -> Blade {
    Blade::with_board(|text| {
        let load = text.lines().find(|it| it.starts_with("load = "));
        text.replace(load.unwrap(), "load = [[0, 0], [100, 100]]")
    })
    .await
}

pub(crate) async fn define(admin: &Client, body: &Value) -> Reply {
    let made = admin.post(DEFINITIONS, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(onprem_redfish::check(&made.body), []);
    made
}

/// The report once it is what `fits` asks for.
async fn report(
    admin: &Client,
    id: &str,
    fits: impl Fn(&[Value]) -> bool,
) -> Value {
    let uri = format!("{REPORTS}/{id}");
    let start = Instant::now();
    loop {
        let report = admin.get(&uri).await;
        assert_eq!(report.status, 200, "{}", report.body);
        assert_eq!(onprem_redfish::check(&report.body), []);
        let values = report.body["MetricValues"].as_array().unwrap();
        if fits(values) {
            return report.body;
        }
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "{}", report.body);
        sleep(Duration::from_millis(100)).await;
    }
}

fn number(value: &Value) -> f64 {
    value["MetricValue"].as_str().unwrap().parse().unwrap()
}

fn periodic(id: &str) -> Value {
    json!({
        "Id": id,
        "Name": id,
        "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "MetricProperties": [LOAD],
        "ReportActions": ["LogToMetricReportsCollection"],
    })
}

/// `base` with the members of `more`.
pub(crate) fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { unreachable!() };
    base.as_object_mut().unwrap().extend(more);
    base
}

#[tokio::test]
async fn what_is_defined_at_first_suits_the_board() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let service = admin.get(SERVICE).await.body;
    assert_eq!(service["Status"]["State"], "Enabled");
    assert_eq!(service["MinCollectionInterval"], "PT1S");
    let metrics =
        admin.get(&format!("{SERVICE}/MetricDefinitions?$expand=.")).await.body;
    let metrics = metrics["Members"].as_array().unwrap();
    let load = metrics.iter().find(|it| it["Id"] == "ProcessorLoad").unwrap();
    assert_eq!(load["Units"], "%");
    assert_eq!(load["MetricType"], "Gauge");
    assert_eq!(load["MaxReadingRange"], 100.0);
    let property = load["MetricProperties"][0].as_str().unwrap();
    let sensor = load["Wildcards"][0]["Values"][0].as_str().unwrap();
    assert_eq!(property.replace("{SensorId}", sensor), LOAD);
    let uptime = metrics.iter().find(|it| it["Id"] == "ManagerUptime").unwrap();
    assert_eq!(uptime["MetricType"], "Counter");
    for metric in metrics {
        assert_eq!(onprem_redfish::check(metric), []);
        let id = metric["Id"].as_str().unwrap();
        let name = format!("one-{id}");
        let body = json!({"Id": name, "MetricReportDefinitionType": "OnRequest",
            "Metrics": [{"MetricId": id}]});
        define(&admin, &body).await;
        let report = admin.get(&format!("{REPORTS}/{name}")).await.body;
        let values = report["MetricValues"].as_array().unwrap();
        assert!(!values.is_empty(), "{report}");
        for value in values {
            assert_eq!(value["MetricId"], id);
            number(value);
        }
        let uri = format!("{DEFINITIONS}/{name}");
        assert_eq!(admin.delete(&uri).await.status, 204);
    }

    let all = admin.get(&format!("{DEFINITIONS}/Temperatures")).await.body;
    assert_eq!(all["MetricReportDefinitionType"], "Periodic");
    let link = all["MetricReport"]["@odata.id"].as_str().unwrap();
    assert_eq!(link, format!("{REPORTS}/Temperatures"));
    let values = report(&admin, "Temperatures", |it| it.len() == 3).await;
    let first = &values["MetricValues"][0];
    assert_eq!(first["MetricId"], "Temperature");
    assert!(number(first) > 0.0, "{first}");
    let at = first["Timestamp"].as_str().unwrap();
    DateTime::parse_from_rfc3339(at).unwrap();
}

#[tokio::test]
async fn a_report_on_request_says_what_the_sensors_say() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let report = admin.get(&format!("{REPORTS}/AllSensors")).await.body;
    let values = report["MetricValues"].as_array().unwrap();
    let snapshot = blade.agent.model().snapshot();
    let sensors: usize =
        snapshot.inventory.chassis.iter().map(|it| it.sensors.len()).sum();
    assert_eq!(values.len(), sensors);
    for value in values {
        let path = value["MetricProperty"].as_str().unwrap();
        let (uri, pointer) = path.split_once('#').unwrap();
        assert_eq!(pointer, "/Reading");
        assert_eq!(admin.get(uri).await.status, 200, "{uri}");
    }
    // Any property can be a metric, in arrays and objects too.
    let body = json!({
        "Id": "power", "MetricReportDefinitionType": "OnRequest",
        "MetricProperties": [
            "/redfish/v1/Systems/{System}#/PowerState",
            "/redfish/v1/Systems/node#/Status/Health",
        ],
        "Wildcards": [{"Name": "System", "Values": ["*"]}],
    });
    define(&admin, &body).await;
    let report = admin.get(&format!("{REPORTS}/power")).await.body;
    let values = report["MetricValues"].as_array().unwrap();
    let values: Vec<_> =
        values.iter().map(|it| it["MetricValue"].as_str().unwrap()).collect();
    assert_eq!(values, ["On", "OK"]);
}

#[tokio::test]
async fn functions_over_an_interval_fit_the_known_load() {
    let blade = ramp().await;
    let admin = blade.admin();
    let metric = |function: &str| {
        json!({"MetricProperties": [LOAD], "CollectionFunction": function,
            "CollectionTimeScope": "Interval", "CollectionDuration": "PT4S"})
    };
    let since = json!({"MetricId": "ProcessorLoad",
        "CollectionFunction": "Minimum",
        "CollectionTimeScope": "StartupInterval"});
    let body = json!({
        "Id": "functions", "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "Metrics": [metric("Average"), metric("Maximum"), metric("Minimum"),
            metric("Summation"), since],
    });
    define(&admin, &body).await;
    // A busy machine reads now and then later than each second.
    let known = |values: &[Value]| {
        if values.len() != 5 || values[0]["MetricValue"].is_null() {
            return false;
        }
        let [average, most, least, sum] =
            [0, 1, 2, 3].map(|index| number(&values[index]));
        let span = most - least;
        (2.0..=4.5).contains(&span) && (sum / average - 1.0 - span).abs() < 1.1
    };
    let early = report(&admin, "functions", |it| it.len() == 5).await;
    assert_eq!(early["MetricValues"][0]["MetricValue"], Value::Null);
    let report = report(&admin, "functions", known).await;
    let [average, most, least, sum, first] =
        [0, 1, 2, 3, 4].map(|index| number(&report["MetricValues"][index]));
    // One reading a second, each one percent more than the one before.
    assert!((average - most.midpoint(least)).abs() < 0.6, "{report}");
    let count = sum / average;
    assert!((count - count.round()).abs() < 1e-6, "{report}");
    assert!(first <= least, "{report}");
}

#[tokio::test]
async fn reports_are_put_one_behind_the_other_until_they_are_full() {
    let blade = ramp().await;
    let admin = blade.admin();
    for (id, updates) in
        [("wraps", "AppendWrapsWhenFull"), ("stops", "AppendStopsWhenFull")]
    {
        let more = json!({"ReportUpdates": updates, "AppendLimit": 3});
        let made = define(&admin, &with(periodic(id), more)).await;
        assert_eq!(made.body["AppendLimit"], 3);
    }
    let new = json!({"ReportUpdates": "NewReport",
        "Schedule": {"RecurrenceInterval": "PT1S", "MaxOccurrences": 2}});
    define(&admin, &with(periodic("new"), new)).await;
    let full = report(&admin, "stops", |it| it.len() == 3).await;
    let first = number(&full["MetricValues"][0]);
    report(&admin, "wraps", |it| it.len() == 3 && number(&it[0]) > first + 1.5)
        .await;
    let same = admin.get(&format!("{REPORTS}/stops")).await.body;
    assert_eq!(same["MetricValues"], full["MetricValues"]);
    for ended in ["stops", "new"] {
        // The last report is seen before it is stored that it was the last.
        let uri = format!("{DEFINITIONS}/{ended}");
        let start = Instant::now();
        let definition = loop {
            let definition = admin.get(&uri).await.body;
            if definition["MetricReportDefinitionEnabled"] == false {
                break definition;
            }
            assert!(start.elapsed() < PATIENCE, "{definition}");
            sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(definition["Status"]["State"], "Disabled");
    }
    let all = admin.get(REPORTS).await.body;
    let members = all["Members"].as_array().unwrap();
    let new = members.iter().filter(|member| {
        let uri = member["@odata.id"].as_str().unwrap();
        uri.rsplit('/').next().unwrap().starts_with("new_")
    });
    assert_eq!(new.count(), 2, "{all}");
    let clear =
        format!("{SERVICE}/Actions/TelemetryService.ClearMetricReports");
    assert_eq!(admin.post(&clear, &json!({})).await.status, 200);
    let same = admin.get(&format!("{REPORTS}/stops")).await.body;
    assert_eq!(same["MetricValues"], json!([]));
    let left = admin.get(REPORTS).await.body.to_string();
    assert!(!left.contains("new_"), "{left}");
}

#[tokio::test]
async fn a_report_on_change_follows_the_values_and_nothing_else() {
    let blade = ramp().await;
    let admin = blade.admin();
    let on_change = json!({
        "Id": "moves", "MetricReportDefinitionType": "OnChange",
        "MetricProperties": [LOAD],
        "ReportUpdates": "AppendWrapsWhenFull", "AppendLimit": 50,
    });
    define(&admin, &on_change).await;
    let still = with(
        on_change,
        json!({"Id": "still",
        "MetricProperties": ["/redfish/v1/Systems/node#/PowerState"]}),
    );
    define(&admin, &still).await;
    let moved = report(&admin, "moves", |it| it.len() >= 3).await;
    let values = moved["MetricValues"].as_array().unwrap();
    assert!(values.windows(2).all(|it| number(&it[0]) < number(&it[1])));
    let still = report(&admin, "still", |it| !it.is_empty()).await;
    assert_eq!(still["MetricValues"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn repeated_values_are_left_out_until_the_heartbeat() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = json!({
        "Id": "quiet", "MetricReportDefinitionType": "Periodic",
        "Schedule": {"RecurrenceInterval": "PT1S"},
        "MetricProperties": ["/redfish/v1/Systems/node#/PowerState"],
        "SuppressRepeatedMetricValue": true,
        "MetricReportHeartbeatInterval": "PT4S",
    });
    define(&admin, &body).await;
    report(&admin, "quiet", |it| it.len() == 1).await;
    report(&admin, "quiet", <[Value]>::is_empty).await;
    report(&admin, "quiet", |it| it.len() == 1).await;
}

#[tokio::test]
async fn definitions_survive_a_restart_and_can_be_changed_and_deleted() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let made = define(&admin, &periodic("mine")).await;
    let uri = made.header("location").to_owned();
    assert_eq!(uri, format!("{DEFINITIONS}/mine"));
    let again = admin.post(DEFINITIONS, &periodic("mine")).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.messages(), ["ResourceAlreadyExists"]);
    let change = json!({"Schedule": {"RecurrenceInterval": "PT2S"},
        "MetricReportDefinitionEnabled": false});
    let changed = admin.patch(&uri, &change).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let gone = format!("{DEFINITIONS}/Fans");
    assert_eq!(admin.delete(&gone).await.status, 204);
    assert_eq!(admin.get(&format!("{REPORTS}/Fans")).await.status, 404);

    let blade = blade.restarted().await;
    let admin = blade.admin();
    let kept = admin.get(&uri).await.body;
    assert_eq!(kept["Schedule"]["RecurrenceInterval"], "PT2S");
    assert_eq!(kept["MetricReportDefinitionEnabled"], false);
    assert_eq!(admin.get(&gone).await.status, 404);
    let reset = "TelemetryService.ResetMetricReportDefinitionsToDefaults";
    let reset = format!("{SERVICE}/Actions/{reset}");
    assert_eq!(admin.post(&reset, &json!({})).await.status, 200);
    assert_eq!(admin.get(&uri).await.status, 404);
    assert_eq!(admin.get(&gone).await.status, 200);
}

#[tokio::test]
async fn telemetry_that_is_switched_off_collects_nothing() {
    let blade = ramp().await;
    let admin = blade.admin();
    let more = json!({"ReportUpdates": "AppendWrapsWhenFull"});
    define(&admin, &with(periodic("counts"), more)).await;
    report(&admin, "counts", |it| !it.is_empty()).await;
    let off = json!({"ServiceEnabled": false});
    assert_eq!(admin.patch(SERVICE, &off).await.status, 200);
    let uri = format!("{REPORTS}/counts");
    let before = admin.get(&uri).await.body;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(admin.get(&uri).await.body, before);
    let state = admin.get(SERVICE).await.body["Status"]["State"].clone();
    assert_eq!(state, "Disabled");
}
