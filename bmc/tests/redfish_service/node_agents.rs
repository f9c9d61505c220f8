//! Nodes of a rack that run an agent of their own, through which they are shut
//! down.

use std::{fs, time::Duration};

use onprem_bmc::sim::bitscope::Rack;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    client::{Blade, Client, PASSWORD, Reply, refused},
    tasks::end,
};

const B1: &str = "/redfish/v1/Systems/b1";
const RESET: &str = "/redfish/v1/Systems/b1/Actions/ComputerSystem.Reset";
const PATIENCE: Duration = Duration::from_secs(20);

/// What a board file says of the own agent of the node `b1`.
fn agent(port: u16, password: &str, pin: &str, more: &str) -> String {
    format!(
        "{{ url = \"https://127.0.0.1:{port}\", user = \"rack\", \
         password_file = \"{password}\", {pin}{more} }}"
    )
}

/// The board of a simulated rack, on whose node `b1` there is `agent`.
fn board(agent: &str) -> String {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-bitscope-er24.toml");
    let text = fs::read_to_string(file).unwrap();
    let from = "{ address = 0x05, id = \"b1\"";
    assert!(text.contains(from), "{text}");
    text.replacen(from, &format!("{from}, agent = {agent}"), 1)
}

/// The SHA-256 of the certificate that the agent shows.
fn fingerprint(node: &Blade) -> String {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    let file = node.state.path().join("tls/cert.pem");
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    format!("{:x}", Sha256::digest(&certificate))
}

/// A node's own agent with an account for the rack, and where its password is.
async fn node() -> (Blade, String) {
    let node = Blade::simulated().await;
    node.account("rack", "Operator").await;
    let file = node.state.path().join("of-rack");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let file = file.display().to_string();
    (node, file)
}

/// A rack whose node `b1` is `node`, which is left alone for no time.
async fn rack(node: &Blade, password: &str, more: &str) -> (Blade, Rack) {
    let pin = format!("fingerprint = \"{}\"", fingerprint(node));
    let port = node.agent.redfish_address().port();
    let agent = agent(port, password, &pin, more);
    let rack = Blade::with_board(|_| board(&agent)).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    (rack, bus)
}

/// `b1`, once it `fits`.
async fn until(client: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let looking = async {
        loop {
            last = client.get(B1).await.body;
            if fits(&last) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let found = timeout(PATIENCE, looking).await;
    assert!(found.is_ok(), "{last:#}");
    last
}

fn ways(system: &Value) -> Vec<&str> {
    let action = &system["Actions"]["#ComputerSystem.Reset"];
    let ways = &action["ResetType@Redfish.AllowableValues"];
    let ways = ways.as_array().unwrap().iter();
    ways.map(|it| it.as_str().unwrap()).collect()
}

fn is_graceful(system: &Value) -> bool {
    ways(system).contains(&"GracefulShutdown")
}

fn is_of_no_use(system: &Value) -> bool {
    system["Oem"]["OnPrem"]["NodeAgent"]["Reachable"] == false
}

async fn reset(client: &Client, kind: &str) -> Reply {
    client.post(RESET, &json!({ "ResetType": kind })).await
}

/// The monitor of the task that a reply is about, and the task.
fn begun(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 202, "{}", reply.body);
    let task = reply.body["@odata.id"].as_str().unwrap().to_owned();
    (reply.header("location").to_owned(), task)
}

/// Waits until the machine of the agent `node` is on its way down.
async fn goes(node: &Blade) {
    let mut changes = node.agent.model().changes();
    let going = async {
        loop {
            let snapshot = node.agent.model().snapshot();
            if format!("{:?}", snapshot.power_state("node")) != "On" {
                return;
            }
            let _ = changes.recv().await;
        }
    };
    timeout(PATIENCE, going).await.expect("it was asked");
}

#[tokio::test]
async fn a_node_is_shut_down_by_its_own_agent_and_then_cut() {
    let (node, password) = node().await;
    let (rack, bus) = rack(&node, &password, ", settle_seconds = 0").await;
    let admin = rack.admin();
    let system = until(&admin, is_graceful).await;
    assert!(ways(&system).contains(&"GracefulRestart"), "{system:#}");
    assert!(!ways(&system).contains(&"PushPowerButton"), "{system:#}");
    assert_eq!(system["Oem"]["OnPrem"]["NodeAgent"]["Reachable"], true);
    // One that has none is only switched.
    let other = admin.get("/redfish/v1/Systems/b2").await.body;
    assert!(!is_graceful(&other), "{other:#}");
    let info = admin.get(&format!("{B1}/ResetActionInfo")).await.body;
    assert!(info.to_string().contains("GracefulShutdown"), "{info}");
    let (monitor, _) = begun(&reset(&admin, "GracefulShutdown").await);
    let second = reset(&admin, "GracefulShutdown").await;
    let (twice, _) = begun(&second);
    assert_eq!(end(&admin, &twice).await.status, 503);
    goes(&node).await;
    assert!(bus.is_on(5), "it is cut last");
    assert!(node.agent.stop().await);
    let done = end(&admin, &monitor).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(!bus.is_on(5));
    let system = until(&admin, |it| it["PowerState"] == "Off").await;
    assert!(!is_graceful(&system), "{system:#}");
    assert!(is_of_no_use(&system), "{system:#}");
    let log: Vec<_> = bus.log().iter().map(|it| (it.address, it.on)).collect();
    assert_eq!(log, [(5, false)]);
}

#[tokio::test]
async fn a_node_that_does_not_go_down_is_not_cut() {
    let (node, password) = node().await;
    let more = ", shutdown_seconds = 1, settle_seconds = 0";
    let (rack, bus) = rack(&node, &password, more).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, task) = begun(&reset(&admin, "GracefulShutdown").await);
    let ended = end(&admin, &monitor).await;
    assert_eq!(ended.status, 409, "{}", ended.body);
    let said = ended.body.to_string();
    assert!(said.contains("still answers after 1 s"), "{said}");
    assert!(said.contains("ForceOff"), "{said}");
    assert_eq!(admin.get(&task).await.body["TaskState"], "Exception");
    assert!(bus.is_on(5));
    // A restart of which nothing is seen is none.
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulRestart").await);
    let ended = end(&admin, &monitor).await;
    assert_eq!(ended.status, 409, "{}", ended.body);
    assert_eq!(bus.log(), []);
    // Who wants it cut says so.
    assert_eq!(reset(&admin, "ForceOff").await.status, 200);
    until(&admin, |it| it["PowerState"] == "Off").await;
}

