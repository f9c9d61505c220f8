//! What the agent says when parts misbehave.

mod support;

use std::{fmt::Write as _, time::Duration};

use onprem_bmc::model::{Change, PowerState, Quality};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Instant, timeout};

use self::support::{
    rig::{Rig, board, config},
    tree::unpack,
};

const SENSOR: &str = "/Chassis/blade/Sensors/Intake_Temperature";

#[tokio::test]
async fn an_unplugged_sensor_says_so_and_comes_back() {
    let rig = Rig::start().await;
    let sensor = "Intake_Temperature";
    rig.quality(sensor, |q| *q == Quality::Good).await;
    assert_eq!(rig.get(SENSOR).await["Reading"], 23.5);

    rig.part(sensor).unplug();
    rig.quality(sensor, |q| matches!(q, Quality::Failed(_))).await;
    let shown = rig.get(SENSOR).await;
    assert!(shown["Reading"].is_null(), "{shown}");
    assert_ne!(shown["Status"]["Health"], "OK", "{shown}");
    // Its neighbours on the bus are well.
    let neighbour = rig.get("/Chassis/blade/Sensors/Board_Temperature").await;
    assert_eq!(neighbour["Status"]["Health"], "OK");
    let scrape = rig.agent.exporter().render();
    let bad = "onprem_sensor_good{chassis=\"blade\",\
               sensor=\"Intake_Temperature\"} 0";
    assert!(scrape.contains(bad));

    rig.part(sensor).mend();
    rig.quality(sensor, |q| *q == Quality::Good).await;
    assert_eq!(rig.get(SENSOR).await["Reading"], 23.5);
}

#[tokio::test]
async fn one_failure_is_one_bad_reading() {
    let rig = Rig::start().await;
    rig.quality("CPU_Temperature", |q| *q == Quality::Good).await;
    rig.part("CPU_Temperature").fail_next();
    rig.quality("CPU_Temperature", |q| *q != Quality::Good).await;
    rig.quality("CPU_Temperature", |q| *q == Quality::Good).await;
}

#[tokio::test]
async fn a_hung_bus_goes_stale_and_delays_nobody() {
    let rig = Rig::start().await;
    let sensor = "Intake_Temperature";
    rig.quality(sensor, |q| *q == Quality::Good).await;
    rig.part("Board_Temperature").stall();
    // The whole bus waits for the part that holds it.
    rig.quality(sensor, |q| *q == Quality::Stale).await;
    let before = Instant::now();
    let shown = rig.get(SENSOR).await;
    assert!(before.elapsed() < Duration::from_secs(2));
    assert_ne!(shown["Status"]["Health"], "OK", "{shown}");
    let other = rig.get("/Chassis/blade/Sensors/CPU_Temperature").await;
    assert_eq!(other["Status"]["Health"], "OK", "{other}");
    assert!(other["Reading"].is_number());

    rig.part("Board_Temperature").mend();
    rig.quality(sensor, |q| *q == Quality::Good).await;
    rig.part("Board_Temperature").stall();
    assert!(rig.agent.stop().await, "a stalled part does not keep it");
}

#[tokio::test]
async fn a_fault_in_the_board_file_happens_and_passes() {
    let mut text = board();
    text.push_str("[[fault]]\npart = \"CPU_Clock\"\nkind = \"fail\"\n");
    text.push_str("after_seconds = 1.5\nfor_seconds = 1\n");
    let rig = Rig::with_board(&text).await;
    rig.quality("CPU_Clock", |q| *q == Quality::Good).await;
    rig.quality("CPU_Clock", |q| matches!(q, Quality::Failed(_))).await;
    rig.quality("CPU_Clock", |q| *q == Quality::Good).await;
}

#[tokio::test]
async fn a_reset_is_followed_by_the_power_state() {
    let quick = board()
        .replace("boot_seconds = 4", "boot_seconds = 0.4")
        .replace("shutdown_seconds = 2", "shutdown_seconds = 0.3");
    let rig = Rig::with_board(&quick).await;
    let mut changes = rig.agent.model().changes();
    let action = "/Systems/node/Actions/ComputerSystem.Reset";
    let reset = |kind: &str| rig.post(action, json!({"ResetType": kind}));
    let (status, answer) = reset("GracefulShutdown").await;
    assert!(status.is_success(), "{answer}");
    let system = rig.get("/Systems/node").await;
    assert_eq!(system["PowerState"], "PoweringOff");
    let power = async |changes: &mut tokio::sync::broadcast::Receiver<_>| {
        loop {
            if let Ok(Change::Power(_)) = changes.recv().await {
                let snapshot = rig.agent.model().snapshot();
                let state = snapshot.power_state("node");
                if matches!(state, PowerState::On | PowerState::Off) {
                    return state;
                }
            }
        }
    };
    let within = Duration::from_secs(10);
    let state = timeout(within, power(&mut changes)).await;
    assert_eq!(state, Ok(PowerState::Off));
    assert!(reset("On").await.0.is_success());
    let state = timeout(within, power(&mut changes)).await;
    assert_eq!(state, Ok(PowerState::On));

    rig.part("node").fail_next();
    // The driver of the node and the command ask the same part.
    rig.part("node").fail_next();
    let (status, answer) = reset("Sideways").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn a_host_is_not_switched_off_unless_allowed() {
    let root = unpack("pi4");
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.root = root.path().to_owned();
    let rig = Rig::with(folder, config).await;
    let (status, answer) = rig
        .post(
            "/Systems/host/Actions/ComputerSystem.Reset",
            json!({"ResetType": "ForceOff"}),
        )
        .await;
    assert!(status.is_client_error(), "{status} {answer}");
    assert!(!root.path().join("proc/sysrq-trigger").exists());
    let mut told = String::new();
    write!(told, "{answer}").unwrap();
    assert!(told.contains("allow_host_power"), "{told}");
}
