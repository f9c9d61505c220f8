//! The agent as a process of its own, and a client that knows its password.

use std::{fs, path::Path, time::Duration};

use reqwest::{Client, Method, StatusCode, Upgraded, header};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use super::{
    process::{Process, agent},
    rig::body,
    wait::{PATIENCE, until},
};

/// How often it is looked whether something has become so: an emulated
/// processor has other things to do.
pub const LOOK: Duration = Duration::from_millis(250);

/// An agent that serves Redfish, and is killed when the test is over.
pub struct Served {
    process: Process,
    client: Client,
    password: String,
}

impl Served {
    /// Starts the agent with its state in `folder`, and these arguments.
    pub fn start(folder: &Path, arguments: &[&Path]) -> Self {
        let mut command = agent(folder);
        command.args(arguments);
        let process = Process::start_as(&mut command, folder);
        let password = folder.join("state/initial-password");
        let password = fs::read_to_string(password).unwrap().trim().to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A WebSocket begins as a request of HTTP/1.1.
        let client = Client::builder()
            .http1_only()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        Self { process, client, password }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/redfish/v1{path}", self.process.redfish);
        let request = self.client.request(method, url);
        request.basic_auth("admin", Some(&self.password))
    }

    /// The resource at `path`. An agent gives up a client that is too slow, and
    /// one on a busy machine is: it asks again.
    pub async fn get(&self, path: &str) -> Value {
        let mut last = None;
        let asking = async {
            loop {
                match self.request(Method::GET, path).send().await {
                    Ok(response) => return response,
                    Err(error) => last = Some(error),
                }
                sleep(LOOK).await;
            }
        };
        let response = timeout(PATIENCE, asking).await;
        let response = response.unwrap_or_else(|_| panic!("{last:?}"));
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        body(response).await
    }

    pub async fn post(&self, path: &str, value: &Value) {
        let request = self.request(Method::POST, path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let response = request.body(value.to_string()).send().await.unwrap();
        let status = response.status();
        let said = body(response).await;
        assert!(status.is_success(), "{path}: {status} {said}");
    }

    /// The resource at `path`, once it `fits`.
    pub async fn until(
        &self,
        path: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        until(path, LOOK, async || self.get(path).await, fits).await
    }

    /// The WebSocket at `path`.
    pub async fn websocket(&self, path: &str) -> WebSocketStream<Upgraded> {
        let response = self
            .request(Method::GET, path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .send()
            .await
            .unwrap();
        let status = response.status();
        assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS, "{path}");
        let stream = response.upgrade().await.unwrap();
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }

    /// Asks it to end; how it ended.
    pub fn terminate(self) -> Option<i32> {
        self.process.terminate()
    }
}
