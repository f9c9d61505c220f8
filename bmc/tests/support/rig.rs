//! An agent in this process, on a simulated blade, with a client.

use std::{fs, path::Path};

use onprem_bmc::{
    agent::Agent,
    config::Config,
    model::{Change, Quality},
    sim::SimulatedPart,
};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    served::LOOK,
    wait::{PATIENCE, until},
};

/// The board that ships.
pub fn board() -> String {
    include_str!("../../boards/sim-blade.toml").to_owned()
}

/// A configuration that disturbs nobody.
pub fn config(folder: &Path) -> Config {
    Config {
        state_dir: folder.join("state"),
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    }
}

/// A client that takes the agent's self-made certificate.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap()
}

/// An agent with a client that knows its password.
pub struct Rig {
    pub agent: Agent,
    pub client: Client,
    password: String,
    _folder: TempDir,
}

impl Rig {
    /// An agent on the board that ships.
    pub async fn start() -> Self {
        Self::with_board(&board()).await
    }

    /// An agent on the board that `text` describes.
    pub async fn with_board(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("board.toml");
        fs::write(&file, text).unwrap();
        let config = Config { board: Some(file), ..config(folder.path()) };
        Self::with(folder, config).await
    }

    /// An agent with `config`.
    pub async fn with(folder: TempDir, config: Config) -> Self {
        let client = client();
        let agent = Agent::start(config).await.unwrap();
        let password = agent.initial_password().unwrap().to_owned();
        Self { agent, client, password, _folder: folder }
    }

    /// The part `id` of the simulated board.
    pub fn part(&self, id: &str) -> SimulatedPart {
        self.agent.simulation().unwrap().part(id)
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let address = self.agent.redfish_address();
        let url = format!("https://{address}/redfish/v1{path}");
        let mut request = self
            .client
            .request(method, url)
            .basic_auth("admin", Some(&self.password));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        body(response).await
    }

    /// The resource at `path`, once it `fits`.
    pub async fn until(
        &self,
        path: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        until(path, LOOK, async || self.get(path).await, fits).await
    }

    pub async fn post(&self, path: &str, value: Value) -> (StatusCode, Value) {
        let response = self.request(Method::POST, path, Some(value)).await;
        (response.status(), body(response).await)
    }

    pub async fn patch(&self, path: &str, value: Value) -> StatusCode {
        self.request(Method::PATCH, path, Some(value)).await.status()
    }

    /// Waits until the quality of the sensor `id` is one that `fits`.
    pub async fn quality(&self, id: &str, fits: impl Fn(&Quality) -> bool) {
        let mut changes = self.agent.model().changes();
        let fitting = async {
            loop {
                let snapshot = self.agent.model().snapshot();
                let reading = snapshot.reading(id);
                if reading.is_some_and(|r| fits(&r.quality)) {
                    return;
                }
                let _: Result<Change, _> = changes.recv().await;
            }
        };
        timeout(PATIENCE, fitting).await.expect("quality changes");
    }
}

pub async fn body(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
