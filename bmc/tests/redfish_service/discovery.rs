//! SSDP on the loopback, where the agent of a test listens.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use crate::client::{Blade, ROOT};

const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 1900);
const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";
const SERVICE: &str = "urn:dmtf-org:service:redfish-rest:1";
/// Longer than an answer may take: after that, there is none.
const QUIET: Duration = Duration::from_millis(2500);
/// How long a busy machine may take with one that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket that speaks to the group on the loopback.
fn socket(bound: SocketAddr) -> UdpSocket {
    let socket =
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&bound.into()).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
}

fn search(target: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\
         Man: \"ssdp:discover\"\r\nST: {target}\r\nMX: 1\r\n\r\n"
    )
}

/// What `socket` hears of the agent on `port`, until `enough` of it.
async fn heard(
    socket: &UdpSocket,
    port: u16,
    enough: usize,
    patience: Duration,
) -> Vec<Vec<(String, String)>> {
    let end = Instant::now() + patience;
    let mut heard = Vec::new();
    let mut buffer = [0; 2048];
    while heard.len() < enough
        && let Ok(received) = timeout_at(end, socket.recv(&mut buffer)).await
    {
        let text = String::from_utf8_lossy(&buffer[..received.unwrap()]);
        let mut lines = text.split("\r\n");
        let first = (String::new(), lines.next().unwrap().to_owned());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        let message: Vec<_> = [first].into_iter().chain(headers).collect();
        // Other tests have agents of their own.
        let al = format!("https://127.0.0.1:{port}/redfish/v1/");
        let goodbye = value(&message, "NTS") == Some("ssdp:byebye");
        if value(&message, "AL") == Some(&al) || goodbye {
            heard.push(message);
        }
    }
    heard
}

fn value<'m>(message: &'m [(String, String)], name: &str) -> Option<&'m str> {
    let found = message.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| &**value)
}

/// The answer to `text`, if one comes before `patience` ends.
async fn ask(
    blade: &Blade,
    text: &str,
    patience: Duration,
) -> Vec<Vec<(String, String)>> {
    let client = socket((Ipv4Addr::LOCALHOST, 0).into());
    client.send_to(text.as_bytes(), GROUP).await.unwrap();
    heard(&client, blade.agent.redfish_address().port(), 1, patience).await
}

#[tokio::test]
async fn a_search_for_redfish_is_answered_with_where_it_is() {
    let blade = Blade::simulated().await;
    let root = blade.admin().get(ROOT).await.body;
    let uuid = root["UUID"].as_str().unwrap();
    let version = root["RedfishVersion"].as_str().unwrap();
    let minor = version.split('.').nth(1).unwrap();
    let full = format!("{SERVICE}:{minor}");
    for (target, st, usn) in [
        (SERVICE, &*full, SERVICE),
        (&full, &full, SERVICE),
        ("ssdp:all", &full, SERVICE),
        ("upnp:rootdevice", "upnp:rootdevice", "upnp:rootdevice"),
    ] {
        let found = ask(&blade, &search(target), PATIENCE).await;
        let [answer] = &*found else { panic!("{target}: {found:?}") };
        assert_eq!(answer[0].1, "HTTP/1.1 200 OK");
        assert_eq!(value(answer, "ST"), Some(st));
        let usn = format!("uuid:{uuid}::{usn}");
        assert_eq!(value(answer, "USN"), Some(&*usn));
        assert_eq!(value(answer, "EXT"), Some(""));
        let age = value(answer, "CACHE-CONTROL").unwrap();
        let age: u32 = age.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!(age >= 1800);
    }
}

#[tokio::test]
async fn what_is_no_search_for_redfish_is_not_answered() {
    let blade = Blade::simulated().await;
    let client = socket((Ipv4Addr::LOCALHOST, 0).into());
    let good = search("ssdp:all");
    let hostile = [
        search("urn:schemas-upnp-org:device:MediaServer:1"),
        search("urn:dmtf-org:service:redfish-rest:2"),
        good.replace("MX: 1\r\n", ""),
        good.replace("\"ssdp:discover\"", "ssdp:discover"),
        good.replace("M-SEARCH", "NOTIFY"),
        good.trim_end().to_owned(),
        "\r\n\r\n".to_owned(),
        format!("M-SEARCH * HTTP/1.1\r\n{}", "x".repeat(60_000)),
        String::new(),
    ];
    for text in hostile {
        client.send_to(text.as_bytes(), GROUP).await.unwrap();
    }
    client.send_to(&[0xff; 900], GROUP).await.unwrap();
    let port = blade.agent.redfish_address().port();
    let answers = heard(&client, port, 1, QUIET).await;
    assert!(answers.is_empty(), "{answers:?}");
    let answers = ask(&blade, &good, PATIENCE).await;
    assert_eq!(answers.len(), 1, "it is still there");
}

#[tokio::test]
async fn ssdp_is_switched_off_and_on_at_once_and_for_good() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let switch = |on: bool| json!({"SSDP": {"ProtocolEnabled": on}});
    let off = admin.patch(PROTOCOL, &switch(false)).await;
    assert_eq!(off.body["SSDP"]["ProtocolEnabled"], false, "{}", off.body);
    assert!(ask(&blade, &search(SERVICE), QUIET).await.is_empty());
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let still = admin.get(PROTOCOL).await;
    assert_eq!(still.body["SSDP"]["ProtocolEnabled"], false);
    assert!(ask(&blade, &search(SERVICE), QUIET).await.is_empty());
    let on = admin.patch(PROTOCOL, &switch(true)).await;
    assert_eq!(on.body["SSDP"]["ProtocolEnabled"], true);
    assert_eq!(ask(&blade, &search(SERVICE), PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn who_listens_hears_it_come_and_go() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let quiet = json!({"SSDP": {"NotifyMulticastIntervalSeconds": 0}});
    assert_eq!(admin.patch(PROTOCOL, &quiet).await.status, 200);
    let root = admin.get(ROOT).await.body;
    let usn = format!("uuid:{}::{SERVICE}", root["UUID"].as_str().unwrap());
    let listener = socket(GROUP.into());
    listener.join_multicast_v4(GROUP.0, Ipv4Addr::LOCALHOST).unwrap();
    let loud = json!({"SSDP": {"NotifyMulticastIntervalSeconds": 900}});
    assert_eq!(admin.patch(PROTOCOL, &loud).await.status, 200);
    let port = blade.agent.redfish_address().port();
    let is = |message: &[(String, String)], what: &str| {
        message[0].1 == "NOTIFY * HTTP/1.1"
            && value(message, "NTS") == Some(what)
    };
    let mut all = heard(&listener, port, 500, QUIET).await;
    all.retain(|message| is(message, "ssdp:alive"));
    assert_eq!(all.len(), 2, "once more, in case one got lost: {all:?}");
    assert_eq!(value(&all[0], "CACHE-CONTROL"), Some("max-age=2700"));
    assert!(value(&all[0], "NT").unwrap().starts_with(SERVICE));
    let stopping = blade.agent.stop();
    let (all, _) = tokio::join!(heard(&listener, port, 500, QUIET), stopping);
    let goodbye = all.iter().find(|it| {
        // Other tests' agents leave as well.
        is(it, "ssdp:byebye") && value(it, "USN") == Some(&*usn)
    });
    assert!(goodbye.is_some(), "{all:?}");
}
