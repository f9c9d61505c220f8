//! Looking at the I²C buses of devices.

use serde_json::{Value, json};

use super::{fake::FakeFleet, onprem, verbs::error};

#[tokio::test]
async fn i2cdetect_draws_the_bus() {
    let fleet = FakeFleet::start().await;
    let grid = "      0  1\n00: -- UU\n0x01: used by \u{1b}[31mx";
    let seen = json!({"bus": 1, "addresses": ["0x01"], "grid": grid});
    fleet.on("POST /v1/devices/a/i2cdetect", 200, &seen);
    let words = ["i2cdetect", "a", "--bus", "1", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let drawn = "      0  1\n00: -- UU\n0x01: used by  [31mx\n";
    assert_eq!(done.out, drawn);
    assert_eq!(fleet.seen().last().unwrap().json(), json!({"bus": 1}));
}

#[tokio::test]
async fn i2cdetect_without_a_bus_lists_the_buses() {
    let fleet = FakeFleet::start().await;
    let buses = json!({"spares": [], "choices": {"bus": ["1", "20"]},
    "affects": [
        {"name": "1", "state": "bcm2835", "note": "0x48 part `cpu`"},
        {"name": "20", "state": "ddc", "note": null},
    ]});
    fleet.on("GET /v1/devices/a/i2cdetect", 200, &buses);
    let words = ["i2cdetect", "a", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out, "1   bcm2835: 0x48 part `cpu`\n20  ddc\n");
    let hint = "`onprem i2cdetect a --bus NUMBER`";
    assert!(done.err.contains(hint), "{}", done.err);
    let words = ["i2cdetect", "a", "-o", "name", "--url", &fleet.url];
    assert_eq!(onprem(&words).await.out, "1\n20\n");
    let words = ["i2cdetect", "a", "-o", "json", "--url", &fleet.url];
    let listed: Value = onprem(&words).await.out.parse().unwrap();
    assert_eq!(listed, buses["affects"]);
    // One that does not say it can be asked all the same.
    let none = json!({"spares": [], "choices": {}, "affects": []});
    fleet.on("GET /v1/devices/b/i2cdetect", 200, &none);
    let done = onprem(&["i2cdetect", "b", "--url", &fleet.url]).await;
    assert_ne!(done.code, 0);
    assert!(done.err.contains("`--bus 1`"), "{}", done.err);
}

#[tokio::test]
async fn the_buses_of_several_devices_say_whose_they_are() {
    let fleet = FakeFleet::start().await;
    let url = fleet.url.as_str();
    // What can be chosen is listed, in the words of what is known of it.
    let of_a = json!({"spares": [], "choices": {"bus": ["1", "3"]},
    "affects": [
        {"name": "0", "state": "bcm2835", "note": "taken"},
        {"name": "1", "state": "bcm2835", "note": null},
    ]});
    let of_c = json!({"spares": [], "choices": {"bus": ["7"]},
        "affects": [{"name": "7", "state": "ddc", "note": null}]});
    let offline = error("device_offline", "`b` is offline");
    fleet.on("GET /v1/devices/a/i2cdetect", 200, &of_a);
    fleet.on("GET /v1/devices/b/i2cdetect", 503, &offline);
    fleet.on("GET /v1/devices/c/i2cdetect", 200, &of_c);
    let all = ["action", "device", "i2cdetect", "a", "b", "c", "--url", url];
    let done = onprem(&all).await;
    assert_eq!(done.out, "a: 1   bcm2835\na: 3\nc: 7   ddc\n");
    assert_ne!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("b: `b` is offline"), "{}", done.err);
    assert!(done.err.contains("1 of 3 failed"), "{}", done.err);
    let words = [&all[..], &["-o", "json"]].concat();
    let done = onprem(&words).await;
    let listed: Value = done.out.parse().unwrap();
    let expected = json!([
        {"target": "a", "choices": [of_a["affects"][1], {"name": "3"}]},
        {"target": "c", "choices": of_c["affects"]},
    ]);
    assert_eq!(listed, expected);
}
