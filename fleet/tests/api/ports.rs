//! The ports of a device: what is at their other ends, and a change that is
//! undone unless somebody confirms it.

use http::{Method, StatusCode};
use onprem_bmc::{agent::Agent, config::Config as AgentConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    live::{BLADE, config, joined},
    support::{Fleet, request},
};

/// A fleet and a blade whose switch may be changed.
async fn with_switch(folder: &TempDir) -> (Fleet, Agent) {
    let fleet = Fleet::start().await;
    let config = AgentConfig {
        allow_network_changes: true,
        ..config(&fleet, folder, "sim-blade").await
    };
    let agent = joined(&fleet, config).await;
    (fleet, agent)
}

fn state(port: &Value) -> (&Value, &Value, &Value) {
    (&port["enabled"], &port["untaggedVlan"], &port["changeState"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_says_what_its_ports_are_joined_to() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, agent) = with_switch(&folder).await;
    let ports = format!("{BLADE}/ports");
    let listed = fleet.get(&ports).await;
    let items = listed["items"].as_array().unwrap();
    let ids: Vec<_> =
        items.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["eth0", "sw0.p1", "sw0.p2", "sw0.uplink", "wlan0"]);
    let own = fleet.get(&format!("{ports}/eth0")).await;
    assert_eq!(own["kind"], "adapter");
    assert_eq!(own["joinedTo"], "sw0.p1");
    assert_eq!(own["linkStatus"], "LinkUp");
    assert!(own["rxBytes"].is_u64(), "{own}");
    let p1 = fleet.get(&format!("{ports}/p1")).await;
    assert_eq!(p1["id"], "sw0.p1");
    assert_eq!(p1["joinedTo"], "eth0");
    assert_eq!(state(&p1), (&json!(true), &json!(241), &json!("settled")));
    assert_eq!(p1["taggedVlans"], json!([10]));

    // The neighbour is heard a moment after the agent has begun to listen.
    let uplink = loop {
        let uplink = fleet.get(&format!("{ports}/sw0.uplink")).await;
        if uplink["neighbour"].is_string() {
            break uplink;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(uplink["neighbour"], "rack-1-switch");
    assert_eq!(uplink["neighbourPort"], "Ethernet12");
    assert_eq!(uplink["speedMbps"], 10_000);
    let links = loop {
        let links = fleet.get("/v1/links?device=c001-b8-n01").await;
        if links["items"].as_array().unwrap().len() == 2 {
            break links;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let out = &links["items"][1];
    assert_eq!(out["port"], "sw0.uplink", "{links}");
    assert_eq!(out["neighbour"], "rack-1-switch");
    assert_eq!(out["neighbourPort"], "Ethernet12");
    assert_eq!(
        (&out["source"], &out["neighbourDevice"]),
        (&json!("lldp"), &Value::Null)
    );
    let inside = &links["items"][0];
    assert_eq!(
        (&inside["port"], &inside["neighbourPort"]),
        (&json!("eth0"), &json!("sw0.p1"))
    );
    let none = fleet.call(Method::GET, "/v1/links?device=nobody", None).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND, "{}", none.body);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_port_is_undone_unless_somebody_confirms_it() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, agent) = with_switch(&folder).await;
    let port = format!("{BLADE}/ports/sw0.p2");
    let set =
        async |body: Value| fleet.call(Method::PATCH, &port, Some(body)).await;
    for (body, pointer) in [
        (json!({"untaggedVlan": 4095}), "/untaggedVlan"),
        (json!({"taggedVlans": [10, 0]}), "/taggedVlans/1"),
        (json!({"vlan": 1}), "/vlan"),
    ] {
        let refused = set(body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["pointer"], pointer, "{}", refused.body);
    }
    let before = fleet.get(&port).await;
    assert_eq!(state(&before).2, "settled");
    let settle = |word: &str| format!("{port}/{word}");
    let nothing = Some(json!({}));
    let early = fleet.call(Method::POST, &settle("confirm"), nothing).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.body);

    let wish = json!({"enabled": false, "untaggedVlan": 20});
    let changed = set(wish.clone()).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let waiting = (&json!(false), &json!(20), &json!("waiting"));
    assert_eq!(state(&changed.body), waiting);
    let left = changed.body["undoneInSeconds"].as_u64().unwrap();
    assert!((1..=60).contains(&left), "{left}");
    let second = set(json!({"enabled": true})).await;
    assert_eq!(second.status, StatusCode::CONFLICT, "{}", second.body);
    let other = Some(json!({"change": "another"}));
    let other = fleet.call(Method::POST, &settle("revert"), other).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.body);
    fleet.post(&settle("revert"), json!({}), StatusCode::OK).await;
    // The agent takes the way back when it hears that nobody waits.
    let back = loop {
        let back = fleet.get(&port).await;
        if back["changeState"] == "settled" {
            break back;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(state(&back), state(&before));

    let changed = set(wish).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.body["changedBy"], "fleet/admin");
    // The console says so, and offers both ways out.
    let page = "/devices/c001-b8-n01/ports/sw0.p2";
    let (_, shown) = fleet.page(page, None).await;
    assert!(shown.contains("Undone unless confirmed"), "{shown}");
    let confirm = format!("href=\"{page}/actions/confirm\"");
    assert!(shown.contains(&confirm), "{shown}");
    // Who did not ask for it says which one is meant.
    let change = changed.body["change"].as_str().unwrap();
    let other = fleet.token_of("bob", "operator").await;
    let other = request(
        Method::POST,
        &settle("confirm"),
        Some(&other),
        Some(&json!({})),
    );
    let refused = fleet.send(other).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert_eq!(refused.body["pointer"], "/change");
    let said = refused.body["message"].as_str().unwrap();
    assert!(said.contains("`fleet/admin` asked for"), "{said}");
    assert!(said.contains(&format!("its id `{change}`")), "{said}");
    // The console's form names the one that it showed.
    let form = format!("{page}/actions/confirm");
    let (_, shown) = fleet.page(&form, None).await;
    let field = format!("name=\"change\" value=\"{change}\"");
    assert!(shown.contains(&field), "{shown}");
    let command = format!("sw0.p2 --change {change}");
    assert!(shown.contains(&command), "{shown}");
    let (status, shown) = fleet.page(&form, Some("change=another")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{shown}");
    assert!(shown.contains("does not wait"), "{shown}");
    let kept = json!({ "change": change });
    let kept = fleet.post(&settle("confirm"), kept, StatusCode::OK).await;
    assert_eq!(state(&kept), (&json!(false), &json!(20), &json!("settled")));
    let (_, shown) = fleet.page(page, None).await;
    assert!(!shown.contains(&confirm), "{shown}");
    let log = fleet.get("/v1/audit-records?operation=device_port_update").await;
    let detail = log["items"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(r#""untaggedVlan":20"#), "{detail}");
    // A port of an adapter is its computer's.
    let own = format!("{BLADE}/ports/eth0");
    let body = Some(json!({"enabled": false}));
    let refused = fleet.call(Method::PATCH, &own, body).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    agent.stop().await;
}
