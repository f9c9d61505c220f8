//! From the body of a POST or PATCH to what is defined.

use std::collections::BTreeMap;

use onprem_redfish::message::{Message, base};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What is to be written, by JSON pointer; the schema has been checked.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// What is known inside the members of these arrays.
const MEMBERS: &[(&str, &[&str])] = &[
    (
        "/Metrics",
        &[
            "MetricId",
            "MetricProperties",
            "CollectionFunction",
            "CollectionDuration",
            "CollectionTimeScope",
        ],
    ),
    ("/Wildcards", &["Name", "Values"]),
    ("/DiscreteTriggers", &["Name", "Value", "DwellTime", "Severity"]),
];

/// `base` with `values` in it. What is null is as if it had not been said.
///
/// # Errors
/// What cannot be written, though the schema knows it.
pub(crate) fn merge<T: Serialize + DeserializeOwned>(
    base: &T,
    values: &Values,
) -> Result<T, Vec<Message>> {
    let mut wrong = Vec::new();
    for (array, known) in MEMBERS {
        let items = values.get(array).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            let names = item.as_object().into_iter().flat_map(Map::keys);
            let strange = names.filter(|name| !known.contains(&name.as_str()));
            wrong.extend(strange.map(|name| {
                let pointer = format!("{array}/{index}/{name}");
                base::property_not_writable(name).about(pointer)
            }));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut body = serde_json::to_value(base).unwrap_or_default();
    for (pointer, value) in values {
        let mut value = value.clone();
        tidy(&mut value);
        put(&mut body, pointer, value);
    }
    // The schema has made sure of the types.
    serde_json::from_value(body).map_err(|error| {
        let message = base::unrecognized_request_body();
        vec![message.resolved_by(error.to_string())]
    })
}

fn put(body: &mut Value, pointer: &str, value: Value) {
    let mut names = pointer.split('/').skip(1).peekable();
    let mut at = body;
    while let Some(name) = names.next() {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(members) = at.as_object_mut() else { return };
        if names.peek().is_none() {
            match value {
                Value::Null => {
                    members.shift_remove(name);
                }
                Value::Object(changes) => {
                    let into = members.entry(name).or_insert(Value::Null);
                    merge_object(into, changes);
                }
                value => {
                    members.insert(name.to_owned(), value);
                }
            }
            return;
        }
        at = members.entry(name).or_insert(Value::Null);
    }
}

/// An object in place changes only what it names.
fn merge_object(into: &mut Value, changes: Map<String, Value>) {
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Some(members) = into.as_object_mut() else { return };
    for (name, value) in changes {
        match value {
            Value::Null => {
                members.shift_remove(&name);
            }
            Value::Object(changes) => {
                let into = members.entry(name).or_insert(Value::Null);
                merge_object(into, changes);
            }
            value => {
                members.insert(name, value);
            }
        }
    }
}

/// Takes out the nulls inside of arrays.
fn tidy(value: &mut Value) {
    if let Value::Array(items) = value {
        items.retain(|item| !item.is_null());
        for item in items {
            if let Value::Object(members) = item {
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(tidy);
            }
        }
    }
}