#[tokio::test]
async fn an_agent_that_comes_back_was_only_started_anew() {
    let (node, password) = node().await;
    let more = ", shutdown_seconds = 4, settle_seconds = 3600";
    let (rack, bus) = rack(&node, &password, more).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, task) = begun(&reset(&admin, "GracefulShutdown").await);
    goes(&node).await;
    let state = node.state.clone();
    let address = node.agent.redfish_address();
    assert!(node.agent.stop().await);
    let since = Instant::now();
    let again = Blade::with_config(state, |config| {
        config.board = None;
        config.listen = address;
    });
    let again = again.await;
    let ended = end(&admin, &monitor).await;
    assert!(since.elapsed() < PATIENCE);
    assert_eq!(ended.status, 409, "{}", ended.body);
    assert!(bus.is_on(5), "{}", admin.get(&task).await.body);
    drop(again);
}

#[tokio::test]
async fn who_gives_up_keeps_the_power_on() {
    let (node, password) = node().await;
    let (rack, bus) = rack(&node, &password, ", settle_seconds = 0").await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (_, task) = begun(&reset(&admin, "GracefulShutdown").await);
    goes(&node).await;
    assert_eq!(admin.delete(&task).await.status, 204);
    assert!(node.agent.stop().await);
    until(&admin, is_of_no_use).await;
    assert!(bus.is_on(5));
    assert_eq!(bus.log(), []);
}

#[tokio::test]
async fn a_shutdown_outlives_the_agent_of_the_rack() {
    let (node, password) = node().await;
    let (rack, bus) = rack(&node, &password, ", settle_seconds = 0").await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (_, task) = begun(&reset(&admin, "GracefulShutdown").await);
    goes(&node).await;
    let file = rack.state.path().join("graceful.json");
    let heard = async {
        while !fs::read_to_string(&file).unwrap().contains("\"heard\": true") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, heard).await.expect("it is kept");
    drop(bus);
    let rack = rack.again(false, || {}).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    assert!(node.agent.stop().await);
    let admin = rack.admin();
    let ended = async {
        loop {
            let task = admin.get(&task).await.body;
            if task["TaskState"] != "Running" {
                return task;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let ended = timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(ended["TaskState"], "Completed", "{ended:#}");
    assert!(!bus.is_on(5));
}

#[tokio::test]
async fn one_that_is_not_who_it_should_be_is_not_asked() {
    let (node, password) = node().await;
    let port = node.agent.redfish_address().port();
    let pin = format!("fingerprint = \"{}\"", fingerprint(&node));
    let other = format!("fingerprint = \"{}\"", "ab".repeat(32));
    let wrong = node.state.path().join("wrong");
    fs::write(&wrong, "swordfish\n").unwrap();
    let wrong = wrong.display().to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = closed.local_addr().unwrap().port();
    for (port, password, pin, said) in [
        (port, &password, &other, "not the one that the board file names"),
        (port, &wrong, &pin, "refuses the password of `rack`"),
        // It takes the connection, and says nothing.
        (silent, &password, &pin, "no answer in 5 s"),
    ] {
        let agent = agent(port, password, pin, "");
        let rack = Blade::with_board(|_| board(&agent)).await;
        let admin = rack.admin();
        let system = until(&admin, is_of_no_use).await;
        let why = system["Oem"]["OnPrem"]["NodeAgent"]["Reason"].to_string();
        assert!(why.contains(said), "{said}: {why}");
        assert!(!why.contains("swordfish"), "{why}");
        assert!(!is_graceful(&system), "{system:#}");
        let refused = reset(&admin, "GracefulShutdown").await;
        assert_eq!(refused.status, 400, "{}", refused.body);
    }
    // One that may not do it says so itself.
    let pin = format!(
        "certificate_file = \"{}\"",
        node.state.path().join("tls/cert.pem").display()
    );
    let reader = json!({"RoleId": "ReadOnly"});
    let account = "/redfish/v1/AccountService/Accounts/rack";
    assert_eq!(node.admin().patch(account, &reader).await.status, 200);
    let agent = agent(port, &password, &pin, "");
    let rack = Blade::with_board(|_| board(&agent)).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulShutdown").await);
    let ended = end(&admin, &monitor).await;
    assert_eq!(ended.status, 409, "{}", ended.body);
    let said = ended.body.to_string();
    assert!(said.contains("it answers 403 Forbidden to POST"), "{said}");
}

#[tokio::test]
async fn a_board_file_whose_agent_cannot_be_is_refused() {
    let pin = format!("fingerprint = \"{}\"", "ab".repeat(32));
    for (agent, said) in [
        (agent(1, "/nowhere", &pin, ""), "`agent` of `b1`: `password_file`"),
        (agent(1, "/nowhere", "system = \"x\"", ""), "`password_file`"),
        (agent(1, "/dev/null", &pin, ", speed = 1"), "unknown field `speed`"),
    ] {
        let error = refused(&board(&agent)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
