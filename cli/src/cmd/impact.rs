//! What an action would touch, said before a person is asked.

use futures_util::{StreamExt as _, stream};
use onprem_description::Operation;
use serde_json::Value;

use super::get::AT_ONCE;
use crate::{
    failure::{Code, Failure},
    fleet::Fleet,
    run::Run,
    screen::plain,
};

/// So many things are named; the rest is counted.
const NAMED: usize = 40;

/// Says what `operation` would do to each target, where the description knows
/// how to find that out.
///
/// # Errors
/// It cannot be found out, or the operation would do nothing.
pub(super) async fn show(
    run: &mut Run<'_>,
    fleet: &Fleet,
    operation: &Operation,
    what: &str,
    body: Option<&Value>,
    names: &[String],
    targets: &[Vec<&str>],
) -> Result<(), Failure> {
    let impact = operation.action.impact.as_deref();
    let impact = impact.and_then(|id| run.model.operation(id));
    let Some(impact) = impact else { return Ok(()) };
    let query = query(impact, body);
    let query = &query;
    let found: Vec<Result<Value, Failure>> = stream::iter(targets)
        .map(|target| fleet.call(impact, target, query, None))
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (name, found) in names.iter().zip(found) {
        let found = found?;
        let affects = listed(&found, "affects");
        if affects.is_empty() {
            let able = found.pointer("/choices").and_then(Value::as_object);
            let able = able.into_iter().flatten();
            let able = able.map(|(field, values)| {
                format!("{field}: {}", words(values).join(", "))
            });
            let able: Vec<String> = able.collect();
            let text = format!("{name}: {what} would do nothing");
            return Err(Failure::new(Code::Invalid, text)
                .hint(format!("it can do {}", able.join("; "))));
        }
        let count = match affects.len() {
            1 => String::new(),
            count => format!("{count}: "),
        };
        let line = format!("{name}: {what} affects {count}{}", few(&affects));
        run.screen.note(&plain(&line));
        let warnings = found.get("warnings").map(words).unwrap_or_default();
        for warning in warnings {
            run.screen.note(&plain(&format!("{name}: {warning}")));
        }
        let spares = listed(&found, "spares");
        if !spares.is_empty() {
            let line = format!("{name}: it leaves alone {}", few(&spares));
            run.screen.note(&plain(&line));
        }
    }
    Ok(())
}

/// The fields of `body` that `impact` takes as its query.
fn query(impact: &Operation, body: Option<&Value>) -> Vec<(String, String)> {
    let takes = impact.query.iter().filter_map(|parameter| {
        let text = match body?.get(&parameter.name)? {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items = items.iter().filter_map(Value::as_str);
                items.collect::<Vec<_>>().join(",")
            }
            Value::Null => return None,
            other => other.to_string(),
        };
        Some((parameter.name.clone(), text))
    });
    takes.collect()
}

/// The things in a list of an impact, with how they are.
fn listed(impact: &Value, key: &str) -> Vec<String> {
    let all = impact.get(key).and_then(Value::as_array);
    let each = |it: &Value| {
        let text = |key: &str| it.get(key).and_then(Value::as_str);
        let mut said = text("name").unwrap_or_default().to_owned();
        if let Some(state) = text("state") {
            said = format!("{said}, {state}");
        }
        if let Some(note) = text("note") {
            said = format!("{said}: {note}");
        }
        said
    };
    all.into_iter().flatten().map(each).collect()
}

fn few(all: &[String]) -> String {
    let shown = all.iter().take(NAMED).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn words(values: &Value) -> Vec<&str> {
    let all = values.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}
