//! Racks of `BitScope` blades: one agent, many systems.

use std::time::Duration;

use onprem_bmc::sim::{
    bitscope::{Fault, Rack},
    serial::Pty,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{self, Blade, Client, refused};

const SYSTEMS: &str = "/redfish/v1/Systems";

/// The board that ships, on the bus at `path`.
fn board(path: &str) -> String {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/boards/bitscope-er24.toml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("\"/dev/serial0\""));
    text.replacen("serial = \"/dev/serial0\"", path, 1)
}

/// An agent, and the rack behind a pseudo-terminal that it looks after.
async fn rack(change: impl FnOnce(String) -> String) -> (Blade, Rack, Pty) {
    let rack = Rack::new(24);
    let pty = Pty::serve(Box::new(rack.clone())).unwrap();
    let text = board(&format!("serial = \"{}\"", pty.path()));
    let blade = Blade::with_board(|_| change(text)).await;
    (blade, rack, pty)
}

async fn reset(
    client: &Client,
    node: &str,
    kind: &str,
) -> crate::client::Reply {
    let uri = format!("{SYSTEMS}/{node}/Actions/ComputerSystem.Reset");
    client.post(&uri, &json!({ "ResetType": kind })).await
}

/// The node, once it `fits`.
async fn until(
    client: &Client,
    node: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let uri = format!("{SYSTEMS}/{node}");
    client::until(client, &uri, fits).await
}

fn is(state: &str) -> impl Fn(&Value) -> bool {
    move |system| system["PowerState"] == state
}

fn is_seen(system: &Value) -> bool {
    system["Status"]["State"] == "Enabled"
}

#[tokio::test]
async fn a_rack_is_its_nodes_blades_and_places() {
    let (blade, _rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    let all = admin.get(SYSTEMS).await.body;
    assert_eq!(all["Members@odata.count"], 24);
    let system = until(&admin, "b3", is_seen).await;
    let bus = &system["Oem"]["OnPrem"]["ControlBus"];
    assert_eq!(bus["Address"], "0x07");
    assert_eq!(bus["ServiceLabel"], "B3");
    assert_eq!(bus["CurrentCount"], 0x27);
    assert_eq!(bus["FanCount"], 0x98);
    let chassis = "/redfish/v1/Chassis/rack-b";
    assert_eq!(system["Links"]["Chassis"][0]["@odata.id"], chassis);
    let chassis = admin.get(chassis).await.body;
    assert_eq!(chassis["ChassisType"], "Blade");
    assert_eq!(chassis["Location"]["PartLocation"]["ServiceLabel"], "B");
    let holder = &chassis["Links"]["ContainedBy"]["@odata.id"];
    let rack = admin.get(holder.as_str().unwrap()).await.body;
    assert_eq!(rack["ChassisType"], "Rack");
    let uuid = system["UUID"].clone();
    let other = until(&admin, "b2", is_seen).await;
    assert_ne!(other["UUID"], uuid);
}

#[tokio::test]
async fn a_node_is_switched_off_on_and_started_again() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    until(&admin, "b1", is("On")).await;
    assert_eq!(reset(&admin, "b1", "ForceOff").await.status, 200);
    until(&admin, "b1", is("Off")).await;
    assert!(!rack.is_on(5));
    assert_eq!(reset(&admin, "b1", "On").await.status, 200);
    until(&admin, "b1", is("On")).await;
    // Once more does nothing.
    let before = rack.log().len();
    assert_eq!(reset(&admin, "b1", "On").await.status, 200);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(rack.log().len(), before);
    assert_eq!(reset(&admin, "b1", "ForceRestart").await.status, 200);
    until(&admin, "b1", is("PoweringOff")).await;
    until(&admin, "b1", is("On")).await;
    let log = rack.log();
    let states: Vec<_> = log.iter().map(|it| (it.address, it.on)).collect();
    assert_eq!(states, [(5, false), (5, true), (5, false), (5, true)]);
    let dwelt = log[3].at - log[2].at;
    assert!(dwelt >= Duration::from_secs(2), "{dwelt:?}");
    let graceful = reset(&admin, "b1", "GracefulShutdown").await;
    assert_eq!(graceful.status, 400, "{}", graceful.body);
}

