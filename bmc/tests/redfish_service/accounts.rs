//! Accounts: lockout, password rules, and what survives a restart.

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{ACCOUNTS, Blade, PASSWORD, SESSIONS};

const SERVICE: &str = "/redfish/v1/AccountService";
const SYSTEMS: &str = "/redfish/v1/Systems";

async fn set(blade: &Blade, rules: Value) {
    let reply = blade.admin().patch(SERVICE, &rules).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    for (name, value) in rules.as_object().unwrap() {
        assert_eq!(reply.body[name], *value, "{name}");
    }
}

#[tokio::test]
async fn who_guesses_is_locked_out_and_the_owner_is_not() {
    let blade = Blade::simulated().await;
    set(&blade, json!({"AccountLockoutThreshold": 3})).await;
    let owner = blade.account("olga", "Operator").await;
    let uri = format!("{ACCOUNTS}/olga");
    let stranger = |word| blade.user("olga", word).at(66);
    for _ in 0..3 {
        assert_eq!(blade.admin().get(&uri).await.body["Locked"], false);
        assert_eq!(stranger("guess").get(SYSTEMS).await.status, 401);
    }
    assert_eq!(blade.admin().get(&uri).await.body["Locked"], true);
    // Even the right word does not help who guessed too often.
    assert_eq!(stranger(PASSWORD).get(SYSTEMS).await.status, 401);
    assert_eq!(owner.get(SYSTEMS).await.status, 200);

    let blade = blade.restarted().await;
    let stranger = blade.user("olga", PASSWORD).at(66);
    assert_eq!(stranger.get(SYSTEMS).await.status, 401);
    assert_eq!(blade.admin().get(&uri).await.body["Locked"], true);
    let locked = blade.admin().patch(&uri, &json!({"Locked": true})).await;
    assert_eq!(locked.messages(), ["PropertyValueNotInList"]);
    let free = blade.admin().patch(&uri, &json!({"Locked": false})).await;
    assert_eq!(free.body["Locked"], false);
    assert_eq!(stranger.get(SYSTEMS).await.status, 200);
}

#[tokio::test]
async fn strangers_from_everywhere_lock_out_strangers_alone() {
    let blade = Blade::simulated().await;
    set(&blade, json!({"AccountLockoutThreshold": 1})).await;
    let login = json!({"UserName": "admin", "Password": blade.password});
    let sessions = crate::client::SESSIONS;
    let session = blade.stranger().at(7).post(sessions, &login).await;
    let token = session.header("x-auth-token").to_owned();
    let admin = |last| blade.admin().at(last);
    assert_eq!(admin(1).get(SYSTEMS).await.status, 200);
    assert_eq!(admin(8).get(SYSTEMS).await.status, 200);
    for last in 60..64 {
        let guess = blade.user("admin", "guess").at(last);
        assert_eq!(guess.get(SYSTEMS).await.status, 401);
    }
    assert_eq!(admin(9).get(SYSTEMS).await.status, 401);
    assert_eq!(admin(8).get(SYSTEMS).await.status, 200);
    let session = blade.stranger().at(9).with("x-auth-token", &token);
    assert_eq!(session.get(SYSTEMS).await.status, 200);
}

#[tokio::test]
async fn guesses_made_at_once_are_all_counted() {
    let blade = Blade::simulated().await;
    set(&blade, json!({"AccountLockoutThreshold": 4})).await;
    blade.account("olga", "Operator").await;
    let mut guesses = JoinSet::new();
    for number in 0..16 {
        let guess = blade.user("olga", &format!("guess {number}")).at(66);
        guesses.spawn(async move { guess.get(SYSTEMS).await.status });
    }
    assert!(guesses.join_all().await.iter().all(|status| *status == 401));
    let stored = blade.state.path().join("lockout.json");
    let stored = std::fs::read(stored).unwrap();
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored["olga"]["strangers"]["failures"], 4);
    let olga = format!("{ACCOUNTS}/olga");
    assert_eq!(blade.admin().get(&olga).await.body["Locked"], true);
}

#[tokio::test]
async fn passwords_keep_to_the_rules() {
    let blade = Blade::simulated().await;
    let rules = json!({"MinPasswordLength": 12, "MaxPasswordLength": 20,
        "EnforcePasswordHistoryCount": 2});
    set(&blade, rules).await;
    let account = |password: &str| {
        json!({"UserName": "olga", "Password": password,
            "RoleId": "Operator"})
    };
    let admin = blade.admin();
    for wrong in ["elevenchars", "more than twenty chars", ""] {
        let refused = admin.post(ACCOUNTS, &account(wrong)).await;
        assert_eq!(refused.messages(), ["PasswordIncorrectLength"], "{wrong}");
    }
    // Characters are counted, and not bytes.
    let first = "zwölf Öfen…!";
    assert_eq!(admin.post(ACCOUNTS, &account(first)).await.status, 201);
    let uri = format!("{ACCOUNTS}/olga");
    let change = async |word: &str| {
        let reply = admin.patch(&uri, &json!({"Password": word})).await;
        (reply.status.as_u16(), reply.messages())
    };
    let too_recent = (400, vec!["PasswordReuseTooRecent".to_owned()]);
    assert_eq!(change(first).await, too_recent);
    assert_eq!(change("the second one").await.0, 200);
    assert_eq!(change(first).await, too_recent);
    assert_eq!(change("the third one").await.0, 200);
    assert_eq!(change("the second one").await, too_recent);
    assert_eq!(change(first).await.0, 200);
    let blade = blade.restarted().await;
    let refused = json!({"Password": "the third one"});
    let refused = blade.admin().patch(&uri, &refused).await;
    assert_eq!(refused.messages(), ["PasswordReuseTooRecent"]);
    let now = blade.user("olga", first).get(SYSTEMS).await;
    assert_eq!(now.status, 200);
}

