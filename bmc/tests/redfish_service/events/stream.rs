//! The stream of events: what DMTF's validator asserts of it under
//! `SERV_SSE_…` and does not test, each by its name, and what goes beyond.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    EVENTS, SERVICE, SSE, SUBMIT, SUBSCRIPTIONS, change, problems,
    receiver::{PATIENCE, QUIET},
    submit, until,
};
use crate::{
    client::{Blade, Client, SESSIONS},
    telemetry::{LOAD, define},
};

/// An open stream.
pub(super) struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    pub(super) async fn open(client: &Client) -> Self {
        Self::with(client, "").await
    }

    /// A stream with a query.
    pub(super) async fn with(client: &Client, query: &str) -> Self {
        let uri = format!("{SSE}{query}");
        let response = client.open(Method::GET, &uri, "").await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        let body = response.into_body();
        let mut stream = Self { body, text: String::new() };
        // The comment that begins it.
        assert!(stream.block().await.unwrap().starts_with(": "));
        stream
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        let reading = async {
            loop {
                if let Some((block, _)) = self.text.split_once("\n\n") {
                    let block = block.to_owned();
                    self.text.drain(..block.len() + 2);
                    return Some(block);
                }
                let frame = self.body.frame().await?.ok()?;
                let data = frame.into_data().unwrap();
                self.text.push_str(std::str::from_utf8(&data).unwrap());
            }
        };
        timeout(PATIENCE, reading).await.expect("something from the stream")
    }

    /// The next payload, with its id.
    pub(super) async fn next(&mut self) -> (u64, Value) {
        loop {
            let block = self.block().await.expect("an open stream");
            let Some((id, data)) = block.split_once('\n') else { continue };
            let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            return (id, serde_json::from_str(data).unwrap());
        }
    }

    /// The next event about `origin`, with its id.
    pub(super) async fn about(&mut self, origin: &str) -> (u64, Value) {
        loop {
            let (id, event) = self.next().await;
            let of = &event["Events"][0]["OriginOfCondition"]["@odata.id"];
            if of == origin {
                return (id, event);
            }
        }
    }

    /// The next event with this `EventId`.
    pub(super) async fn event(&mut self, wanted: &str) -> (u64, Value) {
        loop {
            let (id, event) = self.next().await;
            if event["Events"][0]["EventId"] == wanted {
                return (id, event);
            }
        }
    }

    /// Reads to the end; the last message is returned.
    async fn ends(&mut self) -> String {
        let mut last = String::new();
        while let Some(block) = self.block().await {
            last = block;
        }
        last
    }
}

/// The only subscription there is.
async fn subscription(client: &Client) -> String {
    let all = client.get(SUBSCRIPTIONS).await.body;
    assert_eq!(all["Members@odata.count"], 1);
    all["Members"][0]["@odata.id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sse_successful_response() {
    let blade = Blade::simulated().await;
    for accept in ["text/event-stream", "text/*", "*/*"] {
        let client = blade.admin().with("accept", accept);
        let response = client.open(Method::GET, SSE, "").await;
        assert_eq!(response.status(), 200, "{accept}");
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        assert!(response.headers().get("content-length").is_none());
    }
}

#[tokio::test]
async fn sse_unsuccessful_response() {
    let blade = Blade::simulated().await;
    let json = blade.admin().with("accept", "application/json");
    let refused = json.get(SSE).await;
    assert_eq!(refused.status, 406);
    assert_eq!(refused.header("content-type"), "application/json");
    assert_eq!(refused.messages(), ["HeaderInvalid"]);
    let refused = blade.stranger().get(SSE).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("content-type"), "application/json");
    let refused = blade.admin().post(SSE, &json!({})).await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), "GET");
}

