//! Parts beside the machine, as board files name them.

use std::time::Duration;

use onprem_bmc::{agent::Agent, config::Config};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::client::{self, Blade, Client, refused};

const SENSOR: &str = "/redfish/v1/Chassis/blade/Sensors/exhaust";
const CHASSIS: &str = "/redfish/v1/Chassis/blade";

/// A sensor on a wire, on a simulated bus.
const PART: &str = r#"
[[bus]]
id = "i2c-1"
i2c = "/dev/i2c-1"
simulated = true

[[part]]
id = "exhaust"
kind = "tmp117"
bus = "i2c-1"
address = 0x49
options = { name = "Exhaust Temperature", upper_critical = 60 }
"#;

async fn until(client: &Client, uri: &str, state: &str) {
    client::until(client, uri, |it| it["Status"]["State"] == state).await;
}

#[tokio::test]
async fn a_part_on_a_bus_is_a_sensor_that_fails_and_comes_back() {
    let blade = Blade::with_board(|board| board + PART).await;
    let admin = blade.admin();
    let sensor = admin.get(SENSOR).await.body;
    assert_eq!(sensor["Name"], "Exhaust Temperature");
    assert_eq!(sensor["Reading"].as_f64(), Some(25.0));
    let bus = blade.agent.buses().i2c("i2c-1").unwrap().clone();
    bus.unplug(0x49);
    until(&admin, SENSOR, "UnavailableOffline").await;
    let sensor = admin.get(SENSOR).await.body;
    assert_eq!(sensor["Status"]["Health"], "Critical");
    let condition = &sensor["Status"]["Conditions"][0];
    let reason = condition["MessageArgs"].to_string()
        + &condition["Message"].to_string();
    assert!(reason.contains("0x49 on i2c-1"), "{sensor:#}");
    let chassis = admin.get(CHASSIS).await.body;
    assert_eq!(chassis["Status"]["Health"], "Critical");
    bus.plug(0x49);
    until(&admin, SENSOR, "Enabled").await;
}

#[tokio::test]
async fn a_part_that_is_not_there_is_critical_and_never_simulated() {
    let part = PART.replace("simulated = true\n", "");
    let part = part.replace("/dev/i2c-1", "/dev/i2c-99");
    let file = blade_with(&part);
    let agent = start(&file).await.unwrap();
    assert!(agent.buses().i2c("i2c-1").is_none());
    let mut changes = agent.model().changes();
    let failing = async {
        loop {
            let snapshot = agent.model().snapshot();
            let reading = snapshot.reading("exhaust");
            if let Some(reading) = reading {
                return reading.clone();
            }
            let _ = changes.recv().await;
        }
    };
    let reading = timeout(Duration::from_secs(20), failing).await.unwrap();
    assert_eq!(reading.value, None);
    let reason = format!("{:?}", reading.quality);
    assert!(reason.contains("0x49 on i2c-1"), "{reason}");
}

#[tokio::test]
async fn two_parts_cannot_be_in_one_place() {
    let section = PART.find("[[part]]").unwrap();
    let second = PART[section..].replace("exhaust", "intake");
    let blade = include_str!("../../boards/sim-blade.toml");
    let error = refused(&[blade, PART, &second].concat()).await;
    let said = "part `intake`: another part is at 0x49 of bus `i2c-1`";
    assert!(error.contains(said), "{error}");

    let error = refused("").await;
    assert!(error.contains("line 1: it has no system"), "{error}");
}

