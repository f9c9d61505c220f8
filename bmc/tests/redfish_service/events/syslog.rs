//! Events as syslog messages, over UDP, TCP and TLS.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::{TcpListener, UdpSocket},
    time::timeout,
};

use super::{SUBSCRIPTIONS, receiver::PATIENCE, submit, until};
use crate::client::{Blade, Client};

async fn follow(client: &Client, protocol: &str, port: u16) -> String {
    let body = json!({"Destination": format!("syslog://localhost:{port}"),
        "Protocol": protocol, "SubscriptionType": "Syslog",
        "SyslogFilters": [{"LogFacilities": ["Daemon"],
            "LowestSeverity": "Informational"}]});
    let made = client.post(SUBSCRIPTIONS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["SubscriptionType"], "Syslog");
    assert_eq!(made.body["SyslogFilters"], body["SyslogFilters"]);
    assert_eq!(onprem_redfish::check(&made.body), []);
    made.header("location").to_owned()
}

/// The next message with its length before it (RFC 6587).
async fn framed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let reading = async {
        let mut length = 0;
        loop {
            match stream.read_u8().await.unwrap() {
                b' ' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.unwrap();
        String::from_utf8(message).unwrap()
    };
    timeout(PATIENCE, reading).await.unwrap()
}

fn is_test(message: &str) -> bool {
    message.starts_with("<30>1 ") && message.contains(" TestMessage [meta ")
}

#[tokio::test]
async fn over_udp_a_message_is_a_datagram() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    follow(&admin, "SyslogUDP", port).await;
    submit(&admin, "t-1").await;
    let mut message = String::new();
    while !is_test(&message) {
        let mut bytes = [0; 2048];
        let received = timeout(PATIENCE, socket.recv(&mut bytes));
        let length = received.await.unwrap().unwrap();
        message = String::from_utf8(bytes[..length].to_vec()).unwrap();
    }
}

#[tokio::test]
async fn over_tcp_messages_share_a_connection_that_is_made_again() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    super::retry(&admin, 0).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = follow(&admin, "SyslogTCP", port).await;
    submit(&admin, "t-1").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    while !is_test(&framed(&mut stream).await) {}
    submit(&admin, "t-2").await;
    while !is_test(&framed(&mut stream).await) {}
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    submit(&admin, "t-3").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    while !is_test(&framed(&mut stream).await) {}
    // What concerns accounts is another facility's.
    let body = json!({"MessageId": "ResourceEvent.1.4.TestMessage",
        "OriginOfCondition": "/redfish/v1/AccountService/Accounts/admin"});
    assert_eq!(admin.post(super::SUBMIT, &body).await.status, 200);
    submit(&admin, "t-4").await;
    assert!(is_test(&framed(&mut stream).await));
    drop((stream, listener));
    submit(&admin, "t-5").await;
    submit(&admin, "t-6").await;
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
}

#[tokio::test]
async fn over_tls_the_server_is_checked() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    super::retry(&admin, 0).await;
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(
        made.signing_key.serialize_der(),
    );
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.unwrap());
    let config = std::sync::Arc::new(config.unwrap());
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = follow(&admin, "SyslogTLS", port).await;
    let check = json!({"VerifyCertificate": true});
    assert_eq!(admin.patch(&uri, &check).await.status, 200);
    submit(&admin, "t-1").await;
    let (tcp, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(tcp).await.is_err());
    until(&admin, &uri, |it| it["Status"]["Health"] == "Warning").await;
    let check = json!({"VerifyCertificate": false});
    assert_eq!(admin.patch(&uri, &check).await.status, 200);
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(tcp).await {
            while !is_test(&framed(&mut stream).await) {}
            return;
        }
    }
}

#[tokio::test]
async fn what_makes_no_sense_for_syslog_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let whole = json!({"Destination": "syslog://localhost:514",
        "Protocol": "SyslogTCP"});
    for (name, value) in [
        ("Destination", json!("https://localhost/")),
        ("Destination", json!("syslog://localhost/path")),
        ("SubscriptionType", json!("RedfishEvent")),
        ("EventFormatType", json!("MetricReport")),
        ("HttpHeaders", json!([{"A": "b"}])),
        ("SyslogFilters", json!([{"LowestSeverity": "Dire"}])),
        ("SyslogFilters", json!([{"LogFacilities": ["Nope"]}])),
    ] {
        let mut body = whole.clone();
        body[name] = value;
        let refused = admin.post(SUBSCRIPTIONS, &body).await;
        assert_eq!(refused.status, 400, "{body}");
    }
}
