//! Ethernet interfaces: the name that the manager is given.

use serde_json::json;

use crate::client::Blade;

const INTERFACE: &str = "/redfish/v1/Managers/bmc/EthernetInterfaces/eth0";
const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";
const OF_SYSTEM: &str = "/redfish/v1/Systems/node/EthernetInterfaces/eth0";

#[tokio::test]
async fn the_manager_keeps_the_host_name_it_is_given() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(INTERFACE).await.body["HostName"].clone();
    let named = admin.patch(INTERFACE, &json!({"HostName": "shelf-3"})).await;
    assert_eq!(named.status, 200, "{}", named.body);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    for uri in [INTERFACE, PROTOCOL] {
        let body = admin.get(uri).await.body;
        assert_eq!(body["HostName"], "shelf-3", "{uri}");
        assert_eq!(body["FQDN"], "shelf-3", "{uri}");
    }
    assert_eq!(admin.get(OF_SYSTEM).await.body["HostName"], before);
    let cleared = admin.patch(INTERFACE, &json!({"HostName": null})).await;
    assert_eq!(cleared.status, 200, "{}", cleared.body);
    assert_eq!(admin.get(INTERFACE).await.body["HostName"], before);
}

#[tokio::test]
async fn a_host_name_that_cannot_be_changes_nothing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(INTERFACE).await.body["HostName"].clone();
    for wrong in [json!("-shelf"), json!("a b"), json!(7)] {
        let told = admin.patch(INTERFACE, &json!({"HostName": wrong})).await;
        assert_eq!(told.status, 400, "{wrong}: {}", told.body);
    }
    let body = json!({"HostName": "shelf-3"});
    assert_eq!(admin.patch(OF_SYSTEM, &body).await.status, 405);
    assert_eq!(admin.get(INTERFACE).await.body["HostName"], before);
}