#[tokio::test]
async fn a_board_file_that_cannot_be_is_told_by_its_line() {
    for (from, to, line, said) in [
        (
            "\"tmp117\"",
            "\"tmp118\"",
            9,
            "no kind of part `tmp118` (did you mean `tmp117`?); there are ads",
        ),
        (
            "bus = \"i2c-1\"",
            "bus = \"i2c-2\"",
            8,
            "no I²C bus `i2c-2` (did you mean `i2c-1`?)",
        ),
        ("\"exhaust\"", "\"CPU_Clock\"", 8, "a second `CPU_Clock`"),
        ("\"exhaust\"", "\"../x\"", 8, "`../x` is no id"),
        ("bus = \"i2c-1\"\n", "", 8, "say which `bus`"),
        ("0x49", "0x99", 8, "`address` is 0x99: 0x03 to 0x77 exist"),
        ("upper_critical", "upper_crit", 8, "unknown field `upper_crit`"),
        ("i2c = \"/dev/i2c-1\"\n", "", 3, "say one of `i2c`, `serial`"),
        (
            "id = \"exhaust\"",
            "id = \"exhaust\"\nchassis = \"x\"",
            9,
            "no chassis `x`; there is blade",
        ),
    ] {
        let text = PART.replacen(from, to, 1);
        let whole = include_str!("../../boards/sim-blade.toml").to_owned();
        let before = whole.lines().count();
        let error = refused(&(whole + &text)).await;
        let place = format!("line {}", before + line);
        assert!(error.contains(&place), "{place}: {error}");
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn a_recorded_board_is_played_back() {
    let folder = blade_with(PART);
    let recording = folder.path().join("i2c.jsonl");
    let mut config = config(&folder);
    config.record = Some(recording.clone());
    let agent = Agent::start(config.clone()).await.unwrap();
    let bus = agent.buses().i2c("i2c-1").unwrap().clone();
    let mut changes = agent.model().changes();
    let reading = |agent: &Agent| {
        let snapshot = agent.model().snapshot();
        snapshot.reading("exhaust").cloned()
    };
    while reading(&agent).is_none() {
        changes.recv().await.unwrap();
    }
    bus.unplug(0x49);
    while reading(&agent).unwrap().value.is_some() {
        changes.recv().await.unwrap();
    }
    assert!(agent.stop().await);
    // A recording is never written over: the next start makes its own.
    let before = std::fs::read(&recording).unwrap();
    let agent = Agent::start(config.clone()).await.unwrap();
    assert!(agent.stop().await);
    assert_eq!(std::fs::read(&recording).unwrap(), before);
    assert!(folder.path().join("i2c.jsonl.1").exists());
    config.record = Some(folder.path().join("nowhere").join("i2c.jsonl"));
    let error = Agent::start(config).await.map(drop).unwrap_err();
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(error.contains("cannot be recorded"), "{error}");

    let part = PART.replace("simulated = true", "replay = \"i2c.jsonl\"");
    let again = blade_with(&part);
    std::fs::copy(&recording, again.path().join("i2c.jsonl")).unwrap();
    let agent = start(&again).await.unwrap();
    let mut changes = agent.model().changes();
    let mut seen = [false; 2];
    let both = async {
        while seen != [true; 2] {
            match reading(&agent).map(|it| it.number()) {
                Some(Some(value)) => {
                    assert!((value - 25.0).abs() < 1e-9);
                    seen[0] = true;
                }
                Some(None) => seen[1] = true,
                None => {}
            }
            let _ = changes.recv().await;
        }
    };
    timeout(Duration::from_secs(20), both).await.unwrap();
    std::fs::write(again.path().join("i2c.jsonl"), "{}\n").unwrap();
    assert!(agent.stop().await);
    let error = start(&again).await.unwrap_err();
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(error.contains("recording i2c.jsonl: line 1"), "{error}");
}

fn blade_with(part: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let blade = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let text = std::fs::read_to_string(blade).unwrap() + part;
    std::fs::write(folder.path().join("board.toml"), text).unwrap();
    folder
}

async fn start(
    folder: &TempDir,
) -> Result<Agent, onprem_bmc::agent::StartError> {
    Agent::start(config(folder)).await
}

fn config(folder: &TempDir) -> Config {
    let any = "127.0.0.1:0".parse().unwrap();
    Config {
        state_dir: folder.path().join("state"),
        board: Some(folder.path().join("board.toml")),
        listen: any,
        metrics_listen: any,
        ..Config::default()
    }
}
