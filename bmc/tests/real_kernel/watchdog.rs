//! The watchdog of a real kernel (`softdog`), fed by an agent. These tests run
//! after all others and one by one: a watchdog that bites takes them along.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use onprem_bmc::config::Config;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    pause,
    support::rig::{Rig, config},
};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A machine that lives so long was not forgotten by its watchdog.
const LONGER: Duration = Duration::from_secs(4);
/// Set in a process that is only there to be killed.
const VICTIM: &str = "HIL_VICTIM";

async fn watched() -> Rig {
    let folder = TempDir::new().unwrap();
    let mut config: Config = config(folder.path());
    config.watchdog.device = Some("/dev/watchdog0".into());
    config.watchdog.timeout_seconds = TIMEOUT.as_secs();
    let rig = Rig::with(folder, config).await;
    let state = |it: &Value| it["Oem"]["OnPrem"]["Watchdog"].clone();
    let watches = |it: &Value| state(it)["State"] == "Watching";
    let watchdog = state(&rig.until("/Managers/bmc", watches).await);
    assert_eq!(watchdog["Identity"], "Software Watchdog");
    assert_eq!(watchdog["TimeoutSeconds"], TIMEOUT.as_secs());
    rig
}

/// What the kernel says of it.
fn state() -> String {
    let file = "/sys/class/watchdog/watchdog0/state";
    fs::read_to_string(file).unwrap().trim().to_owned()
}

#[tokio::test]
#[ignore = "needs softdog"]
async fn a_machine_is_left_alone_while_its_agent_feeds_and_after_it_ended() {
    let rig = watched().await;
    tokio::time::sleep(LONGER).await;
    assert_eq!(state(), "active");
    assert!(rig.agent.stop().await, "all tasks end");
    assert_eq!(state(), "inactive");
    pause(LONGER);
}

/// The machine does not live to see the end of this test, which has to be the
/// last: what was said on its serial line is the verdict.
#[tokio::test]
#[ignore = "resets the machine"]
async fn a_machine_whose_agent_was_killed_is_reset() {
    if env::var_os(VICTIM).is_some() {
        let _rig = watched().await;
        writeln!(std::io::stdout(), "\nthe agent is well").unwrap();
        std::future::pending::<()>().await;
    }
    let name = "watchdog::a_machine_whose_agent_was_killed_is_reset";
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", name])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line == "the agent is well"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(state(), "active");
    writeln!(std::io::stderr(), "\nthe agent is killed").unwrap();
    pause(10 * TIMEOUT);
    panic!("the machine lives");
}
