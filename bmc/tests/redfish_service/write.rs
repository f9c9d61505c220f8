//! What can be written, and what is said of mistakes.

use http::Method;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::client::{ACCOUNTS, Blade, Client, SESSIONS};

const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";

async fn system(client: &Client) -> String {
    let systems = client.get("/redfish/v1/Systems").await;
    let first = &systems.body["Members"][0]["@odata.id"];
    first.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_mistake_in_a_patch_is_named_and_nothing_is_written() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let system = system(&admin).await;
    let before = admin.get(&system).await.body["AssetTag"].clone();
    let root = "/redfish/v1/";
    for (uri, body, status, messages) in [
        (&*system, "{}", 400, &["NoOperation"][..]),
        (&system, r#"{"@odata.id": "/x"}"#, 400, &["NoOperation"]),
        (&system, r#"{"AssetTag": 5}"#, 400, &["PropertyValueTypeError"]),
        (&system, r#"{"Colour": "red"}"#, 400, &["PropertyUnknown"]),
        (&system, r#"{"UUID": "x"}"#, 400, &["PropertyNotWritable"]),
        (
            &system,
            r#"{"AssetTag": "new", "Colour": 1}"#,
            400,
            &["PropertyUnknown"],
        ),
        (
            &system,
            r#"{"AssetTag": "new", "PowerMode": "PowerSaving"}"#,
            400,
            &["PropertyNotWritable"],
        ),
        (
            &system,
            r#"{"AssetTag": "new", "HostName": "-x"}"#,
            400,
            &["PropertyValueFormatError"],
        ),
        (&system, "{", 400, &["MalformedJSON"]),
        (&system, "[]", 400, &["UnrecognizedRequestBody"]),
        (root, r#"{"Name": "x"}"#, 405, &["OperationNotAllowed"]),
        ("/redfish/v1/Nowhere", "{}", 404, &["ResourceMissingAtURI"]),
        (
            PROTOCOL,
            r#"{"NTP": {"NTPServers": ["no host"]}}"#,
            400,
            &["PropertyValueFormatError"],
        ),
        (
            "/redfish/v1/AccountService",
            r#"{"AccountLockoutDuration": 99999999999}"#,
            400,
            &["PropertyValueOutOfRange"],
        ),
        (
            "/redfish/v1/AccountService",
            r#"{"AccountLockoutDuration": 10}"#,
            400,
            &["PropertyValueConflict"],
        ),
    ] {
        let reply = admin.send(Method::PATCH, uri, body).await;
        assert_eq!(reply.status, status, "{uri} {body}: {}", reply.body);
        assert_eq!(reply.messages(), messages, "{uri} {body}");
    }
    assert_eq!(admin.get(&system).await.body["AssetTag"], before);
}

#[tokio::test]
async fn bodies_and_methods_have_bounds() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let system = system(&admin).await;
    let large = format!("{{\"AssetTag\": \"{}\"}}", "x".repeat(300_000));
    let reply = admin.send(Method::PATCH, &system, &large).await;
    assert_eq!(reply.status, 413);
    let reply = blade.stranger().send(Method::POST, SESSIONS, &large).await;
    assert_eq!(reply.status, 413);
    let much = json!({"UserName": "admin", "Password": "x".repeat(5_000)});
    assert_eq!(blade.stranger().post(SESSIONS, &much).await.status, 413);
    let wrong: Value = (0..99)
        .map(|n| (format!("P{n}"), n.into()))
        .collect::<Map<_, _>>()
        .into();
    let reply = admin.patch(&system, &wrong).await;
    assert_eq!(reply.messages().len(), 32);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let reply = admin.send(Method::PATCH, &system, &deep).await;
    assert_eq!(reply.messages(), ["MalformedJSON"]);
    let form = admin.clone().with("content-type", "text/plain");
    assert_eq!(form.patch(&system, &json!({})).await.status, 415);
    let unknown = Method::from_bytes(b"FROBNICATE").unwrap();
    assert_eq!(admin.send(unknown, &system, "").await.status, 501);
    let put = admin.send(Method::PUT, &system, "{}").await;
    assert_eq!(put.status, 405);
    assert_eq!(put.header("allow"), "GET, HEAD, PATCH");
    let xml = admin.clone().with("accept", "application/xml");
    assert_eq!(xml.get(&system).await.status, 406);
    let newer = admin.with("odata-version", "4.1");
    assert_eq!(newer.get(&system).await.status, 412);
}

#[tokio::test]
async fn of_many_writers_with_one_etag_exactly_one_writes() {
    let blade = Blade::simulated().await;
    blade.account("rolf", "ReadOnly").await;
    let uri = format!("{ACCOUNTS}/rolf");
    let system = system(&blade.admin()).await;
    for writers in [4, 64] {
        let account = (uri.clone(), "RoleId");
        for (uri, property) in [account, (system.clone(), "AssetTag")] {
            let admin = blade.admin();
            let now = admin.get(&uri).await;
            let etag = now.header("etag").to_owned();
            let old = now.body[property].clone();
            let new = match (property, old.as_str()) {
                ("RoleId", Some("ReadOnly")) => json!("Operator"),
                ("RoleId", _) => json!("ReadOnly"),
                _ => json!(format!("tag {writers}")),
            };
            let mut tasks = JoinSet::new();
            for _ in 0..writers {
                let admin = admin.clone().with("if-match", &etag);
                let (uri, body) = (uri.clone(), json!({property: new}));
                tasks.spawn(async move { admin.patch(&uri, &body).await });
            }
            let mut statuses: Vec<_> =
                tasks.join_all().await.iter().map(|it| it.status).collect();
            statuses.sort();
            let mut expected =
                vec![http::StatusCode::PRECONDITION_FAILED; writers];
            expected[0] = http::StatusCode::OK;
            assert_eq!(statuses, expected, "{uri}");
            assert_eq!(admin.get(&uri).await.body[property], new);
        }
    }
}

#[tokio::test]
async fn an_array_is_patched_element_by_element() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (patch, expected) in [
        (json!(["a", "b", "c"]), json!(["a", "b", "c"])),
        (json!([{}, null, {}]), json!(["a", "c"])),
        (json!([{}, "d", "e"]), json!(["a", "d", "e"])),
        (json!(["z"]), json!(["z"])),
    ] {
        let body = json!({"NTP": {"NTPServers": patch}});
        let reply = admin.patch(PROTOCOL, &body).await;
        assert_eq!(reply.body["NTP"]["NTPServers"], expected, "{patch}");
    }
    let many = json!({"NTP": {"NTPServers": vec!["x"; 9]}});
    let refused = admin.patch(PROTOCOL, &many).await;
    assert_eq!(refused.messages(), ["ArraySizeTooLong"]);
}

#[tokio::test]
async fn a_host_name_that_is_taken_back_is_the_own_one_again() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let system = system(&admin).await;
    let own = admin.get(&system).await.body["HostName"].clone();
    let named = admin.patch(&system, &json!({"HostName": "other"})).await;
    assert_eq!(named.body["HostName"], "other");
    let back = admin.patch(&system, &json!({"HostName": null})).await;
    assert_eq!(back.body["HostName"], own);
    let refused = admin.patch(&system, &json!({"HostName": "-x"})).await;
    let info = &refused.body["error"]["@Message.ExtendedInfo"][0];
    assert_eq!(info["MessageArgs"], json!(["-x", "HostName"]));
    assert_eq!(info["RelatedProperties"], json!(["#/HostName"]));
}

#[tokio::test]
async fn what_was_set_survives_a_restart() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let system = system(&admin).await;
    let body = json!({"AssetTag": "c001-b8", "HostName": "blade-8",
        "LocationIndicatorActive": true});
    assert_eq!(admin.patch(&system, &body).await.status, 200);
    let body_of_protocol = json!({"NTP": {"NTPServers": ["ntp.example"]}});
    admin.patch(PROTOCOL, &body_of_protocol).await;
    blade.account("olga", "Operator").await;

    let blade = blade.restarted().await;
    let admin = blade.admin();
    let now = admin.get(&system).await.body;
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(now[name], *value);
    }
    let protocol = admin.get(PROTOCOL).await.body;
    assert_eq!(protocol["NTP"]["NTPServers"][0], "ntp.example");
    assert_eq!(admin.get(&format!("{ACCOUNTS}/olga")).await.status, 200);
}

