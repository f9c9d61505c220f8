//! The nodes of a rack, as somebody sees and switches them who types.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    live::{BLADE, with_board},
    support::Fleet,
};

const PATIENCE: Duration = Duration::from_mins(1);
const PAGE: &str = "/devices/c001-b8-n01";

/// Waits until what is at `path` is as it `fits`.
async fn until(
    fleet: &Fleet,
    path: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let looking = async {
        loop {
            let now = fleet.get(path).await;
            if fits(&now) {
                return now;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it comes")
}

async fn done(fleet: &Fleet, task: &Value) -> Value {
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    let task = until(fleet, &path, |it| !it["finishedAt"].is_null()).await;
    assert_eq!(task["state"], "completed", "{task:#}");
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_rack_are_switched_as_people_type_them() {
    let (fleet, agent, _folder) = with_board("sim-bitscope-er24").await;
    let all = |nodes: &Value| {
        let nodes = nodes["items"].as_array().unwrap();
        nodes.len() == 24 && nodes.iter().all(|it| it["powerState"] == "On")
    };
    until(&fleet, &format!("{BLADE}/nodes"), all).await;
    let node = |id: &str| format!("{BLADE}/nodes/{id}");

    let c1 = fleet.get(&node("C1")).await;
    assert_eq!((&c1["id"], &c1["console"]), (&json!("c1"), &json!("c1")));
    assert_eq!(c1["startsLeft"], 4, "{c1:#}");
    // Which one its agent runs on it learns from the bus.
    let own = |it: &Value| it["runsAgent"] == true;
    assert_eq!(
        until(&fleet, &node("a0"), own).await["startsLeft"],
        json!(null)
    );
    let nowhere = fleet.call(Method::GET, &node("z9"), None).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{}", nowhere.body);

    let ask = format!("{BLADE}/reset?resetType=ForceOff&nodes=c1,%20c3");
    let impact = fleet.get(&ask).await;
    assert_eq!(impact["affects"].as_array().unwrap().len(), 2, "{impact:#}");
    let said = "This interrupts what 2 nodes are doing now.";
    assert_eq!(impact["warnings"], json!([said]));

    // The console's form, as it is filled in.
    let page = format!("{PAGE}/actions/reset");
    let wrong = "resetType=ForceOff&nodes=c1%2C+nope";
    let (status, html) = fleet.page(&page, Some(wrong)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{html}");
    assert!(html.contains("no node"), "{html}");
    assert!(!html.contains("style="), "{html}");
    let form = "resetType=ForceOff&nodes=c1%2C+c2-c3";
    let (status, html) = fleet.page(&page, Some(form)).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{html}");
    let tasks = fleet.get("/v1/tasks").await;
    let task = &tasks["items"][0];
    assert_eq!(task["description"], "Force off c001-b8-n01: c1, c2, c3");
    done(&fleet, task).await;

    // Nothing runs there that could be interrupted.
    let impact = fleet.get(&format!("{}/reset", node("c1"))).await;
    assert_eq!(impact["warnings"], json!([]), "{impact:#}");
    let said = &impact["affects"][0]["note"];
    assert_eq!(said, "4 of 4 starts left this hour");
    let on = json!({"resetType": "On"});
    let path = format!("{}/reset", node("c1"));
    let task = fleet.post(&path, on, StatusCode::ACCEPTED).await;
    let ended = done(&fleet, &task).await;
    assert_eq!(ended["result"], "it is on; 3 of 4 starts left this hour");

    // Each node has what one does with it a click away.
    let (_, html) = fleet.page(&format!("{PAGE}/nodes"), None).await;
    for link in ["nodes/c2", "nodes/c2/actions/reset", "consoles/c2"] {
        let href = format!("href=\"{PAGE}/{link}\"");
        assert!(html.contains(&href), "{link}: {html}");
    }
    assert!(!html.contains("nodes/a0/actions/reset"), "{html}");
    assert!(html.contains("Runs the agent"), "{html}");
    let (_, html) = fleet.page(&format!("{PAGE}/consoles/c2"), None).await;
    assert!(
        html.contains("id=\"terminal-off\" class=\"notice info\">"),
        "{html}"
    );

    agent.stop().await;
    let away = |fleet: &Fleet| {
        let all = fleet.server.fleet().devices().all();
        all.iter().all(|it| format!("{:?}", it.state) == "Offline")
    };
    fleet.until(away).await;
    for page in ["/devices", PAGE] {
        let (_, html) = fleet.page(page, None).await;
        assert!(html.contains("was On"), "{page}: {html}");
        assert!(!html.contains("state ok\">On"), "{page}: {html}");
    }
}
