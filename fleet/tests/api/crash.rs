//! The real server is killed again and again while it is written to: what it
//! acknowledged is there afterwards.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use http::{Method, StatusCode};
use onprem_fleet::{api::AuditRecord, audit::hash};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{ask, request};

const ROUNDS: usize = 6;
const WRITERS: usize = 8;

struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(state_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_onprem-fleet"))
            .arg("--state-dir")
            .arg(state_dir)
            .args(["--listen", "127.0.0.1:0"])
            .args(["--devices-listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("API listening"))
            .expect("the server starts");
        let mut words = line.split_whitespace();
        let address = words.find_map(|w| w.strip_prefix("address="));
        let address = address.unwrap().to_owned();
        // A pipe that nobody reads would stop the server.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Makes tokens until the server is gone; notes those that it acknowledged.
async fn write(
    address: String,
    token: Arc<str>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    count: Arc<AtomicUsize>,
) {
    loop {
        let body = json!({"description": "kept"});
        let path = "/v1/join-tokens";
        let post = request(Method::POST, path, Some(&token), Some(&body));
        let Ok(answer) = ask(&address, post).await else { return };
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let id = answer.body["id"].as_str().unwrap().to_owned();
        acknowledged.lock().unwrap().insert(id);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn all(address: &str, token: &str, path: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = format!("{path}?limit=1000");
    loop {
        let get = request(Method::GET, &next, Some(token), None);
        let answer = ask(address, get).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        found.extend(answer.body["items"].as_array().unwrap().clone());
        match answer.body["next_page"].as_str() {
            Some(page) => next = format!("{path}?limit=1000&page_token={page}"),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = Arc::default();
    let mut token: Arc<str> = Arc::from("");
    for round in 0..ROUNDS {
        let server = Running::start(folder.path());
        if token.is_empty() {
            let path = folder.path().join("initial-token");
            token = std::fs::read_to_string(path).unwrap().trim().into();
        }
        let count = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(
                server.address.clone(),
                Arc::clone(&token),
                Arc::clone(&acknowledged),
                Arc::clone(&count),
            ));
        }
        // Killed in the middle of it, each time at another point.
        while count.load(Ordering::SeqCst) < 20 + round * 7 {
            tokio::task::yield_now().await;
        }
        server.kill();
        writers.join_all().await;
    }

    let server = Running::start(folder.path());
    let kept = all(&server.address, &token, "/v1/join-tokens").await;
    let kept: BTreeSet<String> = kept
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = acknowledged.lock().unwrap().iter().cloned().collect();
    let lost: Vec<_> = lost.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");

    let mut records = all(&server.address, &token, "/v1/audit-records").await;
    server.kill();
    records.reverse();
    assert!(records.len() >= acknowledged.lock().unwrap().len());
    let mut before = String::new();
    for (number, record) in (1..).zip(records) {
        let record: AuditRecord = serde_json::from_value(record).unwrap();
        assert_eq!((record.sequence, &record.previous_hash), (number, &before));
        assert_eq!(record.hash, hash(&record));
        before = record.hash;
    }
}
