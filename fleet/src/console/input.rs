//! Fields of a form, from the fields of a body, and back.

use onprem_description::{Format, Kind, Property};
use serde_json::{Map, Number, Value};

use super::error::Refusal;

/// The fields of a form, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    pub(crate) error: Option<String>,
    pub(crate) fields: Vec<Field>,
}

/// A field of a form.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) help: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) input: Input,
    pub(crate) value: String,
    pub(crate) required: bool,
    pub(crate) minimum: Option<String>,
    pub(crate) maximum: Option<String>,
    pub(crate) longest: Option<String>,
    pub(crate) error: Option<String>,
}

/// How a field is filled in.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Line(&'static str),
    Area(usize),
    Check,
    Select(Vec<(String, String)>),
    Radio(Vec<(String, String)>),
}

impl Field {
    fn new(property: &Property, current: Option<&Value>) -> Self {
        let is_text = property.kind == Kind::Text;
        let bound = |bound: Option<f64>| bound.map(|bound| bound.to_string());
        Self {
            name: name(property),
            title: property.title.clone(),
            help: help(property),
            group: None,
            input: input(property),
            value: current
                .or(property.default.as_ref())
                .or(first_choice(property).as_ref())
                .map_or_else(String::new, as_text),
            required: property.required,
            minimum: bound(property.minimum).filter(|_| !is_text),
            maximum: bound(property.maximum).filter(|_| !is_text),
            longest: bound(property.maximum).filter(|_| is_text),
            error: None,
        }
    }

    /// It is many inputs, in a set.
    pub(crate) fn is_set(&self) -> bool {
        matches!(self.input, Input::Radio(_))
    }
}

/// The only choice is chosen.
fn first_choice(property: &Property) -> Option<Value> {
    match &property.kind {
        Kind::Enum(values) if property.required && values.len() == 1 => {
            values.first().map(|value| Value::String(value.clone()))
        }
        _ => None,
    }
}

/// `a/b` for the property at `/a/b`.
fn name(property: &Property) -> String {
    property.pointer.trim_start_matches('/').to_owned()
}

fn help(property: &Property) -> Option<String> {
    let text = property.description.as_deref().unwrap_or_default();
    let how = match &property.kind {
        Kind::Map(_) => "One name=value a line.",
        Kind::List(_) => "One a line, or with commas between.",
        Kind::Any | Kind::Struct => "As JSON.",
        _ => "",
    };
    let help = [text, how].join(" ");
    let help = help.trim();
    (!help.is_empty()).then(|| super::error::quoted(help))
}

fn input(property: &Property) -> Input {
    match &property.kind {
        Kind::Boolean if property.required || !property.nullable => {
            Input::Check
        }
        Kind::Boolean => Input::Select(vec![
            ("true".into(), "Yes".into()),
            ("false".into(), "No".into()),
        ]),
        Kind::Enum(values) => {
            let options = values
                .iter()
                .map(|value| (value.clone(), label(property, value)))
                .collect::<Vec<_>>();
            if property.required && options.len() <= 8 {
                Input::Radio(options)
            } else {
                Input::Select(options)
            }
        }
        Kind::Integer(_) | Kind::Number(_) => Input::Line("number"),
        Kind::List(_) | Kind::Map(_) => Input::Area(3),
        Kind::Struct | Kind::Any => Input::Area(6),
        Kind::Text | Kind::DateTime => {
            if property.write_only || property.format == Format::Secret {
                Input::Line("password")
            } else {
                Input::Line("text")
            }
        }
    }
}

/// A value of an enum as people read it: `ForceRestart` → `Force restart`.
pub(crate) fn label(property: &Property, value: &str) -> String {
    match property.state(value) {
        Some(state) => state.label.clone(),
        None if value.chars().all(char::is_uppercase) => value.to_owned(),
        None => onprem_description::title(value),
    }
}

/// A JSON value as it stands in a form.
fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(is_word) => {
            let lines: Vec<_> = items.iter().map(as_text).collect();
            lines.join("\n")
        }
        Value::Object(map) if map.values().all(Value::is_string) => {
            let lines: Vec<_> = map
                .iter()
                .map(|(name, value)| format!("{name}={}", as_text(value)))
                .collect();
            lines.join("\n")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        value => super::cell::pretty(value),
    }
}

