//! The logs: what is in them, how it is read, and what survives.

use std::{fs, io::Write as _};

use http::Method;
use onprem_redfish::check;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{ACCOUNTS, Blade, Client},
    support::process::Process,
};

const SYSTEM: &str = "/redfish/v1/Systems/node";
const SEL: &str = "/redfish/v1/Systems/node/LogServices/SEL";
const LOGS: &str = "/redfish/v1/Managers/bmc/LogServices";

async fn entries(client: &Client, log: &str) -> Vec<Value> {
    let reply = client.get(&format!("{log}/Entries")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["Members"].as_array().unwrap().clone()
}

/// The newest entry that `fits`, once there is one.
async fn entry(
    client: &Client,
    log: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    for _ in 0..400 {
        let found = entries(client, log).await.into_iter().find(&fits);
        if let Some(found) = found {
            assert_eq!(check(&found), [], "{found}");
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("no such entry in {log}: {:?}", entries(client, log).await);
}

async fn switch_off(client: &Client) {
    let reset = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let off = client.post(&reset, &json!({"ResetType": "ForceOff"})).await;
    assert!(off.status.is_success(), "{}", off.body);
}

#[tokio::test]
async fn what_becomes_of_the_hardware_is_in_its_log() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    switch_off(&admin).await;
    let off =
        entry(&admin, SEL, |it| it["EntryCode"] == "Transition to Power Off")
            .await;
    assert_eq!(off["EntryType"], "SEL");
    assert_eq!(off["SensorType"], "System ACPI PowerState");
    assert_eq!(off["MessageId"], "0x0A02FFFF");
    assert_eq!(off["Severity"], "OK");
    assert_eq!(off["Links"]["OriginOfCondition"]["@odata.id"], SYSTEM);

    let part = blade.agent.simulation().unwrap().part("CPU_Temperature");
    part.unplug();
    let lost =
        entry(&admin, SEL, |it| it["EntryCode"] == "State Asserted").await;
    assert_eq!(lost["SensorType"], "Temperature");
    assert_eq!(lost["Severity"], "Warning");
    assert!(lost["SensorNumber"].as_u64().unwrap() > 0);
    let of = lost["Links"]["OriginOfCondition"]["@odata.id"].as_str();
    assert!(of.unwrap().ends_with("/Sensors/CPU_Temperature"), "{lost}");

    let uri = lost["@odata.id"].as_str().unwrap();
    assert_eq!(lost["Resolved"], false);
    let seen = admin.patch(uri, &json!({"Resolved": true})).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.body["Resolved"]),
        (200, &json!(true))
    );
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let kept = admin.get(uri).await;
    assert_eq!(kept.body["Resolved"], true, "{}", kept.body);
    assert_eq!(kept.body["Created"], lost["Created"]);
    for (body, message) in [
        (json!({"Resolved": "yes"}), "PropertyValueTypeError"),
        (json!({"Message": "all is well"}), "PropertyNotWritable"),
    ] {
        let refused = admin.patch(uri, &body).await;
        assert_eq!(refused.messages(), [message], "{body}");
    }
}

/// The board with another system, in a chassis of its own.
fn twice(text: String) -> String {
    let (system, _) = text.split_once("[[chassis]]").unwrap();
    let other = system
        .replace("id = \"node\"", "id = \"other\"")
        .replace("100000002f6c1d3a", "100000002f6c1d3b");
    let chassis = r#"
        [[chassis]]
        id = "beside"
        name = "beside"
        kind = "blade"
        systems = ["other"]
        board = { manufacturer = "Raspberry Pi", model = "4B Rev 1.4" }

        [[chassis.sensor]]
        id = "Other_Temperature"
        name = "Other Temperature"
        of = "other"
        measures = "processor_temperature"
    "#;
    text + &other + chassis
}

