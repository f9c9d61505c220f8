//! Nodes of a rack that run an agent of their own, through which they are shut
//! down.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use onprem_bmc::sim::bitscope::Rack;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    client::{self, Blade, Client, PASSWORD, Reply, refused},
    tasks::end,
};

const B1: &str = "/redfish/v1/Systems/b1";
const RESET: &str = "/redfish/v1/Systems/b1/Actions/ComputerSystem.Reset";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A wrong cut comes in this time where nothing is left to itself.
const CUT: Duration = Duration::from_secs(4);

/// What a board file says of the own agent of the node `b1`.
pub(crate) fn agent(
    port: u16,
    password: &str,
    pin: &str,
    more: &str,
) -> String {
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
pub(crate) fn fingerprint(node: &Blade) -> String {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    let file = node.state.path().join("tls/cert.pem");
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    format!("{:x}", Sha256::digest(&certificate))
}

/// A node's own agent with an account for the rack, and where its password is.
pub(crate) async fn node() -> (Blade, String) {
    let node = Blade::simulated().await;
    node.account("rack", "Operator").await;
    let file = node.state.path().join("of-rack");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let file = file.display().to_string();
    (node, file)
}

/// A rack whose node `b1` is `node`.
async fn rack(node: &Blade, password: &str, more: &str) -> (Blade, Rack) {
    let port = node.agent.redfish_address().port();
    rack_at(port, node, password, more).await
}

/// The same where it reaches the node at `port`.
async fn rack_at(
    port: u16,
    node: &Blade,
    password: &str,
    more: &str,
) -> (Blade, Rack) {
    let pin = format!("fingerprint = \"{}\"", fingerprint(node));
    let agent = agent(port, password, &pin, more);
    let rack = Blade::with_board(|_| board(&agent)).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    (rack, bus)
}

/// `b1`, once it `fits`.
async fn until(client: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    client::until(client, B1, fits).await
}

fn ways(system: &Value) -> Vec<&str> {
    let action = &system["Actions"]["#ComputerSystem.Reset"];
    let ways = &action["ResetType@Redfish.AllowableValues"];
    let ways = ways.as_array().unwrap().iter();
    ways.map(|it| it.as_str().unwrap()).collect()
}

pub(crate) fn is_graceful(system: &Value) -> bool {
    ways(system).contains(&"GracefulShutdown")
}

fn is_of_no_use(system: &Value) -> bool {
    system["Oem"]["OnPrem"]["NodeAgent"]["Reachable"] == false
}

async fn reset(client: &Client, kind: &str) -> Reply {
    client.post(RESET, &json!({ "ResetType": kind })).await
}

/// The monitor of the task that a reply is about, and the task.
pub(crate) fn begun(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 202, "{}", reply.body);
    let task = reply.body["@odata.id"].as_str().unwrap().to_owned();
    (reply.header("location").to_owned(), task)
}

/// What is said at the end of a task that could not do what it should.
async fn undone(client: &Client, monitor: &str) -> String {
    let ended = end(client, monitor).await;
    assert_eq!(ended.status, 409, "{}", ended.body);
    ended.body.to_string()
}

/// Waits until the machine of the agent `node` is on its way down.
pub(crate) async fn goes(node: &Blade) {
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

/// How the network between a rack and a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    /// Nothing gets through, and nobody says so.
    Silent,
}

/// The network between a rack and a node.
struct Network {
    port: u16,
    state: watch::Sender<State>,
}

