//! What a Redfish request costs, beside the same bytes from a bare hyper and
//! from nginx, in one run on one machine; and what the agent costs as it is.
//! `cargo bench -p onprem-bmc --bench redfish [SECONDS A ROUND] [console]`:
//! `console` measures only what a key at a serial console takes.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program for people"
)]

mod console;
mod hung;
mod load;
mod server;

use std::{fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::{
    load::Target,
    server::{Keys, Server},
};

/// Each server is measured so many times, in turns.
const ROUNDS: usize = 3;
const CLIENTS: usize = 64;
const SENSORS: usize = 100;

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["--bridge", path] => return console::peer(path),
        ["--peer", body] => return server::peer(body, None).await,
        ["--peer", body, certificate, key] => {
            return server::peer(body, Some((certificate, key))).await;
        }
        _ => {}
    }
    let length = arguments.iter().find_map(|text| text.parse().ok());
    let length = Duration::from_secs_f64(length.unwrap_or(3.0));
    if arguments.iter().any(|word| word == "console") {
        return console::compare(length).await;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("board.toml"), board()).unwrap();

    let (agent, _) = Server::agent(folder);
    drop(agent);
    // From the second start on there are accounts and keys.
    let begin = Instant::now();
    let (agent, listening) = Server::agent(folder);
    let keys = Keys {
        certificate: folder.join("state/tls/cert.pem"),
        key: folder.join("state/tls/key.pem"),
    };
    let certificate: Arc<[u8]> = fs::read(&keys.certificate).unwrap().into();
    let root =
        Target::get(agent.address, Some(&certificate), "/redfish/v1/", "");
    load::body(&root).await;
    println!(
        "start to listening {:.0} ms, to the first 200 {:.0} ms",
        listening.as_secs_f64() * 1e3,
        begin.elapsed().as_secs_f64() * 1e3,
    );
    sleep(Duration::from_secs(3)).await;
    println!("memory, idle: {:.1} MB", agent.memory());

    let token = token(folder, &agent).await;
    let of = |path: &str| {
        Target::get(agent.address, Some(&certificate), path, &token)
    };
    let bench = Bench { folder, keys: &keys, agent: &agent, length };
    let system = of("/redfish/v1/Systems/node");
    let sensor = of("/redfish/v1/Chassis/blade/Sensors/CPU_Temperature");
    let path = "/redfish/v1/Chassis/blade?$expand=*($levels=2)";
    bench.beside_hyper("cached resource", &system, CLIENTS).await;
    bench.beside_hyper("live sensor", &sensor, CLIENTS).await;
    bench.beside_hyper("cached resource, one client", &system, 1).await;
    bench.beside_nginx("chassis with 100 sensors, expanded", &of(path)).await;
    println!("memory, after load: {:.1} MB", agent.memory());
    hung::compare(length).await;
    console::compare(length).await;
    let size = fs::metadata(env!("CARGO_BIN_EXE_onprem-bmc")).unwrap().len();
    println!("binary: {:.1} MB", size as f64 / 1e6);
}

/// The board that ships, with more sensors.
fn board() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let mut text = fs::read_to_string(file).unwrap();
    let there = text.matches("[[chassis.sensor]]").count();
    for number in there..SENSORS {
        let _ = write!(
            text,
            "\n[[chassis.sensor]]\nid = \"Probe_{number}\"\n\
             name = \"Probe {number}\"\nof = \"node\"\n\
             measures = \"board_temperature\"\nbus = \"i2c-1\"\n\
             range = [-40, 125]\nupper_caution = 60\n"
        );
    }
    text
}

/// The token of a new session.
pub(crate) async fn token(folder: &Path, agent: &Server) -> String {
    let password = fs::read_to_string(folder.join("state/initial-password"));
    let body = json!({
        "UserName": "admin",
        "Password": password.unwrap().trim(),
    });
    let client = Client::builder().tls_danger_accept_invalid_certs(true);
    let sessions = "redfish/v1/SessionService/Sessions";
    let url = format!("https://{}/{sessions}", agent.address);
    let answer = client.build().unwrap().post(url).json(&body).send().await;
    let answer = answer.unwrap();
    let token = answer.headers()["x-auth-token"].to_str().unwrap().to_owned();
    let session: Value = answer.json().await.unwrap();
    assert_eq!(session["UserName"], "admin");
    token
}

struct Bench<'a> {
    folder: &'a Path,
    keys: &'a Keys,
    agent: &'a Server,
    length: Duration,
}

impl Bench<'_> {
    async fn beside_hyper(&self, name: &str, ours: &Target, clients: usize) {
        let file = self.folder.join("body");
        fs::write(&file, load::body(ours).await).unwrap();
        let tls = Server::hyper(&file, Some(self.keys));
        let plain = Server::hyper(&file, None);
        let at = |server: &Server, certificate| Target {
            address: server.address,
            certificate,
            ..ours.clone()
        };
        let peers = [
            ("agent", self.agent, ours.clone()),
            ("hyper, TLS", &tls, at(&tls, ours.certificate.clone())),
            ("hyper, plain", &plain, at(&plain, None)),
        ];
        self.compare(name, &peers, clients).await;
    }

    async fn beside_nginx(&self, name: &str, ours: &Target) {
        let folder = self.folder.join("www");
        fs::create_dir(&folder).unwrap();
        let body = load::body(ours).await;
        fs::write(folder.join("body.json"), &body).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let Some(nginx) = Server::nginx(self.folder, self.keys, port).await
        else {
            println!("{name}: no nginx here (Debian: nginx-light)");
            return;
        };
        let certificate = ours.certificate.as_ref();
        let theirs = Target::get(nginx.address, certificate, "/body.json", "");
        let peers =
            [("agent", self.agent, ours.clone()), ("nginx", &nginx, theirs)];
        self.compare(name, &peers, CLIENTS).await;
    }

    /// Measures all in turns; prints the medians and the ratios to the first.
    async fn compare(
        &self,
        name: &str,
        peers: &[(&str, &Server, Target)],
        clients: usize,
    ) {
        let mut all = vec![Vec::new(); peers.len()];
        for _ in 0..ROUNDS {
            for ((_, server, target), rounds) in peers.iter().zip(&mut all) {
                let before = server.cpu();
                let seen = load::load(target, clients, self.length).await;
                let cpu = server.cpu() - before;
                let cpu = cpu / seen.requests as f64 * 1e6;
                let (p50, p99) = (seen.percentile(50), seen.percentile(99));
                rounds.push([seen.rate(), cpu, p50, p99]);
            }
        }
        let size = load::body(&peers[0].2).await.len();
        println!("\n{name}: {size} bytes, {clients} connections");
        let medians: Vec<_> = all.iter().map(|it| median(it)).collect();
        let ours = medians[0];
        for ((who, ..), [rate, cpu, p50, p99]) in peers.iter().zip(medians) {
            println!(
                "  {who:<13}{rate:>8.0} req/s  {cpu:>6.1} us CPU  \
                 p50 {p50:>6.0} us  p99 {p99:>6.0} us  | agent/this: rate \
                 {:.2}, CPU {:.2}, p99 {:.2}",
                ours[0] / rate,
                ours[1] / cpu,
                ours[3] / p99,
            );
        }
    }
}

fn median(rounds: &[[f64; 4]]) -> [f64; 4] {
    std::array::from_fn(|column| {
        let mut values: Vec<f64> =
            rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}
