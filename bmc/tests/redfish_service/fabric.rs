//! What joins machines: adapters, switches, VLANs, and changes that are undone
//! unless somebody confirms them.

use std::time::Duration;

use onprem_bmc::{
    fabric::lldp,
    model::{Announcement, NameKind, Named, Snapshot, VlanId},
    sim::switch::Talker,
};
use onprem_redfish::check;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    client::{Blade, Client, Reply, refused},
    tasks::end,
};

const FABRIC: &str = "/redfish/v1/Fabrics/blade";
const P1: &str = "/redfish/v1/Fabrics/blade/Switches/sw0/Ports/p1";
const P2: &str = "/redfish/v1/Fabrics/blade/Switches/sw0/Ports/p2";
const UPLINK: &str = "/redfish/v1/Fabrics/blade/Switches/sw0/Ports/uplink";
const ADAPTER: &str =
    "/redfish/v1/Chassis/blade/NetworkAdapters/eth0/Ports/eth0";
const ETH0: &str = "/redfish/v1/Systems/node/EthernetInterfaces/eth0";
const END: &str = "/redfish/v1/Fabrics/blade/Endpoints/sw0.p1";
const CONFIRM: &str =
    "/redfish/v1/Fabrics/blade/Actions/Oem/OnPremFabric.ConfirmChange";

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until what the agent knows is as it is wanted.
async fn known(blade: &Blade, fits: impl Fn(&Snapshot) -> bool) {
    let mut changes = blade.agent.model().changes();
    let waiting = async {
        while !fits(&blade.agent.model().snapshot()) {
            let _ = changes.recv().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it becomes so");
}

/// A blade where a change waits only for so long to be confirmed.
async fn patient(seconds: u64) -> Blade {
    Blade::simulated_with(|config| config.network.confirm_seconds = seconds)
        .await
}

fn link(uri: &str) -> Value {
    json!([{"@odata.id": uri}])
}

/// The monitor of the task that a reply with 202 is about, and its task.
fn staged(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert_eq!(check(&reply.body), []);
    let task = reply.body["@odata.id"].as_str().unwrap().to_owned();
    (reply.header("location").to_owned(), task)
}

/// What confirms the change that waits.
async fn change(client: &Client) -> Value {
    let fabric = client.get(FABRIC).await.body;
    let change = &fabric["Oem"]["OnPrem"]["StagedChange"]["Id"];
    assert!(change.is_string(), "{fabric}");
    json!({ "ChangeId": change })
}

async fn native(client: &Client, port: &str) -> Value {
    client.get(port).await.body["Oem"]["OnPrem"]["UntaggedVLANId"].clone()
}

#[tokio::test]
async fn a_port_an_adapter_an_interface_and_an_endpoint_name_each_other() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let get = async |uri: &str| admin.get(uri).await.body;
    let port = get(P1).await;
    assert_eq!(port["Links"]["ConnectedPorts"], link(ADAPTER));
    assert_eq!(port["Links"]["AssociatedEndpoints"], link(END));
    assert_eq!(port["LinkStatus"], "LinkUp");
    assert_eq!(port["CurrentSpeedGbps"].as_f64(), Some(1.0));
    assert_eq!(port["Oem"]["OnPrem"]["UntaggedVLANId"], 241);
    assert_eq!(port["Oem"]["OnPrem"]["TaggedVLANIds"], json!([10]));
    let adapter = get(ADAPTER).await;
    assert_eq!(adapter["Links"]["ConnectedSwitchPorts"], link(P1));
    assert_eq!(adapter["Links"]["EthernetInterfaces"], link(ETH0));
    let interface = get(ETH0).await;
    assert_eq!(interface["Links"]["Ports"], link(ADAPTER));
    assert_eq!(interface["Links"]["Endpoints"], link(END));
    let endpoint = get(END).await;
    assert_eq!(endpoint["Links"]["ConnectedPorts"], link(P1));
    let zones = endpoint["Links"]["Zones"].as_array().unwrap();
    assert_eq!(zones.len(), 2);
    for zone in zones {
        let zone = get(zone["@odata.id"].as_str().unwrap()).await;
        let ends = zone["Links"]["Endpoints"].as_array().unwrap();
        assert!(ends.contains(&json!({"@odata.id": END})), "{zone}");
    }
    let entity = &endpoint["ConnectedEntities"][0];
    assert_eq!(entity["EntityLink"]["@odata.id"], ETH0);
    assert_eq!(get(UPLINK).await["PortType"], "UpstreamPort");
    // What nobody has is not there.
    for missing in ["/Zones/2", "/Zones/0241", "/Zones/x", "/Endpoints/p1"] {
        let reply = admin.get(&format!("{FABRIC}{missing}")).await;
        assert_eq!(reply.status, 404, "{missing}");
    }
    assert_eq!(admin.get("/redfish/v1/Fabrics/node").await.status, 404);
}

#[tokio::test]
async fn who_is_at_the_other_end_is_heard_and_forgotten() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let heard = |it: &Snapshot| it.neighbours.contains_key("sw0.uplink");
    known(&blade, heard).await;
    let ethernet = admin.get(UPLINK).await.body["Ethernet"].clone();
    let says = &ethernet["LLDPReceive"];
    assert_eq!(ethernet["LLDPEnabled"], true);
    assert_eq!(says["ChassisId"], "00:1c:73:5e:11:08");
    assert_eq!(says["ChassisIdSubtype"], "MacAddr");
    // The schema wants octets there; people read it beside.
    assert_eq!(says["PortId"], "45:74:68:65:72:6E:65:74:31:32");
    assert_eq!(admin.get(UPLINK).await.body["RemotePortId"], "Ethernet12");
    assert_eq!(says["PortIdSubtype"], "IfName");
    assert_eq!(says["SystemName"], "rack-1-switch");
    assert_eq!(says["ManagementAddressIPv4"], "192.168.241.2");
    assert_eq!(says["ManagementVlanId"], 241);
    assert_eq!(check(&admin.get(UPLINK).await.body), []);
    // Somebody on another port, who says good-bye when he has been seen.
    let switches = blade.agent.buses().switches().unwrap();
    let local =
        |text: &str| Named { kind: NameKind::Local, text: text.to_owned() };
    let says = Announcement::new(local("laptop"), local("1"));
    switches.talk(Talker::new("sw0.p1".into(), says.clone(), 120));
    known(&blade, |it| it.neighbours.contains_key("sw0.p1")).await;
    switches.talk(Talker::new("sw0.p1".into(), says, 0));
    known(&blade, |it| !it.neighbours.contains_key("sw0.p1")).await;
    // Who is behind a cable that is out is not there.
    switches.plug("sw0", "uplink", false);
    known(&blade, |it| !heard(it)).await;
    assert_eq!(admin.get(UPLINK).await.body["LinkStatus"], "NoLink");
    assert_eq!(admin.get(FABRIC).await.body["Status"]["Health"], "Warning");
}

