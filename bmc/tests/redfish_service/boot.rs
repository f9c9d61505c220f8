//! How a system starts: from where, and whether at all.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::{self, Blade, Client};

const SYSTEM: &str = "/redfish/v1/Systems/node";
const RESET: &str = "/redfish/v1/Systems/node/Actions/ComputerSystem.Reset";

/// Waits until the value at `pointer` of the system is `expected`.
async fn until(client: &Client, pointer: &str, expected: &Value) -> Value {
    let fits = |it: &Value| it.pointer(pointer) == Some(expected);
    client::until(client, SYSTEM, fits).await
}

async fn reset(client: &Client, kind: &str) {
    let done = client.post(RESET, &json!({"ResetType": kind})).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

fn boot(enabled: &str, target: &str) -> Value {
    json!({"Boot": {"BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideTarget": target}})
}

#[tokio::test]
async fn an_override_counts_once_or_until_it_is_taken_back() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let set = admin.patch(SYSTEM, &boot("Once", "Pxe")).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["Boot"]["BootSourceOverrideTarget"], "Pxe");
    assert_eq!(set.body["Boot"]["BootSourceOverrideMode"], "UEFI");

    // It waits for a start, however often the agent itself does.
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let kept = admin.get(SYSTEM).await.body;
    assert_eq!(kept["Boot"]["BootSourceOverrideEnabled"], "Once");
    reset(&admin, "ForceRestart").await;
    let enabled = "/Boot/BootSourceOverrideEnabled";
    let now = until(&admin, enabled, &json!("Disabled")).await;
    assert_eq!(now["Boot"]["BootSourceOverrideTarget"], "None");
    let running = json!("OSRunning");
    let now = until(&admin, "/BootProgress/LastState", &running).await;
    assert!(now["BootProgress"]["LastBootTimeSeconds"].as_f64() > Some(1.0));
    assert!(now["LastResetTime"].is_string());
    let model = blade.agent.model().snapshot();
    let from = model.boots.get("node").unwrap().started.from;
    assert_eq!(from.unwrap().as_str(), "Pxe");
    assert_eq!(now["Oem"]["OnPrem"]["LastBootSource"], "Pxe");

    admin.patch(SYSTEM, &boot("Continuous", "Usb")).await;
    reset(&admin, "ForceRestart").await;
    until(&admin, "/PowerState", &json!("On")).await;
    let now = admin.get(SYSTEM).await.body;
    assert_eq!(now["Boot"]["BootSourceOverrideEnabled"], "Continuous");
    let model = blade.agent.model().snapshot();
    let from = model.boots.get("node").unwrap().started.from;
    assert_eq!(from.unwrap().as_str(), "Usb");
}

#[tokio::test]
async fn a_start_goes_through_its_states() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let state = "/BootProgress/LastState";
    until(&admin, state, &json!("OSRunning")).await;
    reset(&admin, "ForceOff").await;
    until(&admin, state, &json!("None")).await;
    reset(&admin, "On").await;
    until(&admin, state, &json!("MemoryInitializationStarted")).await;
    until(&admin, state, &json!("OSBootStarted")).await;
    let now = until(&admin, state, &json!("OSRunning")).await;
    assert!(now["BootProgress"]["LastStateTime"].is_string());
}

#[tokio::test]
async fn what_cannot_be_is_named_and_changes_nothing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(SYSTEM).await.body["Boot"].clone();
    for (body, message) in [
        (boot("Once", "Floppy"), "PropertyValueNotInList"),
        (boot("Twice", "Pxe"), "PropertyValueNotInList"),
        (
            json!({"Boot": {"BootSourceOverrideMode": "Legacy"}}),
            "PropertyValueNotInList",
        ),
        (
            json!({"Boot": {"BootSourceOverrideEnabled": 1}}),
            "PropertyValueTypeError",
        ),
        (json!({"PowerRestorePolicy": "Never"}), "PropertyValueNotInList"),
        (
            json!({"HostWatchdogTimer": {"TimeoutAction": "OEM"}}),
            "PropertyValueNotInList",
        ),
    ] {
        let refused = admin.patch(SYSTEM, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.messages(), [message], "{body}");
    }
    assert_eq!(admin.get(SYSTEM).await.body["Boot"], before);
    let reader = blade.account("rolf", "ReadOnly").await;
    let refused = reader.patch(SYSTEM, &boot("Once", "Pxe")).await;
    assert_eq!(refused.status, 403);
    let stale = admin.clone().with("if-match", "\"0\"");
    let refused = stale.patch(SYSTEM, &boot("Once", "Pxe")).await;
    assert_eq!(refused.status, 412);
}

