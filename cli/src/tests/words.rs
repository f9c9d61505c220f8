//! How a command line names things, and what it says of them.

use serde_json::json;

use super::{fake::FakeFleet, onprem};

#[tokio::test]
async fn a_thing_of_a_device_stands_behind_the_device() {
    let fleet = FakeFleet::start().await;
    let sensor = |name: &str| json!({"id": name, "name": name, "reading": 3.5});
    let page = json!({"items": [sensor("cpu"), sensor("inlet")]});
    fleet.on("GET /v1/devices/a/sensors", 200, &page);
    fleet.on("GET /v1/devices/a/power", 200, &json!({"watts": 4.5}));
    let url = fleet.url.as_str();
    for (words, expected) in [
        (&["get", "sensors", "a", "-o", "name"][..], "cpu\ninlet\n"),
        (&["get", "sensors", "a", "inlet", "-o", "name"], "inlet\n"),
        (&["describe", "sensor", "a", "cpu", "-o", "name"], "cpu\n"),
        (&["get", "power", "a", "-o", "json"], "{\n  \"watts\": 4.5\n}\n"),
        (&["describe", "power", "a", "-o", "json"], "{\n  \"watts\": 4.5\n}\n"),
    ] {
        let done = onprem(&[words, &["--url", url]].concat()).await;
        assert_eq!(done.out, expected, "{words:?} {}", done.err);
    }
    let done = onprem(&["get", "sensors", "--url", url]).await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("<DEVICE>"), "{}", done.err);
}

#[tokio::test]
async fn a_wrong_word_is_answered_with_the_right_one() {
    for (words, expected) in [
        (&["get", "deviecs"][..], "did you mean `onprem get devices`?"),
        (&["pwoer", "off"], "did you mean `onprem power`?"),
        (&["get", "xylophones"], "`onprem get --help` shows"),
        (&["set", "device", "a", "--asset-tag", "A"], "say `assetTag=VALUE`"),
        (&["set", "device", "a", "--tags=x"], "say `tags.NAME=VALUE`"),
    ] {
        let done = onprem(words).await;
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{words:?}");
        let hint = done.err.lines().last().unwrap_or_default();
        assert!(hint.contains(expected), "{}", done.err);
        assert!(hint.starts_with("hint: "), "{}", done.err);
    }
}

#[tokio::test]
async fn alone_it_says_what_it_can_do() {
    let done = onprem(&[]).await;
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(done.out.contains("Commands:"), "{}", done.out);
    // An option keeps it from being alone, and is no command.
    let done = onprem(&["get", "--timeout", "5"]).await;
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    assert!(done.err.contains("Kinds:"), "{}", done.err);
}

#[tokio::test]
async fn a_word_that_would_replace_all_tags_is_refused() {
    let fleet = FakeFleet::start().await;
    let words = ["set", "device", "a", "tags=x", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 3, "{}", done.err);
    assert!(done.err.contains("`tags.NAME=VALUE`"), "{}", done.err);
    assert!(fleet.seen().is_empty());
    fleet.on("PATCH /v1/devices/a", 200, &json!({"name": "a"}));
    let all = ["set", "device", "a", "tags={\"a\":\"b\"}", "--url", &fleet.url];
    assert_eq!(onprem(&all).await.code, 0);
    assert_eq!(fleet.seen()[0].json(), json!({"tags": {"a": "b"}}));
}
