//! What a key takes from the WebSocket of a serial console to the port, and
//! back as the echo of what is there: beside the same port without an agent.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use onprem_bmc::sim::serial::{Pty, SerialPart};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    ROUNDS,
    load::{Stream, Target},
    server::Server,
};

/// What says again whatever it hears.
#[derive(Debug, Default)]
struct Echo(Vec<u8>);

impl SerialPart for Echo {
    fn receive(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn send(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Types in turns through the agent, through a bare loop between TCP and the
/// port, and into the port itself, each with a far end of its own.
pub(crate) async fn compare(length: Duration) {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let echoes: [Pty; 3] = [(); 3].map(|()| {
        Pty::serve(Box::new(Echo::default())).expect("a pseudo-terminal")
    });
    let [watched, bridged, bare] = &echoes;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let board = fs::read_to_string(file).unwrap();
    let port = "serial = \"/dev/ttyAMA0\"\nbaud = 115200\nsimulated = true";
    let ours = format!("serial = \"{}\"\nbaud = 115200", watched.path());
    assert!(board.contains(port), "{board}");
    let board = board.replacen(port, &ours, 1);
    fs::write(folder.join("board.toml"), board).unwrap();
    let (agent, _) = Server::agent(folder);
    let mut seat = Seat::take(&agent, folder).await;
    let (_bridge, mut tcp) = bridge(bridged.path());
    let mut bare = open(bare.path());
    let mut all: Vec<[Vec<f64>; 3]> = Vec::new();
    for _ in 0..ROUNDS {
        let mut agent = Vec::new();
        let end = Instant::now() + length;
        while Instant::now() < end {
            let begin = Instant::now();
            seat.key().await;
            agent.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        let loops = keys(&mut tcp, length);
        all.push([agent, loops, keys(&mut bare, length)]);
    }
    println!("\na key at a serial console, and its echo");
    let medians: Vec<[f64; 2]> = (0..3)
        .map(|who| {
            let mut of = |percent: usize| {
                let mut rounds: Vec<f64> = all
                    .iter_mut()
                    .map(|round| {
                        let seen = &mut round[who];
                        seen.sort_by(f64::total_cmp);
                        seen[(seen.len() - 1) * percent / 100]
                    })
                    .collect();
                rounds.sort_by(f64::total_cmp);
                rounds[rounds.len() / 2]
            };
            [of(50), of(99)]
        })
        .collect();
    let ours = medians[0];
    for (who, [p50, p99]) in ["agent", "bare loop, TCP", "bare port"]
        .iter()
        .zip(medians.iter().copied())
    {
        println!(
            "  {who:<15} p50 {p50:>7.0} us  p99 {p99:>7.0} us  | agent/this: \
             p50 {:.1}, p99 {:.1}",
            ours[0] / p50,
            ours[1] / p99,
        );
    }
}

/// Somebody at the console of the agent.
struct Seat(WebSocketStream<Box<dyn Stream>>);

impl Seat {
    async fn take(agent: &Server, folder: &std::path::Path) -> Self {
        let certificate = fs::read(folder.join("state/tls/cert.pem")).unwrap();
        let certificate: Arc<[u8]> = certificate.into();
        let token = crate::token(folder, agent).await;
        let target = Target::get(agent.address, Some(&certificate), "", "");
        let mut stream = target.connect().await;
        let head = format!(
            "GET /redfish/v1/Systems/node/SerialConsole HTTP/1.1\r\n\
             Host: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nX-Auth-Token: {token}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            agent.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let role = Role::Client;
        let mut seat =
            Self(WebSocketStream::from_raw_socket(stream, role, None).await);
        // What is typed before the port is open is lost.
        while timeout(Duration::from_secs(1), seat.key()).await.is_err() {}
        seat
    }

    async fn key(&mut self) {
        self.0.send(Message::binary(vec![b'x'])).await.unwrap();
        loop {
            match self.0.next().await.expect("the console stays").unwrap() {
                Message::Binary(bytes) if bytes.contains(&b'x') => return,
                Message::Close(why) => panic!("{why:?}"),
                _ => {}
            }
        }
    }
}

/// Types into `port`, key by key; how long each took, in microseconds.
fn keys(port: &mut (impl Read + Write), length: Duration) -> Vec<f64> {
    let mut took = Vec::new();
    let end = Instant::now() + length;
    while Instant::now() < end {
        let begin = Instant::now();
        port.write_all(b"x").unwrap();
        port.read_exact(&mut [0]).unwrap();
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    took
}

/// The port at `path`, which its far end has made raw.
fn open(path: &str) -> fs::File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// This program, as a bare loop between a TCP port and the serial one.
fn bridge(path: &str) -> (Server, TcpStream) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--bridge", path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let server = Server::of(child, line.trim().parse().unwrap());
    let tcp = TcpStream::connect(server.address).unwrap();
    tcp.set_nodelay(true).unwrap();
    (server, tcp)
}

/// Passes on what comes to one of both until it is ended.
pub(crate) fn peer(path: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (tcp, _) = listener.accept().unwrap();
    tcp.set_nodelay(true).unwrap();
    let port = open(path);
    let (mut from, mut to) =
        (tcp.try_clone().unwrap(), port.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut from, mut to) = (port, tcp);
    let _ = std::io::copy(&mut from, &mut to);
}
