//! Queries: filters, pages, expansion, excerpts, selections, together.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ACCOUNTS, Blade, Client, ROOT, Reply};

const ROLES: &str = "/redfish/v1/AccountService/Roles";
const SENSORS: &str = "/redfish/v1/Chassis/blade/Sensors";

/// The last segments of the members' URIs.
fn ids(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let members = reply.body["Members"].as_array().unwrap().iter();
    let uris = members.map(|it| it["@odata.id"].as_str().unwrap());
    uris.map(|uri| uri.rsplit('/').next().unwrap()).collect()
}

/// With all that may not stand in a URI encoded.
fn query(uri: &str, parameters: &str) -> String {
    let parameters = parameters.replace(' ', "%20").replace('"', "%22");
    format!("{uri}?{parameters}")
}

#[tokio::test]
async fn a_filter_leaves_the_members_that_it_describes() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let all = ["Administrator", "Operator", "ReadOnly"];
    for (filter, expected) in [
        ("Id eq 'Operator'", &all[1..2]),
        ("not (Id eq 'Administrator')", &all[1..]),
        ("Id eq 'Administrator' or Id eq 'ReadOnly'", &[all[0], all[2]]),
        ("Id gt 'B' and IsPredefined eq true", &all[1..]),
        ("IsPredefined ne true", &[]),
    ] {
        let filter = format!("$filter={filter}");
        let reply = admin.get(&query(ROLES, &filter)).await;
        assert_eq!(ids(&reply), expected, "{filter}");
        assert_eq!(reply.body["Members@odata.count"], expected.len());
    }
    let hot = "$filter=ReadingType eq 'Temperature' and Reading gt -50 and \
        Status/State eq 'Enabled'";
    let reply = admin.get(&query(SENSORS, hot)).await;
    let hot = ["CPU_Temperature", "Board_Temperature", "Intake_Temperature"];
    assert_eq!(ids(&reply), hot);
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused_with_the_place() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (filter, place) in [
        ("AssignedPrivileges eq 'Login'", "At character 1 of $filter: Ass"),
        ("Id eq 5", "At character 4 of $filter: a text is compared with a"),
        ("Colour eq 'red'", "At character 1 of $filter: there is no property"),
        ("Id eq 'x' nor Id eq 'y'", "At character 11 of $filter: an operator"),
        ("Id eq \"x\"", "At character 7 of $filter: the character '\"'"),
    ] {
        let uri = query(ROLES, &format!("$filter={filter}"));
        let reply = admin.get(&uri).await;
        assert_eq!(reply.status, 400, "{filter}");
        assert_eq!(reply.messages(), ["QueryParameterValueFormatError"]);
        let info = &reply.body["error"]["@Message.ExtendedInfo"][0];
        assert_eq!(info["MessageArgs"], json!([filter, "$filter"]));
        let advice = info["Resolution"].as_str().unwrap();
        assert!(advice.starts_with(place), "{advice}");
    }
    let deep = format!("$filter={}true{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(admin.get(&query(ROLES, &deep)).await.status, 400);
    for parameter in ["$filter=Id eq 'x'", "$top=1", "$skip=1", "only"] {
        let one = format!("{ROLES}/Operator");
        let reply = admin.get(&query(&one, parameter)).await;
        assert_eq!(reply.status, 400, "{parameter}");
        assert_eq!(reply.messages(), ["QueryNotSupportedOnResource"]);
    }
}

