//! A change of a port, which is undone unless it is confirmed.

use serde_json::{Value, json};

use super::{fake::FakeFleet, onprem};

fn port(state: &str) -> Value {
    let waits = state == "waiting";
    json!({
        "id": "sw0.p2", "name": "p2", "kind": "switch", "part": "sw0",
        "linkStatus": "LinkUp", "untaggedVlan": 20, "taggedVlans": [10, 30],
        "neighbour": "rack-1-switch", "neighbourPort": "Ethernet12",
        "changeState": state, "readAt": "2026-11-22T10:00:00Z",
        "change": if waits { json!("c7") } else { Value::Null },
        "undoneInSeconds": if waits { json!(57) } else { Value::Null },
    })
}

#[tokio::test]
async fn who_changes_a_port_is_told_how_to_keep_that() {
    let fleet = FakeFleet::start().await;
    let line = "PATCH /v1/devices/rack/ports/sw0.p2";
    fleet.on(line, 200, &port("waiting"));
    let words = ["set", "port", "rack", "sw0.p2", "enabled=false"];
    let more = ["untaggedVlan=20", "taggedVlans=10,30", "--url", &fleet.url];
    let done = onprem(&[&words[..], &more[..]].concat()).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let told = "note: sw0.p2: undone in 57 s unless `onprem network confirm \
                rack sw0.p2 --change c7` is said";
    assert!(done.err.contains(told), "{}", done.err);
    assert_eq!(
        fleet.seen().last().map(super::fake::Seen::json),
        Some(json!({
            "enabled": false, "untaggedVlan": 20, "taggedVlans": [10, 30],
        }))
    );
    // What holds at once is told without that.
    let fleet = FakeFleet::start().await;
    fleet.on(line, 200, &port("settled"));
    let words = ["set", "port", "rack", "sw0.p2", "enabled=true"];
    let done = onprem(&[&words[..], &["--url", &fleet.url]].concat()).await;
    assert!(!done.err.contains("undone"), "{}", done.err);

    for word in ["confirm", "revert"] {
        let line = format!("POST /v1/devices/rack/ports/sw0.p2/{word}");
        fleet.on(&line, 200, &port("settled"));
        let words = ["network", word, "rack", "sw0.p2", "--url", &fleet.url];
        let done = onprem(&words).await;
        assert_eq!(done.code, 0, "{}", done.err);
        let told = format!("sw0.p2: network {word}: done");
        assert!(done.err.contains(&told), "{}", done.err);
    }
}

#[tokio::test]
async fn ports_say_who_is_at_their_other_ends() {
    let fleet = FakeFleet::start().await;
    let page = json!({"items": [port("settled")], "next_page": null});
    fleet.on("GET /v1/devices/rack/ports", 200, &page);
    let words = ["get", "ports", "rack", "--url", &fleet.url];
    let done = onprem(&words).await;
    for word in ["sw0.p2", "rack-1-switch", "Ethernet12", "10, 30"] {
        assert!(done.out.contains(word), "{}", done.out);
    }
    assert!(!done.out.contains("rxErrors"), "{}", done.out);
    fleet.on("GET /v1/devices/rack/ports", 200, &page);
    let wide = onprem(&[&words[..], &["-o", "wide"]].concat()).await;
    assert!(wide.out.contains("rxErrors"), "{}", wide.out);
    let link = json!({
        "id": "blade.eth0.lldp", "device": "cfv5v3h32ckl0mq6al70",
        "deviceName": "blade", "port": "eth0", "neighbour": "rack",
        "neighbourDevice": "rack", "neighbourPort": "sw0.p2",
        "source": "macAddress", "seenAt": "2026-11-22T10:00:00Z",
    });
    let page = json!({"items": [link], "next_page": null});
    fleet.on("GET /v1/links", 200, &page);
    let words = ["get", "links", "--device", "blade", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert!(done.out.contains("sw0.p2"), "{} {}", done.out, done.err);
    let seen = fleet.seen();
    let last = &seen.last().unwrap().line;
    assert!(last.starts_with("GET /v1/links?device=blade"), "{last}");
}
