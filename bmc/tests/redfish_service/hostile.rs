//! What nobody sends by mistake: the service says no, or hangs up, and goes on
//! serving everybody else.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::client::{Blade, Client, SESSIONS};

/// Nothing that is refused takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const NODE: &str = "/redfish/v1/Systems/node";

/// An agent with an administrator's session.
struct Scene {
    blade: Blade,
    admin: Client,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let blade = Blade::simulated().await;
        let body = json!({"UserName": "admin", "Password": blade.password});
        let session = blade.stranger().post(SESSIONS, &body).await;
        let token = session.header("x-auth-token").to_owned();
        let admin = blade.stranger().with("x-auth-token", &token);
        Self { blade, admin, token }
    }

    /// What comes back when these bytes are sent on a connection of their own.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.blade.stranger().secure(&[b"http/1.1"]).await;
        // It may hang up before it has heard all.
        let _ = stream.write_all(request).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while let Ok(Ok(read)) = timeout(
            Duration::from_millis(if answer.is_empty() {
                20_000
            } else {
                1000
            }),
            stream.read(&mut part),
        )
        .await
        {
            if read == 0 {
                break;
            }
            answer.extend_from_slice(&part[..read]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status lines in what comes back.
    async fn statuses(&self, request: &[u8]) -> Vec<u16> {
        let answer = self.raw(request).await;
        let heads = answer.split("HTTP/1.1 ").skip(1);
        heads.map(|head| head[..3].parse().unwrap()).collect()
    }

    /// A PATCH of the system with this body.
    async fn patch(&self, body: &[u8]) -> Vec<u16> {
        let mut request = format!(
            "PATCH {NODE} HTTP/1.1\r\nHost: blade\r\nX-Auth-Token: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len(),
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.statuses(&request).await
    }

    /// Everything is as it was.
    async fn assert_unharmed(&self) {
        let node = self.admin.get(NODE).await;
        assert_eq!(node.status, 200);
        assert!(node.body["AssetTag"].is_null(), "nothing is set");
    }
}

#[tokio::test]
async fn a_request_does_not_hide_in_another() {
    let scene = Scene::set().await;
    let token = &scene.token;
    let hidden =
        format!("GET {NODE} HTTP/1.1\r\nX-Auth-Token: {token}\r\n\r\n");
    let head = "POST /redfish/v1/SessionService/Sessions HTTP/1.1\r\n\
                Host: blade\r\nContent-Type: application/json\r\n";
    for framing in [
        "Content-Length: 4\r\nContent-Length: 40\r\n",
        "Content-Length: 4, 40\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 18446744073709551617\r\n",
    ] {
        let request = format!("{head}{framing}\r\n{{}}\r\n{hidden}");
        let statuses = scene.statuses(request.as_bytes()).await;
        assert!(statuses.len() <= 1, "{framing}: {statuses:?}");
        assert!(
            statuses.iter().all(|it| *it >= 400),
            "{framing}: {statuses:?}"
        );
    }
    // Both lengths: the chunks count, and the connection ends with them.
    let both = format!(
        "{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n{hidden}"
    );
    let statuses = scene.statuses(both.as_bytes()).await;
    assert!(!statuses.contains(&200), "{statuses:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn paths_have_one_spelling() {
    let scene = Scene::set().await;
    for path in [
        "/redfish/v1/Systems%2Fnode",
        "/redfish/v1/Systems/%6eode",
        "/redfish/v1/Systems/../Systems/node",
        "/redfish/v1/Systems/%2e%2e/Systems/node",
        "/redfish/v1//Systems/node",
        "/redfish/v1/Systems/node%00",
        "/redfish/v1/Systems/node;x=1",
        "/redfish/v1/Systems/node/..;/node",
        "/Redfish/V1/Systems/node",
    ] {
        let reply = scene.admin.get(path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.body);
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn heads_have_a_size() {
    let scene = Scene::set().await;
    let many = "X-A: b\r\n".repeat(5000);
    let long = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
    for bomb in [many, long] {
        let request =
            format!("GET {NODE} HTTP/1.1\r\nHost: blade\r\n{bomb}\r\n");
        let statuses = scene.statuses(request.as_bytes()).await;
        assert!(statuses.iter().all(|it| *it == 431), "{statuses:?}");
    }
    let uri =
        format!("GET /{} HTTP/1.1\r\nHost: b\r\n\r\n", "a".repeat(1 << 20));
    let statuses = scene.statuses(uri.as_bytes()).await;
    assert!(statuses.iter().all(|it| [414, 431].contains(it)), "{statuses:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn bodies_are_json_of_bounded_depth_and_size() {
    let scene = Scene::set().await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let nested = format!("{{\"AssetTag\":{deep}}}");
    let objects = "{\"a\":".repeat(30_000) + "1" + &"}".repeat(30_000);
    let name = "n".repeat(200_000);
    for body in [
        deep.as_bytes(),
        nested.as_bytes(),
        objects.as_bytes(),
        b"{\"AssetTag\":\"\xff\xfe\"}",
        b"{\"AssetTag\":\"\\ud800\"}",
        b"{\"AssetTag\":\"a\",\"AssetTag\":\"b\"}",
        b"{\"AssetTag\":1e999999999}",
        b"{\"AssetTag\":123456789012345678901234567890}",
        b"{\"AssetTag\":NaN}",
        b"{\"AssetTag\":\"a\"} trailing",
        b"{\"AssetTag\":\"a\"",
        b"\xef\xbb\xbf{\"AssetTag\":\"a\"}",
        b"\0",
        format!("{{\"AssetTag\":\"{name}\"}}").as_bytes(),
        format!("{{\"{name}\":1}}").as_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        assert_eq!(scene.patch(body).await, [400], "{shown}");
    }
    let large = format!("{{\"AssetTag\":\"{}\"}}", "a".repeat(4 << 20));
    let statuses = scene.patch(large.as_bytes()).await;
    assert!(statuses.iter().all(|it| *it == 413), "{statuses:?}");
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn a_stranger_who_dawdles_holds_nobody_up() {
    let scene = Scene::set().await;
    let address = scene.blade.agent.redfish_address();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = scene.blade.stranger().secure(&[b"http/1.1"]).await;
        let head = format!("GET {NODE} HTTP/1.1\r\nHost: bl");
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let answer = timeout(Duration::from_secs(5), scene.admin.get(NODE)).await;
    assert_eq!(answer.expect("at once").status, 200);
    // A body that does not come ends the request, not the service.
    let token = &scene.token;
    let head = format!(
        "PATCH {NODE} HTTP/1.1\r\nHost: blade\r\nX-Auth-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answer = timeout(PATIENCE, scene.statuses(head.as_bytes())).await;
    assert_eq!(answer.expect("an end"), [408]);
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn junk_instead_of_tls_is_hung_up_on() {
    let scene = Scene::set().await;
    let address = scene.blade.agent.redfish_address();
    let hello = [&b"\x16\x03\x01\xff\xff"[..], &[0x41; 4096]].concat();
    for junk in
        [&hello[..], b"\x16\x03\x01\x00\x05hello", &[0; 512], b"SSH-2.0-x\r\n"]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(junk).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{junk:?} is answered by silence");
    }
    scene.assert_unharmed().await;
}

#[tokio::test]
async fn methods_and_versions_are_those_of_http() {
    let scene = Scene::set().await;
    for (line, wanted) in [
        ("BREW /redfish/v1/ HTTP/1.1", &[401, 405, 501][..]),
        ("GET /redfish/v1/ HTTP/9.9", &[400, 505]),
        ("GET redfish/v1/ HTTP/1.1", &[400, 404]),
        ("CONNECT blade:443 HTTP/1.1", &[400, 401, 404, 405, 501]),
        ("OPTIONS * HTTP/1.1", &[400, 401, 404, 405, 501]),
        ("GET http://elsewhere/redfish/v1/Systems HTTP/1.1", &[401]),
    ] {
        let request = format!("{line}\r\nHost: blade\r\n\r\n");
        let statuses = scene.statuses(request.as_bytes()).await;
        assert!(
            statuses.iter().all(|it| wanted.contains(it)),
            "{line}: {statuses:?}"
        );
    }
    let trace = scene.admin.send(Method::TRACE, NODE, "").await;
    assert!([405, 501].contains(&trace.status.as_u16()), "{}", trace.status);
    scene.assert_unharmed().await;
}
