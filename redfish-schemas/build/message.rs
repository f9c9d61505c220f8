//! The message texts as constructor functions, one module a registry.

use crate::Result;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    version: String,
    messages: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    arguments: Vec<String>,
    severity: String,
    message: String,
    resolution: String,
}

impl Text {
    fn has_arguments(&self) -> bool {
        !self.arguments.is_empty()
    }
}

/// A module a registry, with a function a message, and the list of registries.
pub(crate) fn generate(text: &str) -> Result<String> {
    let registries: BTreeMap<String, Registry> = toml::from_str(text)?;
    let mut source = String::new();
    let mut list = String::new();
    for (name, registry) in &registries {
        let version = &registry.version;
        let short = version.rsplit_once('.').ok_or("version")?.0;
        let module = snake(name);
        writeln!(source, "/// The messages of the registry `{name}`.")?;
        let arguments = registry.messages.values().any(Text::has_arguments);
        let argument = if arguments { "Argument, " } else { "" };
        writeln!(source, "pub mod {module} {{")?;
        writeln!(source, "use super::{{{argument}Message}};")?;
        let mut templates = String::new();
        for (id, text) in &registry.messages {
            templates.push_str(&template(id, text)?);
            let full = format!("{name}.{short}.{id}");
            source.push_str(&function(id, &full, text)?);
        }
        source.push_str("}\n");
        write!(
            list,
            "Registry {{ name: {name:?}, version: {version:?}, \
             templates: &[{templates}] }},"
        )?;
    }
    writeln!(source, "pub static REGISTRIES: &[Registry] = &[{list}];")?;
    Ok(source)
}

fn template(id: &str, text: &Text) -> Result<String> {
    let Text { arguments, severity, message, .. } = text;
    let count = u8::try_from(arguments.len())?;
    Ok(format!(
        "Template {{ id: {id:?}, severity: {severity:?}, text: {message:?}, \
         arguments: {count} }},"
    ))
}

fn function(id: &str, full: &str, text: &Text) -> Result<String> {
    let Text { arguments, severity, message, resolution } = text;
    let mut parameters = Vec::new();
    let mut values = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let (name, kind) =
            argument.split_once(": ").unwrap_or((argument, "text"));
        let kind = match kind {
            "number" => "impl Into<f64>",
            "text" => "impl AsRef<str>",
            other => return Err(format!("{id}: no such kind: {other}").into()),
        };
        if !message.contains(&format!("%{}", index + 1)) {
            return Err(format!("{id}: the text leaves out {name}").into());
        }
        let name = if name == "type" { "kind" } else { name };
        parameters.push(format!("{name}: {kind}"));
        values.push(match kind {
            "impl Into<f64>" => format!("Argument::number({name}.into())"),
            _ => format!("Argument::text({name}.as_ref())"),
        });
    }
    let name = snake(id);
    Ok(format!(
        "/// `{message}`\n\
         #[must_use]\n\
         pub fn {name}({}) -> Message {{ \
         Message::new({full:?}, {severity:?}, {message:?}, {resolution:?}, vec![{}]) }}\n",
        parameters.join(", "),
        values.join(", "),
    ))
}

/// `PropertyValueTypeError` as `property_value_type_error`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(index + 1);
        let starts = before.is_some_and(|it| it.is_lowercase())
            || after.is_some_and(|it| it.is_lowercase());
        if letter.is_uppercase() && index > 0 && starts {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
