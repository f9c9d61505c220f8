//! Requests that come through the tunnel: the grant says who asks.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use onprem_bmc::{
    accounts::Accounts,
    boards::NoInstruments,
    redfish::{Origin, Parts, Service},
};
use onprem_link::{
    grant::{Grant, MethodClass, Role},
    id::Xid,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::client::{Blade, SESSIONS};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";

/// A service over the parts of a blade, as the tunnel sees it.
struct Inside {
    service: Arc<Service>,
    state: TempDir,
    password: String,
    tasks: TaskTracker,
    stop: tokio_util::sync::DropGuard,
}

impl Inside {
    fn of(blade: &Blade) -> Self {
        let state = TempDir::new().unwrap();
        let (accounts, password) = Accounts::open(state.path()).unwrap();
        let stop = CancellationToken::new();
        let parts = Parts {
            instruments: std::sync::Arc::new(NoInstruments),
            modems: std::sync::Arc::new(NoInstruments),
            power_modes: std::sync::Arc::new(NoInstruments),
            wires: std::sync::Arc::default(),
            configuration: serde_json::Value::Null,
            deprecated_power_thermal: false,
            update: onprem_bmc::config::Update::default(),
            software: Vec::new(),
            model: blade.agent.model().clone(),
            commands: blade.agent.commands().clone(),
            accounts: Arc::new(accounts),
            exporter: blade.agent.exporter().clone(),
            state_dir: state.path().to_owned(),
            allow_http_events: false,
            consoles: onprem_bmc::console::Consoles::default(),
            clock: onprem_bmc::clock::Clock::of_machine(false),
        };
        let tasks = TaskTracker::new();
        let service = Service::start(parts, &tasks, &stop).unwrap();
        let password = password.unwrap();
        let stop = stop.drop_guard();
        Self { service, state, password, tasks, stop }
    }

    async fn ask(
        &self,
        role: Role,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let grant = Grant {
            subject: "ada@fleet".to_owned(),
            role,
            class: MethodClass::Write,
            device: uuid::Uuid::nil(),
            issued: 0,
            expires: 0,
            request: "r-17".to_owned(),
            id: Xid::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            // On the tunnel the grant is the identity, and nothing else.
            .header("x-auth-token", "of nobody")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body.to_string()))
            .unwrap();
        let origin = Origin::Tunnel(Box::new(grant));
        let response = self.service.handle(request, origin).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

#[tokio::test]
async fn the_role_in_the_grant_is_what_counts() {
    let blade = Blade::simulated().await;
    let inside = Inside::of(&blade);
    let tag = json!({"AssetTag": "c001"});
    for (role, may_tag, may_see_accounts) in [
        (Role::ReadOnly, 403, 403),
        (Role::Operator, 200, 403),
        (Role::Administrator, 200, 200),
    ] {
        let read = inside.ask(role, Method::GET, CHASSIS, &json!({})).await;
        assert_eq!(read.0, 200, "{role}");
        let wrote = inside.ask(role, Method::PATCH, CHASSIS, &tag).await;
        assert_eq!(wrote.0, may_tag, "{role}: {}", wrote.1);
        let account = "/redfish/v1/AccountService/Accounts/admin";
        let seen = inside.ask(role, Method::GET, account, &json!({})).await;
        assert_eq!(seen.0, may_see_accounts, "{role}");
    }
}

#[tokio::test]
async fn the_audit_log_names_the_person_at_the_fleet() {
    let blade = Blade::simulated().await;
    let inside = Inside::of(&blade);
    let tag = json!({"AssetTag": "c002"});
    inside.ask(Role::Operator, Method::PATCH, CHASSIS, &tag).await;
    let log = inside.state.path().join("logs/audit/00000001.jsonl");
    let log = std::fs::read_to_string(log).unwrap();
    let last: Value =
        serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["who"], "ada@fleet");
    assert_eq!(last["via"], "fleet");
    assert_eq!(last["request"], "r-17");
    assert_eq!(last["status"], 200);
}

#[tokio::test]
async fn a_session_through_the_tunnel_still_needs_its_password() {
    let blade = Blade::simulated().await;
    let inside = Inside::of(&blade);
    for (password, status) in [("wrong password", 401), (&inside.password, 201)]
    {
        let body = json!({"UserName": "admin", "Password": password});
        let role = Role::Administrator;
        let made = inside.ask(role, Method::POST, SESSIONS, &body).await;
        assert_eq!(made.0, status, "{}", made.1);
    }
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_hangs_up() {
    let blade = Blade::simulated().await;
    let inside = Inside::of(&blade);
    let tag = json!({"AssetTag": "c003"});
    {
        let asked = inside.ask(Role::Operator, Method::PATCH, CHASSIS, &tag);
        let mut asked = std::pin::pin!(asked);
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
    }
    inside.stop.disarm().cancel();
    inside.tasks.close();
    inside.tasks.wait().await;
    let log = inside.state.path().join("logs/audit/00000001.jsonl");
    let log = std::fs::read_to_string(log).unwrap();
    let line: Value =
        serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(line["status"], 200);
    let settings = blade.agent.model().snapshot();
    assert!(format!("{:?}", settings.settings).contains("c003"));
}