#[tokio::test]
async fn nodes_that_are_switched_on_together_take_turns() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    let nodes = ["b0", "b1", "b2", "b3"];
    for node in nodes {
        rack.set(4 + node.as_bytes()[1] - b'0', false);
    }
    for node in nodes {
        until(&admin, node, is("Off")).await;
    }
    let uri = "/redfish/v1/Chassis/rack-b/Actions/Chassis.Reset";
    let done = admin.post(uri, &json!({"ResetType": "On"})).await;
    assert_eq!(done.status, 200, "{}", done.body);
    for node in nodes {
        until(&admin, node, is("On")).await;
    }
    let log = rack.log();
    assert_eq!(log.len(), 4);
    assert!(log.iter().all(|it| it.on));
    for pair in log.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= Duration::from_millis(950), "{between:?}");
    }
}

#[tokio::test]
async fn a_node_that_was_started_too_often_is_left_alone() {
    let quick = |board: String| {
        let board = board.replace("cycles_per_hour = 4", "cycles_per_hour = 1");
        board.replace("dwell_seconds = 3", "dwell_seconds = 2")
    };
    let (blade, rack, _pty) = rack(quick).await;
    let admin = blade.admin();
    let c0 = until(&admin, "c0", is("On")).await;
    let left = |it: &Value| it["Oem"]["OnPrem"]["StartsLeft"].clone();
    assert_eq!(left(&c0), 1, "{c0}");
    assert_eq!(c0["Oem"]["OnPrem"]["StartsPerHour"], 1);
    assert_eq!(reset(&admin, "c0", "PowerCycle").await.status, 200);
    let c0 = admin.get(&format!("{SYSTEMS}/c0")).await.body;
    assert_eq!(left(&c0), 0, "{c0}");
    // It is under way already.
    let busy = reset(&admin, "c0", "PowerCycle").await;
    assert_eq!(busy.status, 503);
    until(&admin, "c0", is("PoweringOff")).await;
    until(&admin, "c0", is("On")).await;
    let refused = reset(&admin, "c0", "ForceRestart").await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 3000);
    let told = refused.body.to_string();
    assert!(told.contains("started once within an hour"), "{told}");
    let minutes = told.split("started again in ").nth(1);
    let minutes = minutes.and_then(|it| it.split(" minutes").next());
    let minutes: u32 = minutes.unwrap().parse().unwrap();
    assert!((50..=60).contains(&minutes), "{told}");
    assert_eq!(rack.log().len(), 2);
    assert_eq!(reset(&admin, "c0", "ForceOff").await.status, 200);
    until(&admin, "c0", is("Off")).await;
}

#[tokio::test]
async fn the_node_that_the_agent_runs_on_is_not_switched() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    let own = until(&admin, "a0", |it| it.get("Actions").is_none()).await;
    assert_eq!(own["PowerState"], "On");
    assert_eq!(reset(&admin, "a0", "ForceOff").await.status, 400);
    assert_eq!(rack.log(), []);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_critical_and_says_why() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    until(&admin, "d2", is_seen).await;
    let health = |it: &Value| it["Status"]["Health"].clone();
    for (fault, said) in [
        (Fault::Silent, "`=` to node 0x0e: nothing came back"),
        (Fault::WrongAddress, "node 0x0f answered"),
    ] {
        rack.fault(14, Some(fault));
        let node = until(&admin, "d2", |it| health(it) == "Critical").await;
        assert_eq!(node["Status"]["State"], "UnavailableOffline");
        let why = node["Status"]["Conditions"][0].to_string();
        assert!(why.contains(said), "{node:#}");
        let other = until(&admin, "d3", is_seen).await;
        assert_eq!(health(&other), "OK");
        let holder = admin.get("/redfish/v1/Chassis/rack-d").await.body;
        assert_eq!(health(&holder), "Critical");
        rack.fault(14, None);
        until(&admin, "d2", |it| health(it) == "OK").await;
    }
    // One that does not obey says so as well.
    rack.fault(14, Some(Fault::Stuck));
    assert_eq!(reset(&admin, "d2", "ForceOff").await.status, 200);
    let node = until(&admin, "d2", |it| health(it) == "Critical").await;
    let why = node["Status"]["Conditions"][0].to_string();
    assert!(why.contains("node 0x0e is not off"), "{node:#}");
    assert_eq!(node["PowerState"], "On");
    // Told anew, it obeys.
    rack.fault(14, None);
    assert_eq!(reset(&admin, "d2", "ForceOff").await.status, 200);
    let node = until(&admin, "d2", is("Off")).await;
    assert_eq!(health(&node), "OK");
}

