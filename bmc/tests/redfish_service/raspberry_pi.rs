//! What the firmware of a Raspberry Pi knows: lack of power, heat, clocks,
//! rails.

use std::{fs, io::ErrorKind, sync::Arc};

use onprem_bmc::{boards::buses::SimulatedBuses, sim::rpi::Firmware};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{Blade, refused, until},
    support::tree::unpack,
};

const SYSTEM: &str = "/redfish/v1/Systems/node";
const PROCESSOR: &str = "/redfish/v1/Systems/node/Processors/cpu0";
const SENSORS: &str = "/redfish/v1/Chassis/blade/Sensors";

const PART: &str = r#"
[[part]]
id = "firmware"
kind = "raspberry-pi"
options = { simulated = true, poe_hat = true }
"#;

async fn pi() -> Blade {
    Blade::with_board(|board| board + PART).await
}

fn firmware(buses: &SimulatedBuses) -> Firmware {
    buses.pi("firmware").unwrap().clone()
}

fn reads(value: f64) -> impl Fn(&Value) -> bool {
    move |it| it["Reading"].as_f64().is_some_and(|it| (it - value).abs() < 1e-6)
}

#[tokio::test]
async fn clocks_and_rails_are_sensors() {
    let blade = pi().await;
    let admin = blade.admin();
    let at = |id: &str| format!("{SENSORS}/firmware_{id}");
    until(&admin, &at("ARM_Clock"), reads(1.5e9)).await;
    until(&admin, &at("Core_Voltage"), reads(0.876)).await;
    until(&admin, &at("PoE_Fan_Duty"), reads(25.098)).await;
    let current = until(&admin, &at("PoE_Current"), reads(0.5)).await;
    assert_eq!(current["ReadingUnits"], "A");
    // What not every board has comes when it was seen, and so does the limit.
    let temperature = at("SoC_Temperature");
    let limit = |it: &Value| {
        it["Thresholds"]["UpperCritical"]["Reading"].as_f64() == Some(85.0)
    };
    until(&admin, &temperature, limit).await;
    until(&admin, &at("V3D_Clock"), reads(5e8)).await;
    until(&admin, &at("SDRAM_Core_Voltage"), reads(1.1)).await;
    let fan = "/redfish/v1/Chassis/blade/ThermalSubsystem/Fans";
    let fan = admin.get(&format!("{fan}/firmware_PoE_Fan")).await;
    assert_eq!(fan.body["SpeedPercent"]["Reading"].as_f64(), Some(25.098));
    // A rail that is gone fails, and only it.
    firmware(blade.agent.buses()).state().rails.remove(&2);
    let failed = |it: &Value| it["Reading"].is_null();
    let lost = until(&admin, &at("SDRAM_Core_Voltage"), failed).await;
    let why = lost["Status"]["Conditions"].to_string();
    assert!(why.contains("0x00030003 of 2"), "{why}");
    assert_eq!(lost["Status"]["Health"], "Warning");
}