/// A value that stands on a line.
fn is_word(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// What is to be filled in: structures field by field.
fn leaves(properties: &[Property]) -> Vec<&Property> {
    let mut out = Vec::new();
    for property in properties {
        if property.read_only || property.is_hidden() {
            continue;
        }
        if property.kind == Kind::Struct && !property.properties.is_empty() {
            out.extend(leaves(&property.properties));
        } else {
            out.push(property);
        }
    }
    out
}

impl Fields {
    /// The fields of a body, filled with what `current` has.
    pub(crate) fn new(body: &[Property], current: Option<&Value>) -> Self {
        let mut last = None;
        let fields = leaves(body)
            .into_iter()
            .map(|property| {
                let value = current.and_then(|item| property.value(item));
                let mut field = Field::new(property, value);
                if property.group != last {
                    field.group.clone_from(&property.group);
                    last.clone_from(&property.group);
                }
                field
            })
            .collect();
        Self { error: None, fields }
    }

    /// The same with what somebody filled in, and what the server said to it.
    pub(crate) fn refused(
        mut self,
        filled: &[(String, String)],
        refusal: &Refusal,
    ) -> Self {
        for field in &mut self.fields {
            let is_secret = matches!(field.input, Input::Line("password"));
            field.value = filled
                .iter()
                .find(|(name, _)| *name == field.name && !is_secret)
                .map_or_else(String::new, |(_, value)| value.clone());
        }
        let wrong = refusal.pointer.as_deref().and_then(|pointer| {
            let pointer = pointer.trim_start_matches('/');
            self.fields.iter_mut().find(|field| {
                pointer == field.name
                    || pointer.starts_with(&format!("{}/", field.name))
            })
        });
        match wrong {
            Some(field) => field.error = Some(refusal.sentence()),
            None => self.error = Some(refusal.sentence()),
        }
        self
    }
}

/// The JSON body that a filled form means. With `current`, only what differs
/// from it is sent.
pub(crate) fn body(
    properties: &[Property],
    filled: &[(String, String)],
    current: Option<&Value>,
) -> Value {
    let mut out = Map::new();
    for property in leaves(properties) {
        let own = name(property);
        let text = filled
            .iter()
            .find(|(name, _)| *name == own)
            .map(|(_, text)| text.as_str());
        let before = current.and_then(|item| property.value(item));
        let Some(value) = read(property, text, before) else { continue };
        let is_same = match before {
            Some(before) => *before == value,
            None => current.is_some() && value == Value::Null,
        };
        if !is_same {
            insert(&mut out, &own, value);
        }
    }
    Value::Object(out)
}

/// Puts a value at `a/b`.
fn insert(out: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('/') {
        None => {
            out.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner =
                out.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// What a text means; nothing where the field is to be left out. What cannot
/// be read goes to the server as it is, which says what is wrong with it.
fn read(
    property: &Property,
    text: Option<&str>,
    before: Option<&Value>,
) -> Option<Value> {
    if matches!(input(property), Input::Check) {
        return Some(Value::Bool(text == Some("true")));
    }
    let text = text?.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        let was_empty = before.is_none_or(|value| as_text(value).is_empty());
        return match &property.kind {
            _ if was_empty && !property.required => None,
            Kind::Map(_) => Some(Value::Object(Map::new())),
            Kind::List(_) => Some(Value::Array(Vec::new())),
            Kind::Text => Some(Value::String(String::new())),
            _ if property.required => Some(Value::String(String::new())),
            _ => Some(Value::Null),
        };
    }
    Some(match &property.kind {
        Kind::Boolean => Value::Bool(text == "true"),
        Kind::Integer(_) | Kind::Number(_) => number(text),
        Kind::List(inner) => {
            let numbers = matches!(**inner, Kind::Integer(_) | Kind::Number(_));
            let one = |line: &str| {
                if numbers { number(line) } else { line.into() }
            };
            let parts = lines(text).flat_map(|line| line.split(','));
            let parts = parts.map(str::trim).filter(|it| !it.is_empty());
            parts.map(one).collect()
        }
        Kind::Map(_) => lines(text)
            .map(|line| {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let value = Value::String(value.trim().to_owned());
                (name.trim().to_owned(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Kind::Struct | Kind::Any => serde_json::from_str(text)
            .unwrap_or_else(|_| Value::String(text.into())),
        Kind::Text | Kind::DateTime | Kind::Enum(_) => {
            Value::String(text.to_owned())
        }
    })
}

fn number(text: &str) -> Value {
    let text = text.trim();
    let whole = text.parse::<i64>().map(Number::from);
    let number = whole.ok().or_else(|| Number::from_f64(text.parse().ok()?));
    number.map_or_else(|| Value::String(text.into()), Value::Number)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    fn property(name: &str, kind: Kind) -> Property {
        Property {
            pointer: format!("/{name}"),
            name: name.to_owned(),
            kind,
            ..Property::default()
        }
    }

    fn filled(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).into(), (*b).into());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn a_form_becomes_json_of_the_right_types() {
        let fields = [
            property("name", Kind::Text),
            property("uses", Kind::Integer("u32".into())),
            property("tags", Kind::Map(Box::new(Kind::Text))),
            property("on", Kind::Boolean),
            property("note", Kind::Text),
            property(
                "vlans",
                Kind::List(Box::new(Kind::Integer("u16".into()))),
            ),
        ];
        let filled = filled(&[
            ("vlans", "10\r\n 20, 30"),
            ("name", "blade"),
            ("uses", "3"),
            ("tags", "row=a\r\nlab=\r\n"),
            ("on", "true"),
            ("note", ""),
        ]);
        assert_eq!(
            body(&fields, &filled, None),
            json!({
                "name": "blade", "uses": 3, "on": true,
                "tags": {"row": "a", "lab": ""}, "vlans": [10, 20, 30],
            })
        );
    }

    #[test]
    fn a_change_sends_only_what_differs() {
        let fields = [
            property("name", Kind::Text),
            property("assetTag", Kind::Text),
            property("tags", Kind::Map(Box::new(Kind::Text))),
        ];
        let current =
            json!({"name": "a", "assetTag": "x", "tags": {"row": "a"}});
        let filled =
            filled(&[("name", "b"), ("assetTag", ""), ("tags", "row=a")]);
        assert_eq!(
            body(&fields, &filled, Some(&current)),
            json!({"name": "b", "assetTag": ""})
        );
    }

    #[test]
    fn an_error_stands_at_its_field() {
        let fields = [property("name", Kind::Text)];
        let mut refusal =
            Refusal::new(StatusCode::BAD_REQUEST, "this name is taken");
        refusal.pointer = Some("/name".into());
        let fields = Fields::new(&fields, None)
            .refused(&filled(&[("name", "x")]), &refusal);
        let field = fields.fields.first().unwrap();
        assert_eq!(field.error.as_deref(), Some("This name is taken."));
        assert_eq!(field.value, "x");
        assert_eq!(fields.error, None);
    }
}
