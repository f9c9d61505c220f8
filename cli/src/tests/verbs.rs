//! What the verbs ask the fleet and print.

use serde_json::{Value, json};

use super::{
    asked, changed,
    fake::{FakeFleet, Seen},
    onprem, onprem_of,
};

pub(super) fn device(name: &str) -> Value {
    json!({
        "id": "cfv5v3h32ckl0mq6al70", "name": name,
        "manufacturer": "Raspberry Pi", "model": "4B Rev 1.4",
        "uuid": "8938301d-9e32-5470-8f2b-0dd379cb1f20",
        "lastIpAddr": "192.168.241.57", "tainted": false,
        "taintedReasons": [], "state": "online", "health": "OK",
        "powerState": "On", "tags": {"row": "a"}, "serialNumber": null,
        "createdAt": "2026-11-22T10:00:00Z",
    })
}

pub(super) fn error(code: &str, message: &str) -> Value {
    json!({"error_code": code, "message": message, "request_id": "r-7"})
}

fn task(state: &str) -> Value {
    json!({
        "id": "d00000000000000000t0", "operation": "device_reset",
        "state": state, "progress": 50, "steps": [], "description": "reset",
        "createdBy": "admin", "createdAt": "2026-11-22T10:00:00Z",
        "result": if state == "failed" { json!("no power") } else { json!(null) },
    })
}

#[tokio::test]
async fn devices_print_as_the_table_the_product_is_known_for() {
    let fleet = FakeFleet::start().await;
    let page = json!({"items": [device("c001-b8-n01")], "next_page": null});
    fleet.on("GET /v1/devices", 200, &page);
    let done = onprem(&["get", "devices", "--url", &fleet.url]).await;
    let expected = "\
┌──────────────────────┬─────────────┬──────────────┬────────────┬──────────────────────────────────────┬────────────────┬─────────┐
│ id                   ┆ name        ┆ manufacturer ┆ model      ┆ uuid                                 ┆ lastIpAddr     ┆ tainted │
│ ---                  ┆ ---         ┆ ---          ┆ ---        ┆ ---                                  ┆ ---            ┆ ---     │
│ str                  ┆ str         ┆ str          ┆ str        ┆ str                                  ┆ str            ┆ bool    │
╞══════════════════════╪═════════════╪══════════════╪════════════╪══════════════════════════════════════╪════════════════╪═════════╡
│ cfv5v3h32ckl0mq6al70 ┆ c001-b8-n01 ┆ Raspberry Pi ┆ 4B Rev 1.4 ┆ 8938301d-9e32-5470-8f2b-0dd379cb1f20 ┆ 192.168.241.57 ┆ false   │
└──────────────────────┴─────────────┴──────────────┴────────────┴──────────────────────────────────────┴────────────────┴─────────┘
";
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert_eq!(done.out, expected);
}

#[tokio::test]
async fn what_was_known_of_a_device_that_is_away_says_so() {
    let fleet = FakeFleet::start().await;
    let mut away = device("c001-b8-n01");
    away["state"] = "offline".into();
    away["healthReasons"] = json!(["it is hot"]);
    away["lastSeen"] = "2026-11-22T10:00:00Z".into();
    let page = json!({"items": [away], "next_page": null});
    fleet.on("GET /v1/devices", 200, &page);
    fleet.on("GET /v1/devices/c001-b8-n01", 200, &away);
    let url = ["--url", &fleet.url];
    let words = ["get", "devices", "-o", "wide"];
    let list = onprem(&[&words[..], &url].concat()).await;
    for word in ["offline", "was OK", "was On"] {
        assert!(list.out.contains(word), "{}", list.out);
    }
    let words = ["describe", "device", "c001-b8-n01"];
    let one = onprem(&[&words[..], &url].concat()).await.out;
    for word in ["Offline", "was OK", "was On", "last known: it is hot"] {
        assert!(one.contains(word), "{one}");
    }
    // Programs get what the API says.
    let words = ["get", "devices", "-o", "json"];
    let json = onprem(&[&words[..], &url].concat()).await.out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json[0]["health"], &json[0]["powerState"]),
        (&"OK".into(), &"On".into())
    );
}

