//! Parts on GPIO lines: contacts, buttons, relays and LEDs, and what they are
//! interlocked with.

use std::{sync::Arc, time::Duration};

use onprem_bmc::{
    bus::gpio::{GpioLines as _, LineName, Polarity},
    sim::gpio::SimulatedGpio,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::client::{Blade, Client, Reply, refused, until};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";
const NODE: &str = "/redfish/v1/Systems/node";

fn board() -> String {
    include_str!("../../boards/sim-parts.toml").to_owned()
}

fn lines(of: &Blade) -> SimulatedGpio {
    of.agent.buses().gpio("gpio").unwrap().clone()
}

fn control(id: &str) -> String {
    format!("{CHASSIS}/Controls/{id}")
}

fn sensor(id: &str) -> String {
    format!("{CHASSIS}/Sensors/{id}")
}

fn reads(value: f64) -> impl Fn(&Value) -> bool {
    move |it| it["Reading"].as_f64() == Some(value)
}

/// Waits until the line has this voltage.
async fn high(lines: &SimulatedGpio, name: &str, wanted: bool) {
    let looking = async {
        while lines.is_high(name) != wanted {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), looking).await.expect(name);
}

async fn put(client: &Client, id: &str, percent: i32) -> Reply {
    client.patch(&control(id), &json!({"SetPoint": percent})).await
}

#[tokio::test]
async fn a_relay_is_switched_and_says_what_it_is() {
    let blade = Blade::with_board(|_| board()).await;
    let (admin, lines) = (blade.admin(), lines(&blade));
    until(&admin, &sensor("drain"), reads(0.0)).await;
    assert!(lines.is_high("GPIO17"), "low means on, and it is off");
    let it = admin.get(&control("drain")).await.body;
    assert_eq!(it["SetPoint"].as_f64(), Some(0.0), "{it:#}");
    assert_eq!(it["AllowableNumericValues"], json!([0.0, 100.0]));
    assert_eq!(it["Name"], "Drain Valve");
    let set = put(&admin, "drain", 100).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["SetPoint"].as_f64(), Some(100.0));
    assert!(!lines.is_high("GPIO17"));
    until(&admin, &sensor("drain"), reads(100.0)).await;
    for (body, message, about) in [
        (json!({"SetPoint": 50}), "PropertyValueNotInList", "SetPoint"),
        (json!({"SetPoint": null}), "PropertyValueTypeError", "SetPoint"),
        (json!({"SetPoint": "on"}), "PropertyValueTypeError", "SetPoint"),
        (
            json!({"ControlMode": "Automatic"}),
            "PropertyValueNotInList",
            "ControlMode",
        ),
    ] {
        let reply = admin.patch(&control("drain"), &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        assert!(reply.body.to_string().contains(message), "{}", reply.body);
        assert!(reply.body.to_string().contains(about), "{}", reply.body);
    }
    assert!(!lines.is_high("GPIO17"), "it is as it was");
    let all = admin.get(&format!("{CHASSIS}/Controls")).await.body;
    assert_eq!(all["Members@odata.count"], 4);
    // A stranger and a reader switch nothing.
    let reply = put(&blade.stranger(), "drain", 0).await;
    assert_eq!(reply.status, 401);
    // At the agent's end, this one is off and the others hold.
    assert!(blade.agent.stop().await);
    assert!(lines.is_high("GPIO17"));
}

#[tokio::test]
async fn outputs_that_exclude_each_other_are_never_on_together() {
    let board = board().replace(", least_off_seconds = 10", "");
    let blade = Blade::with_board(|_| board).await;
    let admin = blade.admin();
    until(&admin, &sensor("pump"), reads(0.0)).await;
    assert_eq!(put(&admin, "pump", 100).await.status, 200);
    // It is said of one of them only, and holds for both.
    let reply = put(&admin, "drain", 100).await;
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert_eq!(reply.messages(), ["PropertyValueResourceConflict"]);
    assert!(reply.body.to_string().contains("/Controls/pump"));
    assert!(lines(&blade).is_high("GPIO17"), "the valve is closed");
    assert_eq!(put(&admin, "pump", 0).await.status, 200);
    assert_eq!(put(&admin, "drain", 100).await.status, 200);
    assert_eq!(put(&admin, "pump", 100).await.status, 409);
}

#[tokio::test]
async fn the_least_times_of_an_output_outlive_the_agent() {
    let board =
        board().replace("least_off_seconds = 10", "least_off_seconds = 600");
    let blade = Blade::with_board(|_| board).await;
    let admin = blade.admin();
    until(&admin, &sensor("pump"), reads(0.0)).await;
    // It may be switched on at once: nobody knows how long it was off.
    assert_eq!(put(&admin, "pump", 100).await.status, 200);
    assert_eq!(put(&admin, "pump", 0).await.status, 200);
    let soon = put(&admin, "pump", 100).await;
    assert_eq!(soon.status, 503, "{}", soon.body);
    let blade = blade.again(false, || {}).await;
    let admin = blade.admin();
    until(&admin, &sensor("pump"), reads(0.0)).await;
    let reply = put(&admin, "pump", 100).await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((300..=600).contains(&wait), "{wait}");
    // One that was not switched is not held back.
    assert_eq!(put(&admin, "drain", 100).await.status, 200);
}

#[tokio::test]
async fn what_loses_what_it_needs_is_switched_off_and_stays_off() {
    let blade = Blade::with_board(|_| board()).await;
    let (admin, lines) = (blade.admin(), lines(&blade));
    until(&admin, &sensor("flow"), reads(0.0)).await;
    let reply = put(&admin, "heater", 100).await;
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert!(reply.body.to_string().contains("/Sensors/flow"));
    lines.pull("GPIO6", true);
    until(&admin, &sensor("flow"), reads(100.0)).await;
    assert_eq!(put(&admin, "heater", 100).await.status, 200);
    assert!(lines.is_high("GPIO19"));
    let reply = put(&admin, "heater", 0).await;
    assert_eq!(reply.status, 503, "it has to stay on: {}", reply.body);
    assert!(!reply.header("retry-after").is_empty());
    // The flow ends: nobody waits for the least time.
    lines.pull("GPIO6", false);
    high(&lines, "GPIO19", false).await;
    let off = |it: &Value| it["SetPoint"].as_f64() == Some(0.0);
    let it = until(&admin, &control("heater"), off).await;
    assert_eq!(it["Status"]["Health"], "Warning", "{it:#}");
    lines.pull("GPIO6", true);
    until(&admin, &sensor("flow"), reads(100.0)).await;
    sleep(Duration::from_millis(300)).await;
    assert!(!lines.is_high("GPIO19"), "it stays off");
}

#[tokio::test]
async fn a_switch_that_is_kept_is_on_again_after_a_restart() {
    let state = Arc::new(TempDir::new().unwrap());
    let file = state.path().join("board.toml");
    let board = board().replace(", least_off_seconds = 10", "");
    std::fs::write(&file, board).unwrap();
    let start = || Blade::in_state(Arc::clone(&state), file.clone());
    let blade = start().await;
    let admin = blade.admin();
    until(&admin, &sensor("pump"), reads(0.0)).await;
    assert_eq!(put(&admin, "pump", 100).await.status, 200);
    assert_eq!(put(&admin, "pump", 0).await.status, 200);
    assert!(blade.agent.stop().await);
    let blade = start().await;
    let admin = blade.admin();
    until(&admin, &sensor("pump"), reads(0.0)).await;
    assert_eq!(put(&admin, "pump", 100).await.status, 200);
    assert!(blade.agent.stop().await);
    let blade = start().await;
    high(&lines(&blade), "GPIO16", true).await;
    until(&blade.admin(), &sensor("pump"), reads(100.0)).await;
    assert!(blade.agent.stop().await);
    // What somebody broke is put aside, and all are off.
    std::fs::write(state.path().join("switches.json"), "{").unwrap();
    let blade = start().await;
    until(&blade.admin(), &sensor("pump"), reads(0.0)).await;
}

#[tokio::test]
async fn a_door_that_opens_is_an_intrusion_an_event_and_in_the_log() {
    let blade = Blade::with_board(|_| board()).await;
    let (admin, lines) = (blade.admin(), lines(&blade));
    until(&admin, &sensor("door"), reads(0.0)).await;
    let security = |word: &'static str| {
        move |it: &Value| it["PhysicalSecurity"]["IntrusionSensor"] == word
    };
    until(&admin, CHASSIS, security("Normal")).await;
    lines.pull("GPIO5", true);
    let it = until(&admin, CHASSIS, security("HardwareIntrusion")).await;
    assert_eq!(it["PhysicalSecurity"]["IntrusionSensorReArm"], "Automatic");
    let it = admin.get(&sensor("door")).await.body;
    assert_eq!(it["Status"]["Health"], "Warning");
    lines.pull("GPIO5", false);
    until(&admin, CHASSIS, security("Normal")).await;
    // Bouncing is no change.
    for high in [true, false, true, false] {
        lines.pull("GPIO5", high);
    }
    sleep(Duration::from_millis(400)).await;
    let entries = format!("{NODE}/LogServices/SEL/Entries");
    let log = admin.get(&format!("{entries}?$expand=.")).await.body;
    let log = log["Members"].as_array().cloned().unwrap_or_default();
    let states: Vec<&str> = log
        .iter()
        .filter(|it| it["Links"].to_string().contains("/Sensors/door"))
        .filter(|it| it["Message"].to_string().contains("The state of"))
        .filter_map(|it| it["MessageArgs"][1].as_str())
        .collect();
    assert_eq!(states.len(), 2, "{log:#?}");
    assert!(states.contains(&"Active") && states.contains(&"Inactive"));
}

