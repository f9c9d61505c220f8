//! A device as it is now: a fleet, and the agent of a simulated blade.

use std::time::Duration;

use http::{Method, StatusCode};
use onprem_bmc::{agent::Agent, config::Config as AgentConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::support::{Fleet, LONG, Way, request};

pub(crate) const BLADE: &str = "/v1/devices/c001-b8-n01";

/// A fleet and a blade that is online.
pub(crate) async fn with_blade() -> (Fleet, Agent, TempDir) {
    with_board("sim-blade").await
}

/// The same with another of the boards that ship.
pub(crate) async fn with_board(board: &str) -> (Fleet, Agent, TempDir) {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&fleet, &folder, board).await;
    let agent = joined(&fleet, config).await;
    (fleet, agent, folder)
}

/// What an agent on `board` is told that shall join `fleet`.
pub(crate) async fn config(
    fleet: &Fleet,
    folder: &TempDir,
    board: &str,
) -> AgentConfig {
    let token = folder.path().join("join-token");
    std::fs::write(&token, fleet.join_token(1).await.reveal()).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let boards = concat!(env!("CARGO_MANIFEST_DIR"), "/../bmc/boards");
    let board = format!("{boards}/{board}.toml");
    AgentConfig {
        name: Some("c001-b8-n01".to_owned()),
        state_dir: folder.path().join("agent"),
        listen: any,
        metrics_listen: any,
        board: Some(board.into()),
        fleet_url: Some(format!("https://{}", fleet.server.devices_address())),
        join_token_file: Some(token),
        ..AgentConfig::default()
    }
}

/// An agent that has joined, and been read.
pub(crate) async fn joined(fleet: &Fleet, config: AgentConfig) -> Agent {
    let agent = Agent::start(config).await.unwrap();
    fleet
        .until(|fleet| {
            let device = fleet.server.fleet().devices().view("c001-b8-n01");
            device.is_ok_and(|device| device.power_state.is_some())
        })
        .await;
    agent
}

