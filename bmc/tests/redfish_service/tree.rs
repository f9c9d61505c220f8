//! The whole tree: every resource fits its schema and keeps to the protocol.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use http::{Method, StatusCode};
use onprem_redfish::{
    check_tree, csdl,
    tree::{Served, leads},
};

use crate::{
    client::{Blade, Client, ROOT, Reply},
    support::tree::unpack,
};

/// Everything that links lead to, by URI.
async fn walk(client: &Client) -> BTreeMap<String, Reply> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![ROOT.to_owned()];
    while let Some(uri) = ahead.pop() {
        if found.contains_key(&uri) {
            continue;
        }
        let reply = client.get(&uri).await;
        assert_eq!(reply.status, StatusCode::OK, "{uri}: {}", reply.body);
        ahead.extend(leads(&reply.body));
        found.insert(uri, reply);
    }
    found
}

/// The headers; what is in the resources is up to [`check_tree`].
fn assert_proper(uri: &str, reply: &Reply) {
    assert_eq!(reply.header("odata-version"), "4.0", "{uri}");
    assert_eq!(reply.header("content-type"), "application/json", "{uri}");
    assert!(!reply.header("cache-control").is_empty(), "{uri}");
    assert_eq!(reply.body["@odata.etag"], reply.header("etag"), "{uri}");
    let of = reply.body["@odata.type"].as_str().unwrap();
    let of = csdl::type_named(of.rsplit('.').next().unwrap()).unwrap();
    let link = format!("<{}>; rel=describedby", of.schema_uri());
    assert_eq!(reply.header("link"), link, "{uri}");
}

/// Everything that an agent serves, after a look at all of it.
async fn proper_tree(of: &Blade) -> BTreeMap<String, Reply> {
    let tree = walk(&of.admin()).await;
    for (uri, reply) in &tree {
        assert_proper(uri, reply);
    }
    let served = tree.iter().map(|(uri, reply)| {
        let allow = reply.header("allow").to_owned();
        (uri.clone(), Served { body: reply.body.clone(), allow })
    });
    assert_eq!(check_tree(&served.collect()), []);
    tree
}

#[tokio::test]
async fn every_resource_of_a_blade_fits_its_schema() {
    let boards = concat!(env!("CARGO_MANIFEST_DIR"), "/boards");
    for board in fs::read_dir(boards).unwrap() {
        let board = board.unwrap().path();
        let text = fs::read_to_string(board).unwrap();
        let blade = Blade::with_board(|_| text).await;
        let tree = proper_tree(&blade).await;
        assert!(tree.len() > 50, "{} resources", tree.len());
    }
}

#[tokio::test]
async fn every_resource_of_this_host_fits_its_schema() {
    proper_tree(&Blade::host().await).await;
}

#[tokio::test]
async fn every_resource_of_other_machines_fits_its_schema() {
    for name in ["jetson-nano", "orin", "pc", "pi4", "pi5", "xavier-nx"] {
        let root = unpack(name);
        let tree = proper_tree(&Blade::machine(root.path()).await).await;
        assert!(tree.len() > 40, "{name}: {} resources", tree.len());
    }
}

/// Accept a change on purpose with `EXPECTORATE=overwrite`.
#[tokio::test]
async fn what_a_blade_serves_changes_on_purpose() {
    let blade = Blade::simulated().await;
    let mut tree = walk(&blade.admin()).await;
    // One for each served type; the types are in `roots.txt`.
    tree.retain(|uri, _| !uri.starts_with("/redfish/v1/JsonSchemas/"));
    let mut text = String::new();
    for (uri, reply) in &tree {
        let of = reply.body["@odata.type"].as_str().unwrap();
        let of = of.rsplit('.').next().unwrap();
        let allow = reply.header("allow");
        if of == "LogEntry" {
            // What is in a log depends on what happened.
            continue;
        }
        writeln!(text, "{uri}\n    {of}: {allow}").unwrap();
        let names = reply.body.as_object().unwrap().keys();
        let names: Vec<_> =
            names.filter(|name| !name.starts_with('@')).cloned().collect();
        writeln!(text, "    {}", names.join(" ")).unwrap();
    }
    expectorate::assert_contents("tests/redfish_service/tree.txt", &text);
}

