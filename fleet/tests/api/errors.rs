//! Every mistake gets the same kind of answer.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Fleet, request};

#[tokio::test]
async fn an_error_names_the_place_and_the_value() {
    let fleet = Fleet::start().await;
    let login = "/v1/login";
    let account = "/v1/accounts";
    let short = json!({"name": "a", "password": "short", "role": "admin"});
    let role = json!({"name": "a", "password": "x", "role": "king"});
    let name = json!({"name": "A b", "password": "x", "role": "admin"});
    let token = json!({"expiresInSeconds": 1});
    for (path, body, pointer, word) in [
        (login, json!({"name": "a"}), "", "missing field `password`"),
        (login, json!({"nam": "a"}), "/nam", "unknown field `nam`"),
        (login, json!(["a", "b"]), "", "expected object"),
        (account, short, "/password", "12 characters"),
        (account, role, "/role", "unknown variant `king`"),
        (account, name, "/name", "`A b` is no name"),
        ("/v1/api-tokens", token, "/expiresInSeconds", "60 seconds"),
        ("/v1/join-tokens", json!({"uses": 0}), "/uses", "0 is not"),
    ] {
        let answer = fleet.post(path, body, StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["error_code"], "invalid", "{answer}");
        assert_eq!(answer["pointer"], pointer, "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
    }
    let list = fleet.get("/v1/join-tokens").await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn every_error_has_the_same_shape() {
    let fleet = Fleet::start().await;
    let check = |answer: &crate::support::Answer, status: StatusCode| {
        assert_eq!(answer.status, status, "{}", answer.body);
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(answer.body["request_id"], id);
        assert!(answer.body["message"].is_string());
        for name in answer.body.as_object().unwrap().keys() {
            let known = ["error_code", "message", "pointer", "request_id"];
            assert!(known.contains(&name.as_str()), "{name}");
        }
    };
    let missing = fleet.call(Method::GET, "/v1/devices/blade-7", None).await;
    check(&missing, StatusCode::NOT_FOUND);
    assert_eq!(missing.body["error_code"], "not_found");
    assert_eq!(missing.body["message"], "no device named `blade-7`");
    let query = fleet.call(Method::GET, "/v1/tasks?state=done", None).await;
    check(&query, StatusCode::BAD_REQUEST);
    assert_eq!(query.body["pointer"], "?state");
    let unknown = fleet.call(Method::GET, "/v1/nothing", None).await;
    check(&unknown, StatusCode::NOT_FOUND);
    let method = fleet.call(Method::PUT, "/v1/devices", None).await;
    check(&method, StatusCode::METHOD_NOT_ALLOWED);
    let offline = fleet.join_token(1).await;
    fleet.enrol(&offline, "blade-7", "key").await;
    let offline =
        fleet.call(Method::GET, "/v1/devices/blade-7/system", None).await;
    check(&offline, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(offline.body["error_code"], "device_offline");
    assert!(offline.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn bodies_have_a_bound_and_a_type() {
    let fleet = Fleet::start().await;
    let token = Some(fleet.token.as_str());
    let large = Value::String("x".repeat(2 << 20));
    let login = request(Method::POST, "/v1/login", token, Some(&large));
    let answer = fleet.send(login).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.body["error_code"], "too_large");

    let mut form = request(Method::POST, "/v1/login", token, None);
    *form.body_mut() = Full::new(Bytes::from_static(b"name=admin"));
    let kind = "application/x-www-form-urlencoded".parse().unwrap();
    form.headers_mut().insert(header::CONTENT_TYPE, kind);
    let answer = fleet.send(form).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn what_is_taken_is_a_conflict() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(2).await;
    fleet.enrol(&token, "one", "1").await;
    fleet.enrol(&token, "two", "2").await;
    let rename = Some(json!({"name": "two"}));
    let answer = fleet.call(Method::PATCH, "/v1/devices/one", rename).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.body["pointer"], "/name");
    let last = Some(json!({"role": "operator"}));
    let answer = fleet.call(Method::PATCH, "/v1/accounts/admin", last).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.body["message"], "this is the last administrator");
    let answer = fleet.call(Method::DELETE, "/v1/accounts/admin", None).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
}
