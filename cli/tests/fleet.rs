//! The program itself against a fleet server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use onprem_fleet::{config::Config, server::Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

struct Fleet {
    server: Server,
    url: String,
    token: String,
    folder: TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("fleet");
        let any = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            state_dir: state_dir.clone(),
            listen: any,
            devices_listen: any,
            ..Config::default()
        };
        let server = Server::start(config).await.unwrap();
        let read =
            |name: &str| std::fs::read_to_string(state_dir.join(name)).unwrap();
        let addresses: Value =
            serde_json::from_str(&read("addresses.json")).unwrap();
        let url =
            addresses.pointer("/api").unwrap().as_str().unwrap().to_owned();
        let token = read("initial-token").trim().to_owned();
        Self { server, url, token, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onprem"));
        command
            .args(words)
            .env_clear()
            .env("ONPREM_URL", &self.url)
            .env("XDG_CONFIG_HOME", self.file("config"))
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        command.env("ONPREM_TOKEN", &self.token).output().await.unwrap()
    }

    /// What a command that succeeds says.
    async fn told(&self, words: &[&str]) -> String {
        let output = self.run(words).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_list_of_a_new_fleet_prints() {
    let fleet = Fleet::start().await;
    let model = onprem_description::PageModel::get();
    let lists = model
        .resources
        .iter()
        .filter(|r| r.parent.is_none() && r.list.is_some());
    for resource in lists {
        let table = fleet.told(&["get", &resource.plural]).await;
        assert!(table.starts_with('┌'), "{table}");
        let words = ["get", &resource.plural, "-o", "json", "--limit", "2"];
        let json = fleet.told(&words).await;
        let items: Value = serde_json::from_str(&json).unwrap();
        assert!(items.is_array(), "{json}");
        for column in &resource.columns {
            let Some(key) = &column.sort else { continue };
            let down = format!("--sort=-{key}");
            fleet.told(&["get", &resource.plural, &down]).await;
        }
    }
    for resource in model.resources.iter().filter(|r| r.is_single()) {
        if resource.parent.is_none() {
            fleet.told(&["describe", &resource.singular]).await;
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn accounts_and_tokens_come_and_go() {
    let fleet = Fleet::start().await;
    let secret = write(&fleet.file("secret"), "correct horse battery\n");
    fleet
        .told(&[
            "create",
            "account",
            "--name",
            "ann",
            "--role",
            "operator",
            "--password-file",
            &secret,
        ])
        .await;
    let name = fleet.told(&["get", "account", "ann", "-o", "name"]).await;
    assert_eq!(name, "ann\n");
    let missing = fleet.run(&["get", "account", "bob"]).await;
    assert_eq!(missing.status.code(), Some(4));
    let again = fleet
        .run(&[
            "create",
            "account",
            "--name",
            "ann",
            "--role",
            "operator",
            "--password-file",
            &secret,
        ])
        .await;
    assert_eq!(again.status.code(), Some(5));

    let login = ["login", "ann", "--password-file", &secret];
    let login = fleet.command(&login).output().await.unwrap();
    assert!(login.status.success(), "{login:?}");
    let me = fleet.command(&["whoami", "-o", "json"]).output().await.unwrap();
    let me: Value = serde_json::from_slice(&me.stdout).unwrap();
    assert_eq!(me["account"], "ann");
    let denied = ["delete", "account", "admin", "--yes"];
    let denied = fleet.command(&denied).output().await.unwrap();
    assert!(matches!(denied.status.code(), Some(4 | 6)), "{denied:?}");
    let out = fleet.command(&["logout"]).output().await.unwrap();
    assert!(out.status.success(), "{out:?}");
    let nobody = fleet.command(&["get", "devices"]).output().await.unwrap();
    assert_eq!(nobody.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("onprem login"));

    let token = fleet.told(&["token", "create", "--uses", "2"]).await;
    assert!(token.starts_with("opj_") && token.lines().count() == 1);
    let listed = fleet.told(&["token", "list", "-o", "json"]).await;
    assert!(!listed.contains(token.trim()));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["usesLeft"], 2);
    let id = listed[0]["id"].as_str().unwrap();
    fleet.told(&["token", "delete", id, "--yes"]).await;
    assert_eq!(fleet.told(&["token", "list", "-o", "json"]).await, "[]\n");
    let wrong = fleet.run(&["token", "create", "--uses", "many"]).await;
    assert_eq!(wrong.status.code(), Some(3));
    assert!(wrong.stdout.is_empty());
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let fleet = Fleet::start().await;
    let mut child = fleet
        .command(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
    fleet.server.stop().await;
}
