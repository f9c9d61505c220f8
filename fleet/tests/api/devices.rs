//! How devices join, wait for approval, and leave.

use http::{Method, StatusCode};
use onprem_fleet::tunnel::{Admission, Directory as _, Standing};
use onprem_link::enrol::{Fingerprint, Refusal};
use serde_json::json;

use crate::support::Fleet;

#[tokio::test]
async fn a_token_lets_one_key_in_again_and_again() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(1).await;
    let first = fleet.enrol(&token, "My Blade_1.rack", "key").await;
    assert!(matches!(first, Admission::Accepted { .. }));
    // The answer may have been lost.
    assert_eq!(fleet.enrol(&token, "My Blade_1.rack", "key").await, first);
    let other = fleet.enrol(&token, "other", "another key").await;
    assert_eq!(other, Admission::Refused(Refusal::UsedToken));

    let device = fleet.get("/v1/devices/my-blade-1").await;
    assert_eq!(device["manufacturer"], "Raspberry Pi");
    assert_eq!(device["lastIpAddr"], "192.0.2.7");
    assert_eq!(device["state"], "offline");
    assert_eq!(device["tainted"], false);
    let by_id = device["id"].as_str().unwrap();
    let by_id = fleet.get(&format!("/v1/devices/{by_id}")).await;
    assert_eq!(by_id, device);
    let open = fleet.get("/v1/join-tokens").await;
    assert_eq!(open["items"], json!([]));
}

#[tokio::test]
async fn devices_with_the_same_host_name_get_names_of_their_own() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(3).await;
    fleet.enrol(&token, "raspberrypi", "1").await;
    let join_tokens = fleet.server.fleet().join_tokens();
    for key in ["2", "3"] {
        let enrolment = onprem_fleet::tunnel::Enrolment {
            token: token.hash(),
            uuid: uuid::Uuid::new_v4(),
            key: Fingerprint::of(key.as_bytes()),
            facts: onprem_link::enrol::Facts {
                hostname: "raspberrypi.local".into(),
                ..Default::default()
            },
            peer: ([192, 0, 2, 8], 1).into(),
        };
        join_tokens.enrol(enrolment).await.unwrap();
    }
    for name in ["raspberrypi", "raspberrypi-2", "raspberrypi-3"] {
        fleet.get(&format!("/v1/devices/{name}")).await;
    }
}

#[tokio::test]
async fn a_new_key_of_a_known_machine_waits_for_approval() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(2).await;
    let Admission::Accepted { device } =
        fleet.enrol(&token, "blade", "old key").await
    else {
        panic!("not accepted");
    };
    let waiting = fleet.enrol(&token, "blade", "new key").await;
    assert_eq!(waiting, Admission::Waiting { device });
    assert_eq!(fleet.enrol(&token, "blade", "new key").await, waiting);
    let shown = fleet.get("/v1/devices/blade").await;
    assert_eq!(shown["state"], "waiting");
    let new_key = Fingerprint::of(b"new key");
    assert_eq!(shown["pendingKey"]["fingerprint"], new_key.to_string());
    let directory = fleet.server.fleet().join_tokens();
    let standing = async |key: &[u8]| {
        directory.standing(device, Fingerprint::of(key)).await.unwrap()
    };
    assert_eq!(standing(b"new key").await, Standing::Unknown);

    let path = "/v1/devices/blade/approve";
    let shown = fleet.get(path).await;
    let fingerprint = new_key.to_string();
    assert_eq!(shown["choices"]["fingerprint"], json!([fingerprint]));
    let said = shown["affects"][0]["name"].as_str().unwrap();
    assert!(said.contains(&fingerprint), "{said}");
    let other = Fingerprint::of(b"another key").to_string();
    let other = Some(json!({ "fingerprint": other }));
    let answer = fleet.call(Method::POST, path, other).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    assert_eq!(answer.body["pointer"], "/fingerprint");
    assert!(answer.body["message"].as_str().unwrap().contains(&fingerprint));
    let meant = Some(json!({ "fingerprint": fingerprint }));
    let answer = fleet.call(Method::POST, path, meant).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let log = fleet.get("/v1/audit-records?operation=device_approve").await;
    assert_eq!(log["items"][0]["detail"], fingerprint);
    assert!(answer.body["pendingKey"].is_null());
    assert!(matches!(standing(b"new key").await, Standing::Accepted { .. }));
    assert_eq!(standing(b"old key").await, Standing::Unknown);
    let accepted = fleet.enrol(&token, "blade", "new key").await;
    assert_eq!(accepted, Admission::Accepted { device });
    let unsaid = fleet.call(Method::POST, path, Some(json!({}))).await;
    assert_eq!(unsaid.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_deleted_device_does_not_come_back_by_itself() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(1).await;
    let Admission::Accepted { device } =
        fleet.enrol(&token, "blade", "key").await
    else {
        panic!("not accepted");
    };
    let path = "/v1/devices/blade";
    let answer = fleet.call(Method::DELETE, path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = fleet.call(Method::DELETE, path, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let directory = fleet.server.fleet().join_tokens();
    let standing = directory.standing(device, Fingerprint::of(b"key")).await;
    assert_eq!(standing.unwrap(), Standing::Unknown);
    let again = fleet.enrol(&token, "blade", "key").await;
    assert_eq!(again, Admission::Refused(Refusal::UsedToken));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(1).await;
    fleet.enrol(&token, "blade", "key").await;
    let change = Some(json!({"name": "renamed", "tags": {"row": "a"}}));
    fleet.call(Method::PATCH, "/v1/devices/blade", change).await;
    let before = fleet.get("/v1/devices/renamed").await;
    let fleet = fleet.restart().await;
    assert_eq!(fleet.get("/v1/devices/renamed").await, before);
}
