//! The audit log says who did what, and shows when it was tampered with.

use http::{Method, StatusCode};
use onprem_fleet::{api::AuditRecord, audit::hash};
use serde_json::json;

use crate::support::{Fleet, request};

async fn records(fleet: &Fleet) -> Vec<AuditRecord> {
    let page = fleet.get("/v1/audit-records?limit=1000").await;
    let items = page["items"].as_array().unwrap();
    let mut records: Vec<AuditRecord> = items
        .iter()
        .map(|item| serde_json::from_value(item.clone()).unwrap())
        .collect();
    records.reverse();
    records
}

fn check_chain(records: &[AuditRecord]) {
    let mut last = String::new();
    for (number, record) in (1..).zip(records) {
        assert_eq!(record.sequence, number);
        assert_eq!(record.previous_hash, last);
        assert_eq!(record.hash, hash(record));
        last.clone_from(&record.hash);
    }
}

#[tokio::test]
async fn every_write_is_recorded_with_its_outcome() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(1).await;
    fleet.enrol(&token, "blade", "key").await;
    let looker = fleet.token_of("looker", "readonly").await;
    let delete = "/v1/devices/blade";
    let refused = request(Method::DELETE, delete, Some(&looker), None);
    fleet.send(refused).await;
    let wrong = json!({"name": "admin", "password": "wrong"});
    fleet.post("/v1/login", wrong, StatusCode::UNAUTHORIZED).await;
    fleet.call(Method::PATCH, delete, Some(json!({"nam": 1}))).await;
    let redfish = "/v1/devices/blade/redfish/v1/Systems/1/Actions/Reset?x=1";
    fleet.call(Method::POST, redfish, Some(json!({}))).await;
    fleet.call(Method::GET, redfish, None).await;
    fleet.call(Method::DELETE, delete, None).await;

    let records = records(&fleet).await;
    check_chain(&records);
    let said: Vec<_> = records
        .iter()
        .map(|record| {
            let account = record.account.as_deref().unwrap_or("-");
            let device = if record.device.is_some() { " device" } else { "" };
            let status = record.status;
            format!("{account} {} {status}{device}", record.operation)
        })
        .collect();
    let expected = [
        "admin join_token_create 201",
        "admin account_create 201",
        "looker login 200",
        "looker device_delete 403 device",
        "admin login 401",
        "admin device_update 400 device",
        "admin device_redfish_post 503 device",
        "admin device_delete 204 device",
    ];
    assert_eq!(said, expected);
    let text = format!("{records:?}");
    assert!(!text.contains("a long enough password"), "{text}");
    let page = fleet.get("/v1/audit-records?account=looker").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let fleet = Fleet::start().await;
    fleet.join_token(1).await;
    let fleet = fleet.restart().await;
    fleet.join_token(1).await;
    let records = records(&fleet).await;
    assert_eq!(records.len(), 2);
    check_chain(&records);
    let mut forged = records;
    forged[0].account = Some("somebody else".into());
    assert_ne!(forged[0].hash, hash(&forged[0]));
}
