//! Sessions: what they tell, how they end, how many there may be.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::client::{ACCOUNTS, Blade, Client, PASSWORD, SESSIONS};

const SERVICE: &str = "/redfish/v1/SessionService";
const SYSTEMS: &str = "/redfish/v1/Systems";

/// A client with a new session, and where the session is.
async fn session(blade: &Blade, user: &str, word: &str) -> (Client, String) {
    let login = json!({"UserName": user, "Password": word});
    let made = blade.stranger().post(SESSIONS, &login).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let token = made.header("x-auth-token");
    let client = blade.stranger().with("x-auth-token", token);
    (client, made.header("location").to_owned())
}

#[tokio::test]
async fn a_session_tells_whose_it_is() {
    let blade = Blade::simulated().await;
    blade.account("olga", "Operator").await;
    let login = json!({"UserName": "olga", "Password": PASSWORD,
        "Context": "nightly inventory"});
    let made = blade.stranger().at(7).post(SESSIONS, &login).await;
    let session = &made.body;
    assert_eq!(session["UserName"], "olga");
    assert_eq!(session["Context"], "nightly inventory");
    assert_eq!(session["ClientOriginIPAddress"], "127.0.0.7");
    assert_eq!(session["Roles"], json!(["Operator"]));
    assert_eq!(session["SessionType"], "Redfish");
    assert!(session["CreatedTime"].as_str().unwrap().ends_with('Z'));
    assert!(session.get("ExpirationTime").is_none());
    let token = made.header("x-auth-token");
    let all = format!("{SESSIONS}?$expand=.");
    let all = blade.admin().get(&all).await.body.to_string();
    assert!(!all.contains(token) && !all.contains(PASSWORD));
    let long = json!({"UserName": "olga", "Password": PASSWORD,
        "Context": "x".repeat(257)});
    let refused = blade.stranger().post(SESSIONS, &long).await;
    assert_eq!(refused.messages(), ["StringValueTooLong"]);
}

#[tokio::test]
async fn a_session_ends_with_what_it_stands_for() {
    let blade = Blade::simulated().await;
    blade.account("olga", "Operator").await;
    let admin = blade.admin();
    let uri = format!("{ACCOUNTS}/olga");
    let changes = [
        json!({"Password": PASSWORD}),
        json!({"RoleId": "ReadOnly"}),
        json!({"Enabled": false}),
    ];
    for change in changes {
        let (olga, _) = session(&blade, "olga", PASSWORD).await;
        assert_eq!(olga.get(SYSTEMS).await.status, 200);
        assert_eq!(admin.patch(&uri, &change).await.status, 200);
        assert_eq!(olga.get(SYSTEMS).await.status, 401, "{change}");
    }
    admin.patch(&uri, &json!({"Enabled": true})).await;
    // What it is used for itself does not end it, but the others.
    let (here, _) = session(&blade, "olga", PASSWORD).await;
    let (there, _) = session(&blade, "olga", PASSWORD).await;
    let password = json!({"Password": "another password"});
    assert_eq!(here.patch(&uri, &password).await.status, 200);
    assert_eq!(here.get(SYSTEMS).await.status, 200);
    assert_eq!(there.get(SYSTEMS).await.status, 401);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(here.get(SYSTEMS).await.status, 401);
}

#[tokio::test]
async fn sessions_of_others_are_the_managers() {
    let blade = Blade::simulated().await;
    blade.account("olga", "Operator").await;
    blade.account("rolf", "ReadOnly").await;
    let (olga, hers) = session(&blade, "olga", PASSWORD).await;
    let (rolf, his) = session(&blade, "rolf", PASSWORD).await;
    assert_eq!(olga.get(&his).await.status, 403);
    assert_eq!(olga.delete(&his).await.status, 403);
    assert_eq!(rolf.get(SYSTEMS).await.status, 200);
    assert_eq!(rolf.delete(&his).await.status, 204);
    assert_eq!(rolf.get(SYSTEMS).await.status, 401);
    assert_eq!(blade.admin().delete(&hers).await.status, 204);
    assert_eq!(olga.get(SYSTEMS).await.status, 401);
    assert_eq!(blade.admin().delete(&hers).await.status, 404);
}