#[tokio::test]
async fn says_who_it_is_where_that_is_wanted_and_good_bye() {
    let quiet = Blade::simulated().await;
    let body = quiet.admin().get(ADAPTER).await.body;
    assert_eq!(body["Ethernet"]["LLDPTransmit"], Value::Null);
    let blade =
        Blade::simulated_with(|it| it.network.lldp_transmit = true).await;
    known(&blade, |it| it.announced.contains_key("sw0.uplink")).await;
    let says = blade.admin().get(UPLINK).await.body["Ethernet"]["LLDPTransmit"]
        .clone();
    assert_eq!(says["PortIdSubtype"], "IfName");
    assert_eq!(check(&blade.admin().get(UPLINK).await.body), []);
    assert_eq!(says["SystemName"], "blade");
    let said = blade.agent.buses().switches().unwrap().said();
    let (_, frame) = said.iter().find(|it| &*it.0 == "sw0.uplink").unwrap();
    let heard = lldp::parse(frame).unwrap();
    assert_eq!(heard.seconds, 121);
    assert_eq!(heard.says.chassis.text, says["ChassisId"]);
    let buses = blade.agent.buses().clone();
    assert!(blade.agent.stop().await);
    let said = buses.switches().unwrap().said();
    let last = lldp::parse(&said.last().unwrap().1).unwrap();
    assert_eq!(last.seconds, 0);
}

