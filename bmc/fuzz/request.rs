//! What may come in below TLS: any bytes at all, and each `\x01` among them
//! stands for the token of an administrator's session. Whatever it is, the
//! service neither panics nor hangs nor answers that the fault is its own.
//!
//! `./dev test fuzz`; what it builds can be run by hand as well, where nothing
//! that it might call is reached: `unshare -n target/debug/request FILE`.
#![no_main]

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use onprem_bmc::{agent::Agent, config::Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split},
    runtime::{Builder, Runtime},
    time::timeout,
};

/// What stands for the token.
const TOKEN: u8 = 1;
/// No request takes longer; libFuzzer's own limit is above it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests after which it is looked whether the session still lives.
const CHECKED: usize = 64;

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|input: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.ask(input));
});

struct Bench {
    runtime: Runtime,
    agent: Agent,
    token: String,
    asked: usize,
    /// Removed with the process.
    _state: TempDir,
}

impl Bench {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = TempDir::new().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let config = Config {
            state_dir: state.path().to_owned(),
            listen: any,
            metrics_listen: any,
            board: Some(boards.join("sim-blade.toml")),
            ..Config::default()
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap();
        let agent = runtime.block_on(Agent::start(config)).unwrap();
        let token = String::new();
        Self { runtime, agent, token, asked: 0, _state: state }
    }

    fn ask(&mut self, input: &[u8]) {
        if self.asked % CHECKED == 0 {
            self.log_in();
        }
        self.asked += 1;
        let mut request = Vec::with_capacity(input.len());
        for byte in input {
            match *byte {
                TOKEN => request.extend_from_slice(self.token.as_bytes()),
                byte => request.push(byte),
            }
        }
        let answer = self.exchange(request);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
        assert!(!text.contains("HTTP/1.1 500 "), "{text}");
    }

    /// Opens a session, if the last one is gone.
    fn log_in(&mut self) {
        let sessions = "/redfish/v1/SessionService/Sessions";
        let look = format!(
            "GET {sessions} HTTP/1.1\r\nHost: blade\r\nX-Auth-Token: {}\r\n\r\n",
            self.token
        );
        if self.exchange(look.into()).starts_with(b"HTTP/1.1 200") {
            return;
        }
        let password = self.agent.initial_password().unwrap();
        let body = json!({"UserName": "admin", "Password": password});
        let body = body.to_string();
        let open = format!(
            "POST {sessions} HTTP/1.1\r\nHost: blade\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        let answer = self.exchange(open.into());
        let text = String::from_utf8_lossy(&answer);
        let token = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name == "x-auth-token").then(|| value.to_owned())
        });
        // Somebody may have got hold of the account; the rest goes on.
        self.token = token.unwrap_or_default();
    }

    /// What the service says to `request`.
    fn exchange(&self, request: Vec<u8>) -> Vec<u8> {
        let (ours, theirs) = duplex(16 << 10);
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let client = async {
            let (mut reader, mut writer) = split(ours);
            let write = async {
                // It may hang up before it has heard all.
                let _ = writer.write_all(&request).await;
                let _ = writer.shutdown().await;
            };
            let mut answer = Vec::new();
            let read = reader.read_to_end(&mut answer);
            let (_, ()) = tokio::join!(read, write);
            answer
        };
        let both = async {
            let (served, answer) =
                tokio::join!(self.agent.converse(theirs, peer), client);
            // What is no HTTP is an error of the connection.
            let _ = served;
            answer
        };
        let patient = async { timeout(PATIENCE, both).await };
        let answer = self.runtime.block_on(patient);
        answer.expect("an end")
    }
}