#[tokio::test]
async fn what_cannot_be_kept_or_asked_for_is_not_recorded() {
    let fleet = FakeFleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (image, nowhere) = (at("x.png"), at("none/x.csv"));
    for (words, code, said) in [
        (["--file", image.as_str()], 2, ".sr a sigrok session"),
        (["--file", nowhere.as_str()], 1, "cannot write"),
        (["--samples", "0"], 3, "`0` is no samples: 1 or more is expected"),
    ] {
        let words = [&["capture", "scope"][..], &words, &["--url", &fleet.url]];
        let done = onprem(&words.concat()).await;
        assert_eq!(done.code, code, "{}", done.err);
        assert!(done.err.contains(said), "{said}: {}", done.err);
    }
    assert!(fleet.seen().is_empty());
    // What was made for a recording that fails is not left behind.
    let file = at("x.csv");
    let gone = error("not_found", "no device named `scope`");
    fleet.on("POST /v1/devices/scope/capture", 404, &gone);
    let words = ["capture", "scope", "--file", &file, "--url", &fleet.url];
    assert_eq!(onprem(&words).await.code, 4);
    assert!(!std::path::Path::new(&file).exists());
}

#[tokio::test]
async fn what_is_not_there_needs_no_confirmation() {
    let fleet = FakeFleet::start().await;
    let gone = error("not_found", "no device named `nope`");
    fleet.on("GET /v1/devices/nope", 404, &gone);
    let words = ["power", "cycle", "nope", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.err.contains("no device named `nope`"), "{}", done.err);
    fleet.on("GET /v1/devices/c1", 200, &device("c1"));
    let words = ["power", "cycle", "c1", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("needs a confirmation"), "{}", done.err);
}

#[tokio::test]
async fn an_empty_list_prints_its_header_and_an_empty_array() {
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/devices", 200, &json!({"items": []}));
    let done = onprem(&["get", "devices", "--url", &fleet.url]).await;
    assert_eq!(done.out.lines().count(), 6, "{}", done.out);
    let words = ["get", "devices", "--url", &fleet.url, "-o", "json"];
    assert_eq!(onprem(&words).await.out, "[]\n");
}

#[tokio::test]
async fn a_list_is_read_to_its_end_with_what_was_asked() {
    let fleet = FakeFleet::start().await;
    let page = |name: &str, next: Value| json!({"items": [device(name)], "next_page": next});
    fleet.on("GET /v1/devices", 200, &page("a", json!("token-2")));
    fleet.on("GET /v1/devices", 200, &page("b", Value::Null));
    let url = fleet.url.as_str();
    let done = onprem(&[
        "get",
        "dev",
        "--url",
        url,
        "-o",
        "name",
        "--state",
        "online",
        "--sort",
        "-lastSeen",
        "--all",
    ])
    .await;
    assert_eq!(done.out, "a\nb\n", "{}", done.err);
    let seen: Vec<_> = fleet.seen().into_iter().map(|s| s.line).collect();
    assert_eq!(
        seen,
        [
            "GET /v1/devices?state=online&sort=-lastSeen&limit=1000",
            "GET /v1/devices?page_token=token-2&limit=1000",
        ]
    );
}

