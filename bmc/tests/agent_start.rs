//! How the agent starts, refuses to start, ends, and what it keeps.

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use self::support::{
    process::{Process, agent, refusal},
    rig::{Rig, board, client, config},
};

#[tokio::test]
async fn serves_redfish_and_metrics_on_ports_it_found_itself() {
    let rig = Rig::start().await;
    let root = rig.get("/").await;
    assert_eq!(root["@odata.id"], "/redfish/v1/");
    let system = rig.get("/Systems/node").await;
    assert_eq!(system["Manufacturer"], "Raspberry Pi");
    assert_eq!(system["Model"], "4B Rev 1.4");
    let metrics = rig.agent.metrics_address().unwrap();
    let scrape = rig.client.get(format!("http://{metrics}/metrics"));
    let scrape = scrape.send().await.unwrap().text().await.unwrap();
    assert!(scrape.contains("onprem_system_power_on{system=\"node\"} 1"));
    assert!(rig.agent.stop().await, "all tasks end");
}

#[tokio::test]
async fn two_blades_from_one_file_are_two_machines() {
    let mut facts = Vec::new();
    for number in ["1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("board.toml");
        fs::write(&file, board()).unwrap();
        let mut config = config(folder.path());
        config.board = Some(file);
        config.name = Some(format!("c001-b8-n0{number}"));
        config.serial_number = Some(format!("1000000{number}"));
        let rig = Rig::with(folder, config).await;
        let system = rig.get("/Systems/node").await;
        let interface = rig.get("/Systems/node/EthernetInterfaces/eth0").await;
        assert_eq!(system["HostName"], format!("c001-b8-n0{number}"));
        facts.extend([
            system["SerialNumber"].clone(),
            system["UUID"].clone(),
            interface["MACAddress"].clone(),
            interface["IPv4Addresses"][0]["Address"].clone(),
        ]);
    }
    let (first, second) = facts.split_at(4);
    for (one, other) in first.iter().zip(second) {
        assert_ne!(one, other);
    }
}