#[tokio::test]
async fn a_host_does_not_offer_what_it_has_not() {
    let host = Blade::host().await;
    let admin = host.admin();
    let uri = "/redfish/v1/Systems/host";
    let now = admin.get(uri).await.body;
    for name in ["PowerRestorePolicy", "HostWatchdogTimer", "SerialConsole"] {
        assert_eq!(now.get(name), None, "{name}");
    }
    assert_eq!(now["BootProgress"]["LastState"], "OSRunning");
    assert!(now["LastResetTime"].is_string());
    let body = json!({"PowerRestorePolicy": "LastState"});
    let refused = admin.patch(uri, &body).await;
    assert_eq!(refused.messages(), ["PropertyUnknown"]);
}

#[tokio::test]
async fn the_policy_decides_when_the_power_comes_back() {
    let mut blade = Blade::simulated().await;
    for (policy, before, after) in [
        ("LastState", "ForceOff", "Off"),
        ("AlwaysOn", "ForceOff", "On"),
        ("AlwaysOff", "ForceOn", "Off"),
        ("LastState", "ForceOn", "On"),
    ] {
        let admin = blade.admin();
        let body = json!({"PowerRestorePolicy": policy});
        let set = admin.patch(SYSTEM, &body).await;
        assert_eq!(set.status, 200, "{}", set.body);
        reset(&admin, before).await;
        let state = if before == "ForceOff" { "Off" } else { "On" };
        until(&admin, "/PowerState", &json!(state)).await;
        // It is not the agent's end that decides.
        blade = blade.restarted().await;
        let now = blade.admin().get(SYSTEM).await.body;
        assert_eq!(now["PowerState"], state, "{policy}");
        blade = blade.repowered().await;
        let now = blade.admin().get(SYSTEM).await.body;
        assert_eq!(now["PowerState"], after, "{policy}");
        assert_eq!(now["PowerRestorePolicy"], policy);
    }
}

#[tokio::test]
async fn a_watchdog_starts_what_hangs_again() {
    let blade = Blade::with_board(|board| {
        board.replace("watchdog_seconds = 15", "watchdog_seconds = 1")
    })
    .await;
    let admin = blade.admin();
    let body = json!({"HostWatchdogTimer": {"FunctionEnabled": true,
        "TimeoutAction": "ResetSystem"}});
    let set = admin.patch(SYSTEM, &body).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let timer = &set.body["HostWatchdogTimer"];
    assert_eq!(timer["Status"]["State"], "Enabled");
    sleep(Duration::from_millis(2500)).await;
    let now = admin.get(SYSTEM).await.body;
    assert_eq!(now["PowerState"], "On", "who answers is left alone");
    blade.agent.simulation().unwrap().part("node").hang();
    until(&admin, "/PowerState", &json!("Off")).await;
    until(&admin, "/BootProgress/LastState", &json!("OSRunning")).await;
}