#[tokio::test]
async fn nobody_finds_by_a_filter_what_he_may_not_see() {
    let blade = Blade::simulated().await;
    let reader = blade.account("rolf", "ReadOnly").await;
    let uri = query(ACCOUNTS, "$filter=not (UserName eq 'x')");
    assert_eq!(ids(&reader.get(&uri).await), ["rolf"]);
    assert_eq!(ids(&blade.admin().get(&uri).await), ["admin", "rolf"]);
    let stranger = blade.stranger();
    assert_eq!(stranger.get(&uri).await.status, 401);
    let sorted = query(ROOT, "$expand=*");
    let reply = stranger.get(&sorted).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["Systems"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_lead_through_all_that_was_asked_for() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let whole = admin.get(SENSORS).await;
    let mut found = Vec::new();
    let mut uri = query(
        SENSORS,
        "$top=2&$expand=.&$select=Id,Status/Health\
         &$filter=not (Id eq 'CPU_Clock')",
    );
    for _ in 0..whole.body["Members"].as_array().unwrap().len() {
        let reply = admin.get(&uri).await;
        let count = whole.body["Members@odata.count"].as_u64().unwrap() - 1;
        assert_eq!(reply.body["Members@odata.count"], count);
        for member in reply.body["Members"].as_array().unwrap() {
            let names: Vec<_> = member.as_object().unwrap().keys().collect();
            let kept = ["@odata.id", "@odata.type", "Id", "Status"];
            assert!(kept.iter().all(|it| names.contains(&&(*it).to_owned())));
            assert_eq!(names.len(), 5, "{names:?}");
            assert_eq!(member["Status"].as_object().unwrap().len(), 1);
        }
        found.extend(ids(&reply).iter().map(|it| (*it).to_owned()));
        match reply.body["Members@odata.nextLink"].as_str() {
            Some(next) => uri = next.to_owned(),
            None => break,
        }
    }
    let mut expected = ids(&whole);
    expected.retain(|id| *id != "CPU_Clock");
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_excerpt_shows_the_reading_and_no_more() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let uri = format!("{SENSORS}/CPU_Temperature");
    let whole = admin.get(&uri).await;
    let excerpt = admin.get(&query(&uri, "excerpt")).await;
    assert_eq!(excerpt.header("etag"), excerpt.body["@odata.etag"]);
    let names = |body: &Value| -> Vec<String> {
        let names = body.as_object().unwrap().keys();
        let mut names: Vec<_> =
            names.filter(|it| !it.starts_with('@')).cloned().collect();
        names.sort();
        names
    };
    let main = ["PhysicalContext", "Reading"];
    assert_eq!(names(&excerpt.body), main);
    assert!(names(&whole.body).len() > 8);
    let all = admin.get(&query(SENSORS, "$expand=.&excerpt")).await;
    assert_eq!(ids(&all).len(), 10);
    assert_eq!(all.body["Name"], "Sensors");
    for member in all.body["Members"].as_array().unwrap() {
        assert!(member["@odata.type"].is_string(), "{member}");
        let names = names(member);
        assert!(names.contains(&"Reading".to_owned()), "{names:?}");
        assert!(!names.contains(&"Name".to_owned()), "{names:?}");
    }
    // A type without one is shown whole.
    let role = format!("{ROLES}/Operator");
    let plain = admin.get(&role).await;
    let same = admin.get(&query(&role, "excerpt")).await;
    assert_eq!(same.body, plain.body);
    let wrong = admin.get(&query(&uri, "excerpt=foo")).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn the_only_member_takes_the_place_of_its_collection() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let manager = admin.get("/redfish/v1/Managers/bmc").await;
    let only = admin.get("/redfish/v1/Managers?only").await;
    assert_eq!(only.body["@odata.id"], "/redfish/v1/Managers/bmc");
    for header in ["etag", "allow", "link"] {
        assert_eq!(only.header(header), manager.header(header), "{header}");
    }
    let many = admin.get(&query(ROLES, "only")).await;
    assert_eq!(many.body["Members@odata.count"], 3);
    for other in ["only&$expand=.", "only&$top=1", "excerpt&only"] {
        let reply = admin.get(&query(ROLES, other)).await;
        assert_eq!(reply.messages(), ["QueryCombinationInvalid"], "{other}");
    }
}

#[tokio::test]
async fn what_is_announced_is_understood() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let root = admin.get(ROOT).await.body;
    let features = &root["ProtocolFeaturesSupported"];
    let expected = json!({
        "ExpandQuery": {"ExpandAll": true, "Levels": true, "Links": true,
            "MaxLevels": 6, "NoLinks": true},
        "FilterQuery": true, "FilterQueryComparisonOperations": true,
        "FilterQueryCompoundOperations": true, "SelectQuery": true,
        "ExcerptQuery": true, "OnlyMemberQuery": true, "TopSkipQuery": true,
        "MultipleHTTPRequests": true, "ClientContextQuery": false,
        "IncludeOriginOfConditionQuery": false,
        "DeepOperations": {"DeepPATCH": false, "DeepPOST": false},
    });
    assert_eq!(*features, expected);
    for (parameters, status) in [
        ("$expand=*($levels=6)&$top=1", 200),
        ("$expand=*($levels=7)", 400),
        ("$expand=~", 200),
        ("$count=true", 501),
        ("$orderby=Id", 501),
        ("$search=x", 501),
        ("unknown=1&other", 200),
    ] {
        let reply = admin.get(&query(ROLES, parameters)).await;
        assert_eq!(reply.status, status, "{parameters}: {}", reply.body);
    }
    let system = "/redfish/v1/Systems/node";
    for (method, uri) in [
        (Method::PATCH, system.to_owned()),
        (Method::POST, ACCOUNTS.to_owned()),
        (Method::DELETE, format!("{ACCOUNTS}/admin")),
    ] {
        let send = async |query: &str| {
            let uri = format!("{uri}?{query}");
            admin.send(method.clone(), &uri, "{}").await
        };
        let reply = send("$select=Id").await;
        assert_eq!(reply.messages(), ["QueryNotSupportedOnOperation"]);
        assert_eq!(send("$nonsense=1").await.status, 501);
    }
}

