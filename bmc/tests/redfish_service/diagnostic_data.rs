//! Collected diagnostic data: how they are made, who may have them, and what
//! is not in them.

use std::{fs, path::Path};

use http::Method;
use onprem_redfish::check;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{ACCOUNTS, Blade, Client, PASSWORD, Reply, SESSIONS},
    support::process::Process,
    tasks::end,
};

const DUMP: &str = "/redfish/v1/Managers/bmc/LogServices/Dump";
const COLLECT: &str = "/redfish/v1/Managers/bmc/LogServices/Dump/Actions/\
                       LogService.CollectDiagnosticData";

fn manager() -> Value {
    json!({"DiagnosticDataType": "Manager"})
}

/// Collects once; the answer of the monitor.
async fn collect(client: &Client) -> Reply {
    let started = client.post(COLLECT, &manager()).await;
    assert_eq!(started.status, 202, "{}", started.body);
    end(client, started.header("location")).await
}

/// The new entry.
async fn entry(client: &Client) -> Value {
    let made = collect(client).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let entry = client.get(made.header("location")).await;
    assert_eq!(entry.status, 200, "{}", entry.body);
    assert_eq!(check(&entry.body), [], "{}", entry.body);
    entry.body
}

fn data(entry: &Value) -> &str {
    entry["AdditionalDataURI"].as_str().unwrap()
}

/// How many files there are.
fn files(state: &Path) -> usize {
    fs::read_dir(state.join("dumps")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_is_collected_is_in_a_new_entry_and_stays() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let service = admin.get(DUMP).await.body;
    assert_eq!(check(&service), [], "{service}");
    let action = &service["Actions"]["#LogService.CollectDiagnosticData"];
    assert_eq!(action["target"], COLLECT);
    let types = "DiagnosticDataType@Redfish.AllowableValues";
    assert_eq!(action[types], json!(["Manager"]));
    let info = action["@Redfish.ActionInfo"].as_str().unwrap();
    let info = admin.get(info).await.body;
    assert_eq!(info["Parameters"][0]["Name"], "DiagnosticDataType");

    let entry = entry(&admin).await;
    assert_eq!(entry["DiagnosticDataType"], "Manager");
    let uri = entry["@odata.id"].as_str().unwrap();
    assert_eq!(data(&entry), format!("{uri}/attachment"));
    let got = admin.get(data(&entry)).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("content-type"), "application/json");
    let length = entry["AdditionalDataSizeBytes"].as_u64().unwrap();
    assert_eq!(got.header("content-length"), length.to_string());
    assert!(length <= 4 << 20, "{length}");
    let bundle = &got.body;
    assert_eq!(bundle["Agent"]["Version"], env!("CARGO_PKG_VERSION"));
    let state = blade.state.path().to_str().unwrap();
    assert_eq!(bundle["Configuration"]["state_dir"], state);
    assert_eq!(bundle["ResourcesLeftOut"], 0);
    let resources = &bundle["Resources"];
    let node = &resources["/redfish/v1/Systems/node"];
    assert_eq!(node["PowerState"], "On");
    let sensors = resources.as_object().unwrap().keys();
    assert!(sensors.filter(|uri| uri.contains("/Sensors/")).count() > 2);
    let task = resources.as_object().unwrap().values();
    let mut task = task.filter(|it| it["TaskState"] == "Running");
    assert!(task.next().is_some(), "the task itself");
    assert!(bundle["Kernel"]["/proc/loadavg"][0].is_string());

    let blade = blade.restarted().await;
    let again = blade.admin().get(data(&entry)).await;
    assert_eq!(again.body, got.body);
    let kept = blade.admin().get(uri).await.body;
    assert_eq!(kept["AdditionalDataURI"], entry["AdditionalDataURI"]);
}

#[tokio::test]
async fn only_who_configures_the_manager_collects_and_reads() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let entry = entry(&admin).await;
    let data = data(&entry);
    let reader = blade.account("rolf", "ReadOnly").await;
    let operator = blade.account("olga", "Operator").await;
    for client in [&reader, &operator] {
        assert_eq!(client.post(COLLECT, &manager()).await.status, 403);
        let refused = client.get(data).await;
        assert_eq!(refused.status, 403);
        assert!(!refused.body.to_string().contains("Resources"));
        let uri = entry["@odata.id"].as_str().unwrap();
        assert_eq!(client.get(uri).await.status, 200, "that there is one");
    }
    assert_eq!(blade.stranger().get(data).await.status, 401);
    assert_eq!(admin.send(Method::HEAD, data, "").await.status, 200);
    for method in [Method::DELETE, Method::PATCH, Method::POST] {
        let refused = admin.send(method, data, "{}").await;
        assert_eq!(refused.status, 405);
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    let wants = admin.clone().with("accept", "text/html");
    assert_eq!(wants.get(data).await.status, 406);
    for other in [
        format!("{DUMP}/Entries/99/attachment"),
        format!("{DUMP}/Entries/..%2f..%2ftls/attachment"),
        data.replace("Dump", "Journal"),
        data.replace("bmc", "other"),
    ] {
        assert_eq!(admin.get(&other).await.status, 404, "{other}");
    }
}

