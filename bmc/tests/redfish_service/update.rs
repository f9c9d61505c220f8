//! Updates: images that are refused change nothing, and one that is good is
//! put beside what runs.

use futures_util::stream;
use http::Method;
use onprem_redfish::check;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Blade, Client, Reply},
    support::{
        image::{Key, NEWER, Temper, program},
        rig,
    },
    tasks::end,
};

const SERVICE: &str = "/redfish/v1/UpdateService";
const FIRMWARE: &str = "/redfish/v1/UpdateService/FirmwareInventory";
const SIMPLE: &str =
    "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate";

/// The body of a push, with these parts.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let file = match *name {
            "UpdateFile" => "; filename=\"agent.img\"",
            _ => "",
        };
        let head = format!(
            "--frontier\r\nContent-Disposition: form-data; \
             name=\"{name}\"{file}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    body
}

async fn send(client: &Client, body: Vec<u8>) -> Reply {
    let service = client.get(SERVICE).await;
    let uri = service.body["MultipartHttpPushUri"].as_str().unwrap();
    client
        .clone()
        .with("content-type", "multipart/form-data; boundary=frontier")
        .send_bytes(Method::POST, uri, body)
        .await
}

/// Pushes an image, and follows it to its end.
async fn push(client: &Client, parameters: &Value, image: &[u8]) -> Reply {
    let parameters = parameters.to_string();
    let body = form(&[
        ("UpdateParameters", parameters.as_bytes()),
        ("UpdateFile", image),
    ]);
    let started = send(client, body).await;
    assert_eq!(started.status, 202, "{}", started.body);
    end(client, started.header("location")).await
}

/// The files below `folder`.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn without_a_trusted_key_no_update_is_taken() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let service = admin.get(SERVICE).await;
    assert_eq!(check(&service.body), []);
    assert_eq!(service.body["ServiceEnabled"], false);
    let agent = admin.get(&format!("{FIRMWARE}/agent")).await;
    assert_eq!(agent.body["Updateable"], false);
    let body = json!({"ImageURI": "http://127.0.0.1:1/x.img"});
    for refused in [
        admin.post(SIMPLE, &body).await,
        send(&admin, form(&[("UpdateFile", b"x")])).await,
    ] {
        assert_eq!(refused.status, 403);
        assert_eq!(refused.messages(), ["ServiceDisabled"]);
        assert!(refused.body.to_string().contains("update.trusted_keys"));
    }
}

#[tokio::test]
async fn a_refused_image_changes_nothing() {
    let key = Key::new();
    let folder = TempDir::new().unwrap();
    let blade = Blade::updatable(key.public.clone()).await;
    let admin = blade.admin();
    let newer = program(folder.path(), NEWER, &Temper::Works);
    let good = key.sign(NEWER, &newer);
    let altered = |at: usize| {
        let mut image = good.clone();
        let at = at.min(image.len() - 1);
        image[at] ^= 1;
        image
    };
    let mut longer = good.clone();
    longer.push(0);
    let mut foreign = std::fs::read(&newer).unwrap();
    // Its machine: AArch64 where it was x86-64, and the other way round.
    foreign[18] = if foreign[18] == 62 { 183 } else { 62 };
    let foreign_file = folder.path().join("foreign");
    std::fs::write(&foreign_file, foreign).unwrap();
    let own = env!("CARGO_PKG_VERSION");
    let same = program(folder.path(), own, &Temper::Works);
    let same = key.sign(own, &same);
    let liar = program(folder.path(), "98.0.0", &Temper::Works);
    let liar = key.sign(NEWER, &liar);
    let old = program(folder.path(), "0.0.1", &Temper::Works);
    let old = key.sign("0.0.1", &old);
    let forced = json!({"ForceUpdate": true});
    let plain = json!({});
    for (what, image, parameters, message, says) in [
        ("nothing", vec![], &plain, "VerificationFailed", "cut off"),
        (
            "text",
            b"hello, world".to_vec(),
            &plain,
            "VerificationFailed",
            "no image",
        ),
        ("header", altered(30), &plain, "VerificationFailed", ""),
        (
            "stranger",
            Key::new().sign(NEWER, &newer),
            &plain,
            "VerificationFailed",
            "none of the 1 keys",
        ),
        (
            "program",
            altered(usize::MAX),
            &plain,
            "VerificationFailed",
            "SHA-256",
        ),
        (
            "short",
            good[..good.len() - 1].to_vec(),
            &plain,
            "VerificationFailed",
            "cut off in its program",
        ),
        ("long", longer, &plain, "VerificationFailed", "goes on"),
        (
            "machine",
            key.sign(NEWER, &foreign_file),
            &plain,
            "VerificationFailed",
            "this machine is",
        ),
        ("same", same, &plain, "UpdateNotApplicable", "not newer"),
        ("older", old, &forced, "UpdateNotApplicable", "allow_downgrade"),
        ("liar", liar, &plain, "VerificationFailed", "98.0.0"),
    ] {
        let ended = push(&admin, parameters, &image).await;
        assert_eq!(ended.status, 400, "{what}: {}", ended.body);
        assert_eq!(ended.messages(), [message], "{what}");
        let text = ended.body.to_string();
        assert!(text.contains(says), "{what}: {text}");
        let left = files(&blade.state.path().join("slots"));
        assert_eq!(left, [""; 0], "{what}");
    }
    let listed = admin.get(FIRMWARE).await;
    assert!(!listed.body.to_string().contains("agent-"), "{}", listed.body);
}