#[tokio::test]
async fn a_change_stays_when_it_is_confirmed() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let early = admin.post(CONFIRM, &json!({"ChangeId": "x"})).await;
    assert_eq!(early.status, 409, "{}", early.body);
    assert!(early.body.to_string().contains("nothing waits"), "{}", early.body);
    let body = json!({"Oem": {"OnPrem": {"UntaggedVLANId": 10,
        "TaggedVLANIds": [20, 241]}}});
    let reply = admin.patch(P1, &body).await;
    let (monitor, _) = staged(&reply);
    let advice = reply.body["Messages"].to_string();
    assert!(advice.contains(CONFIRM), "{advice}");
    // It holds at once.
    assert_eq!(native(&admin, P1).await, 10);
    let fabric = admin.get(FABRIC).await.body;
    assert_eq!(check(&fabric), []);
    let change = &fabric["Oem"]["OnPrem"]["StagedChange"];
    assert_eq!(change["Port"]["@odata.id"], P1);
    assert_eq!(change["RequestedBy"], "admin");
    for time in ["RequestTime", "ConfirmBefore"] {
        assert!(change[time].is_string(), "{time}: {change}");
    }
    let this = json!({"ChangeId": change["Id"]});
    assert!(advice.contains(change["Id"].as_str().unwrap()), "{advice}");
    let actions = &fabric["Actions"]["Oem"];
    let target = &actions["#OnPremFabric.ConfirmChange"]["target"];
    assert_eq!(target, CONFIRM);
    // One at a time.
    let second = admin.patch(P2, &json!({"InterfaceEnabled": false})).await;
    assert_eq!(second.status, 409, "{}", second.body);
    assert_eq!(second.messages(), ["ResourceInUse"]);
    // An operator may, a reader may not.
    let reader = blade.account("reader", "ReadOnly").await;
    assert_eq!(reader.post(CONFIRM, &this).await.status, 403);
    assert_eq!(reader.patch(P1, &body).await.status, 403);
    let operator = blade.account("operator", "Operator").await;
    // Which one has to be said.
    let none = operator.post(CONFIRM, &json!({})).await;
    assert_eq!(none.status, 400, "{}", none.body);
    assert_eq!(none.messages(), ["ActionParameterMissing"]);
    assert_eq!(operator.post(CONFIRM, &this).await.status, 200);
    assert_eq!(end(&admin, &monitor).await.status, 200);
    assert_eq!(native(&admin, P1).await, 10);
    let zone = admin.get(&format!("{FABRIC}/Zones/20")).await;
    assert_eq!(zone.body["Links"]["Endpoints"], link(END));
    // The switch keeps it, and nobody puts it back.
    let blade = blade.restarted().await;
    assert_eq!(native(&blade.admin(), P1).await, 10);
}

#[tokio::test]
async fn a_change_that_nobody_confirms_is_undone() {
    let blade = patient(5).await;
    let admin = blade.admin();
    let reply = admin.patch(P1, &json!({"LinkState": "Disabled"})).await;
    let (monitor, task) = staged(&reply);
    let seen = change(&admin).await;
    let port = admin.get(P1).await.body;
    assert_eq!(port["InterfaceEnabled"], false);
    assert_eq!(port["LinkStatus"], "LinkDown");
    assert_eq!(admin.get(ETH0).await.body["LinkStatus"], "NoLink");
    let ended = end(&admin, &monitor).await;
    assert_eq!(ended.status, 409, "{}", ended.body);
    assert!(ended.body.to_string().contains("in time"), "{}", ended.body);
    let port = admin.get(P1).await.body;
    assert_eq!(port["InterfaceEnabled"], true);
    assert_eq!(port["LinkStatus"], "LinkUp");
    assert_eq!(admin.get(&task).await.body["TaskState"], "Exception");
    assert_eq!(admin.get(FABRIC).await.body["Oem"], Value::Null);
    assert_eq!(admin.post(CONFIRM, &seen).await.status, 409);
    // The next one is welcome.
    let reply = admin.patch(P2, &json!({"InterfaceEnabled": false})).await;
    staged(&reply);
    // Who saw the first one does not confirm the second.
    let old = admin.post(CONFIRM, &seen).await;
    assert_eq!(old.status, 409, "{}", old.body);
    assert_eq!(old.messages(), ["ActionParameterValueError"]);
    let now = change(&admin).await;
    assert_ne!(now, seen);
    let waits = now["ChangeId"].as_str().unwrap();
    assert!(old.body.to_string().contains(waits), "{}", old.body);
    assert_eq!(admin.post(CONFIRM, &now).await.status, 200);
}

