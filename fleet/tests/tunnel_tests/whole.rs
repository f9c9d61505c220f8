//! The whole of it: a fleet server, an agent on a simulated board, and what
//! one knows of the other.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use onprem_bmc::{
    agent::Agent,
    commands::{ResetType, Setting},
    config::Config as AgentConfig,
    model::Part,
};
use onprem_fleet::{
    api::{Device, EventKind, PowerState},
    config::Config,
    server::Server,
    tunnel::{self, GrantFor},
};
use onprem_link::{grant::Role, id::Xid};
use onprem_redfish::{
    check_tree,
    tree::{Served, leads},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};

use crate::rig::LONG;

struct Whole {
    server: Server,
    agent: Agent,
    device: Xid,
    folder: TempDir,
}

impl Whole {
    /// A fleet and a blade that joined it.
    async fn start() -> Self {
        Self::on("sim-blade").await
    }

    /// A fleet and the board that ships by this name, joined to it.
    async fn on(board: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(Config {
            state_dir: folder.path().join("fleet"),
            listen: any,
            devices_listen: any,
            drain_seconds: 1,
            ..Config::default()
        })
        .await
        .unwrap();
        let mut events = server.fleet().events().listen();
        let request = json!({"description": "a blade"});
        let (status, made) = call(
            &server,
            folder.path(),
            Method::POST,
            "/v1/join-tokens",
            Some(request),
        )
        .await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let token = folder.path().join("join-token");
        std::fs::write(&token, made["token"].as_str().unwrap()).unwrap();
        let boards = concat!(env!("CARGO_MANIFEST_DIR"), "/../bmc/boards");
        let board = format!("{boards}/{board}.toml");
        let agent = Agent::start(AgentConfig {
            name: Some("c001-b8-n01".to_owned()),
            state_dir: folder.path().join("agent"),
            listen: any,
            metrics_listen: any,
            board: Some(board.into()),
            fleet_url: made["fleetUrl"].as_str().map(str::to_owned),
            join_token_file: Some(token),
            ..AgentConfig::default()
        })
        .await
        .unwrap();
        let enrolled = async {
            loop {
                let event = events.recv().await.unwrap();
                if event.kind == EventKind::DeviceEnrolled {
                    return event.device.unwrap();
                }
            }
        };
        let device = timeout(LONG, enrolled).await.unwrap();
        let whole = Self { server, agent, device, folder };
        whole.until(|device| device.agent_version.is_some()).await;
        whole.until(|device| device.power_state.is_some()).await;
        whole
    }

    /// Waits until the fleet knows this of the device.
    async fn until(&self, wanted: impl Fn(&Device) -> bool) -> Device {
        let mut events = self.server.fleet().events().listen();
        let id = self.device.to_string();
        let known = async {
            loop {
                let device = self.server.fleet().devices().view(&id).unwrap();
                if wanted(&device) {
                    return device;
                }
                events.recv().await.unwrap();
            }
        };
        let known = timeout(LONG, known).await;
        known.expect("the fleet should have heard of it")
    }

    async fn call(&self, method: Method, path: &str) -> (StatusCode, Value) {
        call(&self.server, self.folder.path(), method, path, None).await
    }

