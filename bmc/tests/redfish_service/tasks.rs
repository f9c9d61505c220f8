//! Tasks and their monitors: what takes long is answered with 202.

use std::time::Duration;

use http::Method;
use onprem_redfish::check;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    client::{ACCOUNTS, Blade, Client, Reply},
    support::image::Key,
};

const SERVICE: &str = "/redfish/v1/TaskService";
const TASKS: &str = "/redfish/v1/TaskService/Tasks";
const UPDATE: &str =
    "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate";

/// A server of images that lets one wait.
struct Slow {
    listener: TcpListener,
    uri: String,
}

impl Slow {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/x.img", listener.local_addr().unwrap());
        Self { listener, uri }
    }

    /// Waits for the request, and leaves it without an answer.
    async fn asked(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            head.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        (stream, head)
    }
}

async fn answer(mut stream: TcpStream, text: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", text.len());
    let whole = format!("{head}\r\n{text}");
    stream.write_all(whole.as_bytes()).await.unwrap();
}

/// Follows `monitor` to the end.
pub(crate) async fn end(client: &Client, monitor: &str) -> Reply {
    let end = async {
        loop {
            let reply = client.get(monitor).await;
            if reply.status != 202 {
                return reply;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), end).await.expect("the task ends")
}

/// The URI of the task that a reply with 202 is about.
fn task(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.body["@odata.id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_takes_long_is_followed_on_its_monitor() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let server = Slow::start().await;
    let body = json!({"ImageURI": server.uri});
    let started = admin.post(UPDATE, &body).await;
    let task = task(&started);
    assert_eq!(started.header("retry-after"), "1");
    assert_eq!(check(&started.body), []);
    assert_eq!(started.body["TaskState"], "Running");
    let monitor = started.header("location").to_owned();
    assert_eq!(started.body["TaskMonitor"], monitor);
    assert_eq!(started.body["HidePayload"], false);
    let payload = &started.body["Payload"];
    assert_eq!(payload["TargetUri"], UPDATE);
    assert_eq!(payload["HttpOperation"], "POST");
    let sent: Value =
        serde_json::from_str(payload["JsonBody"].as_str().unwrap()).unwrap();
    assert_eq!(sent, body);

    let (stream, _) = server.asked().await;
    let waiting = admin.get(&monitor).await;
    assert_eq!(waiting.status, 202);
    assert_eq!(waiting.header("location"), monitor);
    assert_eq!(waiting.body["@odata.id"], task);
    assert_eq!(admin.send(Method::HEAD, &monitor, "").await.status, 202);
    assert_eq!(blade.stranger().get(&monitor).await.status, 401);
    assert_eq!(admin.post(&monitor, &json!({})).await.status, 405);
    let listed = admin.get(TASKS).await;
    assert_eq!(listed.body["Members"][0]["@odata.id"], task);

    answer(stream, "this is no image").await;
    let ended = end(&admin, &monitor).await;
    assert_eq!(ended.status, 400);
    assert_eq!(ended.messages(), ["VerificationFailed"]);
    // Whoever lost the answer on the way can fetch it again.
    assert_eq!(admin.get(&monitor).await.body, ended.body);
    let shown = admin.get(&task).await;
    assert_eq!(check(&shown.body), []);
    assert_eq!(shown.body["TaskState"], "Exception");
    assert_eq!(shown.body["TaskStatus"], "Critical");
    assert!(shown.body["EndTime"].is_string());
    let messages = shown.body["Messages"].as_array().unwrap();
    let last = messages.last().unwrap()["MessageId"].as_str().unwrap();
    assert!(last.ends_with(".VerificationFailed"), "{last}");

    assert_eq!(admin.delete(&monitor).await.status, 204);
    assert_eq!(admin.get(&monitor).await.status, 404);
    assert_eq!(admin.get(&task).await.body.get("TaskMonitor"), None);
    assert_eq!(admin.delete(&task).await.status, 204);
    assert_eq!(admin.get(&task).await.status, 404);
}

#[tokio::test]
async fn a_task_is_its_owners_and_can_be_cancelled() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let owner = blade.account("olga", "Operator").await;
    let other = blade.account("otto", "Operator").await;
    let reader = blade.account("rita", "ReadOnly").await;
    let server = Slow::start().await;
    let body = json!({"ImageURI": server.uri});
    assert_eq!(reader.post(UPDATE, &body).await.status, 403);
    let started = owner.post(UPDATE, &body).await;
    let task = task(&started);
    let monitor = started.header("location").to_owned();
    let (mut stream, _) = server.asked().await;
    for stranger in [&other, &reader] {
        assert_eq!(stranger.get(&monitor).await.status, 403);
        assert_eq!(stranger.delete(&monitor).await.status, 403);
        assert_eq!(stranger.delete(&task).await.status, 403);
        assert_eq!(stranger.get(&task).await.status, 200);
    }
    assert_eq!(admin.get(&monitor).await.status, 202);
    // One at a time.
    let second = owner.post(UPDATE, &body).await;
    assert_eq!(second.status, 503);
    assert!(!second.header("retry-after").is_empty());

    assert_eq!(owner.delete(&monitor).await.status, 204);
    assert_eq!(owner.get(&monitor).await.status, 404);
    assert_eq!(admin.get(&task).await.body["TaskState"], "Cancelled");
    // The work itself has ended: its connection is closed.
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    timeout(Duration::from_secs(30), closed).await.unwrap().unwrap();
    let again = owner.post(UPDATE, &body).await;
    assert_eq!(again.status, 202);
    let (_stream, _) = server.asked().await;
    assert_eq!(admin.delete(&self::task(&again)).await.status, 204);
    assert_eq!(admin.get(TASKS).await.body["Members@odata.count"], 1);
}

#[tokio::test]
async fn who_gets_the_name_of_a_deleted_account_does_not_get_its_tasks() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let owner = blade.account("olga", "Operator").await;
    let server = Slow::start().await;
    let body = json!({"ImageURI": server.uri});
    let started = owner.post(UPDATE, &body).await;
    let task = task(&started);
    let monitor = started.header("location").to_owned();
    let _connection = server.asked().await;
    assert_eq!(owner.get(&monitor).await.status, 202);
    let account = format!("{ACCOUNTS}/olga");
    assert_eq!(admin.delete(&account).await.status, 204);
    let namesake = blade.account("olga", "Operator").await;
    assert_eq!(namesake.get(&monitor).await.status, 403);
    assert_eq!(namesake.delete(&task).await.status, 403);
    assert_eq!(admin.get(&monitor).await.status, 202);
}