#[tokio::test]
async fn each_system_has_a_log_of_its_own_hardware() {
    const OTHER: &str = "/redfish/v1/Systems/other/LogServices/SEL";
    let blade = Blade::with_board(twice).await;
    let admin = blade.admin();
    switch_off(&admin).await;
    let power = "Transition to Power Off";
    entry(&admin, SEL, |it| it["EntryCode"] == power).await;
    let part = blade.agent.simulation().unwrap().part("Other_Temperature");
    part.unplug();
    let lost =
        entry(&admin, OTHER, |it| it["EntryCode"] == "State Asserted").await;
    let of = lost["Links"]["OriginOfCondition"]["@odata.id"].as_str();
    assert_eq!(
        of,
        Some("/redfish/v1/Chassis/beside/Sensors/Other_Temperature")
    );
    let codes = async |log| {
        let all = entries(&admin, log).await.into_iter();
        all.map(|it| it["EntryCode"].clone()).collect::<Vec<_>>()
    };
    assert!(!codes(OTHER).await.contains(&json!(power)));
    assert!(!codes(SEL).await.contains(&json!("State Asserted")));

    let uri = lost["@odata.id"].as_str().unwrap();
    let seen = admin.patch(uri, &json!({"Resolved": true})).await;
    assert_eq!(seen.body["Resolved"], true, "{}", seen.body);
    let before = entries(&admin, SEL).await.len();
    let clear = format!("{OTHER}/Actions/LogService.ClearLog");
    assert!(admin.post(&clear, &json!({})).await.status.is_success());
    assert_eq!(codes(OTHER).await.len(), 0);
    assert_eq!(entries(&admin, SEL).await.len(), before, "the other's is");
    let nobody = "/redfish/v1/Systems/nobody/LogServices/SEL";
    assert_eq!(admin.get(nobody).await.status, 404);
}

#[tokio::test]
async fn the_audit_log_can_neither_be_stopped_nor_cleared() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let audit = format!("{LOGS}/AuditLog");
    let reader = blade.account("rolf", "ReadOnly").await;
    let uri = format!("{ACCOUNTS}/admin");
    reader.send(Method::DELETE, &uri, "").await;
    let tried = entry(&admin, &audit, |it| it["Username"] == "rolf").await;
    assert_eq!(tried["Severity"], "Warning");
    assert_eq!(tried["OriginAddress"], "https://127.0.0.1");
    assert_eq!(tried["OriginatorType"], "Client");
    assert_eq!(tried["Links"]["OriginOfCondition"]["@odata.id"], uri);
    let text = tried["Message"].as_str().unwrap();
    assert!(text.contains("DELETE") && text.contains("403"), "{text}");

    let service = admin.get(&audit).await;
    assert_eq!(service.body["ServiceEnabled"], true);
    assert_eq!(service.body.get("Actions"), None);
    let clear = format!("{audit}/Actions/LogService.ClearLog");
    let cleared = admin.post(&clear, &json!({})).await;
    assert_eq!(cleared.messages(), ["ActionNotSupported"]);
    let off = admin.patch(&audit, &json!({"ServiceEnabled": false})).await;
    assert_eq!(off.messages(), ["PropertyNotWritable"]);
    let entry_uri = tried["@odata.id"].as_str().unwrap().to_owned();
    let seen = admin.patch(&entry_uri, &json!({"Resolved": true})).await;
    assert_eq!(seen.messages(), ["PropertyNotWritable"]);

    let blade = blade.restarted().await;
    let now = blade.admin().get(&entry_uri).await;
    assert_eq!(now.body["Message"], tried["Message"]);
}

#[tokio::test]
async fn a_log_is_cleared_by_who_may_and_knows_it() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    switch_off(&admin).await;
    entry(&admin, SEL, |_| true).await;
    let clear = format!("{SEL}/Actions/LogService.ClearLog");
    let reader = blade.account("rolf", "ReadOnly").await;
    assert_eq!(reader.post(&clear, &json!({})).await.status, 403);
    let stale = json!({"LogEntriesETag": "\"0123\""});
    let refused = admin.post(&clear, &stale).await;
    assert_eq!(refused.status, 428);
    assert_eq!(refused.messages(), ["PreconditionRequired"]);
    for (body, message) in [
        (json!({"LogEntriesETag": 5}), "ActionParameterValueTypeError"),
        (json!({"Everything": true}), "ActionParameterUnknown"),
    ] {
        assert_eq!(admin.post(&clear, &body).await.messages(), [message]);
    }
    let now = admin.get(&format!("{SEL}/Entries")).await;
    let newest = now.body["Members"][0]["Id"].as_str().unwrap().to_owned();
    let known = json!({"LogEntriesETag": now.header("etag")});
    assert_eq!(admin.post(&clear, &known).await.status, 200);
    assert_eq!(entries(&admin, SEL).await, [Value::Null; 0]);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let all = entries(&admin, SEL).await;
    let id = |it: &Value| it["Id"].as_str().unwrap().parse::<u64>().unwrap();
    let newest: u64 = newest.parse().unwrap();
    assert!(all.iter().all(|it| id(it) > newest), "{all:?}");
    let audit = format!("{LOGS}/AuditLog");
    let cleared = entry(&admin, &audit, |it| {
        it["Message"].as_str().unwrap().contains("ClearLog was answered with 2")
    });
    assert_eq!(cleared.await["Username"], "admin");
}

