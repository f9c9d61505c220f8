//! Serial consoles: who looks, who types, and what is kept.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use onprem_bmc::sim::bitscope::Rack;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::client::{ACCOUNTS, Blade, Client, refused};

const NODE: &str = "/redfish/v1/Systems/node";
const CONSOLE: &str = "/redfish/v1/Systems/node/SerialConsole";
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody at a console.
struct Seat {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// What the far end said, and was not waited for.
    said: String,
    events: Vec<Value>,
}

impl Seat {
    async fn take(client: &Client, path: &str) -> Self {
        let socket = client.websocket(path).await;
        let socket = socket.unwrap_or_else(|status| panic!("{status}"));
        Self { socket, said: String::new(), events: Vec::new() }
    }

    async fn step(&mut self) -> Option<CloseCode> {
        match self.socket.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                self.said.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(Ok(Message::Text(text))) => {
                self.events.push(serde_json::from_str(&text).unwrap());
            }
            Some(Ok(Message::Close(frame))) => {
                return Some(frame.map_or(CloseCode::Status, |it| it.code));
            }
            None | Some(Err(_)) => return Some(CloseCode::Abnormal),
            Some(Ok(_)) => {}
        }
        None
    }

    /// Waits until the far end says `text`; all up to there is gone then.
    async fn hear(&mut self, text: &str) -> String {
        let hearing = async {
            while !self.said.contains(text) {
                let end = self.step().await;
                assert_eq!(end, None, "{:?}", self.events);
            }
        };
        let heard = timeout(PATIENCE, hearing).await;
        assert!(heard.is_ok(), "no {text:?} in {:?}", self.said);
        let at = self.said.find(text).unwrap() + text.len();
        let rest = self.said.split_off(at);
        std::mem::replace(&mut self.said, rest)
    }

    /// Waits for an event that `fits`.
    async fn learn(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let learning = async {
            loop {
                if let Some(at) = self.events.iter().position(&fits) {
                    return self.events.drain(..=at).next_back().unwrap();
                }
                assert_eq!(self.step().await, None);
            }
        };
        timeout(PATIENCE, learning).await.expect("an event")
    }

    async fn end(&mut self) -> CloseCode {
        let ending = async {
            loop {
                if let Some(code) = self.step().await {
                    return code;
                }
            }
        };
        timeout(PATIENCE, ending).await.expect("the end")
    }

    async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    async fn type_in(&mut self, text: &str) {
        self.send(Message::binary(text.as_bytes().to_vec())).await;
    }
}

fn is(event: &'static str) -> impl Fn(&Value) -> bool {
    move |it| it["event"] == event
}

#[tokio::test]
async fn the_system_says_where_its_console_is() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let console = &admin.get(NODE).await.body["SerialConsole"];
    assert_eq!(console["MaxConcurrentSessions"], 16);
    let expected = json!({
        "ServiceEnabled": true, "ConsoleURI": CONSOLE, "Interactive": true});
    assert_eq!(console["WebSocket"], expected);
    let plain = admin.get(CONSOLE).await;
    assert_eq!(plain.status, 426, "{}", plain.body);
    assert_eq!(plain.header("upgrade"), "websocket");
    assert_eq!(admin.post(CONSOLE, &json!({})).await.status, 405);
    let nowhere = "/redfish/v1/Systems/nobody/SerialConsole";
    assert_eq!(admin.get(nowhere).await.status, 404);
    let wrong = format!("{CONSOLE}?history=many");
    assert_eq!(admin.websocket(&wrong).await.unwrap_err(), 400);
}

