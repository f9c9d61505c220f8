//! The privilege table as Rust statics.

use crate::Result;
use serde::Deserialize;
use std::fmt::Write;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: String,
    rule: Vec<Rule>,
    r#override: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    types: Vec<String>,
    #[serde(default)]
    below: Vec<String>,
    property: Option<String>,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
    #[serde(default, rename = "HEAD")]
    head: Vec<String>,
    #[serde(default, rename = "POST")]
    post: Vec<String>,
    #[serde(default, rename = "PATCH")]
    patch: Vec<String>,
    #[serde(default, rename = "DELETE")]
    delete: Vec<String>,
}

/// Statics `VERSION`, `RULES` and `OVERRIDES`.
pub(crate) fn generate(text: &str) -> Result<String> {
    let table: Table = toml::from_str(text)?;
    let version = &table.version;
    let mut source = format!("pub const VERSION: &str = {version:?};\n");
    for (name, rules) in
        [("RULES", table.rule), ("OVERRIDES", table.r#override)]
    {
        let mut rows = Vec::new();
        for rule in &rules {
            rows.extend(rule.types.iter().map(|name| (name, rule)));
        }
        rows.sort_by_key(|(name, _)| name.as_str());
        write!(source, "static {name}: &[Rule] = &[")?;
        for (name, rule) in rows {
            source.push_str(&row(name, rule));
        }
        source.push_str("];\n");
    }
    Ok(source)
}

fn row(name: &str, rule: &Rule) -> String {
    let Rule { below, property, read, write, .. } = rule;
    let method =
        |own, general| set(if Vec::is_empty(own) { general } else { own });
    format!(
        "Rule {{ name: {name:?}, below: &{below:?}, property: {property:?}, \
         get: {}, head: {}, post: {}, patch: {}, put: {}, delete: {} }},\n",
        set(read),
        method(&rule.head, read),
        method(&rule.post, write),
        method(&rule.patch, write),
        set(write),
        method(&rule.delete, write),
    )
}

fn set(privileges: &[String]) -> String {
    let names: Vec<_> =
        privileges.iter().map(|name| format!("Privilege::{name}")).collect();
    format!("Privileges::of(&[{}])", names.join(", "))
}
