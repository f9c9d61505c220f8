//! Coming in by password, with the cookie, and out again.

use std::os::unix::fs::PermissionsExt as _;

use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{Fleet, request};

#[tokio::test]
async fn the_first_administrator_comes_in_with_what_the_files_say() {
    let fleet = Fleet::start().await;
    let path = fleet.state_dir().join("initial-password");
    let password = std::fs::read_to_string(&path).unwrap();
    for name in ["initial-password", "initial-token", "fleet.redb"] {
        let file = std::fs::metadata(fleet.state_dir().join(name)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let login = json!({"name": "admin", "password": password.trim()});
    let session = fleet.post("/v1/login", login, StatusCode::OK).await;
    let token = session["token"].as_str().unwrap();

    // The session is good as a token and as a cookie.
    let get = request(Method::GET, "/v1/whoami", Some(token), None);
    assert_eq!(fleet.send(get).await.body["credential"], "session");
    let with_cookie = |method, path, site: Option<&'static str>| {
        let mut request = request(method, path, None, None);
        let headers = request.headers_mut();
        let cookie = format!("onprem_session={token}").parse().unwrap();
        headers.insert(header::COOKIE, cookie);
        if let Some(site) = site {
            headers.insert("sec-fetch-site", site.parse().unwrap());
        }
        request
    };
    let get = with_cookie(Method::GET, "/v1/whoami", None);
    assert_eq!(fleet.send(get).await.body["account"], "admin");

    // Another site's page cannot use it to change something.
    for site in [None, Some("cross-site")] {
        let logout = with_cookie(Method::POST, "/v1/logout", site);
        let answer = fleet.send(logout).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.body["error_code"], "other_site");
    }
    let own = Some("same-origin");
    let logout = with_cookie(Method::POST, "/v1/logout", own);
    assert_eq!(fleet.send(logout).await.status, StatusCode::NO_CONTENT);
    let get = request(Method::GET, "/v1/whoami", Some(token), None);
    assert_eq!(fleet.send(get).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_gets_slower_and_a_restart_forgives_nothing() {
    let fleet = Fleet::start().await;
    let wrong = || json!({"name": "admin", "password": "a wrong guess"});
    for _ in 0..5 {
        fleet.post("/v1/login", wrong(), StatusCode::UNAUTHORIZED).await;
    }
    let fleet = fleet.restart().await;
    let body = Some(wrong());
    let answer = fleet.call(Method::POST, "/v1/login", body).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.body["error_code"], "throttled");
    let wait = answer.headers["retry-after"].to_str().unwrap();
    assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{wait}");
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_account() {
    let fleet = Fleet::start().await;
    let operator = fleet.token_of("op", "operator").await;
    let more = json!({"role": "admin"});
    let post = |body| {
        request(Method::POST, "/v1/api-tokens", Some(&operator), Some(body))
    };
    let answer = fleet.send(post(&more)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let answer = fleet.send(post(&json!({"description": "ci"}))).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let token = answer.body["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("opt_"));

    let list = fleet.get("/v1/api-tokens").await;
    assert!(!list.to_string().contains(&token));
    let less = Some(json!({"role": "readonly"}));
    fleet.call(Method::PATCH, "/v1/accounts/op", less).await;
    let who = request(Method::GET, "/v1/whoami", Some(&token), None);
    assert_eq!(fleet.send(who).await.body["role"], "readonly");
    fleet.call(Method::DELETE, "/v1/accounts/op", None).await;
    let who = request(Method::GET, "/v1/whoami", Some(&token), None);
    assert_eq!(fleet.send(who).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_password_ends_the_sessions() {
    let fleet = Fleet::start().await;
    let session = fleet.token_of("op", "operator").await;
    let change = json!({"password": "another long password"});
    let own = "/v1/accounts/op";
    let patch = request(Method::PATCH, own, Some(&session), Some(&change));
    assert_eq!(fleet.send(patch).await.status, StatusCode::OK);
    let who = request(Method::GET, "/v1/whoami", Some(&session), None);
    assert_eq!(fleet.send(who).await.status, StatusCode::UNAUTHORIZED);
    let login = json!({"name": "op", "password": "another long password"});
    fleet.post("/v1/login", login, StatusCode::OK).await;
}

#[tokio::test]
async fn a_lesser_token_of_an_administrator_cannot_take_the_account() {
    let fleet = Fleet::start().await;
    let lesser = json!({"role": "readonly"});
    let made = fleet.post("/v1/api-tokens", lesser, StatusCode::CREATED).await;
    let lesser = made["token"].as_str().unwrap();
    let change = json!({"password": "a password of mine"});
    let own = "/v1/accounts/admin";
    let patch = request(Method::PATCH, own, Some(lesser), Some(&change));
    assert_eq!(fleet.send(patch).await.status, StatusCode::FORBIDDEN);
    let login = json!({"name": "admin", "password": "a password of mine"});
    fleet.post("/v1/login", login, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_administrator_stays_whatever_comes_together() {
    let fleet = Fleet::start().await;
    let other = fleet.token_of("other", "admin").await;
    let less = json!({"role": "operator"});
    let demote = |name: &str| {
        let path = format!("/v1/accounts/{name}");
        fleet.send(request(Method::PATCH, &path, Some(&other), Some(&less)))
    };
    let (one, two) = tokio::join!(demote("admin"), demote("other"));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses[0], StatusCode::OK);
    assert!(statuses[1].is_client_error(), "{statuses:?}");
}

#[tokio::test]
async fn the_last_administrator_can_be_neither_deleted_nor_disabled() {
    let fleet = Fleet::start().await;
    let last = "/v1/accounts/admin";
    let answer = fleet.call(Method::DELETE, last, None).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    for change in [json!({"role": "operator"}), json!({"enabled": false})] {
        let answer = fleet.call(Method::PATCH, last, Some(change)).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    }
}

#[tokio::test]
async fn attempts_that_are_told_to_wait_do_not_fill_the_audit_log() {
    let fleet = Fleet::start().await;
    let wrong = json!({"name": "nobody", "password": "a wrong guess"});
    for _ in 0..9 {
        fleet.call(Method::POST, "/v1/login", Some(wrong.clone())).await;
    }
    let log = fleet.get("/v1/audit-records?operation=login").await;
    let statuses: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [401; 5]);
}
