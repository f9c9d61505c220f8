//! The hardware watchdog that resets the machine when the agent hangs.

use std::{fs, path::Path, sync::Arc, time::Duration};

use onprem_bmc::{
    bus::watchdog::{Kennel as _, ResetCause},
    sim::watchdog::SimulatedWatchdog,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    client::{self, Blade, Client},
    support::{tree::unpack, wait::seen},
};

const MANAGER: &str = "/redfish/v1/Managers/bmc";
const HOST: &str = "/redfish/v1/Systems/host";

async fn watched(root: &Path, dog: &SimulatedWatchdog) -> Blade {
    let state = Arc::new(TempDir::new().unwrap());
    Blade::watched(state, root, dog.clone()).await
}

/// Waits until the manager's watchdog is what `fits`.
async fn until(client: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    client::until(client, MANAGER, fits).await
}

fn state(of: &Value) -> &Value {
    &of["Oem"]["OnPrem"]["Watchdog"]["State"]
}

async fn fed(dog: &SimulatedWatchdog, times: u64) {
    let goal = dog.state().fed + times;
    seen("its food", || dog.state().fed >= goal).await;
}

#[tokio::test]
async fn it_is_shown_fed_and_stopped_at_an_orderly_end() {
    let (root, dog) = (unpack("pi5"), SimulatedWatchdog::default());
    let blade = watched(root.path(), &dog).await;
    let admin = blade.admin();
    let manager = until(&admin, |it| state(it) == "Watching").await;
    let shown = &manager["Oem"]["OnPrem"]["Watchdog"];
    assert_eq!(shown["Device"], "/dev/watchdog0");
    assert_eq!(shown["Identity"], "Simulated Watchdog");
    assert_eq!(shown["TimeoutSeconds"], 2);
    assert!(shown["TimeLeftSeconds"].as_u64().unwrap() <= 2);
    assert_eq!(shown["CanBeStopped"], true);
    assert_eq!(manager["Status"]["Health"], "OK");
    fed(&dog, 3).await;
    assert!(blade.agent.stop().await, "all tasks end");
    let left = dog.state().clone();
    assert!(!left.open && left.since.is_none(), "{left:?}");
}

#[tokio::test]
async fn it_is_fed_only_while_what_the_agent_lives_by_makes_progress() {
    let (root, dog) = (unpack("pi5"), SimulatedWatchdog::default());
    let blade = watched(root.path(), &dog).await;
    let admin = blade.admin();
    fed(&dog, 1).await;
    // A task that was there, and is not heard of any more.
    blade.agent.pulses().hold("readers of parts");
    let manager =
        until(&admin, |it| it["Status"]["Health"] == "Critical").await;
    let why = manager["Status"]["Conditions"][0]["Message"].to_string();
    assert!(why.contains("no progress of the readers of parts"), "{why}");
    let before = dog.state().fed;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(dog.state().fed, before, "it is left alone");
    blade.agent.pulses().release("readers of parts");
    until(&admin, |it| it["Status"]["Health"] == "OK").await;
    fed(&dog, 1).await;
}

#[tokio::test]
async fn one_that_another_process_has_is_critical_until_it_is_free() {
    let (root, dog) = (unpack("pi5"), SimulatedWatchdog::default());
    let other = dog.open().unwrap();
    let blade = watched(root.path(), &dog).await;
    let admin = blade.admin();
    let manager = until(&admin, |it| state(it) == "Unavailable").await;
    assert_eq!(manager["Status"]["Health"], "Critical");
    let why = manager["Status"]["Conditions"][0]["Message"].to_string();
    assert!(why.contains("another process has /dev/watchdog0"), "{why}");
    drop(other);
    until(&admin, |it| state(it) == "Watching").await;
    until(&admin, |it| it["Status"]["Health"] == "OK").await;
}

#[tokio::test]
async fn a_restart_hands_it_over_and_a_reset_by_it_is_told_once() {
    let (root, dog) = (unpack("pi5"), SimulatedWatchdog::default());
    let boot = root.path().join("proc/sys/kernel/random/boot_id");
    fs::create_dir_all(boot.parent().unwrap()).unwrap();
    fs::write(&boot, "4e0ae1b6-6a5f-4b8e-9c1b-0f4e52a0a7f1\n").unwrap();
    dog.state().cause = Some(ResetCause::Watchdog);
    let kept = Arc::new(TempDir::new().unwrap());
    for start in 0..2 {
        let blade =
            Blade::watched(Arc::clone(&kept), root.path(), dog.clone()).await;
        let admin = blade.admin();
        until(&admin, |it| state(it) == "Watching").await;
        let host = admin.get(HOST).await.body;
        assert_eq!(host["LastResetCause"], "WatchdogExpiration");
        let log = format!("{HOST}/LogServices/SEL/Entries");
        let entries = admin.get(&log).await.body;
        let told = entries["Members"].to_string();
        let told = told.matches("The watchdog was not fed").count();
        assert_eq!(told, 1, "start {start}: {entries:#}");
        let reset = format!("{MANAGER}/Actions/Manager.Reset");
        let kind = json!({"ResetType": "GracefulRestart"});
        assert!(admin.post(&reset, &kind).await.status.is_success());
        blade.agent.leaving().await;
        assert!(blade.agent.stop().await, "all tasks end");
        let left = dog.state().clone();
        assert!(!left.open && left.since.is_some(), "it goes on: {left:?}");
    }
}

#[tokio::test]
async fn a_time_that_it_cannot_wait_leaves_it_its_own() {
    let (root, dog) = (unpack("pi5"), SimulatedWatchdog::default());
    dog.state().longest = Duration::from_secs(1);
    dog.state().timeout = Duration::from_secs(1);
    dog.state().stops = false;
    let blade = watched(root.path(), &dog).await;
    let manager = until(&blade.admin(), |it| state(it) == "Watching").await;
    let shown = &manager["Oem"]["OnPrem"]["Watchdog"];
    assert_eq!(shown["TimeoutSeconds"], 1);
    assert_eq!(shown["CanBeStopped"], false);
    assert!(blade.agent.stop().await, "all tasks end");
    assert!(dog.state().since.is_some(), "nobody can stop it");
}
