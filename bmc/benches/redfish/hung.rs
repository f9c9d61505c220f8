//! What a bus that hangs costs those who ask: nothing.

use std::{fs, sync::Arc, time::Duration};

use onprem_bmc::sim::{bitscope::Rack, serial::Pty};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    CLIENTS, ROUNDS,
    load::{self, Seen, Target},
    server::Server,
};

/// How long the bus hangs before it is measured: what it said is stale then.
const HUNG: Duration = Duration::from_secs(10);

/// Measures GETs of a node, its log and all systems of a rack while its bus
/// answers and while it hangs, in turns.
pub(crate) async fn compare(length: Duration) {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let rack = Rack::new(24);
    let pty = Pty::serve(Box::new(rack.clone())).unwrap();
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/boards/bitscope-er24.toml");
    let board = fs::read_to_string(file).unwrap();
    let board = board.replacen("/dev/serial0", pty.path(), 1);
    fs::write(folder.join("board.toml"), board).unwrap();
    let (agent, _) = Server::agent(folder);
    let certificate = fs::read(folder.join("state/tls/cert.pem")).unwrap();
    let certificate: Arc<[u8]> = certificate.into();
    let token = crate::token(folder, &agent).await;
    let node = Target::get(
        agent.address,
        Some(&certificate),
        "/redfish/v1/Systems/b1",
        &token,
    );
    println!("\nnode of a rack, {CLIENTS} connections");
    let mut all: Vec<[Seen; 2]> = Vec::new();
    for _ in 0..ROUNDS {
        while state(&node).await != "Enabled" {
            sleep(Duration::from_millis(100)).await;
        }
        let idle = load::load(&node, CLIENTS, length).await;
        rack.hang(true);
        sleep(HUNG).await;
        assert_eq!(state(&node).await, "Degraded", "it is stale, and says so");
        let hung = load::load(&node, CLIENTS, length).await;
        rack.hang(false);
        all.push([idle, hung]);
    }
    let median = |of: usize, value: Figure| {
        let mut values: Vec<f64> =
            all.iter().map(|both| value(&both[of])).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let values: [(&str, Figure); 3] = [
        ("p50 us", |seen| seen.percentile(50)),
        ("p99 us", |seen| seen.percentile(99)),
        ("req/s", Seen::rate),
    ];
    for (name, value) in values {
        let (idle, hung) = (median(0, value), median(1, value));
        println!(
            "  {name:<7} bus idle {idle:>7.0}  hung {hung:>7.0}  | hung/idle \
             {:.2}",
            hung / idle
        );
    }
}

/// One figure of a run.
type Figure = fn(&Seen) -> f64;

async fn state(node: &Target) -> String {
    let body: Value = serde_json::from_slice(&load::body(node).await).unwrap();
    body["Status"]["State"].as_str().unwrap().to_owned()
}
