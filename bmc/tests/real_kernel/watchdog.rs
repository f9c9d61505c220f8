//! The watchdog of a real kernel (`softdog`), fed by an agent.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use onprem_bmc::config::Config;
use tempfile::TempDir;

use crate::{
    pause,
    support::rig::{Rig, config},
};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A machine that lives so long was not forgotten by its watchdog.
const LONGER: Duration = Duration::from_millis(4500);
/// Set in a process that is only there to be killed.
const VICTIM: &str = "HIL_VICTIM";

async fn watched() -> Rig {
    let folder = TempDir::new().unwrap();
    let mut config: Config = config(folder.path());
    config.watchdog.device = Some("/dev/watchdog0".into());
    config.watchdog.timeout_seconds = TIMEOUT.as_secs();
    let rig = Rig::with(folder, config).await;
    loop {
        let manager = rig.get("/Managers/bmc").await;
        let watchdog = &manager["Oem"]["OnPrem"]["Watchdog"];
        if watchdog["State"] == "Watching" {
            assert_eq!(watchdog["Identity"], "Software Watchdog");
            assert_eq!(watchdog["TimeoutSeconds"], TIMEOUT.as_secs());
            return rig;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
#[ignore = "needs softdog"]
async fn a_machine_is_left_alone_while_its_agent_feeds_and_after_it_ended() {
    let rig = watched().await;
    tokio::time::sleep(LONGER).await;
    assert!(rig.agent.stop().await, "all tasks end");
    pause(LONGER);
}

/// The machine does not live to see the end of this test. It needs a run of
/// its own.
#[tokio::test]
#[ignore = "resets the machine"]
async fn a_machine_whose_agent_was_killed_is_reset() {
    if env::var_os(VICTIM).is_some() {
        let _rig = watched().await;
        tokio::time::sleep(LONGER).await;
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
    writeln!(std::io::stderr(), "\nthe agent is killed").unwrap();
    pause(10 * TIMEOUT);
    panic!("the machine lives");
}
