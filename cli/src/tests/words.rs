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