#[tokio::test]
async fn a_button_is_pressed_and_an_led_shows_where_the_chassis_is() {
    let blade = Blade::with_board(|_| board()).await;
    let (admin, lines) = (blade.admin(), lines(&blade));
    let body = json!({"LocationIndicatorActive": true});
    assert_eq!(admin.patch(CHASSIS, &body).await.status, 200);
    high(&lines, "GPIO22", true).await;
    let body = json!({"LocationIndicatorActive": false});
    admin.patch(CHASSIS, &body).await;
    high(&lines, "GPIO22", false).await;
    assert_eq!(put(&admin, "locator", 100).await.status, 404);
    // The button is active when it is low, as it is when the agent comes: what
    // was so before is no press.
    until(&admin, &sensor("power-button"), reads(100.0)).await;
    lines.pull("GPIO13", true);
    until(&admin, &sensor("power-button"), reads(0.0)).await;
    assert_eq!(admin.get(NODE).await.body["PowerState"], "On");
    lines.pull("GPIO13", false);
    let down = |it: &Value| it["PowerState"] != "On";
    until(&admin, NODE, down).await;
}

#[tokio::test]
async fn a_line_that_somebody_else_has_is_critical_and_taken_when_it_is_free() {
    let blade = Blade::with_board(|_| board()).await;
    let admin = blade.admin();
    let lines = blade.agent.buses().gpio("gpio").unwrap().clone();
    lines.unplug("GPIO6");
    let lost = |it: &Value| it["Status"]["State"] == "UnavailableOffline";
    let it = until(&admin, &sensor("flow"), lost).await;
    assert_eq!(it["Status"]["Health"], "Critical");
    let why = it["Status"]["Conditions"].to_string();
    assert!(why.contains("line GPIO6 is on no chip"), "{it:#}");
    let reply = put(&admin, "heater", 100).await;
    assert_eq!(reply.status, 409, "who knows whether anything flows");
    lines.plug("GPIO6");
    until(&admin, &sensor("flow"), |it| it["Status"]["Health"] == "OK").await;

    let taken = SimulatedGpio::new(["GPIO1"]);
    let line = LineName::Named("GPIO1".into());
    let held = taken.input(&line, Polarity::ActiveHigh).unwrap();
    let error = taken.output(&line, Polarity::ActiveHigh, true).unwrap_err();
    assert!(error.to_string().contains("is taken by somebody else"));
    drop(held);
    taken.output(&line, Polarity::ActiveHigh, true).unwrap();
}

