//! A node of a rack that runs an agent of its own is shut down by that, which
//! takes its time and may go wrong.

use std::{fs, time::Duration};

use http::StatusCode;
use onprem_bmc::{agent::Agent, config::Config as AgentConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    live::{BLADE, config, joined},
    support::Fleet,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A rack whose node `b1` has an agent of its own.
struct Rack {
    fleet: Fleet,
    agent: Agent,
    node: Agent,
    _folders: [TempDir; 2],
}

impl Rack {
    /// `more` is what its board file says of the node's agent besides.
    async fn start(more: &str) -> Self {
        let fleet = Fleet::start().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [own, of_rack] = &folders;
        let boards = concat!(env!("CARGO_MANIFEST_DIR"), "/../bmc/boards");
        let any = "127.0.0.1:0".parse().unwrap();
        let node = Agent::start(AgentConfig {
            state_dir: own.path().to_owned(),
            listen: any,
            metrics_listen: any,
            board: Some(format!("{boards}/sim-blade.toml").into()),
            ..AgentConfig::default()
        });
        let node = node.await.unwrap();
        let agent = format!(
            "{{ url = \"https://{}\", user = \"admin\", password_file = \"{}\", \
             certificate_file = \"{}\", settle_seconds = 0{more} }}",
            node.redfish_address(),
            node.initial_password_file().display(),
            own.path().join("tls/cert.pem").display(),
        );
        let text =
            fs::read_to_string(format!("{boards}/sim-bitscope-er24.toml"));
        let (text, from) = (text.unwrap(), "{ address = 0x05, id = \"b1\"");
        assert!(text.contains(from), "{text}");
        let text = text.replacen(from, &format!("{from}, agent = {agent}"), 1);
        let board = of_rack.path().join("board.toml");
        fs::write(&board, text).unwrap();
        let config = AgentConfig {
            board: Some(board),
            ..config(&fleet, of_rack, "sim-bitscope-er24").await
        };
        let rack = joined(&fleet, config).await;
        Self { fleet, agent: rack, node, _folders: folders }
    }

    /// Waits until `b1` can be asked to shut down.
    async fn is_graceful(&self) {
        let mut last = Value::Null;
        let looking = async {
            loop {
                let nodes = self.fleet.get(&format!("{BLADE}/nodes")).await;
                let all = nodes["items"].as_array().unwrap();
                let b1 = all.iter().find(|node| node["id"] == "b1");
                last = b1.cloned().unwrap_or_default();
                let ways = last["resetTypes"].as_array();
                if ways
                    .is_some_and(|it| it.contains(&json!("GracefulShutdown")))
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let found = timeout(PATIENCE, looking).await;
        assert!(found.is_ok(), "{last:#}");
    }

    /// The id of the task that resets `b1`.
    async fn reset(&self, kind: &str) -> String {
        let body = json!({"resetType": kind, "nodes": ["b1"]});
        let path = format!("{BLADE}/reset");
        let task = self.fleet.post(&path, body, StatusCode::ACCEPTED).await;
        task["id"].as_str().unwrap().to_owned()
    }

    /// The task once it has ended.
    async fn ended(&self, task: &str) -> Value {
        let none =
            |fleet: &Fleet| fleet.server.fleet().overview().tasks_running == 0;
        self.fleet.until(none).await;
        self.fleet.get(&format!("/v1/tasks/{task}")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_go_down_or_start_anew_is_a_task_that_fails() {
    let it = Rack::start(", shutdown_seconds = 1").await;
    for (kind, said) in [
        ("GracefulShutdown", "still answers after 1 s"),
        ("GracefulRestart", "the node's own agent"),
    ] {
        it.is_graceful().await;
        let task = it.reset(kind).await;
        let ended = it.ended(&task).await;
        assert_eq!(ended["state"], "failed", "{kind}: {ended:#}");
        // In the words of the device, long before the fleet's patience ends.
        let why = ended["result"].as_str().unwrap();
        assert!(why.contains(said), "{kind}: {why}");
        assert_eq!(ended["steps"][1]["state"], "completed", "{ended:#}");
        assert_eq!(ended["steps"][2]["message"], why, "{ended:#}");
    }
    it.agent.stop().await;
    it.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_shut_down_when_its_agent_has_gone() {
    let it = Rack::start("").await;
    it.is_graceful().await;
    let task = it.reset("GracefulShutdown").await;
    let mut changes = it.node.model().changes();
    let going = async {
        loop {
            let snapshot = it.node.model().snapshot();
            if format!("{:?}", snapshot.power_state("node")) != "On" {
                return;
            }
            let _ = changes.recv().await;
        }
    };
    timeout(PATIENCE, going).await.expect("it was asked");
    let open = it.fleet.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!(open["state"], "running", "{open:#}");
    let Rack { fleet, agent, node, _folders } = it;
    node.stop().await;
    let none =
        |fleet: &Fleet| fleet.server.fleet().overview().tasks_running == 0;
    fleet.until(none).await;
    let ended = fleet.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(ended["result"], "it is off");
    agent.stop().await;
}
