//! A full disk: what cannot be kept is refused as such, nothing is half
//! written, and the agent goes on.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    sync::Arc,
};

use http::Method;
use onprem_link::enrol::{Fingerprint, JoinToken};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    client::{ACCOUNTS, Blade, ROOT},
    support::image::Key,
};

/// Set where the test runs in a mount namespace of its own.
const ALONE: &str = "ONPREM_TEST_MOUNTS";
const SYSTEM: &str = "/redfish/v1/Systems/node";
const CONNECTIONS: &str = "/redfish/v1/AccountService/OutboundConnections";
const DEFINITIONS: &str =
    "/redfish/v1/TelemetryService/MetricReportDefinitions";
const GENERATE_CSR: &str = "/redfish/v1/CertificateService/Actions/\
                            CertificateService.GenerateCSR";
const COLLECT: &str = "/redfish/v1/Managers/bmc/LogServices/Dump/Actions/\
                       LogService.CollectDiagnosticData";
const CERTIFICATES: &str =
    "/redfish/v1/Managers/bmc/NetworkProtocol/HTTPS/Certificates";

/// Runs the test `name` of this program in a mount namespace of its own, in
/// which it may mount; whether this is that run.
fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let able = Command::new("unshare").args(["-m", "true"]).output();
    if !able.is_ok_and(|it| it.status.success()) {
        eprintln!("not tested: only root may mount a small disk");
        return false;
    }
    let done = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{errors}");
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// A disk of `kib` KiB that goes with the namespace.
fn disk(kib: u32) -> Arc<TempDir> {
    let folder = TempDir::new().unwrap();
    let size = format!("size={kib}k,mode=0700");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
        .arg(folder.path())
        .status();
    assert!(mounted.unwrap().success());
    Arc::new(folder)
}

/// Takes all the space that is left.
fn fill(folder: &Path) {
    let mut file = File::create(folder.join("ballast")).unwrap();
    while file.write_all(&[1; 512]).is_ok() {}
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_the_agent_serves_on() {
    let name = "full_disk::\
                what_cannot_be_kept_is_refused_and_the_agent_serves_on";
    if !is_alone(name) {
        return;
    }
    let disk = disk(6 << 10);
    let key = Key::new().public;
    let blade = Blade::updatable_in(Arc::clone(&disk), key.clone()).await;
    let admin = blade.admin();
    let tag = async |text: &str| {
        admin.patch(SYSTEM, &json!({"AssetTag": text})).await
    };
    assert_eq!(tag("rack 7").await.status, 200);
    let settings = disk.path().join("settings.json");
    let before = fs::read(&settings).unwrap();

    // An image that is longer than the disk.
    let head = "--frontier\r\nContent-Disposition: form-data; name=";
    let mut body = format!(
        "{head}\"UpdateParameters\"\r\n\r\n{{}}\r\n\
         {head}\"UpdateFile\"; filename=\"a.img\"\r\n\r\n"
    )
    .into_bytes();
    body.resize(body.len() + (8 << 20), 7);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    let pushed = admin
        .clone()
        .with("content-type", "multipart/form-data; boundary=frontier")
        .send_bytes(Method::POST, "/redfish/v1/UpdateService/Multipart", body)
        .await;
    assert_eq!(pushed.status, 507, "{}", pushed.body);
    assert_eq!(pushed.messages(), ["InsufficientStorage"]);
    let slots = fs::read_dir(disk.path().join("slots"));
    let left = slots.into_iter().flatten().flatten();
    let left: Vec<_> = left.map(|it| it.path()).collect();
    assert!(!left.iter().any(|it| it.is_file()), "{left:?}");

    fill(disk.path());
    let account = json!({"UserName": "nora", "Password": "Kiesel-Turm-47",
        "RoleId": "Operator"});
    let token = JoinToken::new(Fingerprint::of(b"a certificate")).reveal();
    let bearer = json!({"Authorization": format!("Bearer {token}")});
    let fleet = json!({
        "EndpointURI": "https://127.0.0.1:9",
        "Authentication": "MTLS",
        "Roles": ["ReadOnly", "Operator", "Administrator"],
        "WebSocketPingIntervalMinutes": 0,
        "PreUpgradeHTTPHeaders": bearer,
    });
    let report = json!({
        "Id": "r",
        "MetricReportDefinitionType": "OnRequest",
        "MetricProperties": [
            "/redfish/v1/Chassis/blade/Sensors/CPU_Temperature#/Reading",
        ],
    });
    let request = json!({
        "CommonName": "blade", "Country": "DE", "State": "a", "City": "b",
        "Organization": "c", "OrganizationalUnit": "d",
        "CertificateCollection": {"@odata.id": CERTIFICATES},
    });
    for refused in [
        tag("rack 8").await,
        admin.post(ACCOUNTS, &account).await,
        admin.post(CONNECTIONS, &fleet).await,
        admin.post(DEFINITIONS, &report).await,
        admin.post(GENERATE_CSR, &request).await,
        admin.post(COLLECT, &json!({"DiagnosticDataType": "Manager"})).await,
    ] {
        assert_eq!(refused.status, 507, "{}", refused.body);
        assert_eq!(refused.messages(), ["InsufficientStorage"]);
    }
    assert_eq!(admin.get(ROOT).await.status, 200);
    assert_eq!(admin.get(SYSTEM).await.body["AssetTag"], "rack 7");
    assert_eq!(admin.get(&format!("{ACCOUNTS}/nora")).await.status, 404);
    assert_eq!(fs::read(&settings).unwrap(), before);
    assert_eq!(admin.get(CONNECTIONS).await.body["Members"], json!([]));
    assert!(!disk.path().join("fleet/join-token").exists());
    // So it starts, too.
    assert!(blade.agent.stop().await);
    let blade = Blade::updatable_in(Arc::clone(&disk), key).await;
    let admin = blade.admin();
    assert_eq!(admin.get(SYSTEM).await.body["AssetTag"], "rack 7");

    fs::remove_file(disk.path().join("ballast")).unwrap();
    let set = admin.patch(SYSTEM, &json!({"AssetTag": "rack 9"})).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(admin.post(ACCOUNTS, &account).await.status, 201);
}
