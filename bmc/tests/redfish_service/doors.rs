//! The ports: TLS, plain HTTP, HTTP/2, metrics.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use crate::client::Blade;

async fn plain(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn plain_http_is_sent_to_tls_on_the_same_port() {
    let blade = Blade::simulated().await;
    let address = blade.agent.redfish_address();
    let answer = plain(address, "/redfish/v1/Systems?only").await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    let target = format!("location: https://{address}/redfish/v1/Systems?only");
    assert!(answer.contains(&target), "{answer}");
}

#[tokio::test]
async fn http2_is_there_for_who_offers_it() {
    let blade = Blade::simulated().await;
    let stream = blade.stranger().secure(&[b"h2"]).await;
    let protocol = stream.get_ref().1.alpn_protocol();
    assert_eq!(protocol, Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let handshake = http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.unwrap();
    TaskTracker::new().spawn(connection);
    let request = Request::get("https://localhost/redfish")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, &br#"{"v1":"/redfish/v1/"}"#[..]);
}

#[tokio::test]
async fn metrics_count_requests() {
    let blade = Blade::simulated().await;
    blade.stranger().get("/redfish").await;
    let address = blade.agent.metrics_address().unwrap();
    let answer = plain(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("# TYPE "), "{answer}");
    assert!(plain(address, "/").await.starts_with("HTTP/1.1 404 "));
}

/// A server that writes head and body apart, or without `TCP_NODELAY`, waits
/// for the client's delayed acknowledgement: 40 ms on Linux, each time.
#[tokio::test]
async fn an_answer_does_not_wait_for_an_acknowledgement() {
    let blade = Blade::simulated().await;
    let mut stream = blade.stranger().secure(&[b"http/1.1"]).await;
    let request = "GET /redfish/v1/ HTTP/1.1\r\nHost: blade\r\n\r\n";
    let mut times = Vec::new();
    for _ in 0..40 {
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    // All would wait; a busy machine delays some.
    assert!(times[times.len() / 4] < Duration::from_millis(35), "{times:?}");
}
