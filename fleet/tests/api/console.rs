//! A serial console through the fleet: a WebSocket from end to end.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    live::{BLADE, with_blade},
    support::Fleet,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A WebSocket of the fleet, with `credential` as a header, or the status.
async fn socket(
    fleet: &Fleet,
    path: &str,
    credential: &str,
) -> Result<WebSocketStream<TcpStream>, u16> {
    let url = fleet.server.api_url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "GET {BLADE}/consoles/{path} HTTP/1.1\r\nHost: {host}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n{credential}\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    if status != 101 {
        return Err(status);
    }
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

/// Waits for what `found` finds in a message.
async fn wait<T>(
    socket: &mut WebSocketStream<TcpStream>,
    mut found: impl FnMut(Message) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            let message = socket.next().await.expect("a message").unwrap();
            if let Some(found) = found(message) {
                return found;
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("it should have come")
}

async fn hear(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    let mut said = String::new();
    let hear = |message| {
        if let Message::Binary(bytes) = message {
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
        said.contains(text).then_some(())
    };
    wait(socket, hear).await;
}

async fn learn(socket: &mut WebSocketStream<TcpStream>, event: &str) -> Value {
    let learn = |message| {
        let Message::Text(text) = message else { return None };
        let value: Value = serde_json::from_str(&text).unwrap();
        (value["event"] == event).then_some(value)
    };
    wait(socket, learn).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_is_typed_on_through_the_fleet() {
    let (fleet, agent, _folder) = with_blade().await;
    let all = fleet.get(&format!("{BLADE}/consoles")).await;
    assert_eq!(all["items"][0]["id"], "node");
    assert_eq!(all["items"][0]["sessions"], 16);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let admin = bearer(&fleet.token);
    let looker = bearer(&fleet.token_of("looker", "readonly").await);
    let path = "node/stream?control=true";

    let mut ada = socket(&fleet, path, &admin).await.unwrap();
    assert_eq!(learn(&mut ada, "opened").await["mayType"], true);
    hear(&mut ada, "node login: ").await;
    ada.send(Message::binary(b"pi\rsecret\recho hello\r".to_vec()))
        .await
        .unwrap();
    hear(&mut ada, "\r\nhello\r\n").await;
    let seen = fleet.get(&format!("{BLADE}/consoles/node?tail=200")).await;
    assert!(seen["output"].as_str().unwrap().contains("hello\r\n"));

    let mut looks = socket(&fleet, path, &looker).await.unwrap();
    assert_eq!(learn(&mut looks, "opened").await["mayType"], false);
    looks.send(Message::binary(b"reboot\r".to_vec())).await.unwrap();
    learn(&mut looks, "refused").await;
    ada.send(Message::binary(b"echo for all\r".to_vec())).await.unwrap();
    hear(&mut looks, "\r\nfor all\r\n").await;

    // Who is let in nowhere, from another site's page, or to what is not.
    let cookie = format!("Cookie: onprem_session={}", fleet.token);
    let elsewhere = format!("{cookie}\r\nOrigin: https://elsewhere.example");
    for (path, credential, status) in [
        (path, "X-Nobody: 1", 401),
        (path, &elsewhere, 403),
        (path, &cookie, 403),
        ("nobody/stream", &admin, 404),
        ("node/stream?bogus=1", &admin, 409),
    ] {
        let refused = socket(&fleet, path, credential).await;
        assert_eq!(refused.unwrap_err(), status, "{path} {credential}");
    }
    let log = "/v1/audit-records?operation=device_console_stream";
    let log = fleet.get(log).await;
    let records = log["items"].as_array().unwrap();
    let opened = records.iter().filter(|it| it["status"] == 101);
    assert_eq!(opened.count(), 2, "{records:?}");

    // Whose account may not any more is cut off.
    let change = Some(json!({"enabled": false}));
    let off = fleet.call(Method::PATCH, "/v1/accounts/looker", change).await;
    assert_eq!(off.status, StatusCode::OK, "{}", off.body);
    let cut = async { while let Some(Ok(_)) = looks.next().await {} };
    timeout(PATIENCE, cut).await.expect("it is cut off");
    // So is everybody when the device has gone.
    agent.stop().await;
    let cut = async { while let Some(Ok(_)) = ada.next().await {} };
    timeout(PATIENCE, cut).await.expect("it has ended");
}