#[tokio::test]
async fn json_and_yaml_say_what_the_api_says() {
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/devices/a", 200, &device("a"));
    let words = ["get", "device", "a", "--url", &fleet.url, "-o"];
    let json = onprem(&[&words[..], &["json"]].concat()).await.out;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), device("a"));
    let yaml = onprem(&[&words[..], &["yaml"]].concat()).await.out;
    assert_eq!(serde_norway::from_str::<Value>(&yaml).unwrap(), device("a"));
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong() {
    let fleet = FakeFleet::start().await;
    for (name, status, code) in [
        ("a", 400, 3),
        ("b", 401, 6),
        ("c", 403, 6),
        ("d", 404, 4),
        ("e", 409, 5),
        ("f", 503, 7),
        ("g", 504, 7),
        ("h", 500, 1),
    ] {
        let line = format!("GET /v1/devices/{name}");
        fleet.on(&line, status, &error("x", "it is so"));
        let words = ["get", "devices", name, "--url", &fleet.url];
        let done = onprem(&words).await;
        assert_eq!(done.code, code, "{status}");
        assert_eq!(done.out, "");
        assert!(done.err.starts_with("error: it is so\n"), "{}", done.err);
        assert!(done.err.contains("request id: r-7"), "{}", done.err);
    }
    assert_eq!(onprem(&["get", "nothing"]).await.code, 2);
    let closed = ["get", "devices", "--url", "http://127.0.0.1:1"];
    let done = onprem(&closed).await;
    assert_eq!(done.code, 7);
    assert!(done.err.contains("hint:"), "{}", done.err);
}

#[tokio::test]
async fn what_is_found_is_printed_though_another_is_not() {
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/devices/a", 200, &device("a"));
    let words = ["get", "devices", "a", "b", "--url", &fleet.url, "-o", "name"];
    let done = onprem(&words).await;
    assert_eq!((done.code, done.out.as_str()), (8, "a\n"));
    assert!(done.err.contains("b: "), "{}", done.err);
}

#[tokio::test]
async fn set_changes_fields_and_keeps_the_other_tags() {
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/devices/a", 200, &device("a"));
    fleet.on("PATCH /v1/devices/a", 200, &device("a"));
    let words = [
        "set",
        "device",
        "a",
        "assetTag=12",
        "tags.lab=1",
        "--url",
        &fleet.url,
    ];
    let done = onprem(&words).await;
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    let seen = fleet.seen();
    let patch = seen.last().unwrap();
    let expected = json!({"assetTag": "12", "tags": {"row": "a", "lab": "1"}});
    assert_eq!(patch.json(), expected);
    let words = ["set", "device", "a", "assettag=1", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 3);
    assert!(done.err.contains("did you mean `assetTag`?"), "{}", done.err);
}