#[tokio::test]
async fn a_push_that_is_none_is_refused_with_what_is_wrong() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let refused = |parts: &[(&str, &[u8])]| {
        let (admin, body) = (admin.clone(), form(parts));
        async move { send(&admin, body).await }
    };
    let (json, file) =
        (("UpdateParameters", &b"{}"[..]), ("UpdateFile", &b"x"[..]));
    for (parts, message) in [
        (vec![json], "MissingOrMalformedPart"),
        (vec![file], "MissingOrMalformedPart"),
        (vec![json, file, file], "MissingOrMalformedPart"),
        (vec![json, ("Other", b"x"), file], "MissingOrMalformedPart"),
        (vec![("UpdateParameters", b"{"), file], "MalformedJSON"),
        (
            vec![("UpdateParameters", b"{\"Stage\": true}"), file],
            "PropertyUnknown",
        ),
        (
            vec![("UpdateParameters", b"{\"ForceUpdate\": 1}"), file],
            "PropertyValueTypeError",
        ),
        (
            vec![
                ("UpdateParameters", b"{\"Targets\": [\"/redfish/v1\"]}"),
                file,
            ],
            "PropertyValueNotInList",
        ),
    ] {
        let reply = refused(&parts).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert_eq!(reply.messages(), [message]);
    }
    let large = vec![b' '; 20 << 10];
    let reply = refused(&[("UpdateParameters", &large), file]).await;
    assert_eq!(reply.status, 413);
    let cut = form(&[json, file]);
    let reply = send(&admin, cut[..cut.len() - 20].to_vec()).await;
    assert_eq!(reply.status, 400, "{}", reply.body);

    let service = admin.get(SERVICE).await;
    let uri = service.body["MultipartHttpPushUri"].as_str().unwrap();
    assert_eq!(admin.post(uri, &json!({})).await.status, 415);
    assert_eq!(admin.get(uri).await.status, 405);
    assert_eq!(blade.stranger().post(uri, &json!({})).await.status, 401);
    let reader = blade.account("rita", "ReadOnly").await;
    assert_eq!(send(&reader, form(&[json, file])).await.status, 403);
    assert_eq!(files(&blade.state.path().join("slots")), [""; 0]);
}

#[tokio::test]
async fn an_image_that_is_too_long_leaves_nothing() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let service = admin.get(SERVICE).await.body;
    let most = service["MaxImageSizeBytes"].as_u64().unwrap();
    let uri = service["MultipartHttpPushUri"].as_str().unwrap();
    let port = blade.agent.redfish_address().port();
    let url = format!("https://127.0.0.1:{port}{uri}");
    let before = files(blade.state.path());
    let whole = form(&[("UpdateParameters", b"{}"), ("UpdateFile", b"@")]);
    let at = whole.iter().position(|it| *it == b'@').unwrap();
    let (head, tail) = (whole[..at].to_vec(), whole[at + 1..].to_vec());
    let piece = vec![7; 1 << 20];
    let pieces = usize::try_from(most).unwrap() / (1 << 20) + 2;
    let length = pieces * (1 << 20) + whole.len() - 1;
    for announced in [false, true] {
        let middle = std::iter::repeat_n(piece.clone(), pieces);
        let all = [head.clone()].into_iter().chain(middle);
        let all = all.chain([tail.clone()]).map(Ok::<_, std::io::Error>);
        let body = reqwest::Body::wrap_stream(stream::iter(all));
        let mut request = rig::client()
            .post(&url)
            .basic_auth("admin", Some(&blade.password))
            .header("content-type", "multipart/form-data; boundary=frontier")
            .body(body);
        if announced {
            request = request.header("content-length", length);
        }
        let reply = request.send().await.expect("an answer, and no reset");
        assert_eq!(reply.status(), 413);
        let reply: Value =
            serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        let said = &reply["error"]["@Message.ExtendedInfo"][0]["MessageId"];
        let said = said.as_str().unwrap();
        assert!(said.ends_with(".PayloadTooLarge"), "{reply}");
        let mut after = files(blade.state.path());
        after.retain(|it| !before.contains(it) && !it.contains("/logs/"));
        assert!(after.is_empty(), "{after:?}");
    }
    // Nothing holds up the next one.
    let refused = push(&admin, &json!({}), b"no image").await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[tokio::test]