fn item<'a>(page: &'a Value, id: &str) -> &'a Value {
    let items = page["items"].as_array().unwrap();
    items.iter().find(|item| item["id"] == id).expect("it is in the list")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_says_how_it_is() {
    let (fleet, agent, _folder) = with_blade().await;
    let system = fleet.get(&format!("{BLADE}/system")).await;
    assert_eq!(system["manufacturer"], "Raspberry Pi");
    assert_eq!(system["powerState"], "On");
    assert!(system["memoryBytes"].as_u64().unwrap() > 1 << 30);

    let sensors = fleet.get(&format!("{BLADE}/sensors?limit=1000")).await;
    let board = item(&sensors, "Board_Temperature");
    assert_eq!(board["readingUnits"], "Cel");
    assert!((0.0..100.0).contains(&board["reading"].as_f64().unwrap()));
    assert!(board["readingTime"].is_string());
    let hot = "readingType=Temperature&sort=-reading&limit=1";
    let hottest = fleet.get(&format!("{BLADE}/sensors?{hot}")).await;
    assert_eq!(hottest["items"][0]["readingType"], "Temperature");

    let fans = fleet.get(&format!("{BLADE}/fans")).await;
    assert!(item(&fans, "Fan")["speedPercent"].is_number());
    let power = fleet.get(&format!("{BLADE}/power")).await;
    assert!(power["consumedWatts"].as_f64().unwrap() > 0.0);
    let network = fleet.get(&format!("{BLADE}/network-interfaces")).await;
    assert_eq!(item(&network, "eth0")["linkStatus"], "LinkUp");

    let listed = fleet.get("/v1/devices?state=online").await;
    let address = item(&network, "eth0")["addresses"][0].clone();
    assert_eq!(listed["items"][0]["lastIpAddr"], address);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_a_task_that_ends_in_the_wanted_power_state() {
    let (fleet, agent, _folder) = with_blade().await;
    let body = json!({"resetType": "ForceOff"});
    let path = format!("{BLADE}/reset");
    let task = fleet.post(&path, body, StatusCode::ACCEPTED).await;
    let id = task["id"].as_str().unwrap().to_owned();
    let ended = |fleet: &Fleet| {
        let device = fleet.server.fleet().devices().view("c001-b8-n01");
        let off = onprem_fleet::api::PowerState::Off;
        device.unwrap().power_state == Some(off)
            && fleet.server.fleet().overview().tasks_running == 0
    };
    fleet.until(ended).await;
    let task = fleet.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["progress"], 100);
    assert_eq!(task["result"], "it is off");
    for step in task["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "completed", "{step}");
    }
    let kept = fleet.get("/v1/events?kind=taskChanged").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redfish_passes_unchanged_and_is_recorded() {
    let (fleet, agent, _folder) = with_blade().await;
    let redfish = format!("{BLADE}/redfish/v1");
    let root = fleet.call(Method::GET, &redfish, None).await;
    assert_eq!(root.headers["odata-version"], "4.0");
    let policy = &root.headers["content-security-policy"];
    assert_eq!(policy, "default-src 'none'; sandbox");
    assert_eq!(root.body["@odata.id"], "/redfish/v1/");
    let head = fleet.call(Method::HEAD, &redfish, None).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.headers["odata-version"], "4.0");

    let only = format!("{redfish}/Systems/node?$select=AssetTag");
    let node = format!("{redfish}/Systems/node");
    let label = |tag: &str| Some(json!({ "AssetTag": tag }));
    let answer = fleet.call(Method::PATCH, &node, label("rack 7")).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let system = fleet.get(&only).await;
    assert_eq!(system["AssetTag"], "rack 7");
    let wrong = Some(json!({ "Bogus": 1 }));
    let answer = fleet.call(Method::PATCH, &node, wrong).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let info = &answer.body["error"]["@Message.ExtendedInfo"][0];
    assert!(info["MessageId"].as_str().unwrap().ends_with("PropertyUnknown"));

    // The device checks the role once more; the fleet refuses first.
    let looker = fleet.token_of("looker", "readonly").await;
    let body = json!({ "AssetTag": "mine" });
    let patch = request(Method::PATCH, &node, Some(&looker), Some(&body));
    assert_eq!(fleet.send(patch).await.status, StatusCode::FORBIDDEN);

    let log = fleet.get("/v1/audit-records?operation=device_redfish_patch");
    let log = log.await;
    let statuses: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses.first(), Some(&403));
    assert_eq!(statuses.get(1), Some(&400));
    assert_eq!(statuses.len(), 3);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_is_kept_by_the_device_and_a_deleted_device_is_cut_off() {
    let (fleet, agent, _folder) = with_blade().await;
    let change = Some(json!({"assetTag": "rack 7"}));
    let answer = fleet.call(Method::PATCH, BLADE, change).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let system = fleet.get(&format!("{BLADE}/system")).await;
    assert_eq!(system["assetTag"], "rack 7");
    let light = json!({"on": true});
    let path = format!("{BLADE}/identify");
    fleet.post(&path, light, StatusCode::NO_CONTENT).await;
    let system = fleet.get(&format!("{BLADE}/system")).await;
    assert_eq!(system["locatorActive"], true);

    let answer = fleet.call(Method::DELETE, BLADE, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(fleet.server.fleet().tunnels().online().is_empty());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_was_last_seen_when_the_server_ended() {
    let (fleet, agent, _folder) = with_blade().await;
    let seen = |device: &Value| -> chrono::DateTime<chrono::Utc> {
        device["lastSeen"].as_str().unwrap().parse().unwrap()
    };
    let before = fleet.get(BLADE).await;
    assert_eq!(before["state"], "online");
    // The server ends first: nobody notes that the device has gone.
    let fleet = fleet.restart_without(agent).await;
    let after = fleet.get(BLADE).await;
    assert_eq!(after["state"], "offline");
    assert!(seen(&after) >= seen(&before), "{before} {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_on_a_bus_of_a_device_is_seen_from_afar() {
    let (fleet, agent, _folder) = with_board("sim-hats").await;
    let path = format!("{BLADE}/i2cdetect");
    let seen = fleet.post(&path, json!({"bus": 1}), StatusCode::OK).await;
    assert_eq!(seen["bus"], 1);
    assert_eq!(seen["addresses"], json!(["0x1a", "0x41", "0x48"]));
    let grid = seen["grid"].as_str().unwrap();
    let row = "10: -- -- -- -- -- -- -- -- -- -- UU -- -- -- -- --";
    assert!(grid.lines().any(|line| line == row), "{grid}");
    let buses = fleet.get(&path).await;
    assert_eq!(buses["choices"], json!({"bus": ["1"]}));
    assert_eq!(buses["affects"][0]["name"], "1");
    let note = buses["affects"][0]["note"].as_str().unwrap();
    assert!(note.contains("0x1a part `"), "{note}");
    let form = "/devices/c001-b8-n01/actions/i2cdetect";
    let (_, page) = fleet.page(form, None).await;
    assert!(page.contains("type=\"radio\" name=\"bus\" value=\"1\""), "{page}");
    assert!(page.contains("What there is (1)"), "{page}");
    assert!(page.contains("0x1a part “argon”"), "{page}");
    let (status, page) = fleet.page(form, Some("bus=1")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains(row), "{page}");
    let (_, page) = fleet.page(form, Some("bus=2")).await;
    assert!(page.contains("Send one of these: 1."), "{page}");
    let call = fleet.call(Method::POST, &path, Some(json!({"bus": 2}))).await;
    assert_eq!(call.status, StatusCode::CONFLICT, "{}", call.body);
    let said = call.body.to_string();
    assert!(said.contains("Send one of these: 1."), "{said}");
    agent.stop().await;
    let (fleet, agent, _folder) = with_blade().await;
    let call = fleet.call(Method::POST, &path, Some(json!({"bus": 1}))).await;
    assert_eq!(call.status, StatusCode::CONFLICT, "{}", call.body);
    assert!(call.body.to_string().contains("no I²C bus"), "{}", call.body);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rack_is_called_by_what_holds_it_and_not_by_its_first_node() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = AgentConfig {
        name: None,
        ..config(&fleet, &folder, "sim-bitscope-er24").await
    };
    let agent = Agent::start(config).await.unwrap();
    let devices = |fleet: &Fleet| fleet.server.fleet().devices().all();
    fleet.until(|fleet| !devices(fleet).is_empty()).await;
    let names = devices(&fleet).into_iter().map(|it| it.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["er24"]);
    let on = Some(onprem_fleet::api::PowerState::On);
    let is_on =
        |fleet: &Fleet| devices(fleet).iter().any(|it| it.power_state == on);
    fleet.until(is_on).await;
    let rack = fleet.get("/v1/devices/er24").await;
    assert_eq!(rack["manufacturer"], "BitScope", "{rack}");
    assert_eq!(rack["model"], "ER24", "{rack}");
    let system = fleet.get("/v1/devices/er24/system").await;
    assert_eq!(system["id"], "rack", "{system}");
    assert_eq!(system["powerState"], "On", "{system}");
    assert_eq!(system["memoryBytes"], Value::Null, "nobody knows: {system}");
    // What labels it and finds it is the rack's, too.
    let label = Some(json!({"assetTag": "row 7"}));
    fleet.call(Method::PATCH, "/v1/devices/er24", label).await;
    let light = json!({"on": true});
    let path = "/v1/devices/er24/identify";
    fleet.post(path, light, StatusCode::NO_CONTENT).await;
    let path = "/v1/devices/er24/redfish/v1/Chassis/rack";
    let rack = fleet.get(path).await;
    assert_eq!(rack["AssetTag"], "row 7", "{rack}");
    assert_eq!(rack["LocationIndicatorActive"], true, "{rack}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_recorded_by_a_task_and_fetched_as_a_file() {
    let (fleet, agent, _folder) = with_board("sim-capture").await;
    let path = format!("{BLADE}/capture");
    let body = json!({"channels": ["A", "L0"], "rate": 100e3,
        "samples": 500, "preTrigger": 100, "trigger": "A"});
    let begun = fleet.post(&path, body, StatusCode::ACCEPTED).await;
    let none = json!({"instrument": "other"});
    fleet.post(&path, none, StatusCode::NOT_FOUND).await;
    let wrong = json!({"samples": 50_000});
    let refused = fleet.post(&path, wrong, StatusCode::ACCEPTED).await;
    fleet
        .until(|fleet| fleet.server.fleet().overview().tasks_running == 0)
        .await;
    let id = refused["id"].as_str().unwrap();
    let refused = fleet.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(refused["state"], "failed");
    let why = refused["result"].as_str().unwrap();
    assert!(why.contains("Samples is 50000"), "{why}");
    let id = begun["id"].as_str().unwrap();
    let done = fleet.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    let id = done["result"].as_str().unwrap().rsplit(' ').next().unwrap();

    let listed = fleet.get(&format!("{BLADE}/captures")).await;
    let made = item(&listed, id);
    assert_eq!(made["series"], json!(["A", "L0"]));
    assert_eq!(
        (&made["values"], &made["triggered"]),
        (&500.into(), &true.into())
    );
    let csv = format!("{BLADE}{}", made["csvPath"].as_str().unwrap());
    let text = fleet.call(Method::GET, &csv, None).await;
    assert_eq!(text.status, StatusCode::OK);
    assert_eq!(text.headers["content-type"], "text/csv");
    // The console draws it, and records only where something can.
    let (status, page) =
        fleet.page(&format!("/devices/c001-b8-n01/captures/{id}"), None).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("<svg class=\"plot\""), "{page}");
    assert_eq!(page.matches("<polygon").count(), 2, "{page}");
    assert!(page.contains("/captures/") && page.contains("capture.csv"));
    let (_, page) = fleet.page("/devices/c001-b8-n01", None).await;
    assert!(page.contains("actions/capture"), "{page}");
    assert!(!page.contains("actions/i2cdetect"), "{page}");
    let outline = format!("{BLADE}/captures/{id}/envelope?points=50");
    let outline = fleet.get(&outline).await;
    assert_eq!(outline["values"], 500);
    let series = outline["series"].as_array().unwrap();
    let units: Vec<_> = series.iter().map(|it| &it["unit"]).collect();
    assert_eq!(units, [&json!("V"), &Value::Null], "{outline}");
    assert_eq!(series[0]["low"].as_array().unwrap().len(), 50);
    assert!(outline["fromSeconds"].as_f64().unwrap() < 0.0);
    let gone = format!("{BLADE}/captures/{id}");
    assert_eq!(&fleet.get(&gone).await, made);
    let answer = fleet.call(Method::DELETE, &gone, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = fleet.call(Method::DELETE, &gone, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let outline = format!("{gone}/envelope");
    let outline = fleet.call(Method::GET, &outline, None).await;
    assert_eq!(outline.status, StatusCode::NOT_FOUND);
    let device = fleet.get(BLADE).await;
    assert_eq!(device["abilities"], json!(["capture"]), "{device}");
    let listed = fleet.get(&format!("{BLADE}/captures")).await;
    assert_eq!(listed["items"], json!([]));
    agent.stop().await;
}

/// The id of a task that records signals as `body` says.
async fn recording(fleet: &Fleet, body: Value) -> String {
    let path = format!("{BLADE}/capture");
    let task = fleet.post(&path, body, StatusCode::ACCEPTED).await;
    task["id"].as_str().unwrap().to_owned()
}

/// Waits until the device records; the task.
async fn handed_over(fleet: &Fleet, id: &str) -> Value {
    let handing = async {
        loop {
            let task = fleet.get(&format!("/v1/tasks/{id}")).await;
            let open = ["pending", "running"].map(Value::from);
            let recording = task["steps"][1]["state"] == "running";
            if recording || !open.contains(&task["state"]) {
                return task;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, handing).await.expect("the device is asked")
}

async fn ended(fleet: &Fleet, id: &str) -> Value {
    let none =
        |fleet: &Fleet| fleet.server.fleet().overview().tasks_running == 0;
    fleet.until(none).await;
    fleet.get(&format!("/v1/tasks/{id}")).await
}

/// A recording that ends only when somebody ends it.
fn endless() -> Value {
    json!({"trigger": "A", "triggerLevel": 5, "triggerTimeout": 60})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_goes_on_recording_while_the_fleet_starts_anew() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let way = Way::to(&fleet).await;
    let config = AgentConfig {
        fleet_url: Some(way.url.clone()),
        ..config(&fleet, &folder, "sim-capture").await
    };
    let agent = joined(&fleet, config).await;
    let task = recording(&fleet, endless()).await;
    let before = handed_over(&fleet, &task).await;
    assert_eq!(before["state"], "running", "{before:#}");
    let fleet = fleet.restart().await;
    let open = fleet.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!(open["state"], "running", "{open:#}");
    assert_eq!(open["steps"][0], before["steps"][0]);
    way.leads_to(&fleet);
    let online = |fleet: &Fleet| fleet.server.fleet().overview().devices_online;
    fleet.until(|fleet| online(fleet) == 1).await;
    // It ends as that of the device does.
    let tasks = format!("{BLADE}/redfish/v1/TaskService/Tasks");
    let theirs = fleet.get(&tasks).await;
    let theirs = theirs["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
    let theirs = fleet.get(&format!("{BLADE}{theirs}")).await;
    let monitor = theirs["TaskMonitor"].as_str().unwrap();
    let monitor = format!("{BLADE}{monitor}");
    let cancelled = fleet.call(Method::DELETE, &monitor, None).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    let failed = ended(&fleet, &task).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["result"].is_string(), "{failed:#}");

    // One that comes to a good end while nobody looks has done so.
    let short = json!({"trigger": "A", "triggerLevel": 5, "triggerTimeout": 1,
        "triggerMode": "Auto"});
    let task = recording(&fleet, short).await;
    handed_over(&fleet, &task).await;
    let fleet = fleet.restart().await;
    way.leads_to(&fleet);
    let done = ended(&fleet, &task).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let id = done["result"].as_str().unwrap().rsplit(' ').next().unwrap();
    fleet.until(|fleet| online(fleet) == 1).await;
    let captures = fleet.get(&format!("{BLADE}/captures")).await;
    assert_eq!(captures["items"].as_array().unwrap().len(), 1, "{captures:#}");
    assert_eq!(item(&captures, id)["triggered"], false);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_of_a_device_that_is_deleted_has_failed() {
    let (fleet, agent, _folder) = with_board("sim-capture").await;
    let task = recording(&fleet, endless()).await;
    let open = handed_over(&fleet, &task).await;
    assert_eq!(open["state"], "running", "{open:#}");
    let gone = fleet.call(Method::DELETE, BLADE, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    let failed = ended(&fleet, &task).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert_eq!(failed["result"], "the device was deleted", "{failed:#}");
    agent.stop().await;
}

/// A machine and the chassis that it is alone in, of two that stand side by
/// side.
fn beside(name: &str) -> String {
    format!(
        "[[system]]\nid = '{name}'\nname = '{name}'\n\
         board = {{ manufacturer = 'Maker', model = 'of {name}' }}\n\
         power = {{ volts = 5, idle_watts = 3, busy_watts = 6, \
         boot_seconds = 1, shutdown_seconds = 1 }}\n\
         thermal = {{ ambient = 20, capacity = 9, \
         resistance_still = 9, resistance_full = 4, load = [[0, 8]] }}\n\
         [[chassis]]\nid = 'box-{name}'\nname = 'Box of {name}'\n\
         kind = 'blade'\nboard = {{}}\nsystems = ['{name}']\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_of_several_boxes_is_its_first_computer() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.toml");
    std::fs::write(&board, beside("left") + &beside("right")).unwrap();
    let config = AgentConfig {
        board: Some(board),
        ..config(&fleet, &folder, "sim-blade").await
    };
    let agent = joined(&fleet, config).await;
    let system = fleet.get(&format!("{BLADE}/system")).await;
    assert_eq!(system["id"], "left", "{system}");
    let device = fleet.get(BLADE).await;
    assert_eq!(device["model"], "of left", "{device}");
    // What labels it and finds it is that one's, and no box's.
    let label = Some(json!({"assetTag": "row 7"}));
    let patched = fleet.call(Method::PATCH, BLADE, label).await;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.body);
    let path = format!("{BLADE}/identify");
    fleet.post(&path, json!({"on": true}), StatusCode::NO_CONTENT).await;
    let redfish = async |path: &str| {
        fleet.get(&format!("{BLADE}/redfish/v1/{path}")).await
    };
    let left = redfish("Systems/left").await;
    assert_eq!(left["AssetTag"], "row 7", "{left}");
    assert_eq!(left["LocationIndicatorActive"], true, "{left}");
    for path in ["Systems/right", "Chassis/box-left", "Chassis/box-right"] {
        let other = redfish(path).await;
        assert_ne!(other["AssetTag"], "row 7", "{other}");
        assert_ne!(other["LocationIndicatorActive"], true, "{other}");
    }
    // Both have power, and one does without the other.
    let nodes = fleet.get(&format!("{BLADE}/nodes")).await;
    let ids: Vec<_> =
        nodes["items"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["left", "right"], "{nodes}");
    agent.stop().await;
}
