//! `ManagerNetworkProtocol` and `ManagerDiagnosticData`.

use serde_json::json;

use crate::client::Blade;

const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";

#[tokio::test]
async fn settings_of_ssdp_are_checked_and_kept() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(PROTOCOL).await.body;
    assert_eq!(before["SSDP"]["Port"], 1900);
    assert_eq!(before["HTTPS"]["Port"], blade.agent.redfish_address().port());
    for (wrong, message) in [
        (json!({"NotifyTTL": 0}), "PropertyValueOutOfRange"),
        (json!({"NotifyTTL": 256}), "PropertyValueOutOfRange"),
        (json!({"NotifyTTL": "2"}), "PropertyValueTypeError"),
        (
            json!({"NotifyMulticastIntervalSeconds": -1}),
            "PropertyValueOutOfRange",
        ),
        (
            json!({"NotifyMulticastIntervalSeconds": 86_401}),
            "PropertyValueOutOfRange",
        ),
        (json!({"NotifyIPv6Scope": "Galaxy"}), "PropertyValueNotInList"),
        (json!({"ProtocolEnabled": "no"}), "PropertyValueTypeError"),
        (json!({"Port": 1901}), "PropertyNotWritable"),
    ] {
        let reply = admin.patch(PROTOCOL, &json!({"SSDP": wrong})).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{wrong}");
    }
    for (wrong, message) in [
        (json!({"ProtocolEnabled": 1}), "PropertyValueTypeError"),
        (json!({"Port": 5354}), "PropertyNotWritable"),
    ] {
        let reply = admin.patch(PROTOCOL, &json!({"mDNS": wrong})).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{wrong}");
    }
    assert_eq!(admin.get(PROTOCOL).await.body, before, "nothing changed");
    let set = json!({"NotifyTTL": 5, "NotifyIPv6Scope": "Site",
        "NotifyMulticastIntervalSeconds": 0});
    let reply = admin.patch(PROTOCOL, &json!({"SSDP": set})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let blade = blade.restarted().await;
    let now = blade.admin().get(PROTOCOL).await.body;
    for (name, value) in set.as_object().unwrap() {
        assert_eq!(now["SSDP"][name], *value);
    }
    let reader = blade.account("rolf", "ReadOnly").await;
    let refused = reader.patch(PROTOCOL, &json!({"SSDP": set})).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn diagnostic_data_are_those_of_this_process() {
    let blade = Blade::simulated().await;
    let uri = "/redfish/v1/Managers/bmc/ManagerDiagnosticData";
    let data = blade.admin().get(uri).await.body;
    let memory = &data["MemoryStatistics"];
    let bytes = |name: &str| memory[name].as_u64().unwrap();
    assert!(bytes("TotalBytes") > bytes("AvailableBytes"));
    assert_eq!(
        bytes("TotalBytes"),
        bytes("UsedBytes") + bytes("FreeBytes") + bytes("BuffersAndCacheBytes")
    );
    let agent = &data["TopProcesses"][0];
    let command = agent["CommandLine"].as_str().unwrap();
    assert!(command.contains("redfish_service"), "{command}");
    assert!(agent["ResidentSetSizeBytes"].as_u64().unwrap() > 1 << 20);
    let share =
        |name: &str| data["ProcessorStatistics"][name].as_f64().unwrap();
    let sum = share("UserPercent") + share("KernelPercent");
    assert!((0.0..=100.0).contains(&sum), "{sum}");
    assert!(data["FreeStorageSpaceKiB"].as_u64().unwrap() > 0);
    assert!(data["ServiceRootUptimeSeconds"].as_f64().unwrap() < 3600.0);
}