#[tokio::test]
async fn what_was_set_survives_the_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let state = folder.path().join("state");
    let password = fs::read_to_string(state.join("initial-password")).unwrap();
    let url = |p: &Process| format!("{}/redfish/v1/Systems/host", p.redfish);
    let body = json!({"AssetTag": "rack 7", "LocationIndicatorActive": true});
    let answer = client()
        .patch(url(&process))
        .basic_auth("admin", Some(password.trim()))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let certificate = fs::read(state.join("tls/cert.pem")).unwrap();
    process.kill();

    let process = Process::start(folder.path());
    let answer = client()
        .get(url(&process))
        .basic_auth("admin", Some(password.trim()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let system = support::rig::body(answer).await;
    assert_eq!(system["AssetTag"], "rack 7");
    assert_eq!(system["LocationIndicatorActive"], true);
    let again = fs::read(state.join("tls/cert.pem")).unwrap();
    assert_eq!(certificate, again);
    assert_eq!(process.terminate(), Some(0));
    for name in ["initial-password", "settings.json", "accounts.json"] {
        let mode = fs::metadata(state.join(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn starts_anew_in_the_same_process_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let state = folder.path().join("state");
    let password = fs::read_to_string(state.join("initial-password")).unwrap();
    let reset = "/redfish/v1/Managers/bmc/Actions/Manager.Reset";
    let answer = client()
        .post(format!("{}{reset}", process.redfish))
        .basic_auth("admin", Some(password.trim()))
        .header("content-type", "application/json")
        .body(json!({"ResetType": "GracefulRestart"}).to_string())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let address = || {
        let text = fs::read(state.join("addresses.json")).unwrap();
        let addresses: Value = serde_json::from_slice(&text).unwrap();
        addresses["redfish"].as_str().unwrap().to_owned()
    };
    let anew = async {
        while address() == process.redfish {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), anew).await.expect("it starts anew");
    let url = format!("{}/redfish/v1/Managers/bmc", address());
    let answer = client()
        .get(url)
        .basic_auth("admin", Some(password.trim()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn a_second_agent_on_the_same_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    let text = refusal(&mut agent(folder.path()));
    assert!(text.contains("another agent runs with the state"), "{text}");
    first.kill();
}

#[test]
fn a_configuration_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    fs::write(&file, "log = \"info\"\nlisten_on = \"x\"\n").unwrap();
    let text = refusal(agent(folder.path()).arg("--config").arg(&file));
    assert!(text.contains("line 2") && text.contains("listen_on"), "{text}");

    let text = refusal(agent(folder.path()).args(["--fleet-url", "fleet"]));
    assert!(text.contains("`fleet_url` is `fleet`"), "{text}");

    fs::write(&file, "listen = \"nowhere\"\n").unwrap();
    let text = refusal(agent(folder.path()).arg("--config").arg(&file));
    assert!(text.contains("socket address"), "{text}");
}

#[test]
fn a_board_that_cannot_be_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("board.toml");
    for (old, new, expected) in [
        ("idle_watts", "idle_wats", "unknown field `idle_wats`"),
        (
            "of = \"node\"",
            "of = \"nod\"",
            "`of`: no system `nod` (did you mean `node`?); there is node",
        ),
        ("capacity = 9.0", "capacity = 0.0", "more than 0 is expected"),
        ("[\"node\"]", "[\"a\"]", "`systems`: no system `a`; there is node"),
        ("Input_Power\"\nboard", "X\"\nboard", "`power`: no sensor `X`"),
    ] {
        let before = board().split(old).next().unwrap().to_owned();
        let line = before.matches('\n').count() + 1;
        fs::write(&file, board().replacen(old, new, 1)).unwrap();
        let text = refusal(agent(folder.path()).arg("--board").arg(&file));
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(&format!("line {line}")), "{line}: {text}");
    }
    fs::write(
        &file,
        format!(
            "{}{}",
            board(),
            "[[fault]]\npart = \"?\"\n\
        kind = \"stall\"\nafter_seconds = 1\n"
        ),
    )
    .unwrap();
    let text = refusal(agent(folder.path()).arg("--board").arg(&file));
    assert!(text.contains("no part `?`"), "{text}");
}

#[test]
fn the_configuration_in_force_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let output = agent(folder.path()).arg("--print-config").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("listen = \"127.0.0.1:0\""), "{text}");
    let unset = "# The fleet's listener for devices; no fleet without.\n\
                 # fleet_url = \"https://fleet.example:8444\"\n";
    assert!(text.contains(unset), "{text}");
    assert!(output.status.success() && output.stderr.is_empty());
}

#[tokio::test]
async fn a_killed_agent_lets_go_of_a_fan_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("machine");
    let chip = machine.join("sys/class/hwmon/hwmon0");
    let boot = machine.join("proc/sys/kernel/random/boot_id");
    fs::create_dir_all(&chip).unwrap();
    fs::create_dir_all(boot.parent().unwrap()).unwrap();
    fs::write(&boot, "4e0ae1b6-6a5f-4b8e-9c1b-0f4e52a0a7f1\n").unwrap();
    for (name, text) in [
        ("name", "nct6775"),
        ("temp1_input", "41000"),
        ("fan1_input", "900"),
        ("pwm1", "80"),
        ("pwm1_enable", "5"),
    ] {
        fs::write(chip.join(name), text).unwrap();
    }
    let enable = || fs::read_to_string(chip.join("pwm1_enable")).unwrap();
    let start = || {
        let mut command = agent(folder.path());
        command.env("ONPREM_BMC_ROOT", &machine);
        Process::start_as(&mut command, folder.path())
    };
    let state = folder.path().join("state");
    let by_hand = async |process: &Process| {
        let password =
            fs::read_to_string(state.join("initial-password")).unwrap();
        let uri = "/redfish/v1/Chassis/host/Controls/Fan";
        let body = json!({"ControlMode": "Manual", "SetPoint": 60});
        loop {
            let answer = client()
                .patch(format!("{}{uri}", process.redfish))
                .basic_auth("admin", Some(password.trim()))
                .header("content-type", "application/json")
                .body(body.to_string())
                .send()
                .await
                .unwrap();
            // Until the temperature is known, nobody may.
            if answer.status() != StatusCode::CONFLICT {
                return answer.status();
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let process = start();
    assert_eq!(by_hand(&process).await, StatusCode::OK);
    assert_eq!(enable(), "1");
    process.kill();
    assert_eq!(enable(), "1", "nobody is there to let go");

    // The chip has another number by now.
    let chip_now = chip.with_file_name("hwmon3");
    fs::rename(&chip, &chip_now).unwrap();
    let process = start();
    let enable = || fs::read_to_string(chip_now.join("pwm1_enable")).unwrap();
    assert_eq!(enable(), "5");
    assert_eq!(by_hand(&process).await, StatusCode::OK, "still its control");
    process.kill();

    // Somebody else has it in another start of the machine.
    fs::write(&boot, "9d1f7a52-1c4e-4b43-8f0b-5ab7c0a1d2e3\n").unwrap();
    let process = start();
    assert_eq!(enable(), "1");
    process.kill();
    start().kill();
    assert_eq!(enable(), "1", "it is forgotten");
}

#[test]
fn what_a_host_cannot_have_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("board.toml");
    for (text, said) in [
        (
            "host = true\n[[switch]]\nid = \"br0\"\nport = []\n",
            "line 3: switch `br0` beside `host = true`",
        ),
        (
            "host = true\n[[chassis]]\nid = \"rack\"\nname = \"Rack\"\n\
             kind = \"rack\"\nboard = {}\n",
            "line 1: chassis `rack` beside `host = true`",
        ),
        (
            "host = true\n[[fault]]\npart = \"fan\"\nkind = \"stall\"\n\
             after_seconds = 1\n",
            "line 3: a fault of `fan` beside `host = true`",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let refused = refusal(agent(folder.path()).arg("--board").arg(&file));
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_record_of_no_bus_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("board.toml");
    fs::write(&file, "host = true\n").unwrap();
    let mut command = agent(folder.path());
    command.arg("--board").arg(&file);
    command.arg("--record").arg(folder.path().join("record.jsonl"));
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("scrapes") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("no I²C bus, no serial line, no record"), "{said}");
}
