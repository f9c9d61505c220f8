//! Requests through the tunnel: what passes, what is bounded, what survives.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use onprem_fleet::tunnel::{self, TunnelError, TunnelOptions};
use tokio::time::timeout;

use crate::rig::{Agent, Fleet, LONG, NEW_YEAR_MS, Stalling, ada, request};

#[tokio::test]
async fn bodies_pass_and_credentials_do_not() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;

    let body = "x".repeat(1 << 20);
    let mut echo = request(Method::POST, "/echo");
    *echo.body_mut() = tunnel::full(body.clone());
    let answer = fleet.tunnels.send(device, echo, &ada()).await.unwrap();
    let back = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(back == body.as_bytes());

    let mut headers = request(Method::GET, "/headers");
    let given = [
        ("authorization", "Bearer secret-1"),
        ("cookie", "onprem_session=secret-2"),
        ("onprem-grant", "secret-3"),
        ("x-auth-token", "passes"),
        ("if-match", "\"etag\""),
    ];
    for (name, value) in given {
        headers.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = fleet.tunnels.send(device, headers, &ada()).await.unwrap();
    let seen = answer.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    assert!(seen.contains("passes") && seen.contains("etag"), "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
}

#[tokio::test]
async fn a_device_that_is_not_there_is_said_to_be_offline() {
    let fleet = Fleet::start().await;
    let device = onprem_link::id::Xid::new();
    let error = fleet.get(device, "/hello").await.unwrap_err();
    assert!(matches!(error, TunnelError::Offline));
}

#[tokio::test]
async fn an_answer_that_does_not_come_meets_the_deadline() {
    let options = TunnelOptions {
        deadline: Duration::from_millis(200),
        ..TunnelOptions::default()
    };
    let fleet = Fleet::start_with(options, NEW_YEAR_MS).await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let error = fleet.get(device, "/never").await.unwrap_err();
    assert!(matches!(error, TunnelError::Timeout(_)), "{error}");
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}

#[tokio::test]
async fn an_answer_that_panics_is_nothing_to_the_others() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    for _ in 0..2 {
        fleet.get(device, "/broken").await.unwrap_err();
        assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
    }
}

#[tokio::test]
async fn requests_to_one_device_are_bounded() {
    let options = TunnelOptions { requests: 2, ..TunnelOptions::default() };
    let fleet = Fleet::start_with(options, NEW_YEAR_MS).await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let ask = || {
        let events = request(Method::GET, "/events");
        let (tunnels, ada) = (&fleet.tunnels, ada());
        async move { tunnels.send(device, events, &ada).await }
    };
    let first = ask().await.unwrap();
    let second = ask().await.unwrap();
    assert!(matches!(ask().await, Err(TunnelError::TooMany)));
    drop(first);
    assert!(ask().await.is_ok());
    drop(second);
}

#[tokio::test]
async fn events_stream_through_as_they_come() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let events = request(Method::GET, "/events");
    let answer = fleet.tunnels.send(device, events, &ada()).await.unwrap();
    let mut body = answer.into_body();
    let frame = timeout(LONG, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: first\n\n");
    // The stream is still open, and others pass it.
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}

#[tokio::test]
async fn viewers_that_leave_together_do_not_end_the_tunnel() {
    let options = TunnelOptions { requests: 400, ..TunnelOptions::default() };
    let fleet = Fleet::start_with(options, NEW_YEAR_MS).await;
    let agent = Stalling::join(&fleet).await;
    let device = agent.device;
    let mut changes = fleet.tunnels.changes();
    for burst in 0..12 {
        // The agent is busy, so that requests and resets wait for it in one
        // heap: it sees streams that were reset before it took them up.
        let stall = fleet.get(device, "/stall");
        let leave = async {
            let viewers = (0..300).map(|_| {
                let patience = Duration::from_millis(30);
                timeout(patience, fleet.get(device, "/never"))
            });
            let left = join_all(viewers).await;
            assert!(left.iter().all(Result::is_err), "burst {burst}");
            agent.resume();
        };
        let (stalled, ()) = tokio::join!(stall, leave);
        assert!(stalled.is_ok(), "burst {burst}: {stalled:?}");
        let (status, _) = fleet.get(device, "/hello").await.unwrap();
        assert_eq!(status, StatusCode::OK, "after burst {burst}");
    }
    assert!(changes.try_recv().is_err(), "the tunnel was never lost");
}