#[tokio::test]
async fn how_long_sessions_last_is_set_and_kept() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for wrong in [29, 86_401] {
        for name in ["SessionTimeout", "AbsoluteSessionTimeout"] {
            let refused = admin.patch(SERVICE, &json!({name: wrong})).await;
            assert_eq!(refused.messages(), ["PropertyValueOutOfRange"]);
        }
    }
    let limits = json!({"SessionTimeout": 30, "AbsoluteSessionTimeout": 3600,
        "AbsoluteSessionTimeoutEnabled": true});
    assert_eq!(admin.patch(SERVICE, &limits).await.status, 200);
    let (olga, uri) = session(&blade, "admin", &blade.password).await;
    let expires = &olga.get(&uri).await.body["ExpirationTime"];
    assert!(expires.is_string());
    let blade = blade.restarted().await;
    let now = blade.admin().get(SERVICE).await.body;
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(now[name], *value);
    }
}

/// Twice as many as an account may have.
#[tokio::test]
async fn an_account_has_a_bounded_number_of_sessions() {
    let blade = Blade::simulated().await;
    let login = json!({"UserName": "admin", "Password": blade.password});
    let (first, _) = session(&blade, "admin", &blade.password).await;
    let body = login.to_string();
    let mut connection = blade.stranger().connection().await;
    let mut last = String::new();
    for _ in 0..4_000 {
        let made = connection.send(Method::POST, SESSIONS, &body).await;
        assert_eq!(made.status, 201);
        last = made.header("x-auth-token").to_owned();
    }
    let last = blade.stranger().with("x-auth-token", &last);
    let all = last.get(SESSIONS).await.body;
    assert_eq!(all["Members@odata.count"], 2_000);
    let newest: &Value = all["Members"].as_array().unwrap().last().unwrap();
    let newest = newest["@odata.id"].as_str().unwrap();
    assert_eq!(last.get(newest).await.status, 200);
    assert_eq!(first.get(SYSTEMS).await.status, 401);
}

/// As many sessions as there may be at all, of as many accounts as that takes.
#[tokio::test]
async fn ten_thousand_sessions_are_served_and_no_more() {
    let blade = Blade::simulated().await;
    let users = ["ada", "bea", "cy", "dan", "eve"];
    for user in users {
        blade.account(user, "ReadOnly").await;
    }
    let open = async |user: &str| {
        let login = json!({"UserName": user, "Password": PASSWORD});
        let login = login.to_string();
        let mut connection = blade.stranger().connection().await;
        let mut tokens = Vec::new();
        for _ in 0..1_000 {
            let made = connection.send(Method::POST, SESSIONS, &login).await;
            assert_eq!(made.status, 201, "{}", made.body);
            tokens.push(made.header("x-auth-token").to_owned());
        }
        // Each of them is good, with thousands beside it.
        for token in tokens {
            connection = connection.with("x-auth-token", &token);
            let got = connection.send(Method::GET, SYSTEMS, "").await;
            assert_eq!(got.status, 200);
        }
    };
    join_all(users.iter().flat_map(|user| [open(user), open(user)])).await;
    let admin = blade.admin();
    let count = async || {
        let all = admin.get(&format!("{SESSIONS}?$top=1")).await.body;
        all["Members@odata.count"].clone()
    };
    assert_eq!(count().await, 10_000);
    let login = json!({"UserName": "admin", "Password": blade.password});
    let refused = blade.stranger().post(SESSIONS, &login).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(refused.messages(), ["SessionLimitExceeded"]);
    // One who has as many as he may gives up his oldest.
    session(&blade, "ada", PASSWORD).await;
    assert_eq!(count().await, 10_000);
    // What ends makes room.
    assert_eq!(admin.delete(&format!("{ACCOUNTS}/eve")).await.status, 204);
    assert_eq!(count().await, 8_000);
    let (again, _) = session(&blade, "admin", &blade.password).await;
    assert_eq!(again.get(SYSTEMS).await.status, 200);
}
