//! A node of a rack that runs an agent of its own is shut down by that, which
//! takes its time and may go wrong.

use std::{fs, path::PathBuf, time::Duration};

use http::{Method, StatusCode};
use onprem_bmc::{agent::Agent, config::Config as AgentConfig};
use onprem_fleet::store::{
    Change, Collection, Embedded, Expect, Store as _, Write,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    live::{BLADE, config, joined},
    support::{Fleet, Way},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A rack whose node `b1` has an agent of its own.
struct Rack {
    fleet: Fleet,
    way: Way,
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
        let way = Way::to(&fleet).await;
        let config = AgentConfig {
            board: Some(board),
            fleet_url: Some(way.url.clone()),
            ..config(&fleet, of_rack, "sim-bitscope-er24").await
        };
        let rack = joined(&fleet, config).await;
        Self { fleet, way, agent: rack, node, _folders: folders }
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

    /// Waits until the node's own agent was asked to shut down.
    async fn goes(&self) {
        let mut changes = self.node.model().changes();
        let going = async {
            loop {
                let snapshot = self.node.model().snapshot();
                if format!("{:?}", snapshot.power_state("node")) != "On" {
                    return;
                }
                let _ = changes.recv().await;
            }
        };
        timeout(PATIENCE, going).await.expect("it was asked");
    }

    /// The task once nothing is left of it but to wait for the device.
    async fn waiting(&self, task: &str) -> Value {
        let waiting = async {
            loop {
                let task = self.fleet.get(&format!("/v1/tasks/{task}")).await;
                if task["steps"][2]["state"] == "running" {
                    return task;
                }
                let open = ["pending", "running"].map(Value::from);
                assert!(open.contains(&task["state"]), "ended: {task:#}");
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the device was asked")
    }

    /// The task once it has ended.
    async fn ended(&self, task: &str) -> Value {
        task_ended(&self.fleet, task).await
    }
}

async fn task_ended(fleet: &Fleet, task: &str) -> Value {
    let none =
        |fleet: &Fleet| fleet.server.fleet().overview().tasks_running == 0;
    fleet.until(none).await;
    fleet.get(&format!("/v1/tasks/{task}")).await
}

fn assert_is_off(task: &Value) {
    assert_eq!(task["state"], "completed", "{task:#}");
    assert_eq!(task["result"], "it is off");
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
    it.goes().await;
    let open = it.fleet.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!(open["state"], "running", "{open:#}");
    let Rack { fleet, agent, node, .. } = it;
    node.stop().await;
    assert_is_off(&task_ended(&fleet, &task).await);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_goes_on_with_a_task_while_the_fleet_starts_anew() {
    let it = Rack::start("").await;
    it.is_graceful().await;
    let task = it.reset("GracefulShutdown").await;
    it.goes().await;
    let path = format!("/v1/tasks/{task}");
    let before = it.waiting(&task).await;
    let Rack { fleet, way, agent, node, _folders } = it;
    let fleet = fleet.restart().await;
    let open = fleet.get(&path).await;
    assert_eq!(open["state"], "running", "{open:#}");
    let since = |task: &Value| task["steps"][2]["startedAt"].clone();
    assert!(since(&open).is_string(), "{open:#}");
    assert_eq!(since(&open), since(&before));
    assert_eq!(open.as_object().unwrap().get("rest"), None, "{open:#}");
    way.leads_to(&fleet);
    node.stop().await;
    assert_is_off(&task_ended(&fleet, &task).await);
    let log = fleet.get("/v1/events?kind=taskChanged").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log:#}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_could_not_do_while_the_fleet_was_away_has_failed() {
    let it = Rack::start(", shutdown_seconds = 5").await;
    it.is_graceful().await;
    let task = it.reset("GracefulShutdown").await;
    it.waiting(&task).await;
    let Rack { fleet, way, agent, node, _folders } = it;
    let fleet = fleet.restart().await;
    let open = fleet.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!(open["state"], "running", "{open:#}");
    way.leads_to(&fleet);
    let ended = task_ended(&fleet, &task).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    let why = ended["result"].as_str().unwrap();
    assert!(why.contains("still answers after 5 s"), "{why}");
    assert_eq!(ended["steps"][2]["message"], why, "{ended:#}");
    // What has ended is left alone.
    let fleet = fleet.restart().await;
    assert_eq!(fleet.get(&format!("/v1/tasks/{task}")).await, ended);
    agent.stop().await;
    node.stop().await;
}

/// Restarts the server; what is kept of the task is changed meanwhile.
async fn restarted(
    fleet: Fleet,
    task: &str,
    change: impl Fn(&mut Value),
) -> Fleet {
    let store = async |path: PathBuf| {
        let store = Embedded::open(&path.join("fleet.redb")).unwrap();
        let kept = store.get(Collection::Tasks, task).await.unwrap().unwrap();
        let mut body = kept.body;
        change(&mut body);
        let write = Write {
            collection: Collection::Tasks,
            id: task.to_owned(),
            expect: Expect::Version(kept.version),
            change: Change::Put { body, unique: Vec::new() },
        };
        store.apply(vec![write]).await.unwrap();
    };
    fleet.restart_after(store).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_asked_when_the_fleet_ended_is_not_asked_any_more() {
    let it = Rack::start("").await;
    it.is_graceful().await;
    let task = it.reset("GracefulShutdown").await;
    it.goes().await;
    it.waiting(&task).await;
    let Rack { fleet, way, agent, node, _folders } = it;
    // As if the server had died with one node asked of four, two of which
    // were to come.
    let fleet = restarted(fleet, &task, |kept| {
        let asked = kept.pointer("/rest/reset/nodes/0/target/id");
        assert_eq!(asked, Some(&json!("b1")), "{kept:#}");
        let sent = &mut kept["rest"]["reset"];
        sent["refused"] = json!(["b2: it said no"]);
        sent["ahead"] = json!(["b3", "b4"]);
        kept["steps"][1]["state"] = "running".into();
        kept["steps"][2]["state"] = "pending".into();
    });
    let fleet = fleet.await;
    way.leads_to(&fleet);
    node.stop().await;
    let ended = task_ended(&fleet, &task).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    let why = ended["result"].as_str().unwrap();
    let said = "it is off; not done: b2: it said no; b3, b4: the fleet server";
    assert!(why.starts_with(said), "{why}");
    assert_eq!(ended["steps"][1]["state"], "completed", "{ended:#}");
    let said = ended["steps"][1]["message"].as_str().unwrap();
    assert!(why.ends_with(said), "{said}");
    assert_eq!(ended["steps"][2]["message"], why, "{ended:#}");
    let nodes = fleet.get(&format!("{BLADE}/nodes")).await;
    let off = |id: &str| {
        let all = nodes["items"].as_array().unwrap();
        all.iter().any(|it| it["id"] == id && it["powerState"] == "Off")
    };
    assert!(off("b1") && !off("b3") && !off("b4"), "{nodes:#}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_a_device_that_is_deleted_ends_with_it() {
    let it = Rack::start("").await;
    it.is_graceful().await;
    let task = it.reset("GracefulShutdown").await;
    it.waiting(&task).await;
    let Rack { fleet, agent, node, .. } = it;
    let gone = fleet.call(Method::DELETE, BLADE, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    let ended = task_ended(&fleet, &task).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert_eq!(ended["result"], "the device was deleted", "{ended:#}");
    assert_eq!(ended["steps"][2]["state"], "failed", "{ended:#}");
    // As if the server had died before the task had heard of it.
    let fleet = restarted(fleet, &task, |kept| {
        kept["state"] = "running".into();
        kept["steps"][2]["state"] = "running".into();
        let path = "/redfish/v1/TaskService/Tasks/1";
        kept["rest"] = json!({"capture": {"task": path}});
    });
    let ended = task_ended(&fleet.await, &task).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert_eq!(ended["result"], "the device was deleted", "{ended:#}");
    agent.stop().await;
    node.stop().await;
}
