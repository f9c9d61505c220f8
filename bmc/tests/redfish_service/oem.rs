//! What is ours beyond the standard, and the schemas that describe it.

use std::{fs, time::Duration};

use onprem_redfish::{check, document::OWN};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::client::Blade;

#[tokio::test]
async fn our_schemas_are_served_and_referred_to() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let metadata = admin.get("/redfish/v1/$metadata").await.body;
    let metadata = metadata.as_str().unwrap();
    for (uri, text) in OWN {
        let reply = admin.get(uri).await;
        assert_eq!(reply.status, 200, "{uri}");
        let kind = reply.header("content-type");
        if uri.contains("_v1.xml") {
            assert_eq!(kind, "application/xml");
            assert_eq!(reply.body, **text);
            assert!(metadata.contains(&format!("Uri=\"{uri}\"")), "{uri}");
        } else {
            assert_eq!(kind, "application/json");
            assert_eq!(reply.body["$id"], **uri);
        }
        assert_eq!(blade.stranger().get(uri).await.status, 401, "{uri}");
    }
    let file = admin.get("/redfish/v1/JsonSchemas/OnPremManager").await.body;
    let uri = file["Location"][0]["Uri"].as_str().unwrap();
    let schema = admin.get(uri).await.body;
    assert_eq!(schema["title"], file["Schema"]);
}

#[tokio::test]
async fn the_manager_says_how_it_stands_with_its_fleet() {
    let blade = Blade::simulated().await;
    let manager = "/redfish/v1/Managers/bmc";
    let alone = blade.admin().get(manager).await.body;
    assert_eq!(alone.get("Oem"), None);

    let token = blade.state.path().join("token");
    fs::write(&token, "no token at all").unwrap();
    let url = "https://127.0.0.1:1";
    let blade = Blade::with_fleet(url, &token).await;
    let admin = blade.admin();
    let fleet = "/Oem/OnPrem/Fleet";
    let told = async {
        loop {
            let now = admin.get(manager).await.body;
            if let Some(fleet) = now.pointer(fleet)
                && fleet.get("State").is_some_and(Value::is_string)
            {
                return now;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let now = timeout(Duration::from_secs(30), told).await.unwrap();
    assert_eq!(check(&now), []);
    assert_eq!(now.pointer(fleet).unwrap()["URL"], url);
}

#[tokio::test]
async fn what_has_no_type_of_ours_is_found() {
    let blade = Blade::simulated().await;
    let uri = "/redfish/v1/Managers/bmc";
    let mut manager = blade.admin().get(uri).await.body;
    manager["Oem"] = serde_json::json!({"OnPrem": {"Fleet": {}}});
    assert_eq!(check(&manager).len(), 1);
    manager["Oem"]["OnPrem"]["@odata.type"] =
        "#OnPremManager.v1_0_0.OnPrem".into();
    manager["Oem"]["OnPrem"]["Fleet"]["Planet"] = "Mars".into();
    let problems = check(&manager);
    assert_eq!(problems[0].pointer, "/Oem/OnPrem/Fleet/Planet");
}
