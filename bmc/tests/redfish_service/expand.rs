//! `$expand` alone takes another way through the service than `$expand` with
//! other parameters; both lead to the same answer.

use serde_json::{Value, json};

use crate::client::{Blade, Client, SESSIONS};

/// Where everything in `value` is, and which resources there are.
fn shape(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                shape(value, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                shape(value, &format!("{at}/{index}"), all);
            }
        }
        Value::String(uri) if at.ends_with("@odata.id") => {
            all.push(format!("{at} {uri}"));
        }
        // Readings move between two requests.
        _ => all.push(at.to_owned()),
    }
}

/// A client with a session of the administrator.
async fn session(blade: &Blade) -> Client {
    let stranger = blade.stranger();
    let body = json!({"UserName": "admin", "Password": blade.password});
    let session = stranger.post(SESSIONS, &body).await;
    stranger.with("x-auth-token", session.header("x-auth-token"))
}

/// How many resources were made anew so far.
fn renders(blade: &Blade) -> u64 {
    let scrape = blade.agent.exporter().render();
    let mut lines = scrape.lines();
    let count = lines
        .find_map(|line| line.strip_prefix("onprem_redfish_renders_total "));
    count.unwrap().parse().unwrap()
}

/// One resource among many that each request makes anew can cost more than all
/// the others: it did.
#[tokio::test]
async fn what_stays_true_is_made_once() {
    let blade = Blade::simulated().await;
    let admin = session(&blade).await;
    let manager = blade.agent.model().snapshot().inventory.manager.id.clone();
    let manager = format!("Managers/{manager}?$expand=*");
    for uri in ["Chassis/blade?$expand=*($levels=2)", &manager] {
        let uri = format!("/redfish/v1/{uri}");
        let mut made = Vec::new();
        for _ in 0..50 {
            let before = renders(&blade);
            assert_eq!(admin.get(&uri).await.status, 200, "{uri}");
            made.push(renders(&blade) - before);
        }
        // At times a reading has come meanwhile, or a second has passed.
        assert!(made.contains(&0), "{uri}: {made:?}");
    }
    assert_ne!(renders(&blade), 0, "they are counted");
}

/// A write is seen by whoever reads next, kept or not.
#[tokio::test]
async fn what_was_written_is_in_the_next_answer() {
    let blade = Blade::simulated().await;
    let admin = session(&blade).await;
    let manager = blade.agent.model().snapshot().inventory.manager.id.clone();
    let protocol = format!("/redfish/v1/Managers/{manager}/NetworkProtocol");
    let uri = format!("/redfish/v1/Managers/{manager}?$expand=.");
    for seconds in 100..130 {
        let change =
            json!({"SSDP": {"NotifyMulticastIntervalSeconds": seconds}});
        assert_eq!(admin.patch(&protocol, &change).await.status, 200);
        let reply = admin.get(&uri).await;
        let ssdp = &reply.body["NetworkProtocol"]["SSDP"];
        assert_eq!(ssdp["NotifyMulticastIntervalSeconds"], seconds);
    }
}

#[tokio::test]
async fn alone_and_with_others_it_says_the_same() {
    let blade = Blade::simulated().await;
    let admin = session(&blade).await;
    let mut sizes = Vec::new();
    for collection in [
        "Systems",
        "Chassis",
        "Managers",
        "Chassis/blade/Sensors",
        "Registries",
    ] {
        for what in [".", "~", "*"] {
            for levels in 1..=4 {
                let uri = format!("/redfish/v1/{collection}");
                let expand = format!("$expand={what}($levels={levels})");
                let mut answers = Vec::new();
                for query in [expand.clone(), format!("{expand}&$skip=0")] {
                    let reply = admin.get(&format!("{uri}?{query}")).await;
                    assert_eq!(reply.status, 200, "{uri}?{query}");
                    let mut all = Vec::new();
                    shape(&reply.body, "", &mut all);
                    answers.push(all);
                }
                assert_eq!(answers[0], answers[1], "{uri} {what} {levels}");
                sizes.push(answers[0].len());
            }
        }
    }
    assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
}