#[tokio::test]
async fn sse_blank_lines_between_events() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    for id in ["t-1", "t-2", "t-3"] {
        submit(&admin, id).await;
    }
    // Each block, between blank lines, is one event and a whole one.
    for id in ["t-1", "t-2", "t-3"] {
        let (_, event) = stream.event(id).await;
        assert_eq!(event["Events"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn sse_connection_open_until_closed() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    for threshold in 10..13 {
        change(&admin, threshold).await;
        stream.about(SERVICE).await;
        let more = timeout(QUIET, stream.block()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test]
async fn sse_events_sent_via_open_connection() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    change(&admin, 11).await;
    let (_, event) = stream.about(SERVICE).await;
    let message = event["Events"][0]["MessageId"].as_str().unwrap();
    assert!(message.ends_with(".ResourceChanged"), "{message}");
}

#[tokio::test]
async fn sse_open_creates_event_dest() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let _stream = Stream::open(&admin).await;
    let uri = subscription(&admin).await;
    let shown = admin.get(&uri).await.body;
    assert_eq!(shown["SubscriptionType"], "SSE");
    // The schema says how a stream's destination is written.
    let listener = shown["Destination"].as_str().unwrap();
    let listener = listener.strip_prefix("redfish-sse://127.0.0.1:").unwrap();
    assert_ne!(listener.parse::<u16>().unwrap(), 0);
    assert_eq!(shown["Protocol"], "Redfish");
    assert_eq!(shown["DeliveryRetryPolicy"], "TerminateAfterRetries");
    assert_eq!(shown["EventFormatType"], "Event");
    assert_eq!(onprem_redfish::check(&shown), []);
    let refused = admin.patch(&uri, &json!({"Context": "mine"})).await;
    assert_eq!(refused.messages(), ["PropertyNotWritable"]);
}

#[tokio::test]
async fn sse_event_dest_context_opaque_str() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let shown = admin.get(&subscription(&admin).await).await.body;
    let context = shown["Context"].as_str().unwrap();
    assert!(!context.is_empty());
    submit(&admin, "t-1").await;
    assert_eq!(stream.event("t-1").await.1["Context"], context);
    let _other = Stream::open(&admin).await;
    let all = admin.get(&format!("{SUBSCRIPTIONS}?$expand=.")).await.body;
    assert_ne!(all["Members"][0]["Context"], all["Members"][1]["Context"]);
}

#[tokio::test]
async fn sse_event_dest_deleted_on_close() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let stream = Stream::open(&admin).await;
    let uri = subscription(&admin).await;
    drop(stream);
    until(&admin, SUBSCRIPTIONS, |it| it["Members"] == json!([])).await;
    assert_eq!(admin.get(&uri).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sse_close_connection_if_event_dest_deleted() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let uri = subscription(&admin).await;
    assert_eq!(admin.delete(&uri).await.status, 204);
    let last = stream.ends().await;
    assert!(last.contains(".SubscriptionTerminated\""), "{last}");
    assert_eq!(admin.get(&uri).await.status, 404);
}

#[tokio::test]
async fn sse_id_field_uniquely_identifies_payload() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let mut ids = BTreeSet::new();
    for test in 0..40 {
        let name = format!("t-{test}");
        submit(&admin, &name).await;
        let (id, event) = stream.event(&name).await;
        assert_eq!(event["Id"], id.to_string());
        assert!(ids.insert(id));
    }
    // Another life of the agent gives other ids.
    let blade = blade.restarted().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    submit(&admin, "t-40").await;
    assert!(ids.insert(stream.event("t-40").await.0));
    assert_eq!(ids.last(), ids.iter().max());
}

#[tokio::test]
async fn sse_data_field_based_on_payload_format() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    change(&admin, 11).await;
    let (_, event) = stream.about(SERVICE).await;
    let of = event["@odata.type"].as_str().unwrap();
    assert!(of.starts_with("#Event.v1_"), "{of}");
}

#[tokio::test]
async fn sse_metric_reports_of_a_definition() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let body = |id: &str| {
        json!({"Id": id, "MetricReportDefinitionType": "Periodic",
            "Schedule": {"RecurrenceInterval": "PT1S"},
            "ReportActions": ["RedfishEvent"], "MetricProperties": [LOAD]})
    };
    let wanted = define(&admin, &body("wanted")).await;
    define(&admin, &body("other")).await;
    let wanted = wanted.header("location");
    let query = format!("?$filter=MetricReportDefinition%20eq%20'{wanted}'");
    let mut stream = Stream::with(&admin, &query).await;
    let mut last = 0;
    for _ in 0..2 {
        let (id, report) = stream.next().await;
        assert!(id > last);
        last = id;
        assert_eq!(onprem_redfish::check(&report), []);
        assert_eq!(report["MetricReportDefinition"]["@odata.id"], wanted);
        assert_eq!(report["MetricValues"][0]["MetricProperty"], LOAD);
    }
}

#[tokio::test]
async fn sse_json_event_message_format() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    change(&admin, 11).await;
    let (id, event) = stream.about(SERVICE).await;
    assert_eq!(problems(&event), []);
    let record = &event["Events"][0];
    assert_eq!(record["MemberId"], "0");
    assert_eq!(record["EventId"], id.to_string());
    assert_eq!(record["MessageSeverity"], "OK");
    assert!(record["EventTimestamp"].is_string());
    assert!(record["Message"].is_string());
}

#[tokio::test]
async fn a_stream_can_be_taken_up_again_even_after_a_restart() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    submit(&admin, "t-1").await;
    let (first, _) = stream.event("t-1").await;
    drop(stream);
    submit(&admin, "t-2").await;
    let blade = blade.restarted().await;
    let admin = blade.admin();
    submit(&admin, "t-3").await;
    let resumed = admin.clone().with("last-event-id", &first.to_string());
    let mut stream = Stream::open(&resumed).await;
    let (second, _) = stream.event("t-2").await;
    let (third, _) = stream.event("t-3").await;
    assert!(first < second && second < third);
}

