//! The agent as a manager: it starts anew when it is told to.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::client::{ACCOUNTS, Blade};

const MANAGER: &str = "/redfish/v1/Managers/bmc";
const RESET: &str = "/redfish/v1/Managers/bmc/Actions/Manager.Reset";
const DEFAULTS: &str =
    "/redfish/v1/Managers/bmc/Actions/Manager.ResetToDefaults";
const SYSTEM: &str = "/redfish/v1/Systems/node";

async fn leaves(blade: &Blade) -> bool {
    let leaving = blade.agent.leaving();
    timeout(Duration::from_secs(5), leaving).await.is_ok()
}

#[tokio::test]
async fn a_restart_of_the_agent_leaves_the_power_alone() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = json!({"PowerRestorePolicy": "AlwaysOff", "AssetTag": "x"});
    assert_eq!(admin.patch(SYSTEM, &body).await.status, 200);
    let before = admin.get(MANAGER).await.body;
    assert!(before["LastResetTime"].is_string());
    let answer = admin.post(RESET, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(leaves(&blade).await);
    let blade = blade.restarted().await;
    let system = blade.admin().get(SYSTEM).await.body;
    assert_eq!(system["PowerState"], "On");
    assert_eq!(system["AssetTag"], "x");
    // Its end says nothing about power, and the end of the machine's does.
    let blade = blade.restarted().await;
    let system = blade.admin().get(SYSTEM).await.body;
    assert_eq!(system["PowerState"], "On");
    let blade = blade.repowered().await;
    let system = blade.admin().get(SYSTEM).await.body;
    assert_eq!(system["PowerState"], "Off");
}

#[tokio::test]
async fn a_reset_to_defaults_forgets_what_it_says() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    blade.account("olga", "Operator").await;
    let body = json!({"AssetTag": "c001-b8"});
    admin.patch(SYSTEM, &body).await;
    let kind = json!({"ResetType": "PreserveNetworkAndUsers"});
    assert_eq!(admin.post(DEFAULTS, &kind).await.status, 200);
    assert!(leaves(&blade).await);
    let pem = std::fs::read(blade.state.path().join("tls/cert.pem")).unwrap();
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let olga = format!("{ACCOUNTS}/olga");
    assert!(admin.get(SYSTEM).await.body["AssetTag"].is_null());
    assert_eq!(admin.get(&olga).await.status, 200);

    let old = blade.password.clone();
    let kind = json!({"ResetType": "PreserveNetwork"});
    assert_eq!(admin.post(DEFAULTS, &kind).await.status, 200);
    let blade = blade.restarted().await;
    assert_ne!(blade.password, old);
    assert_eq!(blade.admin().get(&olga).await.status, 404);
    let now = std::fs::read(blade.state.path().join("tls/cert.pem")).unwrap();
    assert_eq!(now, pem);

    let kind = json!({"ResetType": "ResetAll"});
    assert_eq!(blade.admin().post(DEFAULTS, &kind).await.status, 200);
    let blade = blade.restarted().await;
    let now = std::fs::read(blade.state.path().join("tls/cert.pem")).unwrap();
    assert_ne!(now, pem);
}

#[tokio::test]
async fn a_reset_that_cannot_be_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let now = json!({"ResetType": "Now"});
    for (uri, body, message) in [
        (RESET, now.clone(), "ActionParameterValueNotInList"),
        (RESET, json!({"ResetType": "On"}), "ActionParameterValueNotInList"),
        (DEFAULTS, now, "ActionParameterValueNotInList"),
        (DEFAULTS, json!({}), "ActionParameterMissing"),
        (
            DEFAULTS,
            json!({"ResetType": "SensorThresholds"}),
            "ActionParameterValueNotInList",
        ),
    ] {
        let refused = admin.post(uri, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let reader = blade.account("rolf", "ReadOnly").await;
    assert_eq!(reader.post(RESET, &json!({})).await.status, 403);
    let leaving = blade.agent.leaving();
    let left = timeout(Duration::from_millis(200), leaving).await;
    assert!(left.is_err());
}