#[tokio::test]
async fn a_change_is_undone_with_its_task() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = json!({"Oem": {"OnPrem": {"UntaggedVLANId": null}}});
    let (_, task) = staged(&admin.patch(P1, &body).await);
    assert_eq!(native(&admin, P1).await, Value::Null);
    assert_eq!(admin.delete(&task).await.status, 204);
    known(&blade, |it| it.staged.is_none()).await;
    assert_eq!(native(&admin, P1).await, 241);
    // Or by its name.
    let reply = admin.patch(P1, &body).await;
    let (monitor, _) = staged(&reply);
    let now = change(&admin).await;
    let revert = CONFIRM.replace("Confirm", "Revert");
    let other = admin.post(&revert, &json!({"ChangeId": "x"})).await;
    assert_eq!(other.status, 409, "{}", other.body);
    assert_eq!(native(&admin, P1).await, Value::Null);
    assert_eq!(admin.post(&revert, &now).await.status, 200);
    assert_eq!(native(&admin, P1).await, 241);
    assert_eq!(end(&admin, &monitor).await.status, 409);
    assert_eq!(admin.post(CONFIRM, &now).await.status, 409);
}

#[tokio::test]
async fn what_is_not_confirmed_does_not_outlive_the_agent() {
    // One that stops undoes it itself.
    let blade = Blade::simulated().await;
    let body = json!({"Oem": {"OnPrem": {"UntaggedVLANId": 30}}});
    staged(&blade.admin().patch(P1, &body).await);
    let blade = blade.restarted().await;
    assert_eq!(native(&blade.admin(), P1).await, 241);
    // One that dies leaves it to the next.
    let (_, task) = staged(&blade.admin().patch(P1, &body).await);
    let files =
        ["network-change.json", "simulated-switches.json", "tasks.json"];
    let blade = blade.died(&files).await;
    let back = |it: &Snapshot| {
        let port = &it.network.switches[0].ports[0];
        port.native() == VlanId::new(241)
    };
    known(&blade, back).await;
    let admin = blade.admin();
    assert_eq!(native(&admin, P1).await, 241);
    assert_eq!(admin.get(&task).await.body["TaskState"], "Exception");
    staged(&admin.patch(P1, &body).await);
    let now = change(&admin).await;
    assert_eq!(admin.post(CONFIRM, &now).await.status, 200);
    // What was confirmed is left alone by whoever comes after.
    let blade = blade.died(&files).await;
    assert_eq!(native(&blade.admin(), P1).await, 30);
}

#[tokio::test]
async fn a_zone_takes_endpoints_in_and_lets_them_go() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let zone = format!("{FABRIC}/Zones/10");
    let end2 = format!("{FABRIC}/Endpoints/sw0.p2");
    let act = async |name: &str, endpoint: &str| {
        let uri = format!("{zone}/Actions/Zone.{name}");
        let body = json!({"Endpoint": {"@odata.id": endpoint}});
        admin.post(&uri, &body).await
    };
    staged(&act("AddEndpoint", &end2).await);
    let now = change(&admin).await;
    assert_eq!(admin.post(CONFIRM, &now).await.status, 200);
    let port = admin.get(P2).await.body["Oem"]["OnPrem"].clone();
    assert_eq!(port["UntaggedVLANId"], 1);
    assert_eq!(port["TaggedVLANIds"], json!([10]));
    let again = act("AddEndpoint", &end2).await;
    assert_eq!(again.status, 400, "{}", again.body);
    let foreign = act("AddEndpoint", ETH0).await;
    assert_eq!(foreign.status, 400, "{}", foreign.body);
    let none = admin
        .post(&format!("{zone}/Actions/Zone.AddEndpoint"), &json!({}))
        .await;
    assert_eq!(none.status, 400, "{}", none.body);
    staged(&act("RemoveEndpoint", END).await);
    let now = change(&admin).await;
    assert_eq!(admin.post(CONFIRM, &now).await.status, 200);
    let port = admin.get(P1).await.body["Oem"]["OnPrem"].clone();
    assert_eq!(port["TaggedVLANIds"], json!([]));
}

