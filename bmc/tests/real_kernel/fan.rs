//! A fan behind a driver of the kernel's, which is bound to the registers of
//! `i2c-stub`.

use std::{fs, path::PathBuf};

use onprem_bmc::bus::{I2cBus, KernelI2c};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    support::rig::{Rig, config},
    variable,
};

/// Where a MAX6650 may be, and what is in it (its data sheet, "Register
/// Description"): by which of the inputs it goes, how the fan is driven, and
/// how often it turned while it was counted.
const ADDRESS: u8 = 0x4b;
const CONFIG: u8 = 0x02;
const CLOSED_LOOP: u8 = 0x20;
const MODE: u8 = 0x30;
const TACH0: u8 = 0x0c;

#[tokio::test]
#[ignore = "needs i2c-stub and max6650"]
async fn a_fan_of_the_hosts_turns_as_it_is_told_and_is_let_go() {
    let device = variable("HIL_I2C");
    let open =
        || I2cBus::new("stub", Box::new(KernelI2c::new(device.as_ref())));
    let chip = open().chip(ADDRESS);
    chip.write_byte(CONFIG, CLOSED_LOOP).unwrap();
    chip.write_byte(TACH0, 80).unwrap();
    let name = device.rsplit('/').next().unwrap();
    let new = format!("/sys/bus/i2c/devices/{name}/new_device");
    fs::write(new, format!("max6650 {ADDRESS:#x}")).unwrap();
    let bus = name.trim_start_matches("i2c-");
    let bound = PathBuf::from(format!(
        "/sys/bus/i2c/devices/{bus}-{ADDRESS:04x}/hwmon"
    ));
    let hwmon = fs::read_dir(bound).unwrap().next().unwrap().unwrap().path();
    let of = |file: &str| {
        let text = fs::read_to_string(hwmon.join(file)).unwrap();
        text.trim().to_owned()
    };
    assert_eq!(of("pwm1_enable"), "2");

    let folder = TempDir::new().unwrap();
    let config = config(folder.path());
    let rig = Rig::with(folder, config).await;
    let fan = "/Chassis/host/ThermalSubsystem/Fans";
    let fans = rig.get(fan).await;
    let fan = fans["Members"][0]["@odata.id"]
        .as_str()
        .unwrap_or_else(|| panic!("{fans:#}"));
    let fan = fan.trim_start_matches("/redfish/v1").to_owned();
    let rpm = |fan: &Value| fan["SpeedPercent"]["SpeedRPM"].as_f64();
    let turns = |fan: &Value| rpm(fan).is_some_and(|it| it > 0.0);
    let fan = rig.until(&fan, turns).await;
    assert_eq!(rpm(&fan), of("fan1_input").parse().ok());

    let controls = rig.get("/Chassis/host/Controls").await;
    let control = controls["Members"][0]["@odata.id"].as_str().unwrap();
    let control = control.trim_start_matches("/redfish/v1").to_owned();
    let manual = json!({"ControlMode": "Manual", "SetPoint": 50});
    assert_eq!(rig.patch(&control, manual).await, StatusCode::OK);
    assert_eq!(of("pwm1_enable"), "1");
    // The kernel writes it to the chip; nobody else may ask the chip now.
    let duty: f64 = of("pwm1").parse().unwrap();
    assert!((duty - 127.5).abs() < 8.0, "{duty}");
    rig.agent.stop().await;
    assert_eq!(of("pwm1_enable"), "2");

    let delete = format!("/sys/bus/i2c/devices/{name}/delete_device");
    fs::write(delete, format!("{ADDRESS:#x}")).unwrap();
    let mode = open().chip(ADDRESS).read_byte(CONFIG).unwrap() & MODE;
    assert_eq!(mode, CLOSED_LOOP);
}
