//! Events: the stream, and what is posted to subscribers.

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::client::{Blade, Client};

const SSE: &str = "/redfish/v1/EventService/SSE";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
const SERVICE: &str = "/redfish/v1/AccountService";

struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(client: &Client) -> Self {
        let response = client.open(Method::GET, SSE, "").await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        let mut stream =
            Self { body: response.into_body(), text: String::new() };
        // The comment that begins it.
        assert!(stream.block().await.unwrap().starts_with(": "));
        stream
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, _)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text.drain(..block.len() + 2);
                return Some(block);
            }
            let frame = self.body.frame().await?.unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event about `origin`, with its id.
    async fn event(&mut self, origin: &str) -> (u64, Value) {
        loop {
            let block = self.block().await.unwrap();
            let Some((id, data)) = block.split_once('\n') else { continue };
            let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            let event: Value = serde_json::from_str(data).unwrap();
            let of = &event["Events"][0]["OriginOfCondition"]["@odata.id"];
            if of == origin {
                return (id, event);
            }
        }
    }
}

async fn change(client: &Client, threshold: u32) {
    let body = json!({"AccountLockoutThreshold": threshold});
    assert_eq!(client.patch(SERVICE, &body).await.status, 200);
}

#[tokio::test]
async fn a_stream_tells_of_changes_and_can_be_taken_up_again() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    change(&admin, 11).await;
    let (first, event) = stream.event(SERVICE).await;
    assert!(event["@odata.type"].as_str().unwrap().starts_with("#Event.v1_"));
    let message = event["Events"][0]["MessageId"].as_str().unwrap();
    assert!(message.ends_with(".ResourceChanged"), "{message}");
    assert!(event["Context"].is_string());
    drop(stream);
    change(&admin, 12).await;

    let last = first.to_string();
    let resumed = admin.clone().with("last-event-id", &last);
    let mut stream = Stream::open(&resumed).await;
    let (second, _) = stream.event(SERVICE).await;
    assert!(second > first);
}

#[tokio::test]
async fn a_stream_is_a_subscription_and_ends_with_it() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let all = admin.get(SUBSCRIPTIONS).await;
    let uri = all.body["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
    let subscription = admin.get(&uri).await;
    assert_eq!(subscription.body["SubscriptionType"], "SSE");
    assert_eq!(onprem_redfish::check(&subscription.body), []);
    assert_eq!(admin.delete(&uri).await.status, 204);
    while stream.block().await.is_some() {}
    assert_eq!(admin.get(&uri).await.status, 404);
}

#[tokio::test]
async fn a_stream_is_not_for_who_wants_json() {
    let blade = Blade::simulated().await;
    let json = blade.admin().with("accept", "application/json");
    let refused = json.get(SSE).await;
    assert_eq!(refused.status, 406);
    assert_eq!(refused.messages(), ["HeaderInvalid"]);
}

#[tokio::test]
async fn events_are_posted_to_who_subscribed() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination =
        format!("http://{}/events", listener.local_addr().unwrap());
    let body = json!({"Destination": destination, "Protocol": "Redfish",
        "Context": "rack 4", "RegistryPrefixes": ["ResourceEvent"]});
    let made = admin.post(SUBSCRIPTIONS, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["Context"], "rack 4");
    assert_eq!(onprem_redfish::check(&made.body), []);
    change(&admin, 13).await;

    let (mut connection, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    while !text.contains("rack 4") {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    assert!(text.starts_with("POST /events HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("ResourceEvent."), "{text}");
    let ok = b"HTTP/1.1 204 No Content\r\n\r\n";
    connection.write_all(ok).await.unwrap();

    let uri = made.header("location").to_owned();
    let blade = blade.restarted().await;
    let admin = blade.admin();
    assert_eq!(admin.get(&uri).await.body["Destination"], destination);
    assert_eq!(admin.delete(&uri).await.status, 204);
    let all = admin.get(SUBSCRIPTIONS).await;
    assert_eq!(all.body["Members"], json!([]));
}

#[tokio::test]
async fn a_subscription_the_service_cannot_serve_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let whole = json!({"Destination": "https://localhost/x",
        "Protocol": "Redfish", "Context": "c"});
    for (name, value, message) in [
        ("Protocol", json!("FTP"), "PropertyValueNotInList"),
        ("Protocol", json!("Kafka"), "PropertyValueNotInList"),
        ("Destination", json!("ftp://x/"), "PropertyValueFormatError"),
        ("Destination", json!("nonsense"), "PropertyValueFormatError"),
        ("Destination", json!("https://u:p@x/"), "PropertyValueFormatError"),
        ("RegistryPrefixes", json!(["Nope"]), "PropertyValueNotInList"),
        ("Context", json!("c".repeat(1025)), "StringValueTooLong"),
        ("EventTypes", json!(["Alert"]), "PropertyNotWritable"),
    ] {
        let mut body = whole.clone();
        body[name] = value;
        let refused = admin.post(SUBSCRIPTIONS, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert_eq!(refused.messages(), [message], "{body}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_account_that_listens() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream =
        Stream::open(&blade.account("ada", "ReadOnly").await).await;
    let account = "/redfish/v1/AccountService/Accounts/ada";
    let off = json!({"Enabled": false});
    assert_eq!(admin.patch(account, &off).await.status, 200);
    while stream.block().await.is_some() {}
}

#[tokio::test]
async fn subscriptions_that_cannot_be_understood_are_put_aside() {
    let blade = Blade::simulated().await;
    let kept = blade.state.path().join("redfish.json");
    std::fs::write(&kept, "{").unwrap();
    let blade = blade.restarted().await;
    let aside = blade.state.path().join("redfish.json.broken");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{");
    let all = blade.admin().get(SUBSCRIPTIONS).await;
    assert_eq!(all.body["Members"], json!([]));
}