#[tokio::test]
async fn what_is_no_vlan_is_named_and_changes_nothing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(P1).await.body;
    let oem = |body: Value| json!({"Oem": {"OnPrem": body}});
    for (body, message, named) in [
        (oem(json!({"UntaggedVLANId": 0})), "PropertyValueOutOfRange", "'0'"),
        (
            oem(json!({"UntaggedVLANId": 4095})),
            "PropertyValueOutOfRange",
            "4095",
        ),
        (oem(json!({"UntaggedVLANId": -1})), "PropertyValueOutOfRange", "-1"),
        (
            oem(json!({"UntaggedVLANId": "10"})),
            "PropertyValueTypeError",
            "UntaggedVLANId",
        ),
        (oem(json!({"TaggedVLANIds": 10})), "PropertyValueTypeError", "10"),
        (
            oem(json!({"TaggedVLANIds": [20, 4095]})),
            "PropertyValueOutOfRange",
            "TaggedVLANIds",
        ),
        (
            oem(json!({"TaggedVLANIds": [20, 20]})),
            "PropertyValueIncorrect",
            "20",
        ),
        (
            oem(json!({"UntaggedVLANId": 20, "TaggedVLANIds": [20]})),
            "PropertyValueConflict",
            "TaggedVLANIds",
        ),
        (oem(json!({"Vlan": 20})), "PropertyNotWritable", "Vlan"),
        (
            json!({"InterfaceEnabled": true, "LinkState": "Disabled"}),
            "PropertyValueConflict",
            "LinkState",
        ),
        (json!({"InterfaceEnabled": 1}), "PropertyValueTypeError", "1"),
        (json!({"PortId": "x"}), "PropertyNotWritable", "PortId"),
    ] {
        let refused = admin.patch(P1, &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        assert_eq!(refused.messages(), [message], "{body}");
        assert!(refused.body.to_string().contains(named), "{}", refused.body);
    }
    let missing = format!("{FABRIC}/Switches/sw0/Ports/p9");
    let body = json!({"InterfaceEnabled": false});
    assert_eq!(admin.patch(&missing, &body).await.status, 404);
    // A port of an adapter is only shown.
    assert_eq!(admin.patch(ADAPTER, &body).await.status, 405);
    assert_eq!(admin.get(P1).await.body, before);
}

#[tokio::test]
async fn a_port_that_does_not_obey_is_an_error_and_nothing_waits() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    blade.agent.buses().switches().unwrap().jam("sw0", "p2");
    let body = json!({"InterfaceEnabled": false});
    let failed = admin.patch(P2, &body).await;
    assert_eq!(failed.status, 500, "{}", failed.body);
    assert_eq!(admin.get(FABRIC).await.body["Oem"], Value::Null);
}

#[tokio::test]
async fn a_board_file_with_an_impossible_switch_is_refused_by_its_line() {
    let board = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/boards/sim-blade.toml"
    ))
    .unwrap();
    for (from, to, named) in [
        ("vlan = 241\ntagged", "vlan = 4095\ntagged", "4095 is no VLAN"),
        ("tagged = [10, 241]", "tagged = [0]", "0 is no VLAN"),
        ("tagged = [10]\n", "tagged = [241]\n", "241 is there twice"),
        ("id = \"p2\"", "id = \"p1\"", "a second `p1`"),
        ("interface = \"eth0\"", "interface = \"eth7\"", "`eth7`"),
        ("system = \"node\"\ninterface", "interface", "or neither"),
        ("id = \"p2\"", "id = \"p/2\"", "no id"),
    ] {
        assert!(board.contains(from), "{from}");
        let error = refused(&board.replacen(from, to, 1)).await;
        assert!(error.contains(named) && error.contains("line"), "{error}");
    }
}