    /// Asks the device in the name of `ada`.
    async fn ask(
        &self,
        role: Role,
        request: Request<tunnel::Body>,
    ) -> (StatusCode, String) {
        let ada = GrantFor { subject: "ada".to_owned(), role };
        let tunnels = self.server.fleet().tunnels();
        let answer = tunnels.send(self.device, request, &ada).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Calls the fleet's API as its administrator.
async fn call(
    server: &Server,
    folder: &Path,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let token = folder.join("fleet/initial-token");
    let token = std::fs::read_to_string(token).unwrap();
    let host = server.api_url().strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let answer = async {
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    };
    tokio::select! {
        answer = answer => answer,
        ended = connection => panic!("the API went away: {ended:?}"),
    }
}

#[tokio::test]
async fn the_fleet_knows_what_the_device_is_and_hears_what_changes() {
    let whole = Whole::start().await;
    let device = whole.until(|_| true).await;
    assert_eq!(device.name.to_string(), "c001-b8-n01");
    assert_eq!(device.manufacturer.as_deref(), Some("Raspberry Pi"));
    assert_eq!(device.model.as_deref(), Some("4B Rev 1.4"));
    assert_eq!(device.power_state, Some(PowerState::On));
    // It called from this host; what is shown is its own address.
    assert!(device.last_ip_addr.is_some_and(|own| !own.is_loopback()));

    let snapshot = whole.agent.model().snapshot();
    let system = snapshot.inventory.systems[0].id.clone();
    let part = Part::System(system.clone());
    let commands = whole.agent.commands();
    let tag = Setting::AssetTag("rack 3".to_owned());
    commands.set(part, vec![tag]).await.unwrap();
    let tagged = |d: &Device| d.asset_tag.as_deref() == Some("rack 3");
    whole.until(tagged).await;

    commands.reset(&system, ResetType::ForceOff).await.unwrap();
    whole.until(|d| d.power_state == Some(PowerState::Off)).await;
}

#[tokio::test]
async fn every_resource_of_a_joined_blade_fits_its_schema() {
    const FLEET: &str = "/redfish/v1/AccountService/OutboundConnections/Fleet";
    let whole = Whole::start().await;
    let tunnels = whole.server.fleet().tunnels();
    let role = Role::Administrator;
    let ada = GrantFor { subject: "ada".to_owned(), role };
    let mut found = BTreeMap::new();
    let mut ahead = vec!["/redfish/v1/".to_owned()];
    while let Some(uri) = ahead.pop() {
        if found.contains_key(&uri) {
            continue;
        }
        let request = Request::get(&uri).body(tunnel::full("")).unwrap();
        let answer = tunnels.send(whole.device, request, &ada).await.unwrap();
        assert_eq!(answer.status(), 200, "{uri}");
        let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        ahead.extend(leads(&body));
        found.insert(uri, Served { body, allow });
    }
    assert_eq!(check_tree(&found), []);
    // What only a member of a fleet has.
    let session = &found[FLEET].body["Links"]["Session"]["@odata.id"];
    assert!(found.contains_key(session.as_str().unwrap()), "{session}");
    for side in ["Certificates", "ClientCertificates"] {
        assert!(found.contains_key(&format!("{FLEET}/{side}/1")), "{side}");
    }
}

#[tokio::test]
async fn the_connection_is_a_session_whose_end_switches_it_off() {
    const FLEET: &str = "/redfish/v1/AccountService/OutboundConnections/Fleet";
    let whole = Whole::start().await;
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        let body = body.map(|it| it.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(tunnel::full(body))
            .unwrap();
        let (status, text) = whole.ask(Role::Administrator, request).await;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        (status, body)
    };
    let (status, fleet) = ask(Method::GET, FLEET, None).await;
    assert_eq!(status, 200, "{fleet}");
    assert_eq!(fleet["Status"]["State"], "Enabled");
    let session = fleet["Links"]["Session"]["@odata.id"].as_str().unwrap();
    let (_, shown) = ask(Method::GET, session, None).await;
    assert_eq!(shown["SessionType"], "OutboundConnection");
    assert_eq!(shown["ClientOriginIPAddress"], "127.0.0.1");
    let link = &shown["Links"]["OutboundConnection"]["@odata.id"];
    assert_eq!(link, FLEET);
    for side in ["Certificates", "ClientCertificates"] {
        let path = format!("{FLEET}/{side}/1");
        let (_, certificate) = ask(Method::GET, &path, None).await;
        let pem = certificate["CertificateString"].as_str().unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE"), "{certificate}");
        assert!(!pem.contains("KEY"), "{certificate}");
    }
    // Its end is told before it comes.
    let (status, told) = ask(Method::DELETE, session, None).await;
    assert!(status.is_success(), "{told}");
    let tunnels = whole.server.fleet().tunnels();
    let mut changes = tunnels.changes();
    let gone = async {
        while tunnels.is_online(whole.device) {
            changes.recv().await.unwrap();
        }
    };
    timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn the_device_itself_checks_the_role_and_notes_who_it_was() {
    let whole = Whole::start().await;
    let patch = || {
        Request::builder()
            .method(Method::PATCH)
            .uri("/redfish/v1/Systems/node")
            .header("content-type", "application/json")
            .header("x-request-id", "request-17")
            .body(tunnel::full(r#"{"AssetTag": "shelf 2"}"#))
            .unwrap()
    };
    let (status, body) = whole.ask(Role::ReadOnly, patch()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert!(body.contains("InsufficientPrivilege"), "{body}");

    let (status, body) = whole.ask(Role::Operator, patch()).await;
    assert!(status.is_success(), "{status} {body}");
    let log = "/redfish/v1/Managers/bmc/LogServices/AuditLog/Entries";
    let read = Request::get(log).body(tunnel::empty()).unwrap();
    let (status, log) = whole.ask(Role::Administrator, read).await;
    assert_eq!(status, StatusCode::OK, "{log}");
    assert!(log.contains("ada") && log.contains("request-17"), "{log}");
}

#[tokio::test]
async fn metrics_come_through_the_tunnel_and_tell_of_it() {
    let whole = Whole::start().await;
    let request = Request::get("/metrics").body(tunnel::empty()).unwrap();
    let (status, text) = whole.ask(Role::ReadOnly, request).await;
    assert_eq!(status, StatusCode::OK);
    let tunnel = text.lines().filter(|line| line.contains("tunnel"));
    let tunnel: Vec<_> = tunnel.filter(|l| !l.starts_with('#')).collect();
    assert!(tunnel.iter().any(|line| line.ends_with(" 1")), "{tunnel:?}");
}

#[tokio::test]
async fn a_device_that_is_deleted_is_gone_at_once() {
    let whole = Whole::start().await;
    let path = format!("/v1/devices/{}", whole.device);
    let (status, _) = whole.call(Method::GET, &path).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = whole.call(Method::DELETE, &path).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    assert!(!whole.server.fleet().tunnels().is_online(whole.device));
    let (status, _) = whole.call(Method::GET, &path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rack_is_reset_by_its_nodes_and_says_before_what_that_touches() {
    let whole = Whole::on("sim-bitscope-er24").await;
    let at = |path: &str| format!("/v1/devices/{}/{path}", whole.device);
    let impact = at("reset?resetType=ForceOff");
    let own = async {
        loop {
            let (status, said) = whole.call(Method::GET, &impact).await;
            assert_eq!(status, StatusCode::OK, "{said}");
            if said["spares"][0]["note"] == "the agent runs on it" {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let said = timeout(LONG, own).await.unwrap();
    assert_eq!(said["spares"][0]["name"], "a0", "{said}");
    assert_eq!(said["affects"].as_array().unwrap().len(), 23);
    let kinds = json!(["On", "ForceOff", "ForceRestart", "PowerCycle"]);
    assert_eq!(said["choices"]["resetType"], kinds);
    let one = at("reset?resetType=GracefulShutdown&nodes=b1");
    let (_, said) = whole.call(Method::GET, &one).await;
    assert_eq!(said["affects"], json!([]), "{said}");

    let (server, folder) = (&whole.server, whole.folder.path());
    let reset = |body: Value| {
        let path = at("reset");
        async move {
            let body = Some(body);
            call(server, folder, Method::POST, &path, body).await
        }
    };
    for (nodes, status) in [(json!(["x9"]), 400), (json!([]), 400)] {
        let body = json!({"resetType": "ForceOff", "nodes": nodes});
        let (found, said) = reset(body).await;
        assert_eq!(found.as_u16(), status, "{said}");
        assert_eq!(said["pointer"], "/nodes", "{said}");
    }
    let body = json!({"resetType": "GracefulRestart", "nodes": ["b1"]});
    let (status, said) = reset(body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{said}");
    let body = json!({"resetType": "ForceOff", "nodes": ["B1", "b2"]});
    let (status, task) = reset(body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{task}");
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    let done = async {
        loop {
            let (_, task) = whole.call(Method::GET, &path).await;
            if task["finishedAt"].is_string() {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let task = timeout(LONG, done).await.unwrap();
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["result"], "2 nodes are off", "{task}");
    let (_, nodes) = whole.call(Method::GET, &at("nodes")).await;
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 24);
    let off = nodes.iter().filter(|it| it["powerState"] == "Off");
    let off: Vec<_> = off.map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(off, ["b1", "b2"]);
    let (_, audit) = whole.call(Method::GET, "/v1/audit-records").await;
    assert_eq!(audit["items"][0]["detail"], "ForceOff of B1, b2", "{audit}");
    // The agent's own log says how, and in whose name.
    let log = "/redfish/v1/Managers/bmc/LogServices/AuditLog/Entries";
    let read = Request::get(log).body(tunnel::empty()).unwrap();
    let (_, log) = whole.ask(Role::Administrator, read).await;
    assert!(log.contains("ComputerSystem.Reset (ForceOff) was"), "{log}");
    // A part of a rack that is off is no reason to call it off.
    let device = whole.until(|device| device.health.is_some()).await;
    assert_eq!(device.power_state, Some(PowerState::On));
}