#[tokio::test]
async fn a_fan_follows_its_sensor_stalls_and_is_at_full_speed_at_the_end() {
    let blade = Blade::with_board(|_| board()).await;
    let admin = blade.admin();
    let fan = blade.agent.buses().fan("fan").unwrap().clone();
    let control = control("fan");
    let body = json!({"ControlMode": "Manual", "SetPoint": 50});
    let enabled = |it: &Value| it["Status"]["State"] == "Enabled";
    for id in ["CPU_Temperature", "psu-temp", "adc_Coolant"] {
        until(&admin, &sensor(id), enabled).await;
    }
    let set = admin.patch(&control, &body).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let turns = until(&admin, &sensor("fan_Speed"), reads(2400.0)).await;
    assert_eq!(turns["ReadingUnits"], "{rev}/min");
    let it = format!("{CHASSIS}/ThermalSubsystem/Fans/fan");
    let it = admin.get(&it).await.body;
    assert_eq!(it["SpeedPercent"]["SpeedRPM"].as_f64(), Some(2400.0));
    assert_eq!(it["SpeedPercent"]["Reading"].as_f64(), Some(50.0));
    fan.stick(true);
    let stalled = |it: &Value| it["Status"]["Health"] == "Critical";
    let it = until(&admin, &sensor("fan_Speed"), stalled).await;
    let why = it["Status"]["Conditions"].to_string();
    assert!(why.contains("though it is driven by 50 percent"), "{it:#}");
    fan.stick(false);
    until(&admin, &sensor("fan_Speed"), reads(2400.0)).await;
    fan.unplug(true);
    let it = until(&admin, &sensor("fan_Duty"), stalled).await;
    assert!(it["Status"]["Conditions"].to_string().contains("no PWM chip"));
    fan.unplug(false);
    until(&admin, &sensor("fan_Duty"), enabled).await;
    assert!(blade.agent.stop().await);
    assert!(fan.percent() > 99.0, "{}", fan.percent());
}