#[tokio::test]
async fn the_entries_of_a_log_are_filtered_in_place() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for n in 0..5 {
        let tag = json!({"AssetTag": format!("tag {n}")});
        admin.patch("/redfish/v1/Systems/node", &tag).await;
    }
    let log = "/redfish/v1/Managers/bmc/LogServices/AuditLog/Entries";
    let whole = admin.get(log).await.body;
    let first = &whole["Members"][0];
    let id = first["Id"].as_str().unwrap();
    let parameters =
        format!("$filter=not (Id eq '{id}')&$top=2&$select=Message");
    let page = admin.get(&query(log, &parameters)).await.body;
    let count = whole["Members@odata.count"].as_u64().unwrap();
    assert_eq!(page["Members@odata.count"], count - 1);
    let members = page["Members"].as_array().unwrap();
    assert_eq!(members.len(), 2);
    for member in members {
        assert_ne!(member["@odata.id"], first["@odata.id"]);
        assert!(member["Message"].is_string(), "{member}");
        assert_eq!(member.get("Id"), None, "{member}");
    }
    let next = page["Members@odata.nextLink"].as_str().unwrap();
    let expected = parameters.replace("&$top=2", "").replace(' ', "%20");
    assert_eq!(next, format!("{log}?{expected}&$skip=2&$top=2"));
    let next = admin.get(next).await.body;
    assert_ne!(next["Members"][0], page["Members"][0]);
    let made = format!("$filter=Created gt '{}'", "2999-01-01T00:00:00Z");
    let none = admin.get(&query(log, &made)).await.body;
    assert_eq!(none["Members"], json!([]));
}

/// The actions in `body` that have parameters to describe.
fn described(body: &Value) -> BTreeMap<String, Value> {
    let actions = body["Actions"].as_object().into_iter().flatten();
    let with = actions.filter_map(|(name, about)| {
        let uri = about["@Redfish.ActionInfo"].as_str()?;
        Some((uri.to_owned(), json!({"of": name, "about": about})))
    });
    with.collect()
}

#[tokio::test]
async fn an_action_with_parameters_says_which() {
    let blade = Blade::simulated().await;
    let admin: Client = blade.admin();
    let mut seen = 0;
    for uri in [
        "/redfish/v1/Systems/node",
        "/redfish/v1/EventService",
        "/redfish/v1/CertificateService",
    ] {
        let body = admin.get(uri).await.body;
        for (info, action) in described(&body) {
            seen += 1;
            let reply = admin.get(&info).await;
            assert_eq!(reply.status, 200, "{info}");
            assert_eq!(onprem_redfish::check(&reply.body), [], "{info}");
            assert_eq!(reply.header("allow"), "GET, HEAD");
            for parameter in reply.body["Parameters"].as_array().unwrap() {
                let name = parameter["Name"].as_str().unwrap();
                let inline = format!("{name}@Redfish.AllowableValues");
                let inline = &action["about"][&*inline];
                if !inline.is_null() {
                    assert_eq!(parameter["AllowableValues"], *inline);
                }
                assert!(parameter["Required"].is_boolean(), "{parameter}");
                assert!(parameter["DataType"].is_string(), "{parameter}");
            }
        }
    }
    assert!(seen >= 3, "{seen}");
    let reset = "/redfish/v1/Systems/node/ResetActionInfo";
    let reset = admin.get(reset).await.body;
    assert_eq!(reset["Parameters"][0]["Name"], "ResetType");
    assert_eq!(reset["Parameters"][0]["DataType"], "String");
    let reader = blade.account("rolf", "ReadOnly").await;
    let uri = reset["@odata.id"].as_str().unwrap();
    assert_eq!(reader.get(uri).await.status, 200);
    assert_eq!(blade.stranger().get(uri).await.status, 401);
    let nowhere = "/redfish/v1/Systems/none/ResetActionInfo";
    assert_eq!(admin.get(nowhere).await.status, 404);
}