async fn a_server_has_to_prove_who_it_is_unless_told_otherwise() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let port = blade.agent.redfish_address().port();
    // Its certificate is vouched for by itself only.
    let uri = format!("https://127.0.0.1:{port}/redfish/v1/");
    let body = json!({"ImageURI": uri});
    for (verify, message) in
        [(true, "TransferFailed"), (false, "VerificationFailed")]
    {
        let verify = json!({"VerifyRemoteServerCertificate": verify});
        assert_eq!(admin.patch(SERVICE, &verify).await.status, 200);
        let started = admin.post(SIMPLE, &body).await;
        assert_eq!(started.status, 202, "{}", started.body);
        let ended = end(&admin, started.header("location")).await;
        assert_eq!(ended.messages(), [message], "{}", ended.body);
    }
    let blade = blade.restarted().await;
    let service = blade.admin().get(SERVICE).await;
    assert_eq!(service.body["VerifyRemoteServerCertificate"], false);
}

#[tokio::test]
async fn a_server_proves_who_it_is_after_a_redirection_as_well() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    // The agent's own port answers plain HTTP with the way to HTTPS.
    let port = blade.agent.redfish_address().port();
    let uri = format!("http://127.0.0.1:{port}/redfish/v1/?sig=secret");
    for (verify, message) in
        [(true, "TransferFailed"), (false, "VerificationFailed")]
    {
        let verify = json!({"VerifyRemoteServerCertificate": verify});
        assert_eq!(admin.patch(SERVICE, &verify).await.status, 200);
        let started = admin.post(SIMPLE, &json!({"ImageURI": uri})).await;
        assert_eq!(started.status, 202, "{}", started.body);
        let ended = end(&admin, started.header("location")).await;
        assert_eq!(ended.messages(), [message], "{}", ended.body);
        assert!(!ended.body.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_simple_update_with_a_mistake_is_refused() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    for body in [
        json!({}),
        json!({"ImageURI": "/x.img"}),
        json!({"ImageURI": "ftp://127.0.0.1/x.img"}),
        json!({"ImageURI": "http://u:p@127.0.0.1/x.img"}),
        json!({"ImageURI": "http://127.0.0.1/x", "TransferProtocol": "HTTPS"}),
        json!({"ImageURI": "127.0.0.1/x", "TransferProtocol": "TFTP"}),
        json!({"ImageURI": "http://127.0.0.1/x", "Targets": ["/redfish/v1"]}),
        json!({"ImageURI": "http://127.0.0.1/x", "Stage": true}),
    ] {
        let reply = admin.post(SIMPLE, &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
    }
    let tasks = admin.get("/redfish/v1/TaskService/Tasks").await;
    assert_eq!(tasks.body["Members@odata.count"], 0);
}

#[tokio::test]
async fn a_good_image_is_put_beside_what_runs_and_tried_next() {
    let key = Key::new();
    let folder = TempDir::new().unwrap();
    let blade = Blade::updatable(key.public.clone()).await;
    let admin = blade.admin();
    let newer = program(folder.path(), NEWER, &Temper::Works);
    let body = form(&[
        ("UpdateParameters", b"{\"Targets\": [\"/redfish/v1/Managers/bmc\"]}"),
        ("UpdateFile", &key.sign(NEWER, &newer)),
    ]);
    let started = send(&admin, body).await;
    assert_eq!(started.status, 202, "{}", started.body);
    let leaving = blade.agent.leaving();
    let leaving =
        tokio::time::timeout(std::time::Duration::from_secs(20), leaving);
    leaving.await.expect("the agent restarts for it");
    let slot = admin.get(&format!("{FIRMWARE}/agent-a")).await;
    assert_eq!(check(&slot.body), []);
    assert_eq!(slot.body["Version"], NEWER);
    assert_eq!(slot.body["Active"], false);
    assert_eq!(slot.body["Status"]["State"], "InTest");
    let agent = admin.get(&format!("{FIRMWARE}/agent")).await;
    assert_eq!(agent.body["Version"], env!("CARGO_PKG_VERSION"));
    // It is past the point where it could be stopped.
    let monitor = started.header("location");
    assert_eq!(admin.get(monitor).await.status, 202);
    let refused = admin.delete(monitor).await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
    let task = started.body["@odata.id"].as_str().unwrap();
    assert_eq!(admin.delete(task).await.status, 405);
    let body = json!({"ImageURI": "http://[::1]:1/"});
    assert_eq!(admin.post(SIMPLE, &body).await.status, 503);
}
