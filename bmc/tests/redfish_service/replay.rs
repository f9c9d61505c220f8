//! One recorded blade becomes many.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use onprem_bmc::sim::tmp117::Tmp117;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    client::{Blade, Client, refused_with, until},
    support::{process::terminate, wait::PATIENCE},
};

const EXHAUST: &str = "/redfish/v1/Chassis/blade/Sensors/exhaust";
const CHARGE: &str = "/redfish/v1/Chassis/blade/Sensors/ups_Battery_Charge";
/// What no simulated part says by itself.
const CELSIUS: f64 = 61.5;
const BLADES: usize = 50;

fn is_recorded(sensor: &Value) -> bool {
    sensor["Reading"] == CELSIUS
}

/// A recording of a blade with HATs, whose exhaust is warm.
async fn record(folder: &Path) -> (String, String) {
    let state = Arc::new(TempDir::new().unwrap());
    let path = |name: &str| folder.join(name).display().to_string();
    let (board, recording) = (path("board.toml"), path("blade.jsonl"));
    fs::write(&board, include_str!("../../boards/sim-hats.toml")).unwrap();
    let blade = Blade::with_config(state, |config| {
        config.board = Some(board.clone().into());
        config.record = Some(recording.clone().into());
    });
    let blade = blade.await;
    let mut part = Tmp117::default();
    part.celsius = CELSIUS;
    blade.agent.buses().i2c("i2c-1").unwrap().attach(0x48, part);
    until(&blade.admin(), EXHAUST, is_recorded).await;
    assert!(blade.agent.stop().await);
    (board, recording)
}

/// What ends with the test.
struct Blades(Child);

impl Drop for Blades {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn fifty_blades_say_what_one_has_said() {
    let folder = TempDir::new().unwrap();
    let (board, recording) = record(folder.path()).await;
    let state = folder.path().join("blades");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"));
    command
        .args(["simulate", "blades", "--count", &BLADES.to_string()])
        .args(["--board", &board, "--replay", &recording])
        .args(["--name", "c001", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .env("ONPREM_BMC_LOG", "warn")
        .stdout(Stdio::piped());
    let mut blades = Blades(command.spawn().unwrap());
    let stdout = BufReader::new(blades.0.stdout.take().unwrap());
    let lines = tokio::task::spawn_blocking(move || {
        stdout.lines().take(BLADES).map(Result::unwrap).collect::<Vec<_>>()
    });
    let lines = timeout(PATIENCE, lines).await.expect("all say where");
    let lines = lines.unwrap();
    let password = fs::read_to_string(state.join("initial-password")).unwrap();
    let (password, state) = (password.trim(), &state);
    let looks = lines.iter().map(|line| async move {
        let [name, serial, url] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let client = Client::stranger(port, &state.join(name));
        let client = client.basic("admin", password);
        until(&client, EXHAUST, is_recorded).await;
        until(&client, CHARGE, |it| it["Reading"] == 90.0).await;
        let system = client.get("/redfish/v1/Systems/node").await.body;
        assert_eq!(system["HostName"], name);
        assert_eq!(system["SerialNumber"], serial);
        system["UUID"].as_str().unwrap().to_owned()
    });
    let uuids: BTreeSet<String> =
        stream::iter(looks).buffer_unordered(4).collect().await;
    assert_eq!(uuids.len(), BLADES);
    assert_eq!(terminate(&mut blades.0), Some(0));
}

#[tokio::test]
async fn a_blade_that_does_not_start_keeps_no_other_from_it() {
    let folder = TempDir::new().unwrap();
    let board = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let state = folder.path().join("blades");
    let blades = |count: usize, port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"));
        command
            .args(["simulate", "blades", "--count", &count.to_string()])
            .args(["--board", board, "--state-dir"])
            .arg(&state)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Blades(command.spawn().unwrap())
    };
    // Where its state should be, the second finds a file.
    fs::create_dir(&state).unwrap();
    fs::write(state.join("blade-0002"), "").unwrap();
    let mut some = blades(3, 0);
    let stdout = BufReader::new(some.0.stdout.take().unwrap());
    let stderr = BufReader::new(some.0.stderr.take().unwrap());
    let said = tokio::task::spawn_blocking(move || {
        let lines = stdout.lines().take(2).map(Result::unwrap);
        let names = lines.map(|it| it.split('\t').next().unwrap().to_owned());
        let names: Vec<String> = names.collect();
        let mut log = stderr.lines().map(Result::unwrap);
        let why = log.find(|it| it.contains("it does not start")).unwrap();
        let end = log.find(|it| it.contains("only these serve")).unwrap();
        (names, why, end)
    });
    let (names, why, end) = said.await.unwrap();
    assert_eq!(names, ["blade-0001", "blade-0003"]);
    assert!(why.contains("blades/blade-0002"), "{why}");
    assert!(end.contains("blade-0002"), "{end}");
    assert_eq!(terminate(&mut some.0), Some(0));
    // Where nobody starts, nothing is served, and it is no success.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut none = blades(1, taken.local_addr().unwrap().port());
    let mut stderr = none.0.stderr.take().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
        text
    });
    let said = said.await.unwrap();
    assert!(said.contains("none of the 1 blades starts"), "{said}");
    assert_eq!(none.0.wait().unwrap().code(), Some(1));
    drop(taken);
}

#[tokio::test]
async fn a_recording_that_does_not_fit_is_refused() {
    let folder = TempDir::new().unwrap();
    let recording = folder.path().join("other.jsonl");
    let line = "{\"at_us\":1,\"bus\":\"i2c-7\",\"part\":72,\
                \"call\":\"quick\",\"errno\":121}\n";
    fs::write(&recording, line).unwrap();
    let board = include_str!("../../boards/sim-hats.toml");
    let replay = || Some(recording.clone());
    let error = refused_with(board, |config| config.replay = replay()).await;
    assert!(error.contains("of other buses than those of the board: i2c-7"));
    fs::write(&recording, "{}\n").unwrap();
    let error = refused_with(board, |config| config.replay = replay()).await;
    assert!(error.contains("other.jsonl cannot be played back"), "{error}");
    assert!(error.contains("line 1"), "{error}");
}
