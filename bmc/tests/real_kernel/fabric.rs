//! Bridges, VLANs and LLDP of a real kernel: two bridges with a cable between
//! them, so that what the agent says on one it hears on the other.

use std::{fs, process::Command, time::Duration};

use http::StatusCode;
use onprem_bmc::{
    config::{Config, Network},
    drivers::tree::Tree,
    fabric::{Wiring as _, kernel::Kernel},
    model::{LinkState, Snapshot, VlanId},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::rig::{self, Rig};

const PORT: &str = "/Fabrics/host/Switches/br0/Ports/near";
const CONFIRM: &str = "/Fabrics/host/Actions/Oem/OnPremFabric.ConfirmChange";

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

fn busybox(words: &str) {
    let done = Command::new("/bin/busybox").args(words.split(' ')).status();
    assert!(done.unwrap().success(), "{words}");
}

/// Two bridges that keep VLANs apart, a cable between them, and a port that
/// leads nowhere.
fn wire() {
    // The kernel names the other end of a cable itself.
    let before = links();
    busybox("ip link add name near type veth");
    let mut new = links().into_iter().filter(|it| !before.contains(it));
    let far = new.rfind(|it| it != "near").unwrap();
    busybox(&format!("ip link set {far} name far"));
    busybox("ip link add name void type dummy");
    busybox("ip link add link void name void.30 type vlan id 30");
    for (bridge, ports) in [("br0", &["near", "void"][..]), ("br1", &["far"])] {
        busybox(&format!("brctl addbr {bridge}"));
        let file = format!("/sys/class/net/{bridge}/bridge/vlan_filtering");
        fs::write(file, "1").unwrap();
        for port in ports {
            busybox(&format!("brctl addif {bridge} {port}"));
            busybox(&format!("ip link set {port} up"));
        }
        busybox(&format!("ip link set {bridge} up"));
    }
}

fn links() -> Vec<String> {
    let all = fs::read_dir("/sys/class/net").unwrap();
    all.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

/// Whether the kernel says that a link is switched on.
fn is_on(link: &str) -> bool {
    let text = fs::read_to_string(format!("/sys/class/net/{link}/flags"));
    let text = text.unwrap();
    let flags = text.trim().trim_start_matches("0x");
    u32::from_str_radix(flags, 16).unwrap() & 1 == 1
}

/// What another reader than the agent finds.
fn native(port: &str) -> Option<u16> {
    let tree = Tree::new("/".as_ref());
    let kernel = Kernel::new(tree, "host".into(), "host".into(), false, false);
    let look = kernel.look().unwrap();
    let mut ports = look.network.switches.iter().flat_map(|it| &it.ports);
    let port = ports.find(|it| &*it.id == port).unwrap();
    port.native().map(VlanId::number)
}

async fn known(rig: &Rig, fits: impl Fn(&Snapshot) -> bool) {
    let mut changes = rig.agent.model().changes();
    let waiting = async {
        while !fits(&rig.agent.model().snapshot()) {
            let _ = changes.recv().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it becomes so");
}

fn near_is(state: LinkState) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| {
        let near = snapshot.network.wires().find(|it| &*it.id == "near");
        near.is_some_and(|it| it.link == state)
    }
}

#[tokio::test]
#[ignore = "needs bridge, 8021q, dummy and veth"]
async fn a_bridge_is_a_switch_whose_ports_are_put_back() {
    wire();
    let folder = TempDir::new().unwrap();
    let config = Config {
        allow_network_changes: true,
        network: Network {
            lldp_transmit: true,
            confirm_seconds: 5,
            ..Network::default()
        },
        ..rig::config(folder.path())
    };
    let rig = Rig::with(folder, config).await;
    let port = rig.get(PORT).await;
    assert_eq!(port["LinkStatus"], "LinkUp", "{port}");
    assert_eq!(port["Oem"]["OnPrem"]["UntaggedVLANId"], 1);
    let metrics = rig.get(&format!("{PORT}/Metrics")).await;
    assert!(metrics["TXBytes"].is_number(), "{metrics}");
    let link = rig.get("/Systems/host/EthernetInterfaces/void.30").await;
    assert_eq!(link["VLAN"]["VLANId"], 30, "{link}");

    // What is said on one end is heard on the other.
    known(&rig, |it| it.neighbours.contains_key("near")).await;
    let port = rig.get(PORT).await;
    assert_eq!(port["RemotePortId"], "far", "{port}");
    let said = &port["Ethernet"]["LLDPTransmit"]["ChassisId"];
    assert_eq!(&port["Ethernet"]["LLDPReceive"]["ChassisId"], said);

    // A VLAN that is confirmed stays.
    let body = json!({"Oem": {"OnPrem": {"UntaggedVLANId": 10,
        "TaggedVLANIds": [20]}}});
    assert_eq!(patch(&rig, &body).await, StatusCode::ACCEPTED);
    assert_eq!(native("near"), Some(10));
    let fabric = rig.get("/Fabrics/host").await;
    let change = &fabric["Oem"]["OnPrem"]["StagedChange"]["Id"];
    let (status, answer) = rig.post(CONFIRM, json!({"ChangeId": change})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let zone = rig.get("/Fabrics/host/Zones/20").await;
    let ends = zone["Links"]["Endpoints"].to_string();
    assert!(ends.contains("br0.near"), "{zone}");

    // What is not confirmed is put back.
    let off = json!({"InterfaceEnabled": false});
    assert_eq!(patch(&rig, &off).await, StatusCode::ACCEPTED);
    assert!(!is_on("near"));
    known(&rig, |it| it.staged.is_none()).await;
    assert!(is_on("near"));
    assert_eq!(native("near"), Some(10));
    known(&rig, near_is(LinkState::Up)).await;

    // The kernel tells of a link that is lost; nobody has to look for it.
    let began = tokio::time::Instant::now();
    busybox("ip link set far down");
    known(&rig, near_is(LinkState::NoLink)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    // Who was at the other end is gone with it.
    known(&rig, |it| !it.neighbours.contains_key("near")).await;
    assert!(rig.agent.stop().await);
    for link in ["br0", "br1"] {
        busybox(&format!("ip link set {link} down"));
        busybox(&format!("brctl delbr {link}"));
    }
    for link in ["near", "void"] {
        busybox(&format!("ip link del {link}"));
    }
}

async fn patch(rig: &Rig, body: &Value) -> StatusCode {
    rig.request(Method::PATCH, PORT, Some(body.clone())).await.status()
}
