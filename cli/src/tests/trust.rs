//! What comes from machines and networks is not trusted.

use serde_json::json;

use super::{
    fake::FakeFleet,
    onprem,
    verbs::{device, error},
};
use crate::screen::steers;

#[tokio::test]
async fn names_of_devices_do_not_steer_the_terminal() {
    let fleet = FakeFleet::start().await;
    let evil = device("a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\nc");
    fleet.on("GET /v1/devices", 200, &json!({"items": [evil]}));
    let message = error("no", "bad \u{1b}[2J thing");
    fleet.on("GET /v1/devices/x", 404, &message);
    let url = fleet.url.as_str();
    let is_bad = |text: &str, yaml: bool| {
        // YAML leaves the order of letters as it is.
        let turns = |c| yaml && !char::is_control(c);
        let mut all = text.chars().filter(|c| *c != '\n' && !turns(*c));
        all.any(steers)
    };
    for form in ["table", "wide", "name", "json", "jsonl", "yaml", "csv"] {
        let words = ["get", "devices", "-o", form, "--url", url];
        let done = onprem(&words).await;
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(!is_bad(&done.out, form == "yaml"), "{form}: {:?}", done.out);
        if form == "name" || form == "jsonl" {
            assert_eq!(done.out.lines().count(), 1, "{form}");
        }
        if form.starts_with("json") {
            assert!(done.out.contains("\\u009b"), "{}", done.out);
        }
    }
    let done = onprem(&["get", "device", "x", "--url", url]).await;
    assert!(!is_bad(&done.err, false), "{:?}", done.err);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_no_name() {
    let fleet = FakeFleet::start().await;
    let url = fleet.url.as_str();
    for name in ["", ".", ".."] {
        let words = ["delete", "device", name, "--yes", "--url", url];
        assert_eq!(onprem(&words).await.code, 2, "{name}");
    }
    let words = ["curl", "a", "/redfish/v1/../../../accounts", "--url", url];
    assert_eq!(onprem(&words).await.code, 2);
    assert!(fleet.seen().is_empty());
}

#[tokio::test]
async fn a_list_that_does_not_end_is_a_failure() {
    let fleet = FakeFleet::start().await;
    let page = json!({"items": [], "next_page": "again"});
    fleet.on("GET /v1/devices", 200, &page);
    let words = ["get", "devices", "--all", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("the same page"), "{}", done.err);
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_to_another_machine() {
    for url in ["http://192.0.2.1:8080", "http://fleet.example"] {
        let done = onprem(&["get", "devices", "--url", url]).await;
        assert_eq!(done.code, 2, "{}", done.err);
        assert!(done.err.contains("use https"), "{}", done.err);
    }
    for url in ["fleet", "ftp://127.0.0.1", "http://u:secret@127.0.0.1"] {
        let done = onprem(&["get", "devices", "--url", url]).await;
        assert_eq!(done.code, 2, "{}", done.err);
        assert!(!done.err.contains("secret"), "{}", done.err);
    }
}