#[tokio::test]
async fn what_ran_when_the_agent_ended_has_failed() {
    let blade = Blade::updatable(Key::new().public).await;
    let server = Slow::start().await;
    let body = json!({"ImageURI": server.uri});
    let started = blade.admin().post(UPDATE, &body).await;
    let task = task(&started);
    let monitor = started.header("location").to_owned();
    let _connection = server.asked().await;
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let ended = admin.get(&monitor).await;
    assert_eq!(ended.status, 500);
    assert_eq!(ended.messages(), ["OperationFailed"]);
    let shown = admin.get(&task).await;
    assert_eq!(shown.body["TaskState"], "Exception");
    assert_eq!(check(&shown.body), []);
}

#[tokio::test]
async fn a_task_does_not_show_a_password() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let server = Slow::start().await;
    let body = json!({"ImageURI": server.uri, "Username": "u",
        "Password": "swordfish"});
    let started = admin.post(UPDATE, &body).await;
    let (stream, head) = server.asked().await;
    assert!(head.contains("Basic dTpzd29yZGZpc2g="), "{head}");
    assert_eq!(started.body["HidePayload"], true);
    assert_eq!(started.body.get("Payload"), None);
    answer(stream, "").await;
    let monitor = started.header("location").to_owned();
    let ended = end(&admin, &monitor).await;
    assert!(!ended.body.to_string().contains("swordfish"));
    let kept = std::fs::read_to_string(blade.state.path().join("tasks.json"));
    assert!(!kept.unwrap().contains("swordfish"));
}

#[tokio::test]
async fn tasks_are_kept_as_long_as_the_service_says() {
    let blade = Blade::updatable(Key::new().public).await;
    let admin = blade.admin();
    let none = json!({"TaskAutoDeleteTimeoutMinutes": 0});
    assert_eq!(admin.patch(SERVICE, &none).await.status, 400);
    let at_once = json!({"TaskMonitorAutoExpirySeconds": 0});
    let set = admin.patch(SERVICE, &at_once).await;
    assert_eq!(set.body["TaskMonitorAutoExpirySeconds"], 0);
    // Nobody listens there.
    let body = json!({"ImageURI": "http://127.0.0.1:1/x.img"});
    let mut last = String::new();
    // More than are kept.
    for _ in 0..66 {
        let started = admin.post(UPDATE, &body).await;
        assert_eq!(started.status, 202, "{}", started.body);
        let monitor = started.header("location").to_owned();
        let ended = end(&admin, &monitor).await;
        assert_eq!(ended.messages(), ["TransferFailed"]);
        assert_eq!(admin.get(&monitor).await.status, 404, "it was fetched");
        last = task(&started);
    }
    assert_eq!(admin.get(TASKS).await.body["Members@odata.count"], 64);
    assert_eq!(admin.get(&last).await.status, 200);
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let service = admin.get(SERVICE).await;
    assert_eq!(service.body["TaskMonitorAutoExpirySeconds"], 0);
    let clear =
        format!("{SERVICE}/Actions/TaskService.DeleteAllCompletedTasks");
    assert_eq!(admin.post(&clear, &json!({})).await.status, 200);
    assert_eq!(admin.get(TASKS).await.body["Members@odata.count"], 0);
}