#[tokio::test]
async fn a_bus_that_hangs_delays_nobody_and_makes_what_it_said_stale() {
    let scales = |board: String| {
        board
            .replace("# current_amps", "current_amps")
            .replace("# fan_rpm", "fan_rpm")
    };
    let (blade, rack, _pty) = rack(scales).await;
    let admin = blade.admin();
    until(&admin, "f3", is_seen).await;
    let sensor = "/redfish/v1/Chassis/rack-f/Sensors/f3_Current";
    let reading = admin.get(sensor).await.body;
    assert_eq!(reading["Reading"], json!(f64::from(0x27_u8) * 0.02));
    rack.hang(true);
    let degraded = |it: &Value| it["Status"]["State"] == "Degraded";
    let hung = until(&admin, "f3", degraded).await;
    assert_eq!(hung["Status"]["Health"], "Warning");
    let stale = async {
        while admin.get(sensor).await.body["Status"]["State"] != "Degraded" {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(20), stale).await.expect("stale");
    let begin = Instant::now();
    for _ in 0..10 {
        assert_eq!(admin.get(SYSTEMS).await.status, 200);
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    rack.hang(false);
    until(&admin, "f3", is_seen).await;
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_critical_and_never_simulated() {
    let text = board("serial = \"/dev/nowhere\"");
    let blade = Blade::with_board(|_| text).await;
    let admin = blade.admin();
    let critical = |it: &Value| it["Status"]["Health"] == "Critical";
    let node = until(&admin, "a1", critical).await;
    assert_eq!(node["PowerState"], Value::Null);
    let why = node["Status"]["Conditions"][0].to_string();
    assert!(why.contains("the line failed"), "{node:#}");
    assert!(blade.agent.buses().rack("control").is_none());
}

#[tokio::test]
async fn a_board_file_that_no_rack_fits_is_refused() {
    for (from, to, said) in [
        ("0x17, id", "0x80, id", "address 0x80: 0x00 to 0x7f exist"),
        ("0x17, id", "0x16, id", "node 0x16"),
        ("dwell_seconds = 3", "dwell_seconds = 1", "`dwell_seconds` is 1"),
        ("cut_at", "cutt_at", "unknown field `cutt_at_restore`"),
        (
            "# unlock_file = \"/etc/onprem/bitscope-unlock\"",
            "unlock_file = \"/nowhere\"",
            "`unlock_file` /nowhere",
        ),
    ] {
        let text = board("serial = \"/dev/nowhere\"");
        assert!(text.contains(from), "{from}");
        let error = refused(&text.replacen(from, to, 1)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn a_restart_of_a_node_outlives_the_agent() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    until(&admin, "b1", is("On")).await;
    assert_eq!(reset(&admin, "b1", "ForceRestart").await.status, 200);
    assert_eq!(reset(&admin, "c0", "ForceOff").await.status, 200);
    until(&admin, "c0", is("Off")).await;
    let cut = async {
        while rack.is_on(5) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), cut).await.expect("it is cut");
    // The agent ends while the node is off, and nothing says "on" but a plan.
    let blade = blade.again(false, || {}).await;
    assert!(!rack.is_on(5), "the agent was in time: nothing is tested");
    let admin = blade.admin();
    until(&admin, "b1", is("On")).await;
    let log = rack.log();
    let log: Vec<_> = log.iter().filter(|it| it.address == 5).collect();
    assert_eq!(log.len(), 2, "{log:?}");
    let dwelt = log[1].at - log[0].at;
    assert!(dwelt >= Duration::from_secs(2), "{dwelt:?}");
    // It is told, and over; who was off stays off.
    let told = async {
        loop {
            let log = hardware_log(&admin, "b1").await;
            let about = |it: &&Value| {
                let said = it["Message"].to_string();
                said.contains("ForceRestart was under way")
            };
            let severities: Vec<_> =
                log.iter().filter(about).map(|it| &it["Severity"]).collect();
            if severities == ["OK", "Warning"] {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let told = timeout(Duration::from_secs(20), told).await;
    assert!(told.is_ok(), "{:#?}", hardware_log(&admin, "b1").await);
    assert!(!rack.is_on(8));
    // What has ended is not begun again.
    let before = rack.log().len();
    let blade = blade.again(false, || {}).await;
    until(&blade.admin(), "b1", is_seen).await;
    assert_eq!(rack.log().len(), before);
}

#[tokio::test]
async fn nodes_whose_turn_has_not_come_get_it_from_the_next_agent() {
    let quick =
        |board: String| board.replace("dwell_seconds = 3", "dwell_seconds = 2");
    let (blade, rack, _pty) = rack(quick).await;
    let admin = blade.admin();
    let nodes = ["b0", "b1", "b2", "b3"];
    for address in 4..8 {
        rack.set(address, false);
    }
    for node in nodes {
        until(&admin, node, is("Off")).await;
    }
    let uri = "/redfish/v1/Chassis/rack-b/Actions/Chassis.Reset";
    let done = admin.post(uri, &json!({"ResetType": "On"})).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let blade = blade.again(false, || {}).await;
    let before = rack.log().len();
    assert!(before < 4, "all had their turn: nothing is tested");
    let admin = blade.admin();
    for node in nodes {
        until(&admin, node, is("On")).await;
    }
    let log = rack.log();
    assert_eq!(log.len(), 4);
    for pair in log.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= Duration::from_millis(950), "{between:?}");
    }
}

/// The hardware log of a node.
async fn hardware_log(client: &Client, node: &str) -> Vec<Value> {
    let uri = format!("{SYSTEMS}/{node}/LogServices/SEL/Entries");
    let log = client.get(&uri).await.body;
    log["Members"].as_array().unwrap_or_else(|| panic!("{log}")).clone()
}

fn about<'a>(entries: &'a [Value], uri: &str) -> Vec<&'a str> {
    let of = |entry: &&Value| {
        entry["Links"]["OriginOfCondition"]["@odata.id"] == uri
            && entry["SensorType"] == "Management Subsystem Health"
    };
    // The newest is the first.
    let found = entries.iter().rev().filter(of);
    found.map(|entry| entry["Severity"].as_str().unwrap()).collect()
}

/// Waits until the log of the hardware says so often what is about `uri`.
async fn noted(client: &Client, node: &str, uri: &str, said: &[&str]) {
    let looking = async {
        while about(&hardware_log(client, node).await, uri) != said {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let done = timeout(Duration::from_secs(20), looking).await;
    assert!(done.is_ok(), "{:#?}", hardware_log(client, node).await);
}

#[tokio::test]
async fn a_node_that_goes_silent_is_noted_and_a_whole_bus_once() {
    let (blade, rack, _pty) = rack(|board| board).await;
    let admin = blade.admin();
    until(&admin, "f3", is_seen).await;
    rack.fault(14, Some(Fault::Silent));
    let node = format!("{SYSTEMS}/d2");
    noted(&admin, "d2", &node, &["Critical"]).await;
    rack.fault(14, None);
    noted(&admin, "d2", &node, &["Critical", "OK"]).await;

    rack.hang(true);
    let whole = "/redfish/v1/Chassis/rack";
    noted(&admin, "a0", whole, &["Critical"]).await;
    rack.fault(5, Some(Fault::Silent));
    rack.hang(false);
    noted(&admin, "a0", whole, &["Critical", "OK"]).await;
    // One that does not come back with the others is named.
    noted(&admin, "b1", &format!("{SYSTEMS}/b1"), &["Critical"]).await;
    let other = hardware_log(&admin, "c2").await;
    let other = about(&other, &format!("{SYSTEMS}/c2"));
    assert!(other.is_empty(), "{other:?}");
}

#[tokio::test]
async fn cycles_are_counted_over_a_restart_of_the_agent() {
    let quick = |board: String| {
        board.replace("cycles_per_hour = 4", "cycles_per_hour = 2")
    };
    let (blade, rack, _pty) = rack(quick).await;
    let admin = blade.admin();
    until(&admin, "c0", is("On")).await;
    for _ in 0..2 {
        assert_eq!(reset(&admin, "c0", "ForceOff").await.status, 200);
        until(&admin, "c0", is("Off")).await;
        assert_eq!(reset(&admin, "c0", "On").await.status, 200);
        until(&admin, "c0", is("On")).await;
    }
    assert_eq!(reset(&admin, "c0", "ForceOff").await.status, 200);
    until(&admin, "c0", is("Off")).await;
    let blade = blade.again(false, || {}).await;
    let admin = blade.admin();
    until(&admin, "c0", is("Off")).await;
    let refused = reset(&admin, "c0", "On").await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 3000);
    // Another one is not meant, and a whole rack says who was left.
    let all = "/redfish/v1/Chassis/rack/Actions/Chassis.Reset";
    let some = admin.post(all, &json!({"ResetType": "On"})).await;
    assert_eq!(some.status, 503, "{}", some.body);
    let said = some.body.to_string();
    assert!(said.contains("c0: system `c0` was started"), "{said}");
    assert!(!said.contains("c1:"), "{said}");
    assert!(!rack.is_on(8));
}

#[tokio::test]
async fn nodes_come_back_as_their_policy_says_one_after_the_other() {
    let (blade, rack, _pty) = rack(|board| {
        let board =
            board.replace("cut_at_restore = false", "cut_at_restore = true");
        board.replace("stagger_seconds = 1", "stagger_seconds = 0.5")
    })
    .await;
    let admin = blade.admin();
    let node = until(&admin, "f3", is_seen).await;
    // Who was switched off stays off unless somebody has said otherwise.
    assert_eq!(node["PowerRestorePolicy"], "LastState");
    let policies =
        [("b0", "AlwaysOn"), ("b1", "AlwaysOff"), ("b2", "LastState")];
    for (node, policy) in policies {
        let uri = format!("{SYSTEMS}/{node}");
        let body = json!({ "PowerRestorePolicy": policy });
        let set = admin.patch(&uri, &body).await;
        assert_eq!(set.status, 200, "{}", set.body);
    }
    for node in ["b0", "b2", "b3"] {
        assert_eq!(reset(&admin, node, "ForceOff").await.status, 200);
        until(&admin, node, is("Off")).await;
    }
    let before = rack.log().len();
    let all_off = || (1..24).for_each(|address| rack.set(address, false));
    let blade = blade.again(true, all_off).await;
    let admin = blade.admin();
    for (node, state) in [
        ("f3", "On"),
        ("b0", "On"),
        ("b1", "Off"),
        ("b2", "Off"),
        ("b3", "Off"),
    ] {
        until(&admin, node, is(state)).await;
    }
    let log = rack.log();
    let on = log[before..].iter().filter(|it| it.on).collect::<Vec<_>>();
    assert_eq!(on.len(), 24 - 1 - 3, "all but the own, and those off");
    for pair in on.windows(2) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= Duration::from_millis(450), "{between:?}");
    }
}
