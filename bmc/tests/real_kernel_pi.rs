//! The agent on a Raspberry Pi 3B, as `conformance/hil/pi` emulates one; the
//! tests are ignored elsewhere.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

#[path = "real_kernel/shipped.rs"]
mod shipped;
mod support;

use std::fs;

use serde_json::Value;

use self::support::served::Served;

#[tokio::test]
#[ignore = "needs a Raspberry Pi"]
async fn the_agent_says_which_pi_it_runs_on_and_how_warm_that_is() {
    let model = fs::read_to_string("/proc/device-tree/model").unwrap();
    let model = model.trim_end_matches('\0');
    assert!(model.starts_with("Raspberry Pi 3 Model B"), "{model}");
    let folder = tempfile::tempdir().unwrap();
    let agent = Served::start(folder.path(), &[]);
    let system = agent.get("/Systems/host").await;
    assert_eq!(system["Manufacturer"], "Raspberry Pi");
    let said = system["Model"].as_str().unwrap();
    let expected = model.replace("Raspberry Pi ", "").replace(" Model ", "");
    assert_eq!(said, expected);
    let processor = agent.get("/Systems/host/Processors/cpu0").await;
    assert_eq!(processor["InstructionSet"], "ARM-A64");
    assert_eq!(processor["Model"], "Cortex-A53");
    let reads = |it: &Value| it["Reading"].as_f64().is_some();
    agent.until("/Chassis/host/Sensors/CPU_Temperature", reads).await;
    assert_eq!(agent.terminate(), Some(0));
}

#[tokio::test]
#[ignore = "needs a Raspberry Pi"]
async fn what_only_its_firmware_knows_is_missed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    fs::write(&board, include_str!("../boards/raspberry-pi.toml")).unwrap();
    let agent = Served::start(folder.path(), &["--board".as_ref(), &*board]);
    let sensor = "/Chassis/host/Sensors/firmware_ARM_Clock";
    // Debian's kernel has no way to the firmware.
    let failed = |it: &Value| it["Status"]["Health"] == "Critical";
    let clock = agent.until(sensor, failed).await;
    let why = clock["Status"]["Conditions"].to_string();
    assert!(why.contains("this kernel has no driver for it"), "{why}");
    assert_eq!(agent.terminate(), Some(0));
}
