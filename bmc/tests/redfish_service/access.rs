//! Who may do what.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{ACCOUNTS, Blade, PASSWORD, SESSIONS};

const BLADE: &str = "/redfish/v1/Chassis/blade";

async fn chassis(blade: &Blade) -> String {
    let chassis = blade.admin().get("/redfish/v1/Chassis").await;
    let first = &chassis.body["Members"][0]["@odata.id"];
    first.as_str().unwrap_or(BLADE).to_owned()
}

#[tokio::test]
async fn a_role_allows_what_the_registry_says() {
    let blade = Blade::simulated().await;
    let operator = blade.account("olga", "Operator").await;
    let reader = blade.account("rolf", "ReadOnly").await;
    let chassis = chassis(&blade).await;
    let tag = json!({"AssetTag": "c001"});
    let account =
        json!({"UserName": "eve", "Password": PASSWORD, "RoleId": "ReadOnly"});
    for (client, reads, tags, makes) in [
        (blade.admin(), 200, 200, 201),
        (operator, 200, 200, 403),
        (reader, 200, 403, 403),
    ] {
        assert_eq!(client.get(&chassis).await.status, reads);
        assert_eq!(client.patch(&chassis, &tag).await.status, tags);
        assert_eq!(client.post(ACCOUNTS, &account).await.status, makes);
    }
}

#[tokio::test]
async fn an_account_may_change_its_own_password_and_nothing_else() {
    let blade = Blade::simulated().await;
    let reader = blade.account("rolf", "ReadOnly").await;
    blade.account("olga", "Operator").await;
    let own = format!("{ACCOUNTS}/rolf");
    let other = format!("{ACCOUNTS}/olga");
    assert_eq!(reader.get(&own).await.status, 200);
    assert_eq!(reader.get(&other).await.status, 403);
    let role = json!({"RoleId": "Administrator"});
    assert_eq!(reader.patch(&own, &role).await.status, 403);
    let both = json!({"RoleId": "Administrator", "Password": "new password"});
    assert_eq!(reader.patch(&own, &both).await.status, 403);
    let password = json!({"Password": "new password"});
    assert_eq!(reader.patch(&other, &password).await.status, 403);
    assert_eq!(reader.patch(&own, &password).await.status, 200);
    assert_eq!(reader.get(&own).await.status, 401);
    let again = blade.user("rolf", "new password");
    let account = again.get(&own).await;
    assert_eq!(account.body["RoleId"], "ReadOnly");
    assert!(account.body["Password"].is_null());
}

#[tokio::test]
async fn who_must_change_the_password_can_do_nothing_else() {
    let blade = Blade::simulated().await;
    let body = json!({"UserName": "nina", "Password": PASSWORD,
        "RoleId": "Administrator", "PasswordChangeRequired": true});
    assert_eq!(blade.admin().post(ACCOUNTS, &body).await.status, 201);
    let login = json!({"UserName": "nina", "Password": PASSWORD});
    let session = blade.stranger().post(SESSIONS, &login).await;
    assert_eq!(session.status, 201);
    assert_eq!(session.messages(), ["PasswordChangeRequired"]);
    let token = session.header("x-auth-token");
    let with_session = blade.stranger().with("x-auth-token", token);
    let own = format!("{ACCOUNTS}/nina");
    for client in [&with_session, &blade.user("nina", PASSWORD)] {
        for uri in ["/redfish/v1/Systems", "/redfish/v1/EventService/SSE"] {
            let refused = client.get(uri).await;
            assert_eq!(refused.status, 403, "{uri}");
            assert_eq!(refused.messages(), ["PasswordChangeRequired"]);
        }
        assert_eq!(client.get(&own).await.status, 200);
        let excuse = json!({"PasswordChangeRequired": false});
        let refused = client.patch(&own, &excuse).await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.messages(), ["PasswordChangeRequired"]);
    }
    let change = json!({"Password": "another password"});
    assert_eq!(with_session.patch(&own, &change).await.status, 200);
    assert_eq!(with_session.get("/redfish/v1/Systems").await.status, 200);
}

#[tokio::test]
async fn a_session_lives_until_it_is_deleted() {
    let blade = Blade::simulated().await;
    let wrong = json!({"UserName": "admin", "Password": "wrong password"});
    assert_eq!(blade.stranger().post(SESSIONS, &wrong).await.status, 401);
    let login = json!({"UserName": "admin", "Password": blade.password});
    for collection in [SESSIONS.to_owned(), format!("{SESSIONS}/Members")] {
        let made = blade.stranger().post(&collection, &login).await;
        assert_eq!(made.status, StatusCode::CREATED);
        let (uri, token) =
            (made.header("location"), made.header("x-auth-token"));
        // 256 bits, as the protocol validator can look at them.
        assert_eq!(token.len(), 64);
        assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(made.body["@odata.id"], uri);
        assert_eq!(made.body["UserName"], "admin");
        assert!(made.headers.get("set-cookie").is_none());
        let session = blade.stranger().with("x-auth-token", token);
        assert_eq!(session.get("/redfish/v1/Systems").await.status, 200);
        assert_eq!(session.delete(uri).await.status, 204);
        assert_eq!(session.get("/redfish/v1/Systems").await.status, 401);
    }
}

#[tokio::test]
async fn each_write_is_in_the_audit_log() {
    let blade = Blade::simulated().await;
    let reader = blade.account("rolf", "ReadOnly").await;
    reader.send(Method::DELETE, &format!("{ACCOUNTS}/admin"), "").await;
    let log = blade.state.path().join("logs/audit/00000001.jsonl");
    let log = std::fs::read_to_string(log).unwrap();
    let last: serde_json::Value =
        serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["who"], "rolf");
    assert_eq!(last["method"], "DELETE");
    assert_eq!(last["uri"], "/redfish/v1/AccountService/Accounts/admin");
    assert_eq!(last["status"], 403);

    let body = json!({"UserName": "rolf", "Password": PASSWORD});
    blade.stranger().post(SESSIONS, &body).await;
    let log = blade.state.path().join("logs/audit/00000001.jsonl");
    let log = std::fs::read_to_string(log).unwrap();
    let last: serde_json::Value =
        serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["who"], "rolf", "whoever logs in is no stranger");
    assert_eq!(last["status"], 201);
    assert!(!log.contains(PASSWORD) && !log.contains(&blade.password));
}
