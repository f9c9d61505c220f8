//! `$expand` alone takes another way through the service than `$expand` with
//! other parameters; both lead to the same answer.

use serde_json::{Value, json};

use crate::client::{Blade, SESSIONS};

/// Where everything in `value` is, and which resources there are.
fn shape(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                shape(value, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                shape(value, &format!("{at}/{index}"), all);
            }
        }
        Value::String(uri) if at.ends_with("@odata.id") => {
            all.push(format!("{at} {uri}"));
        }
        // Readings move between two requests.
        _ => all.push(at.to_owned()),
    }
}

#[tokio::test]
async fn alone_and_with_others_it_says_the_same() {
    let blade = Blade::simulated().await;
    let stranger = blade.stranger();
    let body = json!({"UserName": "admin", "Password": blade.password});
    let session = stranger.post(SESSIONS, &body).await;
    let admin = stranger.with("x-auth-token", session.header("x-auth-token"));
    let mut sizes = Vec::new();
    for collection in [
        "Systems",
        "Chassis",
        "Managers",
        "Chassis/blade/Sensors",
        "Registries",
    ] {
        for what in [".", "~", "*"] {
            for levels in 1..=4 {
                let uri = format!("/redfish/v1/{collection}");
                let expand = format!("$expand={what}($levels={levels})");
                let mut answers = Vec::new();
                for query in [expand.clone(), format!("{expand}&$skip=0")] {
                    let reply = admin.get(&format!("{uri}?{query}")).await;
                    assert_eq!(reply.status, 200, "{uri}?{query}");
                    let mut all = Vec::new();
                    shape(&reply.body, "", &mut all);
                    answers.push(all);
                }
                assert_eq!(answers[0], answers[1], "{uri} {what} {levels}");
                sizes.push(answers[0].len());
            }
        }
    }
    assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
}
