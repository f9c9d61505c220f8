//! What drives a fan: its own loop, a person, and heat over both.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::client::{Blade, Client, until};

const CONTROL: &str = "/redfish/v1/Chassis/blade/Controls/Fan";
const DUTY: &str = "/redfish/v1/Chassis/blade/Sensors/Fan_Duty";
const NODE: &str = "/redfish/v1/AutomationNodes/Fan";

fn manual(percent: impl Into<Value>) -> Value {
    json!({"ControlMode": "Manual", "SetPoint": percent.into()})
}

#[tokio::test]
async fn a_fan_does_what_a_person_says_and_then_what_its_loop_says() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(CONTROL).await;
    assert_eq!(before.body["ControlMode"], "Automatic");
    assert!(before.body["SetPoint"].is_null());
    assert!(before.body["Sensor"]["Reading"].is_number());
    let node = admin.get(NODE).await.body;
    assert_eq!(node["NodeState"], "Running");
    assert_eq!(node["Links"]["OutputControl"]["@odata.id"], CONTROL);

    let set = admin.patch(CONTROL, &manual(93.0)).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["SetPoint"].as_f64(), Some(93.0));
    until(&admin, DUTY, |sensor| {
        sensor["Reading"].as_f64().is_some_and(|it| (it - 93.0).abs() < 0.5)
    })
    .await;
    let speed = "/redfish/v1/Chassis/blade/Sensors/Fan_Speed";
    until(&admin, speed, |it| it["Reading"].as_f64() > Some(4000.0)).await;
    assert_eq!(admin.get(NODE).await.body["NodeState"], "Idle");

    let body = json!({"ControlMode": "Automatic"});
    let back = admin.patch(CONTROL, &body).await;
    assert!(back.body["SetPoint"].is_null());
    until(&admin, DUTY, |it| it["Reading"].as_f64() < Some(90.0)).await;

    // What a person says lasts as long as the agent.
    admin.patch(CONTROL, &manual(40)).await;
    let blade = blade.restarted().await;
    let now = blade.admin().get(CONTROL).await.body;
    assert_eq!(now["ControlMode"], "Automatic");
}

#[tokio::test]
async fn what_a_fan_cannot_do_is_named_and_changes_nothing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (body, message) in [
        (manual(101), "PropertyValueOutOfRange"),
        (manual(-1), "PropertyValueOutOfRange"),
        (manual("fast"), "PropertyValueTypeError"),
        (json!({"ControlMode": "Override"}), "PropertyValueNotInList"),
        (json!({"SetPoint": 50}), "PropertyValueConflict"),
        (json!({"SettingMax": 50}), "PropertyNotWritable"),
    ] {
        let refused = admin.patch(CONTROL, &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let now = admin.get(CONTROL).await.body;
    assert_eq!(now["ControlMode"], "Automatic");
    let reader = blade.account("rolf", "ReadOnly").await;
    assert_eq!(reader.patch(CONTROL, &manual(10)).await.status, 403);
    let nodes = "/redfish/v1/AutomationNodes";
    let made = admin.post(nodes, &json!({"Name": "x"})).await;
    assert_eq!(made.status, 405);
}

#[tokio::test]
async fn heat_takes_the_fan_back_from_a_person() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    assert_eq!(admin.patch(CONTROL, &manual(0)).await.status, 200);
    let sensor = blade.agent.simulation().unwrap().part("CPU_Temperature");
    // Nobody knows how warm it is.
    sensor.unplug();
    let automatic = |it: &Value| it["ControlMode"] == "Automatic";
    let now = until(&admin, CONTROL, automatic).await;
    assert_eq!(now["Status"]["Health"], "Warning");
    let refused = admin.patch(CONTROL, &manual(10)).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.messages(), ["PropertyValueResourceConflict"]);
    sensor.mend();
    let warm = "/redfish/v1/Chassis/blade/Sensors/CPU_Temperature";
    until(&admin, warm, |it| it["Status"]["Health"] == "OK").await;
    assert_eq!(admin.patch(CONTROL, &manual(10)).await.status, 200);
}