#[tokio::test]
async fn somebody_logs_in_and_finds_it_all_after_a_restart() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    // A terminal that knows nothing of us.
    let mut seat = Seat::take(&admin, CONSOLE).await;
    seat.hear("U-Boot").await;
    seat.hear("node login: ").await;
    seat.send(Message::text("pi\r")).await;
    seat.hear("Password: ").await;
    seat.type_in("raspberry\r").await;
    seat.hear("pi@node:~$ ").await;
    seat.type_in("echo one two\r").await;
    seat.hear("echo one two\r\none two\r\n").await;
    let uri = format!("{CONSOLE}/History?tail=24");
    let kept = admin.get(&uri).await;
    assert_eq!(kept.body.as_str().unwrap().len(), 24);
    assert!(kept.body.as_str().unwrap().contains("one two\r\n"));
    assert!(!kept.body.as_str().unwrap().contains("raspberry"));
    drop(seat);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let kept = admin.get(&format!("{CONSOLE}/History")).await;
    assert!(kept.body.as_str().unwrap().contains("one two\r\n"));
    let mut seat = Seat::take(&admin, CONSOLE).await;
    seat.hear("one two\r\n").await;
    // It has started anew.
    seat.hear("U-Boot").await;
    let log = blade.state.path().join("logs/audit/00000001.jsonl");
    let log = std::fs::read_to_string(log).unwrap();
    for said in ["admin looks at the console", "admin types on the console"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("echo one"), "who, and not what");
}

#[tokio::test]
async fn who_looks_at_a_system_that_is_off_is_told() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let reset = format!("{NODE}/Actions/ComputerSystem.Reset");
    let off = admin.post(&reset, &json!({"ResetType": "ForceOff"})).await;
    assert!(off.status.is_success(), "{}", off.body);
    let mut plain = Seat::take(&admin, CONSOLE).await;
    plain.hear("the system is off: what it says comes").await;
    let control = format!("{CONSOLE}?control=true");
    let mut seat = Seat::take(&admin, &control).await;
    assert_eq!(seat.learn(is("power")).await["off"], true);
    let on = admin.post(&reset, &json!({"ResetType": "On"})).await;
    assert!(on.status.is_success(), "{}", on.body);
    assert_eq!(seat.learn(is("power")).await["off"], false);
    seat.hear("U-Boot").await;
}

#[tokio::test]
async fn one_types_and_many_look() {
    let blade = Blade::simulated().await;
    let ada = blade.account("ada", "Operator").await;
    let bob = blade.account("bob", "Operator").await;
    let eve = blade.account("eve", "ReadOnly").await;
    let path = format!("{CONSOLE}?control=true");
    let mut ada = Seat::take(&ada, &path).await;
    let mut bob = Seat::take(&bob, &path).await;
    let mut eve = Seat::take(&eve, &path).await;
    let greeting = ada.learn(is("opened")).await;
    assert_eq!(greeting["mayType"], true);
    assert_eq!(greeting["system"], "node");
    assert_eq!(eve.learn(is("opened")).await["mayType"], false);
    ada.hear("login: ").await;
    ada.type_in("pi\r").await;
    for seat in [&mut ada, &mut bob, &mut eve] {
        seat.hear("pi\r\nPassword: ").await;
        let writer = seat.learn(is("writer")).await;
        assert_eq!(writer["who"], "ada");
    }
    eve.type_in("x").await;
    let why = eve.learn(is("refused")).await;
    assert_eq!(why["reason"], "you may look, and not type");
    eve.send(Message::text("{\"take\": true}")).await;
    bob.type_in("x").await;
    let why = bob.learn(is("refused")).await;
    assert_eq!(why["reason"], "nothing was sent: ada types");
    bob.send(Message::text("{\"take\": true}")).await;
    let lost = ada.learn(is("writer")).await;
    assert_eq!((&lost["who"], &lost["you"]), (&json!("bob"), &json!(false)));
    bob.type_in("secret\recho it is bob\r").await;
    eve.hear("\r\nit is bob\r\n").await;
    // Who leaves types no more.
    drop(bob);
    ada.learn(|it| it["event"] == "writer" && it["who"].is_null()).await;
    ada.type_in("echo again\r").await;
    eve.hear("\r\nagain\r\n").await;
    // Whose account is gone is sent away.
    let account = format!("{ACCOUNTS}/eve");
    assert_eq!(blade.admin().delete(&account).await.status, 204);
    assert_eq!(eve.end().await, CloseCode::Policy);
    let demoted = json!({"RoleId": "ReadOnly"});
    let account = format!("{ACCOUNTS}/ada");
    assert_eq!(blade.admin().patch(&account, &demoted).await.status, 200);
    ada.type_in("x").await;
    ada.learn(is("refused")).await;
    ada.send(Message::text("{\"reboot\": true}")).await;
    assert_eq!(ada.end().await, CloseCode::Unsupported);
}

