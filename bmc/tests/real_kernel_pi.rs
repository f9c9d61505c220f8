//! The agent on a Raspberry Pi 3B, as `conformance/hil/pi` emulates one; the
//! tests are ignored elsewhere.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::support::{
    process::{Process, agent},
    rig::{body, client},
};

/// An emulated Pi is slow.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until the resource at `path` says what `fits`.
async fn until(
    process: &Process,
    folder: &Path,
    path: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let password = folder.join("state/initial-password");
    let password = fs::read_to_string(password).unwrap();
    let (client, url) = (client(), format!("{}{path}", process.redfish));
    let looking = async {
        loop {
            let request = client.get(&url);
            let request = request.basic_auth("admin", Some(password.trim()));
            let now = body(request.send().await.unwrap()).await;
            if fits(&now) {
                return now;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect(path)
}

#[tokio::test]
#[ignore = "needs a Raspberry Pi"]
async fn the_agent_says_which_pi_it_runs_on_and_how_warm_that_is() {
    let model = fs::read_to_string("/proc/device-tree/model").unwrap();
    let model = model.trim_end_matches('\0');
    assert!(model.starts_with("Raspberry Pi 3 Model B"), "{model}");
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let at = |path| format!("/redfish/v1{path}");
    let system =
        until(&process, folder.path(), &at("/Systems/host"), |_| true).await;
    assert_eq!(system["Manufacturer"], "Raspberry Pi");
    let said = system["Model"].as_str().unwrap();
    let expected = model.replace("Raspberry Pi ", "").replace(" Model ", "");
    assert_eq!(said, expected);
    let processor = at("/Systems/host/Processors/cpu0");
    let processor = until(&process, folder.path(), &processor, |_| true).await;
    assert_eq!(processor["InstructionSet"], "ARM-A64");
    assert_eq!(processor["Model"], "Cortex-A53");
    let sensor = at("/Chassis/host/Sensors/CPU_Temperature");
    let reads = |it: &Value| it["Reading"].as_f64().is_some();
    until(&process, folder.path(), &sensor, reads).await;
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test]
#[ignore = "needs a Raspberry Pi"]
async fn what_only_its_firmware_knows_is_missed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    fs::write(&board, include_str!("../boards/raspberry-pi.toml")).unwrap();
    let mut command = agent(folder.path());
    command.arg("--board").arg(&board);
    let process = Process::start_as(&mut command, folder.path());
    let sensor = "/redfish/v1/Chassis/host/Sensors/firmware_ARM_Clock";
    // Debian's kernel has no way to the firmware.
    let failed = |it: &Value| it["Status"]["Health"] == "Critical";
    let clock = until(&process, folder.path(), sensor, failed).await;
    let why = clock["Status"]["Conditions"].to_string();
    assert!(why.contains("this kernel has no driver for it"), "{why}");
    assert_eq!(process.terminate(), Some(0));
}