#[tokio::test]
async fn head_says_what_get_says_without_the_body() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for uri in [
        ROOT,
        "/redfish/v1",
        "/redfish",
        "/redfish/v1/odata",
        "/redfish/v1/$metadata",
        "/redfish/v1/Systems",
        "/redfish/v1/AccountService",
        "/redfish/v1/Nowhere",
    ] {
        let got = admin.get(uri).await;
        let head = admin.send(Method::HEAD, uri, "").await;
        assert_eq!(got.status, head.status, "{uri}");
        assert_eq!(head.body, "", "{uri}");
        let without_date = |reply: &Reply| {
            let mut headers = reply.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&got), without_date(&head), "{uri}");
    }
}

#[tokio::test]
async fn a_stranger_sees_the_entrance_and_nothing_else() {
    let blade = Blade::simulated().await;
    let stranger = blade.stranger();
    for uri in ["/redfish", "/redfish/v1", ROOT] {
        assert_eq!(stranger.get(uri).await.status, 200, "{uri}");
    }
    for uri in ["/redfish/v1/odata", "/redfish/v1/$metadata"] {
        assert_eq!(stranger.get(uri).await.status, 200, "{uri}");
    }
    let mut uris: Vec<_> = walk(&blade.admin()).await.into_keys().collect();
    uris.retain(|uri| uri != ROOT);
    uris.push("/redfish/v1/Nowhere".to_owned());
    uris.push("/redfish/v1/EventService/SSE".to_owned());
    for uri in uris {
        let reply = stranger.get(&uri).await;
        assert_eq!(reply.status, 401, "{uri}");
        assert!(reply.header("www-authenticate").starts_with("Basic"));
        assert_eq!(reply.messages(), ["NoValidSession"], "{uri}");
    }
}

#[tokio::test]
async fn a_resource_that_did_not_change_is_not_sent_again() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for uri in ["/redfish/v1/Managers/bmc", "/redfish/v1/AccountService"] {
        let etag = admin.get(uri).await.header("etag").to_owned();
        let again = admin.clone().with("if-none-match", &etag).get(uri).await;
        assert_eq!(again.status, 304, "{uri}");
        assert_eq!(again.header("etag"), etag);
        assert_eq!(again.body, "");
    }
}

#[tokio::test]
async fn queries_shape_the_answer_or_are_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let get = |query: &str| {
        let uri = format!("/redfish/v1/Managers?{query}");
        let admin = admin.clone();
        async move { admin.get(&uri).await }
    };
    let only = get("only").await;
    assert_eq!(only.body["@odata.id"], "/redfish/v1/Managers/bmc");
    let expanded = get("$expand=.").await;
    assert_eq!(expanded.body["Members"][0]["Id"], "bmc");
    let root = admin.get("/redfish/v1?$expand=.").await;
    assert_eq!(root.body["Managers"]["Name"], "Managers");
    let root = blade.stranger().get("/redfish/v1?$expand=.").await;
    assert_eq!(root.body["Managers"].as_object().unwrap().len(), 1);
    let selected = get("$select=Name").await;
    assert_eq!(selected.body["Name"], "Managers");
    assert_eq!(selected.body.get("Members"), None);
    assert_eq!(get("whatever=1").await.status, 200);
    assert_eq!(get("$whatever=1").await.status, 501);
    assert_eq!(get("only=1").await.status, 400);
    assert_eq!(get("$expand=deeply").await.status, 400);
    let page = admin.get("/redfish/v1/JsonSchemas?$top=2&$skip=1").await;
    assert_eq!(page.body["Members"].as_array().unwrap().len(), 2);
    let next = page.body["Members@odata.nextLink"].as_str().unwrap();
    assert_eq!(next, "/redfish/v1/JsonSchemas?$skip=3&$top=2");
}
