//! What happens, as it happens.

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::{Fleet, request};

/// Follows the events until `count` of them came: each one's name and data.
async fn follow(
    fleet: &Fleet,
    last: Option<&str>,
    count: usize,
    cause: impl AsyncFnOnce(),
) -> Vec<(String, Value)> {
    let token = Some(fleet.token.as_str());
    let path = "/v1/events/stream?topic=devices";
    let mut get = request(Method::GET, path, token, None);
    if let Some(last) = last {
        let last = HeaderValue::from_str(last).unwrap();
        get.headers_mut().insert("last-event-id", last);
    }
    let address = fleet.server.fleet().api_address().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.unwrap();
    let read = async {
        let answer = sender.send_request(get).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "text/event-stream");
        cause().await;
        let (mut body, mut text) = (answer.into_body(), String::new());
        while text.matches("\ndata: ").count() < count {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(
                std::str::from_utf8(&frame.into_data().unwrap()).unwrap(),
            );
        }
        text
    };
    tokio::pin!(read, connection);
    let text = tokio::select! {
        text = &mut read => text,
        _ = connection => panic!("the stream ended"),
    };
    let field = |block: &str, name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    text.split("\n\n")
        .filter_map(|block| {
            let data = field(block, "data: ")?;
            let data = serde_json::from_str(&data).unwrap();
            Some((field(block, "event: ")?, data))
        })
        .collect()
}

#[tokio::test]
async fn events_come_as_they_happen_and_those_missed_come_first() {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(3).await;
    let enrol = async || {
        for name in ["one", "two"] {
            fleet.enrol(&token, name, name).await;
        }
    };
    let told = follow(&fleet, None, 2, enrol).await;
    let names: Vec<_> = told.iter().map(|(_, e)| &e["deviceName"]).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(told[0].0, "devices");
    assert_eq!(told[0].1["kind"], "deviceEnrolled");

    let first = told[0].1["id"].as_str();
    let enrol = async || {
        fleet.enrol(&token, "three", "three").await;
    };
    let told = follow(&fleet, first, 2, enrol).await;
    let names: Vec<_> = told.iter().map(|(_, e)| &e["deviceName"]).collect();
    assert_eq!(names, ["two", "three"]);

    let path = "/v1/events/stream";
    let answer = fleet.send(request(Method::GET, path, None, None)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_that_has_ended_gets_no_more_events() {
    let fleet = Fleet::start().await;
    let session = fleet.token_of("looker", "readonly").await;
    let join = fleet.join_token(1).await;
    let address = fleet.server.fleet().api_address().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.unwrap();
    let path = "/v1/events/stream";
    let get = request(Method::GET, path, Some(&session), None);
    let read = async {
        let answer = sender.send_request(get).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        fleet.call(Method::DELETE, "/v1/accounts/looker", None).await;
        fleet.enrol(&join, "secret", "secret").await;
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    tokio::pin!(read, connection);
    let told = tokio::select! {
        told = &mut read => told,
        _ = connection => panic!("the stream ended"),
    };
    let told = String::from_utf8_lossy(&told);
    assert!(!told.contains("secret"), "{told}");
}
