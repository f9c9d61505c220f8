//! mDNS on the loopback, where the agent of a test listens.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::json;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{PTR, RData, SRV},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout, timeout_at},
};
use uuid::Uuid;

use crate::client::{Blade, ROOT};

const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";
const SERVICE: &str = "_redfish._tcp.local";
/// Longer than an answer may take: after that, there is none.
const QUIET: Duration = Duration::from_millis(2500);
/// How long a busy machine may take with one that has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// `_redfish._tcp.local`, PTR, IN, as it stands in a question.
const BROWSE: &[u8] = b"\x08_redfish\x04_tcp\x05local\0\0\x0c\0\x01";

/// A blade that is none of the other tests', with mDNS as it is by default.
async fn blade() -> Blade {
    let serial = Uuid::new_v4().simple().to_string();
    let change = |text: String| text.replace("100000002f6c1d3a", &serial);
    Blade::with_board(change).await
}

async fn switch(blade: &Blade, on: bool) {
    let wanted = json!({"mDNS": {"ProtocolEnabled": on}});
    let reply = blade.admin().patch(PROTOCOL, &wanted).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["mDNS"]["ProtocolEnabled"], on);
}

/// A socket that speaks to the group on the loopback; on its port, it hears
/// the group as well.
fn socket(port: u16) -> UdpSocket {
    let socket =
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    let bound: SocketAddr = match port {
        0 => (Ipv4Addr::LOCALHOST, 0).into(),
        _ => GROUP.into(),
    };
    socket.bind(&bound.into()).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    if port != 0 {
        socket.join_multicast_v4(&GROUP.0, &Ipv4Addr::LOCALHOST).unwrap();
    }
    UdpSocket::from_std(socket.into()).unwrap()
}

/// A header with the counts of what follows, and that.
fn message(id: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let head = [id, 0].into_iter().chain(counts);
    let head = head.flat_map(u16::to_be_bytes);
    head.chain(rest.iter().copied()).collect()
}

fn packet(buffer: &[u8]) -> Packet<'_> {
    Packet::parse(buffer).unwrap()
}

fn label(name: &Name<'_>) -> String {
    name.get_labels().first().unwrap().to_string()
}

/// Answers and additional records.
fn records<'p, 'b>(
    packet: &'p Packet<'b>,
) -> impl Iterator<Item = &'p ResourceRecord<'b>> {
    packet.answers.iter().chain(&packet.additional_records)
}

/// The SRV of the service on `port` in `packet`.
fn service<'p, 'b>(
    packet: &'p Packet<'b>,
    port: u16,
) -> Option<(&'p ResourceRecord<'b>, &'p SRV<'b>)> {
    records(packet).find_map(|record| match &record.rdata {
        RData::SRV(srv) if srv.port == port => Some((record, srv)),
        _ => None,
    })
}

/// Asks as old resolvers do until the service on `port` answers; nothing if it
/// does not before `patience` ends.
async fn ask(rest: &[u8], port: u16, patience: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + patience;
    let client = socket(0);
    while Instant::now() < end {
        let query = message(0x4a11, [1, 0, 0, 0], rest);
        client.send_to(&query, GROUP).await.unwrap();
        let retry = Instant::now() + Duration::from_millis(500);
        let mut buffer = [0; 9000];
        while let Ok(received) =
            timeout_at(retry, client.recv(&mut buffer)).await
        {
            let bytes = &buffer[..received.unwrap()];
            if service(&packet(bytes), port).is_some() {
                return Some(bytes.to_vec());
            }
        }
    }
    None
}

