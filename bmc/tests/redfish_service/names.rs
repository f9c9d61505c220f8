//! What a board file names that is somewhere else on the board.

use std::{fs, path::Path, sync::Arc};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Blade, refused, until};

fn board(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    fs::read_to_string(folder.join(name)).unwrap()
}

const FAULT: &str = "\n[[fault]]\npart = \"NAME\"\nkind = \"KIND\"\n\
                     after_seconds = 0\n";

fn fault(part: &str, kind: &str) -> String {
    FAULT.replace("NAME", part).replace("KIND", kind)
}

#[tokio::test]
async fn what_names_nothing_is_refused_with_what_was_meant() {
    for (file, from, to, said) in [
        (
            "sim-hats.toml",
            "follows = \"CPU_Temperature\"",
            "follows = \"CPU_Temprature\"",
            "part `argon`: `follows`: no sensor `CPU_Temprature` (did you mean \
             `CPU_Temperature`?); there are CPU_Temperature, ",
        ),
        (
            "sim-hats.toml",
            "lines = \"gpio\"",
            "lines = \"gpoi\"",
            "part `argon`: `lines`: no bus of GPIO lines `gpoi`; there is gpio",
        ),
        (
            "sim-parts.toml",
            "follows = \"CPU_Temperature\"",
            "follows = \"exhaust\"",
            "part `fan`: `follows`: no sensor `exhaust`; there are ",
        ),
        (
            "sim-parts.toml",
            "power = \"input_Power\"",
            "power = \"input_Pwr\"",
            "`power`: no sensor `input_Pwr` (did you mean `input_Power`?)",
        ),
        (
            "sim-parts.toml",
            "line = \"GPIO22\"",
            "line = \"GPIO23\"",
            "no GPIO line `GPIO23` (did you mean `GPIO13`?); there are GPIO13, ",
        ),
        (
            "sim-parts.toml",
            "tachometer = \"GPIO24\"",
            "tachometer = \"GPIO4\"",
            "part `fan`: no GPIO line `GPIO4` (did you mean ",
        ),
        (
            "sim-bitscope-er24.toml",
            "stagger_seconds",
            "console = \"g1\"\nstagger_seconds",
            "part `rack`: `console`: no node `g1`; there are a0, a1, ",
        ),
        (
            "sim-bitscope-er24.toml",
            "kind = \"bitscope\"\nbus = \"control\"",
            "kind = \"bitscope\"\nbus = \"controll\"",
            "no serial line `controll` (did you mean `control`?)",
        ),
        (
            "sim-blade.toml",
            "cools = \"node\"",
            "cools = \"nod\"",
            "`cools`: no system `nod` (did you mean `node`?); there is node",
        ),
        (
            "sim-blade.toml",
            "interface = \"eth0\"",
            "interface = \"eth1\"",
            "`interface`: no interface `eth1` (did you mean `eth0`?)",
        ),
    ] {
        let text = board(file);
        assert!(text.contains(from), "{file}: {from}");
        let error = refused(&text.replacen(from, to, 1)).await;
        assert!(error.contains(said), "{said}: {error}");
        assert!(error.contains("board.toml, line "), "{error}");
    }
    for (text, said) in [
        (fault("CPU_Temp", "fail"), "`part`: no part `CPU_Temp`; there are "),
        (
            fault("firmwares", "fail"),
            "no part `firmwares` (did you mean `firmware`?)",
        ),
        (
            fault("firmware", "fail"),
            "`firmware` cannot be told to misbehave: that can a part on a",
        ),
        (
            fault("CPU_Temperature", "hang"),
            "`CPU_Temperature`: only a fan can `stick`, only a system `hang`",
        ),
    ] {
        let part = "\n[[part]]\nid = \"firmware\"\nkind = \"raspberry-pi\"\n\
                    options = { simulated = true }\n";
        let error = refused(&(board("sim-blade.toml") + part + &text)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}

const WIRE: &str = "\n[[bus]]\nid = \"wire\"\ni2c = \"/dev/i2c-9\"\n\
    simulated = true\n[[part]]\nid = \"exhaust\"\nkind = \"tmp117\"\n\
    bus = \"wire\"\n";

#[tokio::test]
async fn a_part_sits_in_what_another_part_brings() {
    let rack = board("sim-bitscope-er24.toml");
    let error = refused(&format!("{rack}{WIRE}")).await;
    let said = "part `exhaust`: say its `chassis`; there are rack, ";
    assert!(error.contains(said), "{error}");
    let state = Arc::new(TempDir::new().unwrap());
    let file = state.path().join("board.toml");
    fs::write(&file, format!("{rack}{WIRE}chassis = \"rack\"\n")).unwrap();
    let change = |config: &mut onprem_bmc::config::Config| {
        config.board = Some(file);
    };
    let blade = Blade::with_config(state, change).await;
    let sensor = "/redfish/v1/Chassis/rack/Sensors/exhaust";
    let reads = |it: &Value| it["Reading"].as_f64() == Some(25.0);
    until(&blade.admin(), sensor, reads).await;
}

#[tokio::test]
async fn a_part_on_a_bus_is_told_to_misbehave_by_its_id() {
    let fault = fault("exhaust", "unplug");
    let blade = Blade::with_board(|board| board + WIRE + &fault).await;
    let sensor = "/redfish/v1/Chassis/blade/Sensors/exhaust";
    let lost = |it: &Value| it["Status"]["State"] == "UnavailableOffline";
    until(&blade.admin(), sensor, lost).await;
    let fault = blade.agent.simulation().unwrap().part("Intake_Temperature");
    fault.unplug();
    let sensor = "/redfish/v1/Chassis/blade/Sensors/Intake_Temperature";
    until(&blade.admin(), sensor, lost).await;
}

#[tokio::test]
async fn a_sensor_that_the_machine_does_not_have_yet_is_a_condition() {
    let state = Arc::new(TempDir::new().unwrap());
    let root = state.path().join("machine");
    let chip = root.join("sys/class/hwmon/hwmon0");
    fs::create_dir_all(&chip).unwrap();
    let file = state.path().join("board.toml");
    let board = "host = true\n[[bus]]\nid = \"wire\"\ni2c = \"/dev/i2c-9\"\n\
        simulated = true\n[[part]]\nid = \"case\"\nkind = \"argon\"\n\
        bus = \"wire\"\noptions = { firmware = \"registers\", \
        follows = \"cpu_die_Temperature\", button = \"none\" }\n";
    fs::write(&file, board).unwrap();
    let change = |config: &mut onprem_bmc::config::Config| {
        config.board = Some(file);
        config.root = root.clone();
    };
    let blade = Blade::with_config(Arc::clone(&state), change).await;
    let admin = blade.admin();
    let at = "/redfish/v1/Chassis/host";
    let it = until(&admin, at, |it| it["Status"]["Health"] == "Warning").await;
    let why = it["Status"]["Conditions"].to_string();
    let said = "part `case`: `follows`: no sensor `cpu_die_Temperature`";
    assert!(why.contains(said), "{it:#}");
    let control = admin.get(&format!("{at}/Controls/case")).await.body;
    assert_eq!(control["AssociatedSensors"], Value::Null, "{control:#}");
    fs::write(chip.join("name"), "cpu_die\n").unwrap();
    fs::write(chip.join("temp1_input"), "41000\n").unwrap();
    until(&admin, at, |it| it["Status"]["Health"] == "OK").await;
    let control = admin.get(&format!("{at}/Controls/case")).await.body;
    let watched = &control["AssociatedSensors"][0]["@odata.id"];
    assert_eq!(*watched, format!("{at}/Sensors/cpu_die_Temperature"));
}
