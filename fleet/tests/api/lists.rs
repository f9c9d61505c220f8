//! Filter, sort and pages.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Fleet;

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect()
}

async fn with_devices(count: u32) -> Fleet {
    let fleet = Fleet::start().await;
    let token = fleet.join_token(1000).await;
    for number in 0..count {
        let name = format!("c001-b{number:02}");
        fleet.enrol(&token, &name, &name).await;
    }
    fleet
}

#[tokio::test]
async fn pages_hold_each_device_once() {
    let fleet = with_devices(25).await;
    let mut found = Vec::new();
    let mut path = "/v1/devices?limit=7&sort=-name".to_owned();
    loop {
        let page = fleet.get(&path).await;
        found.extend(names(&page));
        match page["next_page"].as_str() {
            Some(next) => {
                path = format!("/v1/devices?limit=7&page_token={next}");
            }
            None => break,
        }
    }
    let all: Vec<_> = (0..25).rev().map(|n| format!("c001-b{n:02}")).collect();
    assert_eq!(found, all);
}

#[tokio::test]
async fn filters_take_what_they_say() {
    let fleet = with_devices(4).await;
    let change = json!({
        "name": "spare",
        "tags": {"row": "a", "rack": "7"},
    });
    let path = "/v1/devices/c001-b02";
    let answer = fleet.call(Method::PATCH, path, Some(change)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    let list = async |query: &str| {
        names(&fleet.get(&format!("/v1/devices?{query}")).await).join(" ")
    };
    assert_eq!(list("").await, "c001-b00 c001-b01 c001-b03 spare");
    assert_eq!(list("q=serial-c001-b02").await, "spare");
    assert_eq!(list("q=4B+C001-B01").await, "c001-b01");
    assert_eq!(list("tag=row").await, "spare");
    assert_eq!(list("tag=row%3Da").await, "spare");
    assert_eq!(list("tag=row%3Db").await, "");
    assert_eq!(list("state=online").await, "");
    assert_eq!(list("state=offline&limit=1").await, "c001-b00");
    assert_eq!(list("tainted=true").await, "");
    assert_eq!(list("manufacturer=raspberry+pi&q=spare").await, "spare");
    assert_eq!(list("state=&q=").await, list("").await);
}

#[tokio::test]
async fn logs_come_newest_first_and_in_pages() {
    let fleet = with_devices(5).await;
    let page = fleet.get("/v1/events?kind=deviceEnrolled&limit=3").await;
    let said = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        let names = items.iter().map(|e| e["deviceName"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(said(&page), "c001-b04 c001-b03 c001-b02");
    let next = page["next_page"].as_str().unwrap();
    let page = fleet.get(&format!("/v1/events?page_token={next}")).await;
    assert_eq!(said(&page), "c001-b01 c001-b00");
    assert!(page["next_page"].is_null());
    let page = fleet.get("/v1/events?device=c001-b03").await;
    assert_eq!(said(&page), "c001-b03");
    let overview = fleet.get("/v1/overview").await;
    assert_eq!(overview["devices"], 5);
    assert_eq!(overview["devicesOffline"], 5);
}