#[tokio::test]
async fn what_a_line_cannot_be_told_is_told_with_the_value() {
    for (from, to, said) in [
        ("debounce_ms = 50", "debounce_ms = 50000", "is 50000, not 0 to 5000"),
        (
            "[\"drain\"]",
            "[\"drains\"]",
            "`never_with`: no output `drains` (did you mean `drain`?)",
        ),
        (
            "needs = [\"flow\"]",
            "needs = [\"flows\"]",
            "`needs`: no sensor `flows` (did you mean `flow`?)",
        ),
        (
            "shows = \"locator\"",
            "shows = \"locator\", initial = \"on\"",
            "no `initial`",
        ),
        (
            "initial = \"last\"",
            "initial = \"maybe\"",
            "unknown variant `maybe`",
        ),
        ("line = \"GPIO19\", ", "", "missing field `line`"),
        (
            "press = \"power_button\"",
            "press = \"hard\"",
            "unknown variant `hard`",
        ),
        (
            "least_on_seconds = 60",
            "least_on_seconds = 90000",
            "is 90000, not 0 to",
        ),
        ("bus = \"gpio\"", "bus = \"i2c-1\"", "no bus of GPIO lines `i2c-1`"),
    ] {
        let board = board();
        assert!(board.contains(from), "{from}");
        let error = refused(&board.replacen(from, to, 1)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
