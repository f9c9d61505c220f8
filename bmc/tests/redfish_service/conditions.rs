//! Writes that happen on a condition, and bodies that say something odd.

use http::Method;
use serde_json::json;

use crate::client::{ACCOUNTS, Blade, PASSWORD};

const SYSTEM: &str = "/redfish/v1/Systems/node";

#[tokio::test]
async fn a_write_happens_on_its_condition_alone() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    blade.account("rolf", "ReadOnly").await;
    let uri = format!("{ACCOUNTS}/rolf");
    let body = json!({"Enabled": false});
    for (header, tag, status) in [
        ("if-match", "\"never\"", 412),
        ("if-match", "now", 200),
        ("if-match", "\"never\", now", 200),
        ("if-match", "*", 200),
        ("if-none-match", "now", 412),
        ("if-none-match", "*", 412),
        ("if-none-match", "\"never\"", 200),
    ] {
        let now = admin.get(&uri).await;
        let enabled = now.body["Enabled"].as_bool().unwrap();
        let tag = tag.replace("now", now.header("etag"));
        let sender = admin.clone().with(header, &tag);
        let reply = sender.patch(&uri, &json!({"Enabled": !enabled})).await;
        assert_eq!(reply.status, status, "{header}: {tag}");
        let after = admin.get(&uri).await.body["Enabled"].as_bool().unwrap();
        assert_eq!(after != enabled, status == 200, "{header}: {tag}");
        if status == 412 {
            assert_eq!(reply.messages(), ["PreconditionFailed"]);
        }
    }
    let stale = admin.clone().with("if-match", "\"stale\"");
    assert_eq!(stale.delete(&uri).await.status, 412);
    let made = json!({"UserName": "olga", "Password": PASSWORD,
        "RoleId": "Operator"});
    assert_eq!(stale.post(ACCOUNTS, &made).await.status, 412);
    let reset = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let off = json!({"ResetType": "ForceOff"});
    assert_eq!(stale.post(&reset, &off).await.status, 412);
    assert_eq!(admin.get(SYSTEM).await.body["PowerState"], "On");
    assert_eq!(admin.get(&format!("{ACCOUNTS}/olga")).await.status, 404);
    // Two writers who both saw that there is no such account yet.
    let tag = admin.get(ACCOUNTS).await.header("etag").to_owned();
    let sure = admin.clone().with("if-match", &tag);
    assert_eq!(sure.post(ACCOUNTS, &made).await.status, 201);
    assert_eq!(sure.post(ACCOUNTS, &made).await.status, 412);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(admin.patch(&uri, &body).await.status, 404);
}

#[tokio::test]
async fn odd_bodies_are_refused_by_name() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(SYSTEM).await.body["AssetTag"].clone();
    let apply = r#"{"@Redfish.OperationApplyTime": "OnReset"}"#;
    let account = r#"{"UserName": "ada", "Password": "correct horse 7",
        "RoleId": "Operator", "@Redfish.OperationApplyTime": "OnReset"}"#;
    let null = r#"{"UserName": "ada", "Password": "correct horse 7",
        "RoleId": null}"#;
    let reset = &format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let account_uri = &format!("{ACCOUNTS}/admin");
    for (method, uri, body, message, about) in [
        (
            Method::PATCH,
            SYSTEM,
            r#"{"AssetTag": "a", "AssetTag": "b"}"#,
            "PropertyDuplicate",
            "AssetTag",
        ),
        (
            Method::PATCH,
            SYSTEM,
            r#"{"AssetTag": "a", "Boot": {"X": 1, "\u0058": 1}}"#,
            "PropertyDuplicate",
            "X",
        ),
        (
            Method::PATCH,
            SYSTEM,
            r#"{"AssetTag": "a", "LocationIndicatorActive": null}"#,
            "PropertyValueTypeError",
            "LocationIndicatorActive",
        ),
        (
            Method::PATCH,
            SYSTEM,
            r#"{"AssetTag": "a", "@Redfish.SettingsApplyTime": {}}"#,
            "PropertyUnknown",
            "@Redfish.SettingsApplyTime",
        ),
        (
            Method::POST,
            reset,
            r#"{"ResetType": "ForceOff", "ResetType": "On"}"#,
            "ActionParameterDuplicate",
            "ResetType",
        ),
        (
            Method::POST,
            reset,
            apply,
            "ActionParameterUnknown",
            "@Redfish.OperationApplyTime",
        ),
        (
            Method::POST,
            ACCOUNTS,
            account,
            "PropertyUnknown",
            "@Redfish.OperationApplyTime",
        ),
        (Method::POST, ACCOUNTS, null, "PropertyValueTypeError", "RoleId"),
        (
            Method::DELETE,
            account_uri,
            apply,
            "PropertyUnknown",
            "@Redfish.OperationApplyTime",
        ),
    ] {
        let reply = admin.send(method, uri, body).await;
        assert_eq!(reply.status, 400, "{uri} {body}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{uri} {body}");
        let info = &reply.body["error"]["@Message.ExtendedInfo"][0];
        let named = info["MessageArgs"].as_array().unwrap();
        assert!(named.contains(&json!(about)), "{info}");
    }
    for body in ["", "{\"AssetTag\":", "{}x", "{\"AssetTag\": 1e999}"] {
        let reply = admin.send(Method::PATCH, SYSTEM, body).await;
        assert_eq!(reply.messages(), ["MalformedJSON"], "{body}");
    }
    for body in [r#"{"Links": {}}"#, r#"{"Boot": {"@odata.type": "x"}}"#] {
        let reply = admin.send(Method::PATCH, SYSTEM, body).await;
        assert_eq!(reply.messages(), ["NoOperation"], "{body}");
    }
    let now = admin.get(SYSTEM).await.body;
    assert_eq!(now["AssetTag"], before);
    assert_eq!(now["PowerState"], "On");
    assert_eq!(admin.get(&format!("{ACCOUNTS}/ada")).await.status, 404);
    assert_eq!(admin.get(account_uri).await.status, 200);
    // An action whose parameters are optional needs no body.
    assert_eq!(admin.send(Method::POST, reset, "").await.status, 200);
}

#[tokio::test]
async fn members_are_made_at_the_collection_or_at_its_property() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let members = &format!("{ACCOUNTS}/Members");
    let body = json!({"UserName": "olga", "Password": PASSWORD,
        "RoleId": "Operator"});
    let made = admin.post(members, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), format!("{ACCOUNTS}/olga"));
    let systems = "/redfish/v1/Systems";
    for (method, uri, status, allow) in [
        (Method::GET, &**members, 405, "POST"),
        (Method::PUT, members, 405, "POST"),
        (Method::POST, systems, 405, "GET, HEAD"),
        (Method::POST, "/redfish/v1/Systems/Members", 405, "GET, HEAD"),
        (Method::PUT, ACCOUNTS, 405, "GET, HEAD, POST"),
        (Method::PATCH, ACCOUNTS, 405, "GET, HEAD, POST"),
        (Method::PUT, "/redfish/v1/$metadata", 405, "GET, HEAD"),
        (Method::GET, "/redfish/v1/Systems/Members", 404, ""),
    ] {
        let reply = admin.send(method.clone(), uri, "").await;
        assert_eq!(reply.status, status, "{method} {uri}");
        assert_eq!(reply.header("allow"), allow, "{method} {uri}");
    }
}