#[tokio::test]
async fn what_was_logged_is_collected_and_no_secret_is() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    let process = Process::start(folder.path());
    let port = process.redfish.rsplit(':').next().unwrap();
    let stranger = Client::stranger(port.parse().unwrap(), &state);
    let password = fs::read_to_string(state.join("initial-password"));
    let password = password.unwrap().trim().to_owned();
    let admin = stranger.clone().basic("admin", &password);
    let account = json!({"UserName": "rolf", "Password": PASSWORD,
        "RoleId": "ReadOnly"});
    assert_eq!(admin.post(ACCOUNTS, &account).await.status, 201);
    let login = json!({"UserName": "rolf", "Password": PASSWORD});
    let session = stranger.post(SESSIONS, &login).await;
    let token = session.header("x-auth-token").to_owned();
    assert!(!token.is_empty());
    let listener = json!({"Destination": "https://127.0.0.1:1/in",
        "Protocol": "Redfish", "HttpHeaders": [{"X-Key": "tr0ub4dor"}]});
    let uri = "/redfish/v1/EventService/Subscriptions";
    let subscribed = admin.post(uri, &listener).await;
    assert_eq!(subscribed.status, 201, "{}", subscribed.body);
    let image = json!({"ImageURI": "http://u:swordfish@127.0.0.1:1/x.img"});
    let uri = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate";
    admin.post(uri, &image).await;
    let mut secrets = vec![
        password,
        PASSWORD.to_owned(),
        token,
        "tr0ub4dor".to_owned(),
        "swordfish".to_owned(),
        "PRIVATE KEY".to_owned(),
        "$argon2".to_owned(),
    ];
    let key = fs::read_to_string(state.join("tls/key.pem"));
    let key = key.unwrap();
    let lines = key.lines().filter(|line| !line.starts_with("--"));
    secrets.extend(lines.map(str::to_owned));
    let entry = entry(&admin).await;
    let bundle = admin.get(data(&entry)).await.body;
    let journal = bundle["Logs"]["Journal"].as_array().unwrap();
    let said = |it: &Value| it["text"].as_str().unwrap().to_owned();
    assert!(journal.iter().any(|it| said(it).starts_with("listening")));
    let got = bundle.to_string();
    for secret in secrets {
        assert!(!got.contains(&secret), "{secret}");
    }
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test]
async fn a_few_are_kept_until_the_log_is_cleared() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let first = entry(&admin).await;
    for _ in 0..4 {
        entry(&admin).await;
    }
    let entries = admin.get(&format!("{DUMP}/Entries")).await.body;
    assert_eq!(entries["Members@odata.count"], 4);
    assert_eq!(files(blade.state.path()), 4);
    assert_eq!(admin.get(data(&first)).await.status, 404);
    let newest = entries["Members"][0].clone();
    assert_eq!(admin.get(data(&newest)).await.status, 200);
    // What a crash left behind.
    fs::write(blade.state.path().join("dumps/left.json"), "{}").unwrap();
    let blade = blade.restarted().await;
    let admin = blade.admin();
    assert_eq!(files(blade.state.path()), 4);
    let clear = format!("{DUMP}/Actions/LogService.ClearLog");
    assert_eq!(admin.post(&clear, &json!({})).await.status, 200);
    assert_eq!(files(blade.state.path()), 0);
    assert_eq!(admin.get(data(&newest)).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_collected_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (body, message) in [
        (json!({}), "ActionParameterMissing"),
        (json!({"DiagnosticDataType": 1}), "ActionParameterValueTypeError"),
        (json!({"DiagnosticDataType": "OS"}), "ActionParameterValueNotInList"),
        (json!({"DiagnosticDataType": "Me"}), "ActionParameterValueNotInList"),
        (
            json!({"DiagnosticDataType": "Manager",
                "TargetURI": "https://127.0.0.1:1/"}),
            "ActionParameterNotSupported",
        ),
    ] {
        let refused = admin.post(COLLECT, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let journal = COLLECT.replace("Dump", "Journal");
    let refused = admin.post(&journal, &manager()).await;
    assert_eq!(refused.messages(), ["ActionNotSupported"]);
    let off = json!({"ServiceEnabled": false});
    assert_eq!(admin.patch(DUMP, &off).await.status, 200);
    let refused = admin.post(COLLECT, &manager()).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.messages(), ["ServiceDisabled"]);
    assert_eq!(files(blade.state.path()), 0);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told_of() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    fs::write(blade.state.path().join("dumps"), "no folder").unwrap();
    let failed = collect(&admin).await;
    assert_eq!(failed.status, 500, "{}", failed.body);
    let entries = admin.get(&format!("{DUMP}/Entries")).await.body;
    assert_eq!(entries["Members@odata.count"], 0);
}
