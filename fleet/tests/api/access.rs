//! Who may do what, asked of every operation of the document.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Fleet, request};

/// Every operation: its method, its path with `x` for what varies, its name.
fn operations() -> Vec<(Method, String, String)> {
    let document = onprem_fleet::api::document().unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| match part.chars().next() {
            Some('{') => "x",
            _ => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        for (method, operation) in methods.as_object().unwrap() {
            found.push((
                method.to_uppercase().parse().unwrap(),
                path.clone(),
                operation["operationId"].as_str().unwrap().to_owned(),
            ));
        }
    }
    found
}

fn lines(names: &[String]) -> String {
    let mut text = names.join("\n");
    text.push('\n');
    text
}

#[tokio::test]
async fn nothing_is_open_to_strangers_but_what_is_listed() {
    let fleet = Fleet::start().await;
    let mut open = Vec::new();
    for (method, path, name) in operations() {
        for token in [None, Some("opt_nobody"), Some("")] {
            let request = request(method.clone(), &path, token, None);
            let answer = fleet.send(request).await;
            if answer.status != StatusCode::UNAUTHORIZED {
                open.push(name.clone());
                break;
            }
            assert_eq!(answer.body["error_code"], "unauthenticated");
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
    expectorate::assert_contents("tests/api/open.txt", &lines(&open));
}

#[tokio::test]
async fn those_who_may_look_change_nothing_but_what_is_listed() {
    let fleet = Fleet::start().await;
    let token = fleet.token_of("looker", "readonly").await;
    let mut allowed = Vec::new();
    for (method, path, name) in operations() {
        if method == Method::GET {
            continue;
        }
        let answer =
            fleet.send(request(method, &path, Some(&token), None)).await;
        if answer.status == StatusCode::FORBIDDEN {
            assert_eq!(answer.body["error_code"], "forbidden", "{name}");
        } else {
            allowed.push(name);
        }
    }
    expectorate::assert_contents("tests/api/readonly.txt", &lines(&allowed));
}

#[tokio::test]
async fn operators_do_not_administrate() {
    let fleet = Fleet::start().await;
    let token = fleet.token_of("op", "operator").await;
    let mut refused = Vec::new();
    for (method, path, name) in operations() {
        let answer =
            fleet.send(request(method, &path, Some(&token), None)).await;
        if answer.status == StatusCode::FORBIDDEN {
            refused.push(name);
        }
    }
    expectorate::assert_contents("tests/api/admin.txt", &lines(&refused));
}

#[tokio::test]
async fn what_one_may_not_see_is_not_there() {
    let fleet = Fleet::start().await;
    let token = fleet.token_of("looker", "readonly").await;
    let get = async |path: &str| {
        fleet.send(request(Method::GET, path, Some(&token), None)).await
    };
    let answer = get("/v1/accounts/admin").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.body["message"], "no account named `admin`");
    let own = get("/v1/accounts").await.body;
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    assert_eq!(own["items"][0]["name"], "looker");
    let none = get("/v1/api-tokens").await.body;
    assert_eq!(none["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn the_redfish_services_of_devices_are_guarded_as_well() {
    let fleet = Fleet::start().await;
    let path = "/v1/devices/x/redfish/v1/Systems?$expand=.";
    let answer = fleet.send(request(Method::GET, path, None, None)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let token = fleet.token_of("looker", "readonly").await;
    for (method, expected) in [
        (Method::GET, StatusCode::NOT_FOUND),
        (Method::HEAD, StatusCode::NOT_FOUND),
        (Method::POST, StatusCode::FORBIDDEN),
        (Method::PATCH, StatusCode::FORBIDDEN),
        (Method::PUT, StatusCode::FORBIDDEN),
        (Method::DELETE, StatusCode::FORBIDDEN),
    ] {
        let request = request(method.clone(), path, Some(&token), None);
        let answer = fleet.send(request).await;
        assert_eq!(answer.status, expected, "{method}");
    }
}
