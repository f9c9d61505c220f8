//! Jetsons: the power model, the module, the release, the fan of the old
//! layout.

use std::{
    fs, io::ErrorKind, os::unix::fs::PermissionsExt as _, path::Path,
    sync::Arc, time::Duration,
};

use onprem_redfish::check;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    client::{self, Blade, Client, refused},
    support::tree::unpack,
};

const HOST: &str = "/redfish/v1/Systems/host";
const NODE: &str = "/redfish/v1/Systems/node";
const BOARD: &str = include_str!("../../boards/sim-jetson.toml");
const SHIPPED: &str = include_str!("../../boards/jetson.toml");

/// Waits until the resource at `uri` says what `fits`, in Redfish's words.
async fn until(
    client: &Client,
    uri: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let rules = |it: &Value| {
        assert_eq!(check(it), []);
        fits(it)
    };
    client::until(client, uri, rules).await
}

fn runs_in(model: &str) -> impl Fn(&Value) -> bool {
    move |it| it["Oem"]["OnPrem"]["PowerModel"] == model
}

fn by_name(model: &str) -> Value {
    json!({"Oem": {"OnPrem": {"PowerModel": model}}})
}

/// An agent with this board file on the machine in `root`.
async fn on(root: &Path, board: &str) -> Blade {
    let state = Arc::new(TempDir::new().unwrap());
    let file = state.path().join("board.toml");
    fs::write(&file, board).unwrap();
    Blade::with_config(state, |config| {
        config.board = Some(file);
        root.clone_into(&mut config.root);
    })
    .await
}

#[tokio::test]
async fn a_power_model_is_chosen_by_the_makers_name_or_a_word_of_redfish() {
    let blade = Blade::with_board(|_| BOARD.to_owned()).await;
    let admin = blade.admin();
    let system = until(&admin, NODE, runs_in("25W")).await;
    assert_eq!(system["PowerMode"], "OEM");
    assert_eq!(system["SubModel"], "Jetson Orin Nano 8 GB");
    let words = ["MaximumPerformance", "PowerSaving"];
    assert_eq!(system["PowerMode@Redfish.AllowableValues"], json!(words));
    let all = &system["Oem"]["OnPrem"]["PowerModel@Redfish.AllowableValues"];
    assert_eq!(*all, json!(["15W", "25W", "MAXN_SUPER", "7W"]));

    let set = json!({"PowerMode": "MaximumPerformance"});
    let set = admin.patch(NODE, &set).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["PowerMode"], "MaximumPerformance");
    assert!(runs_in("MAXN_SUPER")(&set.body), "{}", set.body);
    let set = admin.patch(NODE, &by_name("15W")).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert!(runs_in("15W")(&set.body), "{}", set.body);

    for (body, status, said) in [
        (by_name("70W"), 400, "15W, 25W, MAXN_SUPER, 7W"),
        (json!({"PowerMode": "Static"}), 400, "MaximumPerformance, Pow"),
        (json!({"PowerMode": "Fast"}), 400, "PowerMode"),
        (
            json!({"PowerMode": "PowerSaving", "Oem": by_name("7W")["Oem"]}),
            400,
            "Send one of the two",
        ),
        // What needs a restart is for somebody who is there.
        (json!({"PowerMode": "PowerSaving"}), 500, "nvpmodel -m 3"),
    ] {
        let reply = admin.patch(NODE, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        let text = reply.body.to_string();
        assert!(text.contains(said), "{body}: {text}");
    }
    assert!(runs_in("15W")(&admin.get(NODE).await.body));

    // What is changed at the machine is seen, and so is what goes wrong.
    let far = blade.agent.buses().jetson("jetson").unwrap().clone();
    far.state().number = 2;
    until(&admin, NODE, runs_in("MAXN_SUPER")).await;
    far.state().fails = Some(ErrorKind::PermissionDenied);
    let warned = |it: &Value| it["Status"]["Health"] == "Warning";
    let system = until(&admin, NODE, warned).await;
    assert_eq!(system["PowerMode"], Value::Null);
    let why = system["Status"]["Conditions"].to_string();
    assert!(why.contains("cannot read /etc/nvpmodel.conf"), "{why}");
    let reply = admin.patch(NODE, &by_name("15W")).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    far.state().fails = None;
    until(&admin, NODE, runs_in("MAXN_SUPER")).await;
}

