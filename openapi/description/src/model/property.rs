//! What things consist of.

use serde_json::Value;

use crate::Format;

/// A property of an item or a field of a body.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a schema says each of these of its own"
)]
pub struct Property {
    /// Where it is in the item, as a JSON pointer: `/status/health`.
    pub pointer: String,
    /// Its own name: `health`.
    pub name: String,
    /// For people: `Health`.
    pub title: String,
    /// What it means.
    pub description: Option<String>,
    /// Its type.
    pub kind: Kind,
    /// How its values are shown.
    pub format: Format,
    /// The unit of its numbers, where the format does not say it.
    pub unit: Option<String>,
    /// What each value means, if it is a state.
    pub states: Vec<State>,
    /// The resource it points at.
    pub reference: Option<Reference>,
    /// The card or form section it stands in.
    pub group: Option<String>,
    /// Its place within the group; lower comes first.
    pub order: i64,
    /// The metric with its history.
    pub series: Option<Series>,
    /// When its value is how it is now, and not how it was.
    pub current: Option<Current>,
    /// Always there, or to be given.
    pub required: bool,
    /// May be null.
    pub nullable: bool,
    /// Only answered, never sent.
    pub read_only: bool,
    /// Only sent, never answered: a secret.
    pub write_only: bool,
    /// What it is when not given.
    pub default: Option<Value>,
    /// An example.
    pub example: Option<Value>,
    /// Bounds of a number or of a text's length.
    pub minimum: Option<f64>,
    /// See `minimum`.
    pub maximum: Option<f64>,
    /// The regular expression a text matches.
    pub pattern: Option<String>,
    /// What is in it, if it is a structure.
    pub properties: Vec<Property>,
}

/// The type of a property.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Kind {
    /// Text.
    #[default]
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number; the text is its type: `i64`, `u16`.
    Integer(String),
    /// A number; the text is its type: `f64`.
    Number(String),
    /// A point in time, RFC 3339.
    DateTime,
    /// One of these texts.
    Enum(Vec<String>),
    /// Many of one type.
    List(Box<Kind>),
    /// Named values of one type.
    Map(Box<Kind>),
    /// Named properties.
    Struct,
    /// Anything.
    Any,
}

/// The meaning of one value of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// As the API says it.
    pub value: String,
    /// As people read it.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
}

/// How good a state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// Under way.
    Info,
    /// To be looked at.
    Warn,
    /// Broken.
    Bad,
    /// Not in use, or not known.
    #[default]
    Off,
}

/// Where a property points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Name of the resource.
    pub resource: String,
    /// The property of the target that the value equals; else its id or name.
    pub field: Option<String>,
}

/// When a value is how it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The property of the item that says so, as a pointer: `/state`.
    pub field: String,
    /// Its values in which it is.
    pub values: Vec<String>,
}

/// The history of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Name of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: Option<String>,
    /// How far a chart looks back at first: `1h`.
    pub range: Option<String>,
}

impl Property {
    /// Its value in `item`.
    #[must_use]
    pub fn value<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        item.pointer(&self.pointer)
    }

    /// What `value` means, if this is a state.
    #[must_use]
    pub fn state(&self, value: &str) -> Option<&State> {
        self.states.iter().find(|state| state.value == value)
    }

    /// What a value means, if this is a state; a boolean may be one.
    #[must_use]
    pub fn state_of(&self, value: &Value) -> Option<&State> {
        match value {
            Value::String(text) => self.state(text),
            Value::Bool(yes) => self.state(if *yes { "true" } else { "false" }),
            _ => None,
        }
    }

    /// Whether its value in `item` is only what was last known: nobody can
    /// tell how it is now.
    #[must_use]
    pub fn is_past(&self, item: &Value) -> bool {
        let Some(current) = &self.current else { return false };
        let word = item.pointer(&current.field).and_then(Value::as_str);
        let now = |word| current.values.iter().any(|own| own == word);
        self.value(item).is_some_and(|value| !value.is_null())
            && word.is_some_and(|word| !now(word))
    }

    /// A value that is only what was last known, as people read it.
    #[must_use]
    pub fn past(&self, text: &str) -> String {
        match text {
            "" => String::new(),
            text if self.states.is_empty() => format!("last known: {text}"),
            state => format!("was {state}"),
        }
    }

    /// Shown nowhere.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.format == Format::Hidden
    }

    /// `value` as people read it.
    #[must_use]
    pub fn show(&self, value: &Value) -> String {
        if let Some(state) = self.state_of(value) {
            return state.label.clone();
        }
        let text = self.format.show(value);
        match (&self.unit, value) {
            (Some(unit), Value::Number(_)) => format!("{text} {unit}"),
            _ => text,
        }
    }
}

impl Kind {
    /// The type as tables say it: `str`, `bool`, `i64`, `f64`, `datetime`,
    /// `list[str]`, `struct`.
    #[must_use]
    pub fn dtype(&self) -> String {
        match self {
            Self::Text | Self::Enum(_) => "str".into(),
            Self::Boolean => "bool".into(),
            Self::Integer(name) | Self::Number(name) => name.clone(),
            Self::DateTime => "datetime".into(),
            Self::List(inner) => format!("list[{}]", inner.dtype()),
            Self::Map(_) | Self::Struct => "struct".into(),
            Self::Any => "object".into(),
        }
    }
}