/// What `listener` hears until `wanted` says that it was it.
async fn hear(
    listener: &UdpSocket,
    patience: Duration,
    mut wanted: impl FnMut(&Packet<'_>) -> bool,
) -> bool {
    let listening = async {
        let mut buffer = [0; 9000];
        loop {
            let length = listener.recv(&mut buffer).await.unwrap();
            let bytes = &buffer[..length];
            if Packet::parse(bytes).is_ok_and(|it| wanted(&it)) {
                return;
            }
        }
    };
    timeout(patience, listening).await.is_ok()
}

#[tokio::test]
async fn who_browses_finds_the_service_where_it_is_wanted() {
    let blade = blade().await;
    let port = blade.agent.redfish_address().port();
    let mdns = blade.admin().get(PROTOCOL).await.body["mDNS"].clone();
    assert_eq!(mdns, json!({"ProtocolEnabled": false, "Port": 5353}));
    assert!(ask(BROWSE, port, QUIET).await.is_none(), "it is off");
    switch(&blade, true).await;
    let blade = blade.restarted().await;
    let port = blade.agent.redfish_address().port();
    let answer = ask(BROWSE, port, PATIENCE).await.expect("it is on for good");
    let answer = packet(&answer);
    assert_eq!(answer.id(), 0x4a11, "as an old resolver knows it");
    assert_eq!(answer.questions.len(), 1);
    assert!(records(&answer).all(|it| it.ttl <= 10 && !it.cache_flush));
    let root = blade.admin().get(ROOT).await.body;
    let uuid = root["UUID"].as_str().unwrap();
    let (record, srv) = service(&answer, port).unwrap();
    let name = format!("c001-b8-n01 ({})", uuid.split('-').next().unwrap());
    assert!(label(&record.name).ends_with(&name[name.len() - 10..]));
    let RData::PTR(PTR(instance)) = &answer.answers[0].rdata else {
        panic!("{answer:?}")
    };
    assert_eq!(*instance, record.name);
    let text = records(&answer).find_map(|it| match &it.rdata {
        RData::TXT(text) if it.name == *instance => Some(text.attributes()),
        _ => None,
    });
    let text = text.unwrap();
    let says = |key: &str| text[key].as_deref().unwrap();
    assert_eq!(says("uuid"), uuid);
    assert_eq!(says("path"), ROOT);
    assert_eq!(says("protovers"), root["RedfishVersion"].as_str().unwrap());
    let addresses: Vec<_> = records(&answer)
        .filter(|it| it.name == srv.target)
        .filter_map(|it| match &it.rdata {
            RData::A(it) => Some(Ipv4Addr::from_bits(it.address)),
            _ => None,
        })
        .collect();
    assert_eq!(addresses, [Ipv4Addr::LOCALHOST]);
}

#[tokio::test]
async fn it_asks_for_its_name_tells_it_and_says_goodbye() {
    let blade = blade().await;
    let port = blade.agent.redfish_address().port();
    let listener = socket(GROUP.1);
    switch(&blade, true).await;
    let (mut probes, mut told) = (0, 0);
    let announced = hear(&listener, PATIENCE, |packet| {
        let proposed = packet.name_servers.iter();
        let mut proposed = proposed.filter_map(|it| match &it.rdata {
            RData::SRV(srv) => Some(srv.port),
            _ => None,
        });
        probes += usize::from(proposed.any(|it| it == port));
        let all = records(packet).all(|it| it.ttl >= 120);
        told += usize::from(service(packet, port).is_some() && all);
        told == 2
    });
    assert!(announced.await);
    assert_eq!(probes, 3);
    let ends = hear(&listener, PATIENCE, |packet| {
        service(packet, port).is_some_and(|(record, _)| record.ttl == 0)
    });
    let ((), goodbye) = tokio::join!(switch(&blade, false), ends);
    assert!(goodbye);
    assert!(ask(BROWSE, port, QUIET).await.is_none(), "it is off");
}

#[tokio::test]
async fn a_name_that_somebody_has_is_left_to_them() {
    let blade = blade().await;
    let port = blade.agent.redfish_address().port();
    switch(&blade, true).await;
    let answer = ask(BROWSE, port, PATIENCE).await.unwrap();
    let answer = packet(&answer);
    let (record, _) = service(&answer, port).unwrap();
    let name = record.name.clone().into_owned();
    // Somebody who is on another port, and says so whenever he is asked.
    let squatter = socket(GROUP.1);
    let data = SRV { priority: 0, weight: 0, port: 7, target: name.clone() };
    let mut reply = Packet::new_reply(0);
    reply.answers.push(ResourceRecord::new(
        name.clone(),
        CLASS::IN,
        120,
        RData::SRV(data),
    ));
    let reply = reply.build_bytes_vec().unwrap();
    squatter.send_to(&reply, GROUP).await.unwrap();
    let insisting = async {
        let is_asked = |packet: &Packet<'_>| {
            !packet.has_flags(PacketFlag::RESPONSE)
                && packet.questions.iter().any(|it| it.qname == name)
        };
        while hear(&squatter, PATIENCE, is_asked).await {
            squatter.send_to(&reply, GROUP).await.unwrap();
        }
    };
    let renamed = async {
        loop {
            let answer = ask(BROWSE, port, PATIENCE).await.unwrap();
            let answer = packet(&answer);
            let (record, srv) = service(&answer, port).unwrap();
            if record.name != name {
                return (label(&record.name), label(&srv.target));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (instance, host) = tokio::select! {
        () = insisting => panic!("nobody asks"),
        renamed = timeout(PATIENCE, renamed) => renamed.expect("it yields"),
    };
    assert_eq!(instance, format!("{} (2)", label(&name)));
    assert!(host.ends_with("-2"), "{host}");
}

#[tokio::test]
async fn who_knows_it_already_is_not_told_again() {
    let blade = blade().await;
    let port = blade.agent.redfish_address().port();
    switch(&blade, true).await;
    let answer = ask(BROWSE, port, PATIENCE).await.unwrap();
    let answer = packet(&answer);
    let (record, _) = service(&answer, port).unwrap();
    let instance = record.name.clone();
    let listener = socket(GROUP.1);
    let question = || {
        let service = Name::new_unchecked(SERVICE);
        let kind = QTYPE::TYPE(TYPE::PTR);
        Question::new(service, kind, CLASS::IN.into(), false)
    };
    let known = |ttl| {
        let mut packet = Packet::new_query(0);
        packet.questions.push(question());
        packet.answers.push(ResourceRecord::new(
            Name::new_unchecked(SERVICE),
            CLASS::IN,
            ttl,
            RData::PTR(PTR(instance.clone())),
        ));
        packet.build_bytes_vec().unwrap()
    };
    let tells = |packet: &Packet<'_>| {
        packet.has_flags(PacketFlag::RESPONSE)
            && packet.answers.iter().any(|it| match &it.rdata {
                RData::PTR(PTR(name)) => *name == instance,
                _ => false,
            })
    };
    // Announcements are over after this.
    while hear(&listener, QUIET, tells).await {}
    listener.send_to(&known(4500), GROUP).await.unwrap();
    assert!(!hear(&listener, QUIET, tells).await, "it is known");
    listener.send_to(&known(2000), GROUP).await.unwrap();
    assert!(hear(&listener, PATIENCE, tells).await, "not for long any more");
    // However often it is asked, once a second is enough for all.
    let mut answers = 0;
    for _ in 0..200 {
        listener.send_to(&known(1), GROUP).await.unwrap();
    }
    hear(&listener, QUIET, |packet| {
        answers += u32::from(tells(packet));
        false
    })
    .await;
    assert!((1..=3).contains(&answers), "{answers}");
}

#[tokio::test]
async fn what_is_no_question_for_it_does_no_harm() {
    let blade = blade().await;
    let port = blade.agent.redfish_address().port();
    switch(&blade, true).await;
    assert!(ask(BROWSE, port, PATIENCE).await.is_some());
    let client = socket(0);
    let reply = [BROWSE, b"\xc0\x0c\0\x0c\0\x01\0\0\0\x78\xff\xff"].concat();
    let mut hostile = vec![
        Vec::new(),
        vec![0xff; 900],
        message(1, [1, 0, 0, 0], b"\xc0\x0c\0\x0c\0\x01"),
        message(1, [1, 0, 0, 0], b"\x01a\xc0\x0c\0\x0c\0\x01"),
        message(1, [2, 0, 0, 0], b"\xc0\x0e\xc0\x0c\0\x0c\0\x01\0\0\0\0"),
        message(1, [0xffff; 4], BROWSE),
        message(1, [1, 0xffff, 0, 0], BROWSE),
        message(1, [1, 1, 0, 0], &reply),
        message(1, [1, 0, 0, 0], b"\x3fshort"),
        message(
            1,
            [1, 0, 0, 0],
            b"\x08_redfish\x04_tcp\x05other\0\0\x0c\0\x01",
        ),
        message(1, [64, 0, 0, 0], &b"\x01a\0\0\x0c\0\x01".repeat(64)),
    ];
    let whole = message(1, [1, 0, 0, 0], BROWSE);
    hostile.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
    for bytes in hostile {
        client.send_to(&bytes, GROUP).await.unwrap();
    }
    let heard = hear(&client, QUIET, |it| service(it, port).is_some()).await;
    assert!(!heard, "none of them is answered");
    for _ in 0..500 {
        client.send_to(&whole, GROUP).await.unwrap();
    }
    let mut answers = 0;
    hear(&client, QUIET, |it| {
        answers += u32::from(service(it, port).is_some());
        false
    })
    .await;
    assert!((1..=60).contains(&answers), "a flood is not answered: {answers}");
    assert!(ask(BROWSE, port, PATIENCE).await.is_some(), "it is still there");
}