#[tokio::test]
async fn only_an_administrator_chooses_a_power_model() {
    let blade = Blade::with_board(|_| BOARD.to_owned()).await;
    until(&blade.admin(), NODE, runs_in("25W")).await;
    let reader = blade.account("reader", "ReadOnly").await;
    let reply = reader.patch(NODE, &by_name("15W")).await;
    assert_eq!(reply.status, 403, "{}", reply.body);
    assert!(runs_in("25W")(&reader.get(NODE).await.body));
}

#[tokio::test]
async fn the_board_that_ships_shows_each_jetson_and_changes_none() {
    for (machine, model, mode, module, release) in [
        ("jetson-nano", "MAXN", "MaximumPerformance", "Nano 4 GB", "32.7.1"),
        (
            "xavier-nx",
            "MODE_20W_6CORE",
            "MaximumPerformance",
            "Xavier NX 8 GB eMMC",
            "35.4.1",
        ),
        ("orin", "25W", "OEM", "Orin Nano 8 GB", "36.4.3"),
    ] {
        let root = unpack(machine);
        let blade = on(root.path(), SHIPPED).await;
        let admin = blade.admin();
        let system = until(&admin, HOST, runs_in(model)).await;
        assert_eq!(system["PowerMode"], mode, "{machine}");
        assert_eq!(system["SubModel"], format!("Jetson {module}"));
        assert_eq!(system["Status"]["Health"], "OK", "{system:#}");
        let about = system["Oem"]["OnPrem"].as_object().unwrap();
        assert!(!about.contains_key("PowerModel@Redfish.AllowableValues"));
        let uri = "/redfish/v1/UpdateService/FirmwareInventory/jetson-linux";
        let found = admin.get(uri).await.body;
        assert_eq!(found["Version"], release, "{found}");
        let fan = "/redfish/v1/Chassis/host/ThermalSubsystem/Fans/Fan";
        let driven =
            |it: &Value| it["SpeedPercent"]["Reading"].as_f64().is_some();
        until(&admin, fan, driven).await;
        let reply = admin.patch(HOST, &by_name(model)).await;
        assert_eq!(reply.status, 403, "{}", reply.body);
        let text = reply.body.to_string();
        assert!(text.contains("Set `allow_power_model = true`."), "{text}");
    }
}

#[tokio::test]
async fn nvpmodel_is_run_on_the_machine_where_that_is_allowed() {
    let root = unpack("orin");
    let program = root.path().join("usr/sbin/nvpmodel");
    let status = root.path().join("var/lib/nvpmodel/status");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    let script = format!("#!/bin/sh\necho pmode:000$2 > {status:?}\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let board = SHIPPED.replace("model = false", "model = true");
    let blade = on(root.path(), &board).await;
    let admin = blade.admin();
    until(&admin, HOST, runs_in("25W")).await;
    let set = admin.patch(HOST, &by_name("MAXN_SUPER")).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["PowerMode"], "MaximumPerformance");
    assert_eq!(fs::read_to_string(&status).unwrap(), "pmode:0002\n");

    fs::remove_file(&program).unwrap();
    let reply = admin.patch(HOST, &by_name("15W")).await;
    assert_eq!(reply.status, 500, "{}", reply.body);
    let text = reply.body.to_string();
    assert!(text.contains("cannot run /usr/sbin/nvpmodel"), "{text}");

    // Who is to choose and cannot is told.
    fs::remove_file(root.path().join("etc/nvpmodel.conf")).unwrap();
    let warned = |it: &Value| it["Status"]["Health"] == "Warning";
    until(&admin, HOST, warned).await;
}

