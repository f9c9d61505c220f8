//! The API's document as it is committed.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write as _;

use serde_json::Value;

#[test]
fn the_document_is_the_committed_one() {
    let document = onprem_fleet::api::document().unwrap();
    expectorate::assert_contents("../openapi/fleet.json", &document);

    let document: Value = serde_json::from_str(&document).unwrap();
    expectorate::assert_contents("../openapi/fleet.txt", &lines(&document));
}

/// Every operation on one line.
fn lines(document: &Value) -> String {
    let mut text = String::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            writeln!(
                text,
                "{:<6} {path:<42} {:<30} {}",
                method.to_uppercase(),
                operation["operationId"].as_str().unwrap(),
                operation["summary"].as_str().unwrap(),
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn every_operation_is_described_in_the_same_way() {
    let document = onprem_fleet::api::document().unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let error = "#/components/responses/Error";
    for (path, methods) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/v1/"), "{path}");
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            let tags = operation["tags"].as_array().unwrap();
            assert_eq!(tags.len(), 1, "{id}");
            let summary = operation["summary"].as_str().unwrap();
            assert!(!summary.ends_with('.'), "{id}");
            for class in ["4XX", "5XX"] {
                assert_eq!(operation["responses"][class]["$ref"], error);
            }
        }
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(n, s)| Some((n, s["properties"].as_object()?)))
    {
        for (property, schema) in schema {
            let text = schema["description"].as_str();
            assert!(text.is_some(), "{name}.{property} has no description");
        }
    }
}