#[tokio::test(start_paused = true)]
async fn power_waits_for_the_task_of_each_device() {
    let fleet = FakeFleet::start().await;
    for name in ["a", "b"] {
        let line = format!("POST /v1/devices/{name}/reset");
        fleet.on(&line, 202, &task("running"));
    }
    fleet.on("GET /v1/tasks/d00000000000000000t0", 200, &task("running"));
    fleet.on("GET /v1/tasks/d00000000000000000t0", 200, &task("completed"));
    let url = fleet.url.as_str();
    let done = onprem(&["power", "off", "a", "b", "--yes", "--url", url]).await;
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    assert!(done.err.contains("a: power off: completed"), "{}", done.err);
    assert!(done.err.contains("b: power off: completed"), "{}", done.err);
    let reset = fleet.seen().into_iter().find(|s| s.line.contains("/a/reset"));
    assert_eq!(reset.unwrap().json(), json!({"resetType": "ForceOff"}));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_fails_the_command_with_its_reason() {
    let fleet = FakeFleet::start().await;
    fleet.on("POST /v1/devices/a/reset", 202, &task("failed"));
    let words = ["power", "on", "a", "--yes", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("no power"), "{}", done.err);
}

#[tokio::test]
async fn nothing_harmful_happens_unasked_where_nobody_can_be_asked() {
    let fleet = FakeFleet::start().await;
    let url = fleet.url.as_str();
    fleet.on("GET /v1/devices/a", 200, &device("a"));
    for words in [
        &["delete", "device", "a", "--url", url][..],
        &["power", "off", "a", "--url", url],
    ] {
        let done = onprem(words).await;
        assert_eq!(done.code, 2, "{}", done.err);
        assert!(done.err.contains("--yes"), "{}", done.err);
    }
    let only_looks = |it: &Seen| it.line.starts_with("GET ");
    assert!(fleet.seen().iter().all(only_looks));
    fleet.on("DELETE /v1/devices/a", 204, &Value::Null);
    let done = onprem(&["delete", "device", "a", "-y", "--url", url]).await;
    assert_eq!(done.code, 0, "{}", done.err);
}

#[tokio::test]
async fn a_join_token_is_all_that_goes_to_stdout() {
    let fleet = FakeFleet::start().await;
    let made = json!({
        "id": "x", "token": "opj_secret.0123", "usesLeft": 1,
        "fleetUrl": "https://fleet:8444", "expiresAt": "2026-11-22T10:00:00Z",
    });
    fleet.on("POST /v1/join-tokens", 201, &made);
    let words = ["token", "create", "--uses", "3", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.out, "opj_secret.0123\n", "{}", done.err);
    let seen = fleet.seen();
    assert_eq!(seen.last().unwrap().json(), json!({"uses": 3}));
}

#[tokio::test]
async fn identify_takes_on_and_off() {
    let fleet = FakeFleet::start().await;
    fleet.on("POST /v1/devices/a/identify", 204, &Value::Null);
    let words = ["identify", "a", "off", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(fleet.seen().last().unwrap().json(), json!({"on": false}));
}

#[tokio::test]
async fn a_new_resource_appears_by_itself() {
    let model = changed(|document| {
        let lamp = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "lit": {"type": "boolean"},
        }});
        let answer = |schema: Value| {
            json!({"200": {"description": "it",
            "content": {"application/json": {"schema": schema}}}})
        };
        document["paths"]["/v1/lamps"] = json!({"get": {
            "operationId": "lamp_list", "tags": ["lamps"],
            "summary": "List lamps",
            "responses": answer(json!({"type": "array", "items": lamp})),
        }});
        document["paths"]["/v1/lamps/{lamp}/light"] = json!({"post": {
            "operationId": "lamp_light", "tags": ["lamps"],
            "summary": "Light a lamp",
            "x-onprem-cli": {"verb": "light", "positional": ["lamp..."]},
            "parameters": [{"name": "lamp", "in": "path", "required": true,
                "schema": {"type": "string"}}],
            "responses": {"204": {"description": "lit"}},
        }});
    });
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/lamps", 200, &json!([{"name": "red", "lit": true}]));
    fleet.on("POST /v1/lamps/red/light", 204, &Value::Null);
    let url = fleet.url.as_str();
    let done = onprem_of(model, &["get", "lamps", "--url", url]).await;
    assert!(done.out.contains("│ red  ┆ true │"), "{}{}", done.out, done.err);
    let done = onprem_of(model, &["light", "red", "--url", url]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let words = ["action", "lamp", "light", "red", "--url", url];
    assert_eq!(onprem_of(model, &words).await.code, 0);
    let done = onprem_of(model, &["explain", "lamp"]).await;
    assert!(done.out.contains("lit"), "{}", done.out);
}

#[tokio::test]
async fn the_generated_commands_call_the_same_operations() {
    let fleet = FakeFleet::start().await;
    fleet.on("GET /v1/version", 200, &json!({"version": "0.1.0"}));
    let words = ["api", "version-view", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out, "{\n  \"version\": \"0.1.0\"\n}\n");
    let words = ["api", "task-view", "--task", "x", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.err.contains("no answer for"), "{}", done.err);
}

#[tokio::test]
async fn curl_prints_the_answer_as_it_came() {
    let fleet = FakeFleet::start().await;
    let path = "/v1/devices/a/redfish/v1/Systems";
    fleet.on(&format!("GET {path}"), 200, &json!({"Name": "Systems"}));
    fleet.on(&format!("POST {path}"), 405, &json!({"error": {}}));
    let words = ["curl", "a", "/redfish/v1/Systems", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.out, "{\"Name\":\"Systems\"}\n", "{}", done.err);
    let done = onprem(&[&words[..], &["-d", "{}", "-i"]].concat()).await;
    assert_eq!(done.code, 1);
    assert!(done.out.starts_with("HTTP/1.1 405"), "{}", done.out);
    assert_eq!(fleet.seen().last().unwrap().json(), json!({}));
}