#[tokio::test]
async fn what_is_no_jetson_is_critical_and_what_lacks_nvpmodel_is_not() {
    let root = unpack("pi4");
    let blade = on(root.path(), SHIPPED).await;
    let wrong = |it: &Value| it["Status"]["Health"] == "Critical";
    let system = until(&blade.admin(), HOST, wrong).await;
    let why = system["Status"]["Conditions"].to_string();
    let said = "this machine is no Jetson: Raspberry Pi 4 Model B Rev 1.4";
    assert!(why.contains(said), "{why}");

    let root = unpack("orin");
    fs::remove_file(root.path().join("etc/nvpmodel.conf")).unwrap();
    // A rail that says nonsense fails alone.
    let rail = root.path().join("sys/class/hwmon/hwmon0/curr2_input");
    fs::write(rail, "-nan\n").unwrap();
    let blade = on(root.path(), SHIPPED).await;
    let admin = blade.admin();
    let rail = "/redfish/v1/Chassis/host/Sensors/VDD_CPU_GPU_CV_Current";
    let failed = |it: &Value| it["Status"]["Health"] == "Warning";
    let rail = until(&admin, rail, failed).await;
    let why = rail["Status"]["Conditions"].to_string();
    assert!(why.contains("`-nan` is no number"), "{why}");
    let system = admin.get(HOST).await.body;
    assert_eq!(system["PowerMode"], Value::Null);
    assert!(!system["Status"].to_string().contains("PowerModel"), "{system}");
}

#[tokio::test]
async fn the_kernel_gets_the_fan_of_jetpack_4_back() {
    let root = unpack("jetson-nano");
    let said = |name: &str| {
        let file = root.path().join("sys/devices/pwm-fan").join(name);
        fs::read_to_string(file).unwrap().trim().to_owned()
    };
    let blade = on(root.path(), SHIPPED).await;
    let admin = blade.admin();
    let uri = "/redfish/v1/Chassis/host/Controls/Fan";
    let set = json!({"ControlMode": "Manual", "SetPoint": 60});
    let reply = admin.patch(uri, &set).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let both = || (said("temp_control"), said("target_pwm"));
    assert_eq!(both(), ("0".into(), "153".into()));
    let reply = admin.patch(uri, &json!({"ControlMode": "Automatic"})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(said("temp_control"), "1");
    assert_eq!(admin.patch(uri, &set).await.status, 200);
    assert!(blade.agent.stop().await);
    assert_eq!(said("temp_control"), "1");
}

#[tokio::test]
async fn nvfancontrol_gets_the_fan_of_jetpack_6_back() {
    let root = unpack("orin");
    let at = |path: &str| root.path().join(path);
    let systemctl = at("usr/bin/systemctl");
    fs::create_dir_all(systemctl.parent().unwrap()).unwrap();
    let said = at("said");
    let script = format!("#!/bin/sh\necho $1 > {said:?}\n");
    fs::write(&systemctl, script).unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&systemctl, mode).unwrap();
    let uri = "/redfish/v1/Chassis/host/Controls/Fan";
    let set = json!({"ControlMode": "Manual", "SetPoint": 60});
    let blade = on(root.path(), SHIPPED).await;
    assert_eq!(blade.admin().patch(uri, &set).await.status, 404);
    assert!(!said.exists());
    drop(blade);

    let board = SHIPPED.replace("allow_fan = false", "allow_fan = true");
    let blade = on(root.path(), &board).await;
    let admin = blade.admin();
    let started = async {
        while !said.exists() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), started).await.unwrap();
    let reply = admin.patch(uri, &set).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let heard = || fs::read_to_string(&said).unwrap();
    assert_eq!(heard(), "stop\n");
    let pwm = fs::read_to_string(at("sys/class/hwmon/hwmon1/pwm1")).unwrap();
    assert_eq!(pwm, "153");
    assert!(blade.agent.stop().await);
    assert_eq!(heard(), "start\n");
}

#[tokio::test]
async fn a_jetson_is_on_no_bus_and_what_it_is_not_is_refused() {
    let part = "bus = \"x\"\nkind = \"jetson\"";
    let error = refused(&BOARD.replace("kind = \"jetson\"", part)).await;
    let said = "part `jetson`: it is on no bus, and has no address";
    assert!(error.contains(said), "{error}");
    let error = refused(&BOARD.replace("allow_power_model", "allow")).await;
    assert!(error.contains("unknown field `allow`"), "{error}");
    let fan = "allow_fan = true, allow_power_model";
    let error = refused(&BOARD.replace("allow_power_model", fan)).await;
    assert!(error.contains("`allow_fan` is for the host"), "{error}");
}