impl Network {
    /// One that breaks what is open, and takes nothing more, once the node has
    /// something to say and `breaks` says so.
    async fn to(
        node: &Blade,
        breaks: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let there = node.agent.redfish_address();
        let (state, lost) = watch::channel(State::Well);
        let breaks = Arc::new(breaks);
        let tasks = TaskTracker::new();
        let each = tasks.clone();
        tasks.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if breaks() {
                    continue;
                }
                let (lost, breaks) = (lost.clone(), Arc::clone(&breaks));
                each.spawn(async move {
                    let far = TcpStream::connect(there).await;
                    let Ok(far) = far else { return };
                    let (from_near, to_near) = near.into_split();
                    let (from_far, to_far) = far.into_split();
                    let never = || false;
                    tokio::select! {
                        () = carry(from_near, to_far, &lost, never) => {}
                        () = carry(from_far, to_near, &lost, &*breaks) => {}
                    }
                });
            }
        });
        Self { port, state }
    }

    fn is_lost(&self) {
        self.state.send_replace(State::Silent);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &watch::Receiver<State>,
    breaks: impl Fn() -> bool,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or_default();
        if *state.borrow() == State::Silent {
            return std::future::pending().await;
        }
        if read == 0 || breaks() || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

/// What the rack keeps of what is under way.
fn kept(rack: &Blade) -> PathBuf {
    rack.state.path().join("graceful.json")
}

/// Waits until it is kept that the node's own agent has heard of it.
async fn heard(rack: &Blade) {
    let file = kept(rack);
    let is_heard = || {
        // There is none before the first order.
        let kept = fs::read_to_string(&file).unwrap_or_default();
        kept.contains("\"heard\": true")
    };
    let heard = async {
        while !is_heard() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, heard).await.expect("it is kept");
}

/// What becomes of the task.
async fn ended(client: &Client, task: &str) -> Value {
    let ended = async {
        loop {
            let task = client.get(task).await.body;
            if task["TaskState"] != "Running" {
                return task;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("it ends")
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
    let said = undone(&admin, &monitor).await;
    assert!(said.contains("still answers after 1 s"), "{said}");
    assert!(said.contains("ForceOff"), "{said}");
    assert_eq!(admin.get(&task).await.body["TaskState"], "Exception");
    assert!(bus.is_on(5));
    // A restart of which nothing is seen is none.
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulRestart").await);
    undone(&admin, &monitor).await;
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
    undone(&admin, &monitor).await;
    assert!(since.elapsed() < PATIENCE);
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
    sleep(CUT).await;
    assert!(bus.is_on(5));
    assert_eq!(bus.log(), []);
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_is_left_on_and_that_is_told() {
    let (node, password) = node().await;
    let network = Network::to(&node, || false).await;
    let more = ", settle_seconds = 0, restart_seconds = 0";
    let (rack, bus) = rack_at(network.port, &node, &password, more).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    network.is_lost();
    let reply = reset(&admin, "GracefulShutdown").await;
    if reply.status == 202 {
        let (monitor, _) = begun(&reply);
        let said = undone(&admin, &monitor).await;
        assert!(said.contains("its power is left on"), "{said}");
    } else {
        // It was seen before somebody asked.
        assert_eq!(reply.status, 400, "{}", reply.body);
    }
    let troubled = |it: &Value| {
        let why = it["Status"]["Conditions"].to_string();
        why.contains("is not shut down before its power is cut")
    };
    let system = until(&admin, troubled).await;
    assert_eq!(system["Status"]["Health"], "Warning", "{system:#}");
    assert_eq!(bus.log(), []);
}

#[tokio::test]
async fn who_may_not_have_heard_is_left_on() {
    let (node, password) = node().await;
    let model = node.agent.model().clone();
    let goes = move || {
        let state = model.snapshot().power_state("node");
        format!("{state:?}") != "On"
    };
    // The answer is lost, and what comes after it.
    let network = Network::to(&node, goes).await;
    let more = ", settle_seconds = 0";
    let (rack, bus) = rack_at(network.port, &node, &password, more).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulShutdown").await);
    let said = undone(&admin, &monitor).await;
    assert!(said.contains("not known to have heard of it"), "{said}");
    assert!(said.contains("its power is left on"), "{said}");
    sleep(CUT).await;
    assert_eq!(bus.log(), []);
}

#[tokio::test]
async fn a_network_that_is_lost_is_no_node_that_went_down() {
    let (node, password) = node().await;
    let network = Network::to(&node, || false).await;
    let more = ", settle_seconds = 0, shutdown_seconds = 5";
    let (rack, bus) = rack_at(network.port, &node, &password, more).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulShutdown").await);
    heard(&rack).await;
    network.is_lost();
    let said = undone(&admin, &monitor).await;
    assert!(said.contains("its power is left on"), "{said}");
    assert_eq!(bus.log(), []);
}

#[tokio::test]
async fn who_is_switched_meanwhile_is_not_cut() {
    tokio::join!(switched_meanwhile(true), switched_meanwhile(false));
}

/// A node that is switched meanwhile, by a command or by somebody who stands
/// before it.
async fn switched_meanwhile(command: bool) {
    let (node, password) = node().await;
    let (rack, bus) = rack(&node, &password, ", settle_seconds = 0").await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (monitor, _) = begun(&reset(&admin, "GracefulShutdown").await);
    goes(&node).await;
    heard(&rack).await;
    if command {
        let restart = reset(&admin, "ForceRestart").await;
        assert_eq!(restart.status, 200, "{}", restart.body);
    } else {
        bus.set(5, false);
    }
    let said = undone(&admin, &monitor).await;
    assert!(said.contains("somebody switched it meanwhile"), "{said}");
    if command {
        until(&admin, |it| it["PowerState"] == "On").await;
    } else {
        bus.set(5, true);
    }
    assert!(node.agent.stop().await);
    sleep(CUT).await;
    let log: Vec<_> = bus.log().iter().map(|it| it.on).collect();
    let restart: &[bool] = if command { &[false, true] } else { &[] };
    assert_eq!(log, restart);
    assert!(bus.is_on(5));
}

#[tokio::test]
async fn a_node_that_may_start_just_now_is_not_cut() {
    tokio::join!(starting(true), starting(false));
}

/// A node that goes while nobody looks, as the power of all was lost or not.
async fn starting(lost: bool) {
    let (node, password) = node().await;
    let long = ", settle_seconds = 3600";
    let (rack, _) = rack(&node, &password, long).await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (_, task) = begun(&reset(&admin, "GracefulShutdown").await);
    heard(&rack).await;
    assert!(node.agent.stop().await);
    let file = rack.state.path().join("board.toml");
    let shorter = || {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(long), "{text}");
        let short = text.replace(long, ", settle_seconds = 0");
        fs::write(&file, short).unwrap();
    };
    let rack = rack.again(lost, shorter).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    if lost {
        let kept = fs::read_to_string(kept(&rack)).unwrap();
        assert!(!kept.contains("heard"), "{kept}");
    }
    let admin = rack.admin();
    let task = ended(&admin, &task).await;
    assert_ne!(task["TaskState"], "Completed", "{task:#}");
    if !lost {
        let said = task.to_string();
        assert!(said.contains("its power is left on"), "{said}");
    }
    until(&admin, |it| it["PowerState"] == "On").await;
    sleep(CUT).await;
    assert!(bus.log().iter().all(|it| it.on), "{:?}", bus.log());
    assert!(bus.is_on(5));
}

#[tokio::test]
async fn a_shutdown_outlives_the_agent_of_the_rack() {
    let (node, password) = node().await;
    let (rack, bus) = rack(&node, &password, ", settle_seconds = 0").await;
    let admin = rack.admin();
    until(&admin, is_graceful).await;
    let (_, task) = begun(&reset(&admin, "GracefulShutdown").await);
    goes(&node).await;
    heard(&rack).await;
    drop(bus);
    let rack = rack.again(false, || {}).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    let admin = rack.admin();
    // It is seen there, and then to go.
    until(&admin, is_graceful).await;
    assert!(node.agent.stop().await);
    let ended = ended(&admin, &task).await;
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
    let said = undone(&admin, &monitor).await;
    assert!(said.contains("it answers 403 Forbidden to POST"), "{said}");
}

#[tokio::test]
async fn a_board_file_whose_agent_cannot_be_is_refused() {
    let pin = format!("fingerprint = \"{}\"", "ab".repeat(32));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let password = file("password", "horse 7\n");
    let odd = "-----BEGIN CERTIFICATE-----\nb2Rk\n\
               -----END CERTIFICATE-----\n";
    let odd = format!("certificate_file = \"{}\"", file("odd.pem", odd));
    for (agent, said) in [
        (agent(1, "/nowhere", &pin, ""), "`agent` of `b1`: `password_file`"),
        (agent(1, "/nowhere", "system = \"x\"", ""), "`password_file`"),
        (agent(1, "/dev/null", &pin, ", speed = 1"), "unknown field `speed`"),
        (agent(1, &password, &odd, ""), "odd.pem: no TLS with it"),
    ] {
        let error = refused(&board(&agent)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