#[tokio::test]
async fn an_expired_password_has_to_be_changed() {
    let blade = Blade::simulated().await;
    set(&blade, json!({"PasswordExpirationDays": 90})).await;
    let olga = blade.account("olga", "Operator").await;
    let uri = format!("{ACCOUNTS}/olga");
    let admin = blade.admin();
    let now = admin.get(&uri).await.body;
    assert!(now["PasswordExpiration"].is_string());
    assert_eq!(now["PasswordChangeRequired"], false);
    let past = json!({"PasswordExpiration": "2001-02-03T04:05:06Z"});
    let expired = admin.patch(&uri, &past).await.body;
    assert_eq!(expired["PasswordExpiration"], past["PasswordExpiration"]);
    assert_eq!(expired["PasswordChangeRequired"], true);
    let refused = olga.get(SYSTEMS).await;
    assert_eq!(refused.messages(), ["PasswordChangeRequired"]);
    let change = json!({"Password": "another password"});
    assert_eq!(olga.patch(&uri, &change).await.status, 200);
    let olga = blade.user("olga", "another password");
    assert_eq!(olga.get(SYSTEMS).await.status, 200);
    let never = json!({"PasswordExpiration": null});
    let never = admin.patch(&uri, &never).await.body;
    assert!(never["PasswordExpiration"].is_null());
    set(&blade, json!({"PasswordExpirationDays": null})).await;
    let wrong = json!({"PasswordExpiration": "tomorrow"});
    let refused = admin.patch(&uri, &wrong).await;
    assert_eq!(refused.messages(), ["PropertyValueFormatError"]);
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused_and_the_others_survive() {
    let blade = Blade::simulated().await;
    let rules = json!({"AccountLockoutThreshold": 5,
        "AccountLockoutDuration": 300,
        "AccountLockoutCounterResetAfter": 120,
        "AccountLockoutCounterResetEnabled": false,
        "AuthFailureLoggingThreshold": 1,
        "MinPasswordLength": 10, "MaxPasswordLength": 100,
        "EnforcePasswordHistoryCount": 4, "PasswordExpirationDays": 30});
    set(&blade, rules.clone()).await;
    for (wrong, message) in [
        (json!({"MinPasswordLength": 7}), "PropertyValueOutOfRange"),
        (json!({"MaxPasswordLength": 129}), "PropertyValueOutOfRange"),
        (
            json!({"MinPasswordLength": 64, "MaxPasswordLength": 63}),
            "PropertyValueConflict",
        ),
        (json!({"EnforcePasswordHistoryCount": 17}), "PropertyValueOutOfRange"),
        (json!({"PasswordExpirationDays": 0}), "PropertyValueOutOfRange"),
        (json!({"PasswordExpirationDays": "x"}), "PropertyValueTypeError"),
        (json!({"AccountLockoutThreshold": -1}), "PropertyValueOutOfRange"),
        (
            json!({"AccountLockoutCounterResetAfter": 301}),
            "PropertyValueConflict",
        ),
        (json!({"HTTPBasicAuth": "Unadvertised"}), "PropertyValueNotInList"),
        (json!({"LDAP": {"ServiceEnabled": true}}), "PropertyNotWritable"),
    ] {
        let refused = blade.admin().patch(SERVICE, &wrong).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert_eq!(refused.messages(), [message], "{wrong}");
    }
    let blade = blade.restarted().await;
    let now = blade.admin().get(SERVICE).await.body;
    for (name, value) in rules.as_object().unwrap() {
        assert_eq!(now[name], *value, "{name}");
    }
}

#[tokio::test]
async fn a_password_with_each_request_can_be_forbidden() {
    let blade = Blade::simulated().await;
    let login = json!({"UserName": "admin", "Password": blade.password});
    set(&blade, json!({"HTTPBasicAuth": "Disabled"})).await;
    assert_eq!(blade.admin().get(SYSTEMS).await.status, 401);
    let sessions = crate::client::SESSIONS;
    let session = blade.stranger().post(sessions, &login).await;
    let token = session.header("x-auth-token");
    let session = blade.stranger().with("x-auth-token", token);
    assert_eq!(session.get(SYSTEMS).await.status, 200);
    let allowed = json!({"HTTPBasicAuth": "Enabled"});
    assert_eq!(session.patch(SERVICE, &allowed).await.status, 200);
    assert_eq!(blade.admin().get(SYSTEMS).await.status, 200);
}

#[tokio::test]
async fn an_account_has_a_life() {
    let blade = Blade::simulated().await;
    let olga = blade.account("olga", "Operator").await;
    let admin = blade.admin();
    let uri = format!("{ACCOUNTS}/olga");
    let same = json!({"UserName": "olga", "Password": PASSWORD,
        "RoleId": "ReadOnly"});
    let refused = admin.post(ACCOUNTS, &same).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.messages(), ["ResourceAlreadyExists"]);
    for (body, message) in [
        (json!({"RoleId": "Nobody"}), "PropertyValueNotInList"),
        (json!({"AccountTypes": ["IPMI"]}), "PropertyValueNotInList"),
        (json!({"AccountTypes": []}), "ArraySizeTooShort"),
        (json!({"UserName": "eve"}), "PropertyNotWritable"),
        (json!({"Enabled": "no"}), "PropertyValueTypeError"),
    ] {
        let refused = admin.patch(&uri, &body).await;
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let types = json!({"AccountTypes": ["Redfish"]});
    assert_eq!(admin.patch(&uri, &types).await.status, 200);
    let disabled = json!({"Enabled": false});
    assert_eq!(admin.patch(&uri, &disabled).await.body["Enabled"], false);
    assert_eq!(olga.get(SYSTEMS).await.status, 401);
    admin.patch(&uri, &json!({"Enabled": true})).await;
    assert_eq!(olga.get(SYSTEMS).await.status, 200);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(admin.delete(&uri).await.status, 404);
    assert_eq!(olga.get(SYSTEMS).await.status, 401);
    let last = admin.delete(&format!("{ACCOUNTS}/admin")).await;
    assert_eq!(last.messages(), ["ResourceInUse"]);
    let half = r#"{"UserName": "x", "Password": "#;
    let refused = admin.send(Method::POST, ACCOUNTS, half).await;
    assert_eq!(refused.messages(), ["MalformedJSON"]);
}

#[tokio::test]
async fn no_secret_can_be_read() {
    let blade = Blade::simulated().await;
    blade.account("olga", "Operator").await;
    let admin = blade.admin();
    let uri = format!("{ACCOUNTS}/olga");
    let change = json!({"Password": "another secret 9"});
    let changed = admin.patch(&uri, &change).await;
    let mistake = json!({"Password": 12_345_678});
    let refused = admin.patch(&uri, &mistake).await;
    let expanded = admin.get(&format!("{ACCOUNTS}?$expand=.")).await;
    for reply in [changed, refused, expanded] {
        let text = reply.body.to_string();
        for secret in ["another secret", "12345678", "argon2", PASSWORD] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let mut folders = vec![blade.state.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "initial-password" {
                let bytes = std::fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                for secret in ["another secret", PASSWORD, &*blade.password] {
                    assert!(!text.contains(secret), "{}", path.display());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stolen_session_changes_no_password() {
    const NEXT: &str = "battery staple 8";
    let blade = Blade::simulated().await;
    let reader = blade.account("rolf", "ReadOnly").await;
    let path = format!("{ACCOUNTS}/rolf");
    let shown = reader.get(&path).await.body;
    let action = &shown["Actions"]["#ManagerAccount.ChangePassword"];
    let target = action["target"].as_str().unwrap().to_owned();
    let wish = |own: &str, new: &str| json!({"SessionAccountPassword": own, "NewPassword": new});
    let body = json!({"UserName": "rolf", "Password": PASSWORD});
    let session = blade.stranger().post(SESSIONS, &body).await;
    let token = session.header("x-auth-token").to_owned();
    let thief = blade.stranger().with("x-auth-token", &token);
    let told = thief.post(&target, &wish("a guess 12345", NEXT)).await;
    assert_eq!(told.status, 400, "{}", told.body);
    assert_eq!(told.messages(), ["ActionParameterValueError"]);
    assert!(!told.body.to_string().contains("a guess"), "{}", told.body);
    assert_eq!(reader.get(&path).await.status, 200, "nothing has changed");
    let told = thief.post(&target, &wish(PASSWORD, "x")).await;
    assert_eq!(told.messages(), ["PasswordIncorrectLength"]);
    let told = thief.post(&target, &json!({"NewPassword": NEXT})).await;
    assert_eq!(told.messages(), ["ActionParameterMissing"]);
    // Nobody but an administrator changes another's, with his own password.
    let other = blade.account("olga", "Operator").await;
    let told = other.post(&target, &wish(PASSWORD, NEXT)).await;
    assert_eq!(told.status, 403);
    let told = thief.post(&target, &wish(PASSWORD, NEXT)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(blade.user("rolf", NEXT).get(&path).await.status, 200);
    let admin = blade.admin();
    let told = admin.post(&target, &wish(&blade.password, PASSWORD)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(blade.user("rolf", PASSWORD).get(&path).await.status, 200);
}