#[tokio::test]
async fn long_logs_are_read_in_pages() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for n in 0..130 {
        let tag = json!({"AssetTag": format!("tag {n}")});
        assert_eq!(admin.patch(SYSTEM, &tag).await.status, 200);
    }
    let all = format!("{LOGS}/AuditLog/Entries");
    let first = admin.get(&all).await.body;
    let count = first["Members@odata.count"].as_u64().unwrap();
    assert!(count > 130, "{count}");
    assert_eq!(first["Members"].as_array().unwrap().len(), 100);
    let next = first["Members@odata.nextLink"].as_str().unwrap();
    let second = admin.get(next).await.body;
    let members = |body: &Value| body["Members"].as_array().unwrap().clone();
    let ids: Vec<u64> = members(&first)
        .iter()
        .chain(&members(&second))
        .map(|it| it["Id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ids.len() as u64, count);
    assert!(ids.is_sorted_by(|a, b| a > b), "the newest first");
    let part = admin.get(&format!("{all}?$skip=3&$top=5")).await.body;
    assert_eq!(members(&part), members(&first)[3..8]);
    assert_eq!(part["Members@odata.count"], count);
    let end = admin.get(&format!("{all}?$skip=100000")).await.body;
    assert_eq!(members(&end), [Value::Null; 0]);
}

#[tokio::test]
async fn a_log_that_is_switched_off_stays_off() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let log = format!("{LOGS}/EventLog");
    let off = admin.patch(&log, &json!({"ServiceEnabled": false})).await;
    assert_eq!(off.body["ServiceEnabled"], false, "{}", off.body);
    let clear = format!("{log}/Actions/LogService.ClearLog");
    assert_eq!(admin.post(&clear, &json!({})).await.status, 200);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    admin.patch(SYSTEM, &json!({"AssetTag": "unseen"})).await;
    assert_eq!(entries(&admin, &log).await, [Value::Null; 0]);
    let on = admin.patch(&log, &json!({"ServiceEnabled": true})).await;
    assert_eq!(on.body["ServiceEnabled"], true);
    admin.patch(SYSTEM, &json!({"AssetTag": "seen"})).await;
    let changed = entry(&admin, &log, |it| {
        it["Links"]["OriginOfCondition"]["@odata.id"] == SYSTEM
    })
    .await;
    assert_eq!(changed["EntryType"], "Event");
    assert_eq!(changed["MessageId"], "ResourceEvent.1.4.ResourceChanged");
    assert!(changed["EventId"].as_str().unwrap().parse::<u64>().is_ok());
    assert_eq!(changed["EventTimestamp"], changed["Created"]);
}

#[tokio::test]
async fn what_is_no_entry_is_not_found() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let audit = format!("{LOGS}/AuditLog/Entries");
    for id in ["0", "01", "+1", "x", "99999999999999999999"] {
        let reply = admin.get(&format!("{audit}/{id}")).await;
        assert_eq!(reply.status, 404, "{id}");
    }
    assert_eq!(admin.get(&format!("{LOGS}/SEL")).await.status, 404);
    assert_eq!(
        admin.get(&format!("{SYSTEM}/LogServices/AuditLog")).await.status,
        404
    );
}

#[tokio::test]
async fn a_kill_loses_no_write_that_was_answered() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    let connect = |process: &Process| {
        let port = process.redfish.rsplit(':').next().unwrap();
        let password = fs::read_to_string(state.join("initial-password"));
        Client::stranger(port.parse().unwrap(), &state)
            .basic("admin", password.unwrap().trim())
    };
    let audit = format!("{LOGS}/AuditLog");
    let process = Process::start(folder.path());
    let admin = connect(&process);
    let mut made = Vec::new();
    for round in 0..3 {
        let body = json!({"UserName": format!("user{round}"),
            "Password": crate::client::PASSWORD, "RoleId": "ReadOnly"});
        assert_eq!(admin.post(ACCOUNTS, &body).await.status, 201);
        made.push(entries(&admin, &audit).await[0].clone());
    }
    let journal = entries(&admin, &format!("{LOGS}/Journal")).await;
    assert!(
        journal.iter().any(|it| {
            it["Message"].as_str().unwrap().starts_with("listening")
                && it["EntryType"] == "Oem"
        }),
        "{journal:?}"
    );
    process.kill();
    // The power may go while a line is on its way.
    let segment = state.join("logs/audit/00000001.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(segment).unwrap();
    file.write_all(b"{\"id\":99,\"at\":\"2026-01-01T00:0\0\0\0").unwrap();
    let process = Process::start(folder.path());
    let admin = connect(&process);
    let now = entries(&admin, &audit).await;
    for entry in &made {
        assert!(now.contains(entry), "{entry} is not in {now:?}");
    }
    let id = |it: &Value| it["Id"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(id(&now[0]), id(made.last().unwrap()) + 1);
    assert_eq!(process.terminate(), Some(0));
}
