//! The command line that does what a page does.

use serde_json::Value;

use crate::{
    Format,
    model::{Operation, PageModel, Property, Resource, Shape},
};

/// Flags that mean the same in every command; a field of such a name gets
/// another flag.
const TAKEN: &[&str] = &[
    "all",
    "ca-file",
    "config",
    "context",
    "help",
    "limit",
    "no-wait",
    "output",
    "sort",
    "timeout",
    "token",
    "token-file",
    "url",
    "version",
    "watch",
    "yes",
];

impl Property {
    /// The flag of the command line that sets it, without the dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        let name = crate::kebab(&self.name);
        let name = if TAKEN.contains(&name.as_str()) {
            format!("field-{name}")
        } else {
            name
        };
        // Arguments are seen by everybody on the machine.
        if self.is_secret() { format!("{name}-file") } else { name }
    }

    /// Nobody but its owner may see it.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.write_only || self.format == Format::Secret
    }

    /// It must be given.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.required && self.default.is_none() && !self.read_only
    }
}

impl PageModel {
    /// The command that calls `operation` of `resource` with these values for
    /// the path's variables; what else is needed stands in capitals, to be
    /// replaced.
    #[must_use]
    pub fn command(
        &self,
        resource: &Resource,
        operation: &Operation,
        values: &[&str],
    ) -> String {
        let mut words = vec!["onprem".to_owned()];
        let mut values = values.iter();
        let path: Vec<(&Property, String)> = operation
            .path_parameters
            .iter()
            .map(|parameter| {
                let place = || parameter.name.to_uppercase();
                let value = values.next().map(|value| quoted(value));
                (parameter, value.unwrap_or_else(place))
            })
            .collect();
        let verb = match operation.name.as_str() {
            "list" => "get",
            "view" => "describe",
            "create" => "create",
            "update" => "set",
            "delete" => "delete",
            _ => "action",
        };
        let is_extra = verb == "action" && operation.reads();
        if operation.cli.hidden || is_extra {
            words.extend(["api".into(), crate::kebab(&operation.id)]);
            words.extend(path.iter().flat_map(flag));
            let mut fields = operation.body.iter().flat_map(|b| &b.fields);
            if fields.any(Property::is_secret) {
                words.push("--json-body FILE".to_owned());
            } else {
                words.extend(needed(operation, &[]));
            }
        } else if let Some(verb) = &operation.cli.verb {
            words.push(verb.clone());
            let mut given = Vec::new();
            for positional in operation.positional() {
                let known = path
                    .iter()
                    .find(|(parameter, _)| parameter.name == positional.name);
                words.push(match known {
                    Some((_, value)) => value.clone(),
                    None => choice(operation, &positional.name),
                });
                given.push(positional.name);
            }
            words.extend(needed(operation, &given));
        } else {
            let many = operation.answer.shape == Shape::List;
            let kind = if many { &resource.plural } else { &resource.singular };
            words.extend([verb.to_owned(), kind.clone()]);
            if verb == "action" {
                words.push(operation.name.clone());
            }
            words.extend(path.iter().map(|(_, value)| value.clone()));
            if verb == "set" {
                words.push("FIELD=VALUE".to_owned());
            } else {
                words.extend(needed(operation, &[]));
            }
        }
        words.join(" ")
    }
}

fn flag((parameter, value): &(&Property, String)) -> [String; 2] {
    [format!("--{}", parameter.flag()), value.clone()]
}

/// The words that a positional field takes.
fn choice(operation: &Operation, name: &str) -> String {
    let words = operation.cli.words.iter();
    let words: Vec<_> = words.map(|(word, _)| word.as_str()).collect();
    if words.is_empty() { name.to_uppercase() } else { words.join("|") }
}

/// Flags for the fields that must be given.
fn needed(operation: &Operation, given: &[String]) -> Vec<String> {
    let fields = operation.body.iter().flat_map(|body| &body.fields);
    fields
        .filter(|field| field.is_needed() && !given.contains(&field.name))
        .flat_map(|field| {
            let flag = field.flag();
            let place = if field.is_secret() {
                "FILE".to_owned()
            } else {
                flag.to_uppercase()
            };
            [format!("--{flag}"), place]
        })
        .collect()
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@%+=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A query as flags: ` --state online --sort name`.
#[must_use]
pub fn query_flags(query: &[(String, Value)]) -> String {
    let mut flags = String::new();
    for (name, value) in query {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        flags.push_str(" --");
        flags.push_str(&crate::kebab(name));
        flags.push(' ');
        flags.push_str(&quoted(&value));
    }
    flags
}