#[tokio::test]
async fn strangers_other_sites_and_garbage_are_turned_away() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    assert_eq!(blade.stranger().websocket(CONSOLE).await.unwrap_err(), 401);
    let elsewhere = admin.clone().with("origin", "https://elsewhere.example");
    assert_eq!(elsewhere.websocket(CONSOLE).await.unwrap_err(), 403);
    let here = format!("https://localhost:{}", admin.port());
    let here = admin.clone().with("origin", &here);
    assert!(here.websocket(CONSOLE).await.is_ok());
    // A frame that no client may send, and one that is too large.
    let mut seat = Seat::take(&admin, CONSOLE).await;
    let stream = seat.socket.get_mut();
    stream.write_all(&[0x82, 0x02, b'h', b'i']).await.unwrap();
    assert_eq!(seat.end().await, CloseCode::Protocol);
    let mut seat = Seat::take(&admin, CONSOLE).await;
    let stream = seat.socket.get_mut();
    let long = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&long).await.unwrap();
    assert_eq!(seat.end().await, CloseCode::Size);
    // There are so many places.
    let mut seats = Vec::new();
    let full = loop {
        match admin.websocket(CONSOLE).await {
            Ok(seat) => seats.push(seat),
            Err(status) => break status,
        }
    };
    assert_eq!(full, 503);
    assert!(seats.len() <= 16);
    // An agent that stops says so.
    drop(seats.split_off(1));
    let mut seat = Seat {
        socket: seats.remove(0),
        said: String::new(),
        events: Vec::new(),
    };
    let stopped = blade.agent.stop();
    let (code, stopped) = tokio::join!(seat.end(), stopped);
    assert!(stopped);
    assert_eq!(code, CloseCode::Away);
}

/// An agent, and the simulated rack that it looks after. No kernel is between
/// them: one that is busy hands on together what was sent apart.
async fn rack() -> (Blade, Rack) {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-bitscope-er24.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replacen("dwell_seconds = 3", "dwell_seconds = 2", 1);
    let blade = Blade::with_board(|_| text).await;
    let rack = blade.agent.buses().rack("control").unwrap().clone();
    (blade, rack)
}

fn of_node(node: &str, query: &str) -> String {
    format!("/redfish/v1/Systems/{node}/SerialConsole?control=true{query}")
}

fn attached(event: &Value) -> bool {
    event["state"] == "attached"
}

fn detached(event: &Value) -> bool {
    event["state"] == "detached"
}