fn chip(root: &Path) {
    let folder = root.join("sys/class/hwmon/hwmon0");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("name", "nct6775"),
        ("temp1_input", "41000"),
        ("temp1_label", "CPU"),
        ("temp1_crit", "95000"),
        ("fan1_input", "900"),
        ("pwm1", "80"),
        ("pwm1_enable", "5"),
        ("fan2_input", "800"),
        ("pwm2", "255"),
        ("pwm2_enable", "1"),
    ] {
        fs::write(folder.join(name), format!("{text}\n")).unwrap();
    }
}

#[tokio::test]
async fn a_chip_gets_its_fan_back_when_the_agent_ends() {
    let root = Arc::new(TempDir::new().unwrap());
    chip(root.path());
    let said = |name: &str| {
        let folder = root.path().join("sys/class/hwmon/hwmon0");
        fs::read_to_string(folder.join(name)).unwrap().trim().to_owned()
    };
    let host = Blade::of_tree(root.path()).await;
    let admin = host.admin();
    let controls = "/redfish/v1/Chassis/host/Controls";
    let all = admin.get(controls).await.body;
    // The second output is driven by hand already, by whom nobody knows.
    assert_eq!(all["Members@odata.count"], 1, "{all}");
    let uri = all["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
    let set = admin.patch(&uri, &manual(60)).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!((said("pwm1_enable"), said("pwm1")), ("1".into(), "153".into()));

    let crit = root.path().join("sys/class/hwmon/hwmon0/temp1_input");
    fs::write(&crit, "96000\n").unwrap();
    until_said(&admin, &uri, "Override").await;
    assert_eq!((said("pwm1_enable"), said("pwm1")), ("1".into(), "255".into()));
    fs::write(&crit, "50000\n").unwrap();
    until_said(&admin, &uri, "Automatic").await;
    assert_eq!(said("pwm1_enable"), "5");
    let cooled = async {
        while admin.patch(&uri, &manual(20)).await.status == 409 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(30), cooled).await.expect("it cools");
    assert_eq!(said("pwm1_enable"), "1");
    assert!(host.agent.stop().await);
    assert_eq!(said("pwm1_enable"), "5");
}

/// The blade with its processor in air of so many °C.
async fn blade_in(
    celsius: f64,
    change: impl FnOnce(String) -> String,
) -> Blade {
    Blade::minding_heat(|board| {
        let mut board = board;
        for (from, to) in [
            ("ambient = 23.5", format!("ambient = {celsius}")),
            // A little heat sink with a lot of wind.
            ("capacity = 9.0 ", "capacity = 0.3 ".to_owned()),
            ("resistance_still = 9.5", "resistance_still = 25".to_owned()),
            ("resistance_full = 4.2", "resistance_full = 0.5".to_owned()),
        ] {
            assert!(board.contains(from), "{from}");
            board = board.replacen(from, &to, 1);
        }
        change(board)
    })
    .await
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_is_renewed_by_a_patch() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let lease = |seconds: Value| {
        json!({"ControlMode": "Manual", "SetPoint": 93,
            "Oem": {"OnPrem": {"ManualSeconds": seconds}}})
    };
    for wrong in [json!(0), json!(86_401), json!("long"), json!(1.5)] {
        let refused = admin.patch(CONTROL, &lease(wrong.clone())).await;
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.body);
        assert_eq!(refused.messages(), ["PropertyValueOutOfRange"]);
    }
    let automatic = json!({"Oem": {"OnPrem": {"ManualSeconds": 9}}});
    let refused = admin.patch(CONTROL, &automatic).await;
    assert_eq!(refused.messages(), ["PropertyValueConflict"]);

    let until = |body: &Value| {
        let text = body["Oem"]["OnPrem"]["ManualUntil"].as_str();
        text.unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    let set = admin.patch(CONTROL, &manual(93)).await.body;
    let left = until(&set) - chrono::Utc::now();
    assert!((13..16).contains(&left.num_minutes()), "{left}");
    let set = admin.patch(CONTROL, &lease(json!(2))).await.body;
    assert!(until(&set) - chrono::Utc::now() < chrono::TimeDelta::seconds(4));
    // Once more, and longer.
    let set = admin.patch(CONTROL, &lease(json!(4))).await.body;
    let ends = until(&set);
    let now = until_said(&admin, CONTROL, "Automatic").await;
    assert!(chrono::Utc::now() >= ends, "{ends}");
    assert_eq!(now.get("Oem"), None);
    assert_eq!(now["Status"]["Health"], "OK");
}

async fn until_said(client: &Client, uri: &str, mode: &str) -> Value {
    until(client, uri, |it| it["ControlMode"] == mode).await
}

#[tokio::test]
async fn a_critical_temperature_takes_the_fan_from_a_lease_at_once() {
    // What counts for months is longer than the agent has.
    let blade = blade_in(40.0, |board| board).await;
    let admin = blade.admin();
    let body = json!({"ControlMode": "Manual", "SetPoint": 0,
        "Oem": {"OnPrem": {"ManualSeconds": 86_400}}});
    // It is found hot, which has to be over first.
    let set = async {
        while admin.patch(CONTROL, &body).await.status == 409 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), set).await.expect("it cools");
    // Without a fan, and so warm around, the processor becomes too hot.
    let taken = until_said(&admin, CONTROL, "Override").await;
    assert_eq!(taken["SetPoint"].as_f64(), Some(100.0));
    let sensor = &taken["Oem"]["OnPrem"]["TakenFor"]["@odata.id"];
    assert!(sensor.as_str().unwrap().ends_with("CPU_Temperature"), "{taken}");
    assert_eq!(onprem_redfish::check(&taken), []);
    // The system and the chassis say why they are critical.
    for uri in ["/redfish/v1/Systems/node", "/redfish/v1/Chassis/blade"] {
        let said = admin.get(uri).await.body;
        let why = &said["Status"]["Conditions"][0];
        let from = &why["OriginOfCondition"]["@odata.id"];
        assert!(from.as_str().unwrap().contains("/Sensors/"), "{said:#}");
        assert_eq!(onprem_redfish::check(&said), []);
    }
    until(&admin, DUTY, |it| it["Reading"].as_f64() == Some(100.0)).await;
    let refused = admin.patch(CONTROL, &manual(10)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    // Cooled down, it follows its own loop again.
    let back = until_said(&admin, CONTROL, "Automatic").await;
    assert_eq!(back.get("Oem"), None);
}

#[tokio::test]
async fn heat_that_no_fan_helps_against_ends_in_a_shutdown() {
    let blade = blade_in(100.0, |board| {
        let fatal = "upper_critical = 85\nupper_fatal = 90";
        assert!(board.contains("upper_critical = 85"));
        board.replacen("upper_critical = 85", fatal, 1)
    });
    let blade = blade.await;
    let admin = blade.admin();
    let node = "/redfish/v1/Systems/node";
    let off = async {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "Off") {
            let now = admin.get(node).await.body;
            seen.push(now["PowerState"].as_str().unwrap().to_owned());
            seen.dedup();
            sleep(Duration::from_millis(100)).await;
        }
        seen
    };
    let seen = timeout(Duration::from_mins(1), off).await.expect("off");
    assert_eq!(seen, ["On", "PoweringOff", "Off"], "in good order");
    let sensor = "/redfish/v1/Chassis/blade/Sensors/CPU_Temperature";
    let limits = admin.get(sensor).await.body["Thresholds"].clone();
    assert_eq!(limits["UpperFatal"]["Reading"].as_f64(), Some(90.0));
}
