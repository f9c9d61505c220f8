//! The way to the fleet, as an outbound connection.

use onprem_link::enrol::{Fingerprint, JoinToken};
use serde_json::{Value, json};

use crate::client::Blade;

const ALL: &str = "/redfish/v1/AccountService/OutboundConnections";
const FLEET: &str = "/redfish/v1/AccountService/OutboundConnections/Fleet";
/// Nobody listens there.
const NOBODY: &str = "https://127.0.0.1:9";

/// What joins a fleet, with a token that it could have made.
fn wish() -> Value {
    let token = JoinToken::new(Fingerprint::of(b"a certificate")).reveal();
    json!({
        "EndpointURI": NOBODY,
        "Authentication": "MTLS",
        "Roles": ["ReadOnly", "Operator", "Administrator"],
        "WebSocketPingIntervalMinutes": 0,
        "PreUpgradeHTTPHeaders": {"Authorization": format!("Bearer {token}")},
    })
}

#[tokio::test]
async fn a_configured_fleet_is_there_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("none");
    let blade = Blade::with_fleet(NOBODY, &token).await;
    let admin = blade.admin();
    let service = admin.get("/redfish/v1/AccountService").await.body;
    assert_eq!(service["OutboundConnections"]["@odata.id"], ALL);
    let fleet = admin.get(FLEET).await.body;
    assert_eq!(onprem_redfish::check(&fleet), []);
    assert_eq!(fleet["Authentication"], "MTLS");
    assert_eq!(fleet["ConnectionEnabled"], true);
    assert_ne!(fleet["Status"]["State"], "Enabled");
    assert_eq!(fleet["EndpointURI"], NOBODY);
    assert_eq!(fleet["PreUpgradeHTTPHeaders"], json!({}));
    for side in ["Certificates", "ClientCertificates"] {
        let below = admin.get(&format!("{FLEET}/{side}")).await.body;
        assert_eq!(below["Members@odata.count"], 0, "it is no member yet");
    }
    let more = admin.post(ALL, &wish()).await;
    assert_eq!(more.status, 409, "one fleet at a time: {}", more.body);
    assert_eq!(more.messages(), ["CreateLimitReachedForResource"]);
}

#[tokio::test]
async fn a_fleet_is_joined_switched_off_and_left_over_restarts() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    assert_eq!(admin.get(ALL).await.body["Members@odata.count"], 0);
    let made = admin.post(ALL, &wish()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), FLEET);
    assert!(!made.body.to_string().contains("Bearer"), "{}", made.body);
    let off = json!({"ConnectionEnabled": false});
    assert_eq!(admin.patch(FLEET, &off).await.status, 200);

    let blade = blade.restarted().await;
    let admin = blade.admin();
    let fleet = admin.get(FLEET).await.body;
    assert_eq!(fleet["EndpointURI"], NOBODY);
    assert_eq!(fleet["ConnectionEnabled"], false);
    assert_eq!(fleet["Status"]["State"], "Disabled");
    let on = json!({"ConnectionEnabled": true});
    assert_eq!(admin.patch(FLEET, &on).await.status, 200);
    assert_eq!(admin.get(FLEET).await.body["ConnectionEnabled"], true);
    assert!(admin.delete(FLEET).await.status.is_success());
    assert_eq!(admin.get(FLEET).await.status, 404);

    let blade = blade.restarted().await;
    let admin = blade.admin();
    assert_eq!(admin.get(ALL).await.body["Members@odata.count"], 0);
    assert_eq!(admin.delete(FLEET).await.status, 404);
    let made = admin.post(ALL, &wish()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let token = blade.state.path().join("fleet/join-token");
    assert!(token.exists());
    assert!(admin.delete(FLEET).await.status.is_success());
    // As soon as what was left is gone, there may be another.
    let made = admin.post(ALL, &wish()).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

#[tokio::test]
async fn what_the_tunnel_is_not_is_refused_by_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let bearer = |token: &str| json!({"Authorization": token});
    for (name, value) in [
        ("EndpointURI", json!("wss://127.0.0.1:9")),
        ("EndpointURI", json!("https://127.0.0.1:9/path")),
        ("EndpointURI", json!("https://")),
        ("Authentication", json!("JWT")),
        ("Roles", json!(["Administrator"])),
        ("WebSocketPingIntervalMinutes", json!(5)),
        ("PreUpgradeHTTPHeaders", bearer("Bearer nonsense")),
        ("PreUpgradeHTTPHeaders", bearer("Basic nonsense")),
        ("PreUpgradeHTTPHeaders", json!({"X-Other": "Bearer nonsense"})),
        ("RetryPolicy", json!({"ConnectionRetryPolicy": "None"})),
    ] {
        let mut wish = wish();
        wish[name] = value.clone();
        let told = admin.post(ALL, &wish).await;
        assert_eq!(told.status, 400, "{name}: {value}");
        let info = &told.body["error"]["@Message.ExtendedInfo"][0];
        let about = info["RelatedProperties"][0].as_str().unwrap();
        assert!(about.starts_with(&format!("#/{name}")), "{}", told.body);
        assert!(!told.body.to_string().contains("nonsense"), "{}", told.body);
    }
    let mut lacking = wish();
    lacking.as_object_mut().unwrap().remove("PreUpgradeHTTPHeaders");
    let told = admin.post(ALL, &lacking).await;
    assert_eq!(told.messages(), ["PropertyMissing"]);
    assert_eq!(admin.get(ALL).await.body["Members@odata.count"], 0);
}

#[tokio::test]
async fn only_who_manages_the_machine_may_move_it() {
    let blade = Blade::simulated().await;
    let operator = blade.account("olga", "Operator").await;
    assert_eq!(operator.post(ALL, &wish()).await.status, 403);
    assert_eq!(operator.delete(FLEET).await.status, 403);
}