#[tokio::test]
async fn the_power_of_a_chassis_is_that_of_what_is_in_it() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let chassis = "/redfish/v1/Chassis/blade";
    let reset = format!("{chassis}/Actions/Chassis.Reset");
    let off = admin.post(&reset, &json!({"ResetType": "ForceOff"})).await;
    assert_eq!(off.status, 200, "{}", off.body);
    until(&admin, "/PowerState", &json!("Off")).await;
    assert_eq!(admin.get(chassis).await.body["PowerState"], "Off");
    let on = admin.post(&reset, &json!({"ResetType": "On"})).await;
    assert_eq!(on.status, 200, "{}", on.body);
    until(&admin, "/PowerState", &json!("On")).await;
    let refused = admin.post(&reset, &json!({"ResetType": "Nmi"})).await;
    assert_eq!(refused.messages(), ["ActionParameterValueNotInList"]);

    let host = Blade::host().await;
    let chassis = host.admin().get("/redfish/v1/Chassis/host").await.body;
    assert_eq!(chassis["Actions"].get("#Chassis.Reset"), None);
}

/// A machine with a UEFI that can start from a disk and from the network, in
/// its start `boot`.
fn uefi(root: &Path, boot: &str) {
    let random = root.join("proc/sys/kernel/random");
    fs::create_dir_all(&random).unwrap();
    fs::write(random.join("boot_id"), boot).unwrap();
    let folder = root.join("sys/firmware/efi/efivars");
    if folder.exists() {
        return;
    }
    fs::create_dir_all(folder).unwrap();
    let option = |path: &[u8]| {
        let length = u8::try_from(path.len()).unwrap();
        [&[1, 0, 0, 0, length, 0, b'x', 0, 0, 0], path].concat()
    };
    variable(root, "Boot0001", &option(&[3, 0x17, 5, 0, 0]));
    variable(root, "Boot0002", &option(&[3, 0x0b, 5, 0, 0]));
    variable(root, "BootOrder", &[1, 0, 2, 0]);
}

fn variable(root: &Path, name: &str, content: &[u8]) {
    fs::write(efi(root, name), [&[7, 0, 0, 0], content].concat()).unwrap();
}

fn efi(root: &Path, name: &str) -> PathBuf {
    let owner = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
    root.join(format!("sys/firmware/efi/efivars/{name}-{owner}"))
}

#[tokio::test]
async fn a_host_tells_its_firmware_where_to_start_next_and_only_once() {
    const HOST: &str = "/redfish/v1/Systems/host";
    let [root, state] = [(); 2].map(|()| TempDir::new().unwrap());
    let state = Arc::new(state);
    uefi(root.path(), "first");
    let blade = Blade::in_power(Arc::clone(&state), root.path()).await;
    let admin = blade.admin();
    let system = admin.get(HOST).await.body;
    let boot_of = &system["Boot"];
    let target = "BootSourceOverrideTarget@Redfish.AllowableValues";
    assert_eq!(boot_of[target], json!(["None", "Hdd", "Pxe"]));
    assert_eq!(boot_of["BootSourceOverrideMode"], "UEFI");
    let next = efi(root.path(), "BootNext");
    let refused = admin.patch(HOST, &boot("Once", "Usb")).await;
    assert_eq!(refused.status, 400);
    assert!(!next.exists());
    let set = admin.patch(HOST, &boot("Once", "Pxe")).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(fs::read(&next).unwrap(), [7, 0, 0, 0, 2, 0]);

    // The agent alone comes back, and then the machine.
    assert!(blade.agent.stop().await);
    let blade = Blade::in_power(Arc::clone(&state), root.path()).await;
    let kept = blade.admin().get(HOST).await.body;
    assert_eq!(kept["Boot"]["BootSourceOverrideEnabled"], "Once");
    assert!(blade.agent.stop().await);
    fs::remove_file(&next).unwrap();
    uefi(root.path(), "second");
    let blade = Blade::in_power(state, root.path()).await;
    let admin = blade.admin();
    let taken_back =
        |it: &Value| it["Boot"]["BootSourceOverrideEnabled"] == "Disabled";
    let now = client::until(&admin, HOST, taken_back).await;
    assert_eq!(now["Boot"]["BootSourceOverrideTarget"], "None");
    assert!(!next.exists());

    // One whose power is not ours is not told where to start either.
    let other = Blade::machine(root.path()).await;
    let system = other.admin().get(HOST).await.body;
    assert!(system["Boot"].is_null(), "{system:#}");
}
