//! A whole rack that is shut down at once, while some of its nodes have agents
//! of their own.

use std::fs;

use futures_util::future::join_all;
use onprem_bmc::sim::bitscope::{Rack, Switched};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    client::{Blade, Client, Reply, until},
    node_agents::{agent, begun, fingerprint, goes, is_graceful, node},
    support::wait::seen,
    tasks::end,
};

/// The nodes with an agent of their own, and how many nodes the rack has.
const OWN: [(u8, &str); 4] = [(4, "b0"), (5, "b1"), (6, "b2"), (23, "f3")];
const NODES: u8 = 24;

/// What a node is called: a letter for its row, and its place in that.
fn name(address: u8) -> String {
    format!("{}{}", char::from(b'a' + address / 4), address % 4)
}

fn uri(name: &str) -> String {
    format!("/redfish/v1/Systems/{name}")
}

/// A rack on whose nodes there are `nodes`, with the files of their passwords.
async fn rack(nodes: &[(Blade, String)]) -> (Blade, Rack) {
    let mut text =
        include_str!("../../boards/sim-bitscope-er24.toml").to_owned();
    for ((address, name), (node, password)) in OWN.iter().zip(nodes) {
        let from = format!("{{ address = {address:#04x}, id = \"{name}\"");
        assert!(text.contains(&from), "{from}");
        let port = node.agent.redfish_address().port();
        let pin = format!("fingerprint = \"{}\"", fingerprint(node));
        let own = agent(port, password, &pin, ", settle_seconds = 0");
        text = text.replacen(&from, &format!("{from}, agent = {own}"), 1);
    }
    let state = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let file = state.path().join("board.toml");
    fs::write(&file, text).unwrap();
    let rack = Blade::in_state(state, file).await;
    let bus = rack.agent.buses().rack("control").unwrap().clone();
    (rack, bus)
}

async fn shut_down(client: &Client, name: &str) -> Reply {
    let action = uri(name) + "/Actions/ComputerSystem.Reset";
    client.post(&action, &json!({"ResetType": "GracefulShutdown"})).await
}

/// Waits until the bus has cut so many nodes.
async fn cut(bus: &Rack, count: usize) -> Vec<Switched> {
    seen("the cuts", || bus.log().len() >= count).await;
    bus.log()
}

/// The agent of the node leaves, which has power until then; since when. It does
/// not answer any more before all of it has ended, and may be cut meanwhile.
async fn leaves(bus: &Rack, address: u8, node: Blade) -> Instant {
    assert!(bus.is_on(address), "{:?}", bus.log());
    let since = Instant::now();
    assert!(node.agent.stop().await);
    since
}

#[tokio::test]
async fn each_node_of_a_rack_is_cut_once_its_own_agent_has_gone() {
    let nodes = join_all(OWN.map(|_| node())).await;
    let (rack, bus) = rack(&nodes).await;
    let admin = rack.admin();
    for (_, name) in OWN {
        until(&admin, &uri(name), is_graceful).await;
    }
    // All are asked at once; who has no agent says that it cannot.
    let names: Vec<String> = (0..NODES).map(name).collect();
    let asked = names.iter().map(|name| shut_down(&admin, name));
    let replies = join_all(asked).await;
    let mut monitors = Vec::new();
    for (name, reply) in names.iter().zip(&replies) {
        if OWN.iter().any(|own| own.1 == name) {
            monitors.push(begun(reply).0);
        } else {
            assert_eq!(reply.status, 400, "{name}: {}", reply.body);
        }
    }
    join_all(nodes.iter().map(|(node, _)| goes(node))).await;
    assert!(bus.log().is_empty(), "{:?}", bus.log());
    // They end in another order than they were asked, two of them together.
    let mut left: Vec<_> = OWN.iter().zip(nodes).collect();
    let mut ended = Vec::new();
    for at in [2, 0] {
        let ((address, _), (node, _)) = left.remove(at);
        ended.push((*address, leaves(&bus, *address, node).await));
        let log = cut(&bus, ended.len()).await;
        let last = log.last().unwrap();
        assert_eq!((last.address, last.on), (*address, false), "{log:?}");
        for ((address, _), _) in &left {
            assert!(bus.is_on(*address), "{address} is still there");
        }
    }
    let together = left.into_iter().map(|((address, _), (node, _))| async {
        (*address, leaves(&bus, *address, node).await)
    });
    ended.extend(join_all(together).await);
    let log = cut(&bus, OWN.len()).await;
    for (address, ended) in ended {
        let mut cuts = log.iter().filter(|it| it.address == address);
        let (cut, again) = (cuts.next().unwrap(), cuts.next());
        assert!(cut.at >= ended, "{address} is cut before its agent goes");
        assert!(again.is_none(), "{log:?}");
    }
    // The bus has one owner: no two cuts are one.
    assert!(log.is_sorted_by(|one, next| one.at < next.at), "{log:?}");
    for monitor in monitors {
        let done = end(&admin, &monitor).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    for (address, name) in (0..NODES).zip(&names) {
        let own = OWN.iter().any(|own| own.1 == name);
        assert_eq!(bus.is_on(address), !own, "{name}");
    }
    assert_eq!(bus.log().len(), OWN.len());
}