#[tokio::test]
async fn under_voltage_is_a_condition_an_event_and_then_the_past() {
    let blade = pi().await;
    let admin = blade.admin();
    let processor =
        until(&admin, PROCESSOR, |it| it["Throttled"] == Value::Bool(false))
            .await;
    assert_eq!(processor["ThrottleCauses"], serde_json::json!([]));
    let firmware = firmware(blade.agent.buses());
    firmware.state().throttled = 0x5_0005;
    let system =
        until(&admin, SYSTEM, |it| it["Status"]["Health"] == "Warning").await;
    let conditions = system["Status"]["Conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 2, "{system:#}");
    assert_eq!(conditions[0]["MessageArgs"][0], "UnderVoltage");
    assert_eq!(conditions[0]["Severity"], "Warning");
    let text = conditions[0]["Message"].as_str().unwrap();
    assert!(text.contains("below 4.63 V"), "{text}");
    let processor = admin.get(PROCESSOR).await.body;
    assert_eq!(processor["Throttled"], true);
    assert_eq!(processor["ThrottleCauses"][0], "PowerLimit");
    assert_eq!(processor["Status"]["Health"], "Warning");
    let chassis = admin.get("/redfish/v1/Chassis/blade").await.body;
    assert_eq!(chassis["Status"]["Health"], "Warning");

    firmware.state().throttled = 0x5_0000;
    let system =
        until(&admin, SYSTEM, |it| it["Status"]["Health"] == "OK").await;
    assert_eq!(system["Status"]["Conditions"], Value::Null);
    let past = &system["Oem"]["OnPrem"]["PastConditions"];
    assert_eq!(*past, serde_json::json!(["UnderVoltage", "Throttled"]));
    assert_eq!(admin.get(PROCESSOR).await.body["Throttled"], false);

    // What came and went between two looks is told as well.
    firmware.state().throttled = 0xd_0000;
    let log = format!("{SYSTEM}/LogServices/SEL/Entries");
    let brief = |it: &Value| {
        let all = it["Members"].as_array().unwrap();
        all.iter().any(|entry| {
            let text = entry["Message"].to_string();
            entry["MessageArgs"][0] == "SoftTemperatureLimit"
                || text.contains("for a moment")
        })
    };
    let entries = until(&admin, &log, brief).await;
    let said = entries["Members"].to_string();
    for word in ["below 4.63 V", "are gone", "for a moment"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn firmware_that_does_not_answer_is_critical_and_says_how() {
    let blade = pi().await;
    let admin = blade.admin();
    let uri = format!("{SENSORS}/firmware_ARM_Clock");
    let firmware = firmware(blade.agent.buses());
    firmware.state().throttled = 1;
    until(&admin, SYSTEM, |it| it["Status"]["Health"] == "Warning").await;
    firmware.state().fails = Some(ErrorKind::TimedOut);
    let failed = until(&admin, &uri, |it| it["Reading"].is_null()).await;
    assert_eq!(failed["Status"]["Health"], "Critical");
    let why = failed["Status"]["Conditions"].to_string();
    let expected = "ask the firmware for 0x00030046 through /dev/vcio";
    assert!(why.contains(expected), "{why}");
    firmware.state().fails = None;
    until(&admin, &uri, reads(1.5e9)).await;
}

/// The board that ships, on the machine in `root`.
async fn shipped(root: &TempDir, board: &str) -> Blade {
    let state = Arc::new(TempDir::new().unwrap());
    let file = format!("{}/boards/{board}", env!("CARGO_MANIFEST_DIR"));
    let root = root.path().to_owned();
    Blade::with_config(state, |config| {
        config.board = Some(file.into());
        config.root = root;
    })
    .await
}

#[tokio::test]
async fn the_board_for_a_pi_is_critical_on_what_is_none_and_says_what_it_is() {
    for (machine, board, sensor, said) in [
        (
            "jetson-nano",
            "raspberry-pi.toml",
            "firmware_ARM_Clock",
            "this machine is no Raspberry Pi: NVIDIA Jetson Nano",
        ),
        (
            "pc",
            "raspberry-pi.toml",
            "firmware_ARM_Clock",
            "this machine is no Raspberry Pi: it has no device tree",
        ),
        (
            "pi5",
            "raspberry-pi.toml",
            "firmware_ARM_Clock",
            "this kernel has no driver for it",
        ),
    ] {
        let root = unpack(machine);
        let blade = shipped(&root, board).await;
        let admin = blade.admin();
        let uri = format!("/redfish/v1/Chassis/host/Sensors/{sensor}");
        let failed =
            until(&admin, &uri, |it| it["Status"]["Health"] == "Critical")
                .await;
        let why = failed["Status"]["Conditions"].to_string();
        assert!(why.contains(said), "{machine}: {why}");
        // The machine itself is seen all the same.
        let model = admin.get("/redfish/v1/Systems/host").await.body;
        assert_ne!(model["Model"], Value::Null);
    }
}

#[tokio::test]
async fn the_bootloader_of_a_pi_is_told_with_its_board_file_too() {
    let root = unpack("pi5");
    let folder = root.path().join("proc/device-tree/chosen/bootloader");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("version"), "8ba17717fbcedd4c\0").unwrap();
    let blade = shipped(&root, "raspberry-pi.toml").await;
    let uri = "/redfish/v1/UpdateService/FirmwareInventory/bootloader";
    let bootloader = blade.admin().get(uri).await;
    assert_eq!(bootloader.body["Version"], "8ba17717fbcedd4c");
}

#[tokio::test]
async fn a_fan_that_a_pi_5_counts_wrong_has_not_failed() {
    let root = unpack("pi5");
    let speed = "sys/class/hwmon/hwmon2/fan1_input";
    fs::write(root.path().join(speed), "0\n").unwrap();
    let blade = Blade::of_tree(root.path()).await;
    let fan = "/redfish/v1/Chassis/host/ThermalSubsystem/Fans/Fan";
    let stands = |it: &Value| it["SpeedPercent"]["SpeedRPM"] == 0.0;
    let fan = until(&blade.admin(), fan, stands).await;
    assert_eq!(fan["Status"]["Health"], "OK");
}

#[tokio::test]
async fn a_pi_is_on_no_bus() {
    let blade = include_str!("../../boards/sim-blade.toml");
    let part = PART.replace("kind", "address = 3\nkind");
    let error = refused(&format!("{blade}{part}")).await;
    let said = "part `firmware`: it is on no bus, and has no address";
    assert!(error.contains(said), "{error}");
}
