//! The facts fit the document, and all of it is shown somewhere.

use std::collections::BTreeSet;

use onprem_description::{Kind, PageModel, Shape, document};
use serde_json::Value;

#[test]
fn every_target_of_the_overlay_is_in_the_document() {
    let unmatched = include_str!(concat!(env!("OUT_DIR"), "/unmatched.json"));
    assert_eq!(unmatched, "[]");
}

#[test]
fn every_fact_is_understood() {
    assert_eq!(PageModel::get().problems, [""; 0]);
}

#[test]
fn every_operation_belongs_to_a_resource() {
    let model = PageModel::get();
    let known: BTreeSet<_> =
        model.operations().map(|operation| operation.id.clone()).collect();
    let paths = document()["paths"].as_object().unwrap();
    for item in paths.values() {
        for operation in item.as_object().unwrap().values() {
            if let Some(id) = operation.get("operationId") {
                let id = id.as_str().unwrap();
                assert!(known.contains(id), "{id} is shown nowhere");
            }
        }
    }
}

#[test]
fn every_get_is_a_page_and_every_change_an_action_or_a_form() {
    for operation in PageModel::get().operations() {
        if operation.reads() {
            let shape = operation.answer.shape;
            assert!(
                matches!(shape, Shape::List | Shape::Item | Shape::Raw),
                "{} answers nothing that can be shown",
                operation.id
            );
        } else {
            assert!(!operation.action.label.is_empty(), "{}", operation.id);
            if let Some(body) = &operation.body {
                assert!(!body.fields.is_empty(), "{}: no form", operation.id);
            }
        }
    }
}

#[test]
fn every_property_can_be_shown_or_is_hidden() {
    for resource in &PageModel::get().resources {
        assert!(
            !resource.properties.is_empty() || resource.list.is_none(),
            "{} has no properties",
            resource.name
        );
        for property in &resource.properties {
            assert!(
                property.kind != Kind::Any || property.is_hidden(),
                "{} {}: the document does not say what it is",
                resource.name,
                property.pointer
            );
        }
    }
}

#[test]
fn no_two_resources_share_a_word() {
    let mut seen = BTreeSet::new();
    for resource in &PageModel::get().resources {
        assert!(seen.insert(&resource.plural), "{}", resource.plural);
    }
}

#[test]
fn every_command_of_the_facts_is_one_of_a_kind() {
    let mut seen = BTreeSet::new();
    for operation in PageModel::get().operations() {
        if let Some(verb) = &operation.cli.verb {
            assert!(seen.insert(verb.clone()), "{verb}");
        }
    }
}

#[test]
fn extensions_are_spelled_as_they_are_read() {
    const KNOWN: &[&str] = &[
        "x-onprem-action",
        "x-onprem-cli",
        "x-onprem-columns",
        "x-onprem-current",
        "x-onprem-empty",
        "x-onprem-format",
        "x-onprem-group",
        "x-onprem-groups",
        "x-onprem-live",
        "x-onprem-order",
        "x-onprem-ref",
        "x-onprem-resource",
        "x-onprem-series",
        "x-onprem-state",
        "x-onprem-title",
        "x-onprem-unit",
    ];
    fn walk(node: &Value, found: &mut BTreeSet<String>) {
        match node {
            Value::Object(map) => {
                for (name, value) in map {
                    if name.starts_with("x-onprem-") {
                        found.insert(name.clone());
                    }
                    walk(value, found);
                }
            }
            Value::Array(items) => {
                for item in items {
                    walk(item, found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(document(), &mut found);
    let unknown: Vec<_> =
        found.iter().filter(|f| !KNOWN.contains(&f.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
