//! A tool on the proxy's port meets the device.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Kept, fake::FakeFleet};
use crate::{run, screen::Screen};

use onprem_description::PageModel;

/// Runs `work` with the address of a proxy to the device `a`; answers what the
/// proxy told.
async fn with_proxy<F: Future<Output = ()>>(
    fleet: &FakeFleet,
    work: impl FnOnce(String) -> F,
) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    fleet.on("GET /v1/devices/a", 200, &json!({"name": "a"}));
    let (out, err) = (Kept::default(), Kept::default());
    let told = Arc::new(out.clone());
    let mut screen = Screen::kept(Box::new(out.clone()), Box::new(err.clone()));
    let words = ["onprem", "proxy", "a", "--url", &fleet.url];
    let words = words.iter().map(Into::into);
    let proxy = run::run(PageModel::get(), words, &mut screen);
    let address = async move {
        loop {
            if let Some(line) = told.text().lines().next() {
                return line.trim_start_matches("https://").to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    let client = async {
        let address = tokio::time::timeout(Duration::from_secs(30), address);
        work(address.await.expect("an address")).await;
    };
    tokio::select! {
        code = proxy => panic!("the proxy ended: {code} {}", err.text()),
        () = client => err.text(),
    }
}

#[tokio::test]
async fn a_device_that_is_away_is_told_at_once() {
    let fleet = FakeFleet::start().await;
    let away = json!({"name": "a", "state": "offline"});
    fleet.on("GET /v1/devices/a", 200, &away);
    let told = with_proxy(&fleet, |_| async {}).await;
    assert!(told.contains("warning: a is offline"), "{told}");
    let told = with_proxy(&fleet, |_| async {}).await;
    assert!(!told.contains("warning"), "{told}");
}

fn tool() -> reqwest::Client {
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .expect("a client")
}

#[tokio::test]
async fn everything_but_the_credentials_passes_unchanged() {
    let fleet = FakeFleet::start().await;
    let path = "/v1/devices/a/redfish/v1";
    let session = Response::builder()
        .status(201)
        .header("x-auth-token", "device-token")
        .header("location", "/redfish/v1/SessionService/Sessions/1")
        .header("odata-version", "4.0")
        .body(Bytes::from_static(b"{\"Id\":\"1\"}"))
        .expect("an answer");
    let sessions = format!("POST {path}/SessionService/Sessions");
    fleet.on_response(&sessions, session);
    with_proxy(&fleet, |address| async move {
        for scheme in ["http", "https"] {
            let url = format!(
                "{scheme}://{address}/redfish/v1/SessionService/Sessions?x=1"
            );
            let answer = tool()
                .post(url)
                .basic_auth("root", Some("of the tool"))
                .header("x-auth-token", "old")
                .header("odata-version", "4.0")
                .body("{\"UserName\":\"root\"}")
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 201);
            let headers = answer.headers();
            assert_eq!(headers["x-auth-token"], "device-token");
            assert_eq!(headers["odata-version"], "4.0");
            assert_eq!(
                headers["location"],
                "/redfish/v1/SessionService/Sessions/1"
            );
            assert_eq!(answer.text().await.expect("a body"), "{\"Id\":\"1\"}");
        }
    })
    .await;
    let seen = fleet.seen();
    for request in seen.iter().filter(|s| s.line.starts_with("POST")) {
        assert!(request.line.ends_with("/Sessions?x=1"), "{}", request.line);
        assert!(!request.headers.contains_key("authorization"));
        assert_eq!(request.headers["x-auth-token"], "old");
        assert_eq!(request.json(), json!({"UserName": "root"}));
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn the_root_above_the_version_is_there_and_nothing_else() {
    let fleet = FakeFleet::start().await;
    with_proxy(&fleet, |address| async move {
        let get =
            |path: &str| tool().get(format!("http://{address}{path}")).send();
        let versions = get("/redfish").await.expect("an answer");
        let versions = versions.text().await.expect("a body");
        assert_eq!(versions, "{\"v1\":\"/redfish/v1/\"}");
        for path in ["/", "/v1/devices", "/redfishy"] {
            assert_eq!(get(path).await.expect("an answer").status(), 404);
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out() {
    let fleet = FakeFleet::start().await;
    with_proxy(&fleet, |address| async move {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:1"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("host", "evil.example:80"),
        ] {
            let url = format!("http://{address}/redfish");
            let answer = tool().get(url).header(name, value).send().await;
            assert_eq!(answer.expect("an answer").status(), 403, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_large_body_passes_in_both_directions() {
    let fleet = FakeFleet::start().await;
    let large = vec![b'x'; 3 << 20];
    let path = "/v1/devices/a/redfish/v1/UpdateService/upload";
    fleet.on_response(
        &format!("POST {path}"),
        Response::new(Bytes::from(large.clone())),
    );
    let sent = large.clone();
    with_proxy(&fleet, |address| async move {
        let url = format!("https://{address}/redfish/v1/UpdateService/upload");
        let answer = tool().post(url).body(sent.clone()).send().await;
        let body = answer.expect("an answer").bytes().await.expect("a body");
        assert_eq!(body.len(), sent.len());
    })
    .await;
    assert_eq!(fleet.seen().last().expect("a request").body, large);
}

#[tokio::test]
async fn no_path_leads_from_the_device_to_the_fleet() {
    let fleet = FakeFleet::start().await;
    with_proxy(&fleet, |address| async move {
        for path in [
            "/redfish/v1/../../../accounts",
            "/redfish/v1/%2e%2e/%2E./x",
            "/redfish/v1/..\\..\\x",
            "/redfish/../accounts",
        ] {
            // A client of ours would not let such a path out.
            let stream = TcpStream::connect(&address).await;
            let mut stream = stream.expect("a connection");
            let line = format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\n\
                 Connection: close\r\n\r\n"
            );
            let sent = stream.write_all(line.as_bytes()).await;
            sent.expect("a request");
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer).await;
            read.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
    })
    .await;
    // The question whether the device is there, and nothing more.
    assert_eq!(fleet.seen().len(), 1);
}