/// Fills the buffer more than once.
async fn flood(client: &Client) {
    let long = "x".repeat(200 << 10);
    for id in 0..12 {
        let body = json!({"MessageId": "ResourceEvent.1.4.TestMessage",
            "EventId": format!("f-{id}"), "Message": long});
        assert_eq!(client.post(SUBMIT, &body).await.status, 200);
    }
}

#[tokio::test]
async fn who_comes_back_too_late_is_told_what_is_missing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    submit(&admin, "t-1").await;
    let (last, _) = stream.event("t-1").await;
    drop(stream);
    flood(&admin).await;
    // An id that this agent never gave is as good as one forgotten.
    for last in [last, last + 1_000_000] {
        let client = admin.clone().with("last-event-id", &last.to_string());
        let mut stream = Stream::open(&client).await;
        let (id, notice) = stream.next().await;
        let record = &notice["Events"][0];
        let message = record["MessageId"].as_str().unwrap();
        assert!(message.ends_with(".EventBufferExceeded"), "{message}");
        let text = record["Message"].as_str().unwrap();
        assert!(text.contains("No longer known: events "), "{text}");
        let (next, _) = stream.next().await;
        assert!(next > id);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_keep_up_is_cut_off() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    // More than the kernel's buffers hold, and more than the agent keeps.
    for _ in 0..6 {
        flood(&admin).await;
    }
    stream.ends().await;
    until(&admin, SUBSCRIPTIONS, |it| it["Members"] == json!([])).await;
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
    stream.ends().await;
}

/// DSP0266, "Session termination or logout": the end of a session does not affect streams
/// that were opened with it.
#[tokio::test]
async fn a_stream_outlives_its_session() {
    let blade = Blade::simulated().await;
    let body = json!({"UserName": "admin", "Password": blade.password});
    let opened = blade.stranger().post(SESSIONS, &body).await;
    assert_eq!(opened.status, 201);
    let token = opened.header("x-auth-token");
    let client = blade.stranger().with("x-auth-token", token);
    let mut stream = Stream::open(&client).await;
    let session = opened.header("location");
    assert_eq!(client.delete(session).await.status, 204);
    submit(&blade.admin(), "t-1").await;
    stream.event("t-1").await;
}

#[tokio::test]
async fn streams_end_when_the_service_is_disabled() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let mut stream = Stream::open(&admin).await;
    let off = json!({"ServiceEnabled": false});
    assert_eq!(admin.patch(EVENTS, &off).await.status, 200);
    stream.ends().await;
}

#[tokio::test]
async fn a_stream_can_be_filtered() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let query = "?$filter=RegistryPrefix%20eq%20'SensorEvent'%20or%20\
                 (OriginResource%20eq%20'/redfish/v1/Systems'%20and%20\
                 SubordinateResources%20eq%20true)&includeoriginofcondition";
    let mut stream = Stream::with(&admin, query).await;
    for (id, message, origin) in [
        ("t-1", "ResourceEvent.1.4.TestMessage", EVENTS),
        ("t-2", "SensorEvent.1.1.SensorFailure", EVENTS),
        ("t-3", "ResourceEvent.1.4.TestMessage", "/redfish/v1/Systems/node"),
        ("t-4", "ResourceEvent.1.4.TestMessage", SERVICE),
        ("t-5", "SensorEvent.1.1.SensorRestored", EVENTS),
    ] {
        let body = json!({"MessageId": message, "EventId": id,
            "OriginOfCondition": origin});
        assert_eq!(admin.post(SUBMIT, &body).await.status, 200);
    }
    let mut heard = Vec::new();
    while heard.last().is_none_or(|it| it != "t-5") {
        let (_, event) = stream.next().await;
        let record = &event["Events"][0];
        heard.push(record["EventId"].as_str().unwrap().to_owned());
        assert!(record["OriginOfCondition"]["Name"].is_string(), "{record}");
    }
    assert_eq!(heard, ["t-2", "t-3", "t-5"]);
    for (query, status) in [
        ("?$filter=Colour%20eq%20'red'", 400),
        ("?$filter=", 400),
        ("?includeoriginofcondition=maybe", 400),
        ("?$expand=.", 501),
    ] {
        let refused = admin.get(&format!("{SSE}{query}")).await;
        assert_eq!(refused.status, status, "{query}");
        assert_eq!(refused.header("content-type"), "application/json");
    }
    assert_eq!(admin.get(&format!("{SSE}?$filter=")).await.status, 400);
}
