//! The command line that does what a page does.

use serde_json::Value;

use crate::model::{Operation, PageModel, Resource, Shape};

impl PageModel {
    /// The command that calls `operation` of `resource` with these values for
    /// the path's variables; what else is needed stands as `WORDS` to replace.
    #[must_use]
    pub fn command(
        &self,
        resource: &Resource,
        operation: &Operation,
        values: &[&str],
    ) -> String {
        let mut words = vec!["onprem".to_owned()];
        let mut values = values.iter().map(|value| quoted(value));
        if let Some(verb) = &operation.cli.verb {
            words.push(verb.clone());
            let mut path: Vec<_> = operation
                .path_parameters
                .iter()
                .map(|p| (p.name.clone(), values.next()))
                .collect();
            for positional in operation.positional() {
                let place = positional.name.to_uppercase();
                let known = path
                    .iter_mut()
                    .find(|(name, _)| *name == positional.name)
                    .and_then(|(_, value)| value.take());
                let word = known.unwrap_or_else(|| {
                    let words = operation.cli.words.iter();
                    let words: Vec<_> =
                        words.map(|(word, _)| word.as_str()).collect();
                    if positional.in_path || words.is_empty() {
                        place
                    } else {
                        words.join("|")
                    }
                });
                words.push(word);
            }
            return words.join(" ");
        }
        let own = usize::from(!resource.is_single());
        let own = match operation.answer.shape {
            Shape::List => 0,
            _ if operation.name == "create" => 0,
            _ => own,
        };
        let variables = operation.path_parameters.len();
        let scope = variables.saturating_sub(own);
        let flags: Vec<_> = operation
            .path_parameters
            .iter()
            .take(scope)
            .map(|p| {
                let value = values.next();
                let value = value.unwrap_or_else(|| p.name.to_uppercase());
                format!("--{} {value}", crate::kebab(&p.name))
            })
            .collect();
        let name: Vec<_> = values.collect();
        let (verb, last) = match operation.name.as_str() {
            "list" => ("get", ""),
            "view" => ("describe", ""),
            "create" => ("create", "FIELD=VALUE"),
            "update" => ("set", "FIELD=VALUE"),
            "delete" => ("delete", ""),
            other => ("action", other),
        };
        let many = operation.answer.shape == Shape::List;
        let kind = if many { &resource.plural } else { &resource.singular };
        words.extend([verb.to_owned(), kind.clone()]);
        if verb == "action" {
            words.push(last.to_owned());
        }
        words.extend(name);
        words.extend(flags);
        if verb != "action" {
            words.push(last.to_owned());
        }
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }
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