#[tokio::test]
async fn a_blade_is_reset_and_this_host_is_not() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let system_uri = system(&admin).await;
    let reset = format!("{system_uri}/Actions/ComputerSystem.Reset");
    let system_now = admin.get(&system_uri).await.body;
    let action = &system_now["Actions"]["#ComputerSystem.Reset"];
    assert_eq!(action["target"], *reset);
    let types = &action["ResetType@Redfish.AllowableValues"];
    assert!(types.as_array().unwrap().contains(&json!("ForceOff")));
    let off = admin.post(&reset, &json!({"ResetType": "ForceOff"})).await;
    assert_eq!(off.status, 200, "{}", off.body);
    for (body, message) in [
        (json!({"ResetType": "Now"}), "ActionParameterValueNotInList"),
        (json!({"ResetType": "Nmi"}), "ActionParameterValueNotInList"),
        (json!({"Delay": 5}), "ActionParameterUnknown"),
    ] {
        let refused = admin.post(&reset, &body).await;
        assert_eq!(refused.messages(), [message], "{body}");
    }
    let reader = blade.account("rolf", "ReadOnly").await;
    assert_eq!(reader.post(&reset, &json!({})).await.status, 403);
    let got = admin.get(&reset).await;
    assert_eq!((got.status.as_u16(), got.header("allow")), (405, "POST"));

    let host = Blade::host().await;
    let reset = "/redfish/v1/Systems/host/Actions/ComputerSystem.Reset";
    let body = json!({"ResetType": "ForceRestart"});
    let refused = host.admin().post(reset, &body).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.messages(), ["ServiceDisabled"]);
    let info: &Value = &refused.body["error"]["@Message.ExtendedInfo"][0];
    let advice = info["Resolution"].as_str().unwrap();
    assert!(advice.contains("allow_host_power"), "{advice}");
}