#[tokio::test]
async fn explain_tells_what_the_description_says() {
    let done = onprem(&["explain", "device.state"]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("online, offline, waiting"), "{}", done.out);
    assert_eq!(onprem(&["explain", "devise"]).await.code, 4);
}

#[tokio::test(start_paused = true)]
async fn each_device_of_many_says_how_it_went() {
    let fleet = FakeFleet::start().await;
    fleet.on("POST /v1/devices/a/reset", 202, &task("completed"));
    fleet.on("POST /v1/devices/c/reset", 202, &task("failed"));
    let offline = error("device_offline", "`b` is offline");
    fleet.on("POST /v1/devices/b/reset", 503, &offline);
    let url = fleet.url.as_str();
    let words = ["power", "off", "a", "b", "c", "a", "--yes", "--url", url];
    let done = onprem(&words).await;
    assert_eq!((done.code, done.out.as_str()), (8, ""), "{}", done.err);
    let lines: Vec<_> = done.err.lines().collect();
    assert_eq!(
        lines,
        [
            "a: power off: completed",
            "b: `b` is offline",
            "c: failed: no power",
            "error: 2 of 3 failed",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_begun_is_waited_for() {
    let fleet = FakeFleet::start().await;
    fleet.on("POST /v1/devices/a/reset", 202, &task("pending"));
    let path = "GET /v1/tasks/d00000000000000000t0";
    fleet.on(path, 200, &task("pending"));
    // The fleet is started anew meanwhile.
    fleet.on(path, 503, &error("starting", "not yet"));
    fleet.on(path, 200, &task("failed"));
    let words = ["power", "on", "a", "--yes", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("failed: no power"), "{}", done.err);
    let words = [&words[..], &["--no-wait"]].concat();
    let done = onprem(&words).await;
    let expected = "\
a: power on: pending, task d00000000000000000t0
hint: `onprem get task d00000000000000000t0` tells how it goes
";
    assert_eq!(done.err, expected);
    assert_eq!(done.code, 0);
}

#[tokio::test]
async fn csv_has_all_columns_and_quotes_what_needs_it() {
    let fleet = FakeFleet::start().await;
    let mut item = device("a, \"b\"");
    item["manufacturer"] = Value::Null;
    fleet.on("GET /v1/devices", 200, &json!({"items": [item]}));
    let words = ["get", "devices", "-o", "csv", "--url", &fleet.url];
    let done = onprem(&words).await;
    let lines: Vec<_> = done.out.lines().collect();
    assert!(lines[0].starts_with("id,name,manufacturer,"), "{}", lines[0]);
    let start = "cfv5v3h32ckl0mq6al70,\"a, \"\"b\"\"\",,4B Rev 1.4,";
    assert!(lines[1].starts_with(start), "{}", lines[1]);
}

#[tokio::test]
async fn names_and_filters_do_not_go_together() {
    let words = ["get", "devices", "a", "--state", "online"];
    assert_eq!(onprem(&words).await.code, 2);
    assert_eq!(onprem(&["get", "devices", "a", "--all"]).await.code, 2);
}

#[tokio::test]
async fn several_described_as_json_are_one_document() {
    let fleet = FakeFleet::start().await;
    for name in ["a", "b"] {
        fleet.on(&format!("GET /v1/devices/{name}"), 200, &device(name));
    }
    let words = ["describe", "device", "a", "b", "-o", "json"];
    let words = [&words[..], &["--url", &fleet.url]].concat();
    let both: Value = serde_json::from_str(&onprem(&words).await.out).unwrap();
    assert_eq!(both, json!([device("a"), device("b")]));
}

#[tokio::test]
async fn a_header_that_is_said_takes_the_place_of_ours() {
    let fleet = FakeFleet::start().await;
    let line = "PATCH /v1/devices/a/redfish/v1/Systems/host";
    fleet.on(line, 200, &json!({}));
    let url = fleet.url.as_str();
    let words = ["curl", "a", "/Systems/host", "-X", "patch", "-d", "x=1"];
    let header = ["-H", "Content-Type: text/plain", "--url", url];
    let done = onprem(&[&words[..], &header].concat()).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let seen = fleet.seen();
    let types = seen[0].headers.get_all("content-type");
    assert_eq!(types.iter().collect::<Vec<_>>(), ["text/plain"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_is_shown_when_it_changes() {
    let fleet = FakeFleet::start().await;
    let path = "GET /v1/devices";
    let mut later = device("a");
    later["lastSeen"] = json!("2026-11-22T10:00:02Z");
    for items in [
        json!([device("a"), device("b")]),
        json!([later, device("b")]),
        json!([device("a"), device("c")]),
    ] {
        fleet.on(path, 200, &json!({"items": items}));
    }
    fleet.on(path, 503, &error("starting", "not yet"));
    fleet.on(path, 401, &error("denied", "the session has ended"));
    let words = ["get", "devices", "-w", "-o", "name", "--url", &fleet.url];
    let done = onprem(&words).await;
    assert_eq!(done.out, "a\nb\nc\n");
    assert_eq!(done.code, 6);
    assert!(done.err.starts_with("note: not yet\n"), "{}", done.err);
}

#[tokio::test]
async fn help_is_found_as_a_word_as_well() {
    for (words, expected) in [
        (&["help"][..], "Commands:"),
        (&["help", "get"], "Kinds:"),
        (&["help", "get", "devices"], "--sort"),
    ] {
        let done = onprem(words).await;
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out.contains(expected), "{}", done.out);
    }
}

fn impact(affects: &[&str], spares: &Value) -> Value {
    let each = |id: &&str| json!({"name": id, "state": "on", "note": null});
    json!({
        "affects": affects.iter().map(each).collect::<Vec<_>>(),
        "spares": spares,
        "warnings": ["This interrupts what 2 nodes are doing now."],
        "choices": {"resetType": ["On", "ForceOff"], "nodes": ["b1", "b2"]},
    })
}

#[tokio::test]
async fn what_a_reset_touches_is_said_before_it_is_asked_for() {
    let fleet = FakeFleet::start().await;
    let spared = json!([{"name": "a0", "note": "the agent runs on it"}]);
    let both = impact(&["b1", "b2"], &spared);
    fleet.on("GET /v1/devices/rack/reset", 200, &both);
    fleet.on("GET /v1/devices/rack/reset", 200, &impact(&[], &json!([])));
    let words = ["power", "off", "rack", "--nodes", "b1,b2"];
    let words = [&words[..], &["--url", &fleet.url]].concat();
    let done = asked(&words, "n\n").await;
    assert_ne!(done.code, 0);
    for said in [
        "rack: power off affects 2: b1, on; b2, on",
        "rack: This interrupts what 2 nodes are doing now.",
        "rack: it leaves alone a0: the agent runs on it",
        "nothing was done",
    ] {
        assert!(done.err.contains(said), "{said}: {}", done.err);
    }
    let done = asked(&words, "y\n").await;
    let said = "would do nothing";
    assert!(done.err.contains(said), "{}", done.err);
    assert!(done.err.contains("resetType: On, ForceOff"), "{}", done.err);
    let all: Vec<_> = fleet.seen().into_iter().map(|it| it.line).collect();
    assert!(all.iter().all(|it| it.starts_with("GET ")), "{all:?}");
    let query = "?nodes=b1%2Cb2&resetType=ForceOff";
    assert!(all.iter().any(|it| it.contains(query)), "{all:?}");
}
