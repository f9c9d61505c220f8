//! The way to the fleet, as an outbound connection.

use onprem_bmc::config::Config;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    client::Blade,
    support::rig::{Rig, board, config},
};

const ALL: &str = "/AccountService/OutboundConnections";

#[tokio::test]
async fn the_fleet_is_shown_where_there_is_one_and_only_shown() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("board.toml");
    std::fs::write(&file, board()).unwrap();
    let config = Config {
        board: Some(file),
        // Nobody listens there.
        fleet_url: Some("https://127.0.0.1:9".to_owned()),
        ..config(folder.path())
    };
    let rig = Rig::with(folder, config).await;
    let service = rig.get("/AccountService").await;
    let link = &service["OutboundConnections"]["@odata.id"];
    assert_eq!(link, "/redfish/v1/AccountService/OutboundConnections");
    let all = rig.get(ALL).await;
    assert_eq!(all["Members@odata.count"], 1);
    let fleet = rig.get(&format!("{ALL}/Fleet")).await;
    assert_eq!(onprem_redfish::check(&fleet), []);
    assert_eq!(fleet["Authentication"], "MTLS");
    assert_eq!(fleet["ConnectionEnabled"], true);
    assert_ne!(fleet["Status"]["State"], "Enabled");
    // It is no WebSocket, so that there is no address of one.
    assert_eq!(fleet.get("EndpointURI"), None);
    for (method, path) in [
        (Method::POST, ALL.to_owned()),
        (Method::PATCH, format!("{ALL}/Fleet")),
        (Method::DELETE, format!("{ALL}/Fleet")),
    ] {
        let body = json!({"ConnectionEnabled": false});
        let refused = rig.request(method, &path, Some(body)).await;
        assert_eq!(refused.status(), 405, "{path}");
        assert_eq!(refused.headers()["allow"], "GET, HEAD");
    }
}

#[tokio::test]
async fn without_a_fleet_there_is_no_outbound_connection() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let service = admin.get("/redfish/v1/AccountService").await.body;
    assert_eq!(service.get("OutboundConnections"), None);
    let all = admin.get(&format!("/redfish/v1{ALL}")).await;
    assert_eq!(all.status, 404);
}