#[tokio::test]
async fn a_console_of_a_rack_survives_power_commands_and_status() {
    let (blade, rack) = rack().await;
    let admin = blade.admin();
    let mut seat = Seat::take(&admin, &of_node("b1", "")).await;
    seat.learn(attached).await;
    seat.type_in("\r").await;
    seat.hear("node-05 login: ").await;
    seat.type_in("pi\r").await;
    seat.hear("Password: ").await;
    seat.type_in("raspberry\r").await;
    seat.hear("$ ").await;
    // Every byte arrives, however fast it was typed.
    let text = "a line that is longer than what is sent at once, by far";
    seat.type_in(&format!("\r{text}\r")).await;
    seat.hear(text).await;
    // What is a command without the console is none here.
    seat.type_in("\\/=~[05]|\\\r").await;
    seat.hear("\\/=~[05]|\\").await;
    assert_eq!(rack.log(), []);
    // What would close the console is not sent, and neither is what follows.
    seat.type_in("x\x07\\").await;
    let why = seat.learn(is("refused")).await;
    assert!(why["reason"].to_string().contains("^G was not sent"), "{why}");
    assert!(!rack.heard(5).contains(&7));
    assert_eq!(rack.log(), []);
    // The nodes are asked all the same.
    rack.set(9, false);
    let off = async {
        let uri = "/redfish/v1/Systems/c1";
        while admin.get(uri).await.body["PowerState"] != "Off" {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(Duration::from_mins(1), off).await.expect("c1 is off");
    // A power command closes it, and it comes back.
    let uri = "/redfish/v1/Systems/b1/Actions/ComputerSystem.Reset";
    let reset = json!({"ResetType": "PowerCycle"});
    assert_eq!(admin.post(uri, &reset).await.status, 200);
    let why = seat.learn(detached).await;
    assert!(why["reason"].to_string().contains("power command"), "{why}");
    seat.learn(attached).await;
    seat.hear("Starting kernel").await;
    seat.hear("node-05 login: ").await;
    let log: Vec<_> = rack.log().iter().map(|it| (it.address, it.on)).collect();
    assert_eq!(log, [(5, false), (5, true)]);
    seat.type_in("pi\r").await;
    seat.hear("Password: ").await;
}

#[tokio::test]
async fn a_rack_has_one_console_that_can_be_taken() {
    let (blade, rack) = rack().await;
    let ada = blade.account("ada", "Operator").await;
    let mut first = Seat::take(&ada, &of_node("b1", "")).await;
    first.learn(attached).await;
    let bob = blade.account("bob", "Operator").await;
    let mut second = Seat::take(&bob, &of_node("c0", "")).await;
    let why = second.learn(detached).await;
    assert!(why["reason"].to_string().contains("open on node 0x05"), "{why}");
    second.type_in("\\").await;
    second.learn(is("refused")).await;
    second.send(Message::text("{\"take\": true}")).await;
    second.learn(attached).await;
    second.type_in("\r").await;
    second.hear("node-08 login: ").await;
    let why = first.learn(detached).await;
    assert!(why["reason"].to_string().contains("open on node 0x08"), "{why}");
    drop(second);
    first.learn(attached).await;
    first.type_in("\r").await;
    first.hear("node-05 login: ").await;
    assert_eq!(rack.log(), []);
    // The agent's own node has none: it is the bus.
    let mut own = Seat::take(&ada, &of_node("a0", "")).await;
    let why = own.learn(detached).await;
    assert!(why["reason"].to_string().contains("own serial port"), "{why}");
    // A bus that is locked meanwhile is unlocked again.
    rack.lock_up();
    while first.said.is_empty() {
        first.type_in("\r").await;
        // Nothing comes until the bus was looked at.
        let _ = timeout(Duration::from_millis(300), first.step()).await;
    }
    first.hear("node-05 login: ").await;
}

#[tokio::test]
async fn who_only_looks_takes_no_console_and_no_place() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-bitscope-er24.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let options = "[part.options]\n";
    assert!(text.contains(options));
    let text = text.replacen(options, "[part.options]\nconsole = \"b1\"\n", 1);
    let blade = Blade::with_board(|_| text).await;
    let eve = blade.account("eve", "ReadOnly").await;
    let ada = blade.account("ada", "Operator").await;
    let open_on = |node: &'static str| {
        move |event: &Value| {
            let why = event["reason"].as_str().unwrap_or_default();
            detached(event) && why.contains(&format!("open on node {node}"))
        }
    };
    // The resident console is kept open whoever looks at others.
    let mut looker = Seat::take(&eve, &of_node("c0", "&take=true")).await;
    looker.learn(open_on("0x05")).await;
    looker.send(Message::text("{\"take\": true}")).await;
    let mut resident = Seat::take(&eve, &of_node("b1", "")).await;
    resident.learn(attached).await;
    // Who may type has it, and it goes back to where it was.
    let mut typist = Seat::take(&ada, &of_node("c0", "")).await;
    typist.learn(attached).await;
    looker.learn(attached).await;
    resident.learn(open_on("0x08")).await;
    drop(typist);
    looker.learn(open_on("0x05")).await;
    resident.learn(attached).await;
    // So many may look; there is a place for who may type.
    let path = of_node("b1", "");
    let mut seats = Vec::new();
    let full = loop {
        match eve.websocket(&path).await {
            Ok(seat) => seats.push(seat),
            Err(status) => break status,
        }
    };
    assert_eq!((full, seats.len()), (503, 11));
    let only_looks = of_node("b1", "&readOnly=true");
    assert_eq!(ada.websocket(&only_looks).await.unwrap_err(), 503);
    let mut typist = Seat::take(&ada, &path).await;
    typist.learn(is("opened")).await;
    typist.type_in("\r").await;
    resident.learn(|it| it["who"] == "ada").await;
    // Who loses the right loses the turn.
    let account = format!("{ACCOUNTS}/ada");
    let demoted = json!({"RoleId": "ReadOnly"});
    assert_eq!(blade.admin().patch(&account, &demoted).await.status, 200);
    let nobody = |it: &Value| it["event"] == "writer" && it["who"].is_null();
    resident.learn(nobody).await;
}

#[tokio::test]
async fn a_machine_of_which_only_the_console_is_known_is_a_system() {
    let (mut far, near) = serialport::TTYPort::pair().unwrap();
    let path = serialport::SerialPort::name(&near).unwrap();
    let extra = format!(
        "[[bus]]\nid = \"usb\"\nserial = \"{path}\"\nbaud = 9600\n\n\
         [[part]]\nid = \"switch\"\nkind = \"serial-console\"\nbus = \"usb\"\n\
         options = {{ system = \"switch\", name = \"Switch\" }}\n"
    );
    let blade = Blade::with_board(|board| format!("{board}\n{extra}")).await;
    let admin = blade.admin();
    let system = admin.get("/redfish/v1/Systems/switch").await.body;
    assert_eq!(system["Name"], "Switch");
    let uri = of_node("switch", "");
    let mut seat = Seat::take(&admin, &uri).await;
    // What it says while nobody looks is kept as well.
    std::io::Write::write_all(&mut far, b"link up on port 7\r\n").unwrap();
    seat.hear("port 7\r\n").await;
    seat.type_in("show\r").await;
    let mut got = [0; 5];
    serialport::SerialPort::set_timeout(&mut far, PATIENCE).unwrap();
    let got = tokio::task::spawn_blocking(move || {
        std::io::Read::read_exact(&mut far, &mut got).unwrap();
        (got, far)
    });
    let (got, far) = got.await.unwrap();
    assert_eq!(&got, b"show\r");
    // The converter is unplugged.
    drop((far, near));
    let failed = |event: &Value| {
        let why = event["reason"].as_str().unwrap_or_default();
        detached(event) && why.contains("serial port failed")
    };
    seat.learn(failed).await;
}

#[tokio::test]
async fn a_console_of_nobody_is_refused() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let board = std::fs::read_to_string(file).unwrap();
    let twice = "[[bus]]\nid = \"two\"\nserial = \"/dev/null\"\n\
        [[part]]\nid = \"again\"\nkind = \"serial-console\"\nbus = \"two\"\n\
        options = { system = \"node\" }\n";
    for (text, said) in [
        (
            board.replace("system = \"node\"\n\n#", "system = \"nod\"\n\n#"),
            "no system `nod`",
        ),
        (format!("{board}{twice}"), "a second console of `node`"),
    ] {
        let error = refused(&text).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
