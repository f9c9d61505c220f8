//! Reads properties from schemas.

use serde_json::Value;

use crate::{
    Format,
    model::{Current, Kind, Property, Reference, Series, State, Tone},
    read::strings,
    words::title,
};

/// How deep structures are followed; schemas may contain themselves.
const DEPTH: usize = 6;

/// A schema as it is used at one place: the place itself, then what it refers
/// to. What the place says wins.
#[derive(Clone, Debug)]
pub(crate) struct Schema<'a> {
    document: &'a Value,
    chain: Vec<&'a Value>,
    /// Its name among the components.
    pub(crate) name: Option<&'a str>,
}

impl<'a> Schema<'a> {
    pub(crate) fn at(document: &'a Value, place: &'a Value) -> Self {
        let mut schema = Self { document, chain: vec![place], name: None };
        let mut node = place;
        while schema.chain.len() < 16 {
            if let Some(target) = node.get("$ref").and_then(Value::as_str) {
                let Some(next) = target
                    .strip_prefix('#')
                    .and_then(|pointer| document.pointer(pointer))
                else {
                    break;
                };
                let name = target.rsplit('/').next();
                schema.name = schema.name.or(name);
                node = next;
            } else if let Some([only]) =
                node.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
            {
                node = only;
            } else {
                break;
            }
            schema.chain.push(node);
        }
        schema
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.chain.iter().find_map(|node| node.get(key))
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key) == Some(&Value::Bool(true))
    }

    /// The schemas this one is one of, or all of.
    fn parts(&self) -> Vec<Schema<'a>> {
        ["oneOf", "anyOf", "allOf"]
            .iter()
            .filter_map(|key| self.get(key)?.as_array())
            .filter(|parts| parts.len() > 1)
            .flatten()
            .map(|part| Schema::at(self.document, part))
            .collect()
    }

    /// The schema of the entries of a list.
    pub(crate) fn items(&self) -> Option<Schema<'a>> {
        self.get("items").map(|items| Schema::at(self.document, items))
    }

    /// The schema of a property.
    pub(crate) fn field(&self, name: &str) -> Option<Schema<'a>> {
        let place = self.get("properties")?.get(name)?;
        Some(Schema::at(self.document, place))
    }

    /// The texts that are allowed.
    fn words(&self) -> Option<Vec<String>> {
        let own = |values: &Value| -> Option<Vec<String>> {
            let words = values.as_array()?.iter();
            // A null among the words says that it is nullable.
            let words = words.filter(|v| !v.is_null());
            words.map(|v| v.as_str().map(str::to_owned)).collect()
        };
        if let Some(values) = self.get("enum") {
            return own(values);
        }
        let parts = self.parts();
        let words: Option<Vec<_>> = parts.iter().map(Schema::words).collect();
        words.map(|w| w.concat()).filter(|w| !w.is_empty())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind_within(DEPTH)
    }

    fn kind_within(&self, depth: usize) -> Kind {
        if depth == 0 {
            return Kind::Any;
        }
        if let Some(words) = self.words() {
            return Kind::Enum(words);
        }
        let format = self.get("format").and_then(Value::as_str);
        match self.get("type").and_then(Value::as_str) {
            Some("string") if format == Some("date-time") => Kind::DateTime,
            Some("string") => Kind::Text,
            Some("boolean") => Kind::Boolean,
            Some("integer") => Kind::Integer(match format {
                Some("uint" | "uint64") => "u64".into(),
                Some("int32") => "i32".into(),
                Some("uint32") => "u32".into(),
                Some("uint16") => "u16".into(),
                Some("uint8") => "u8".into(),
                _ => "i64".into(),
            }),
            Some("number") => Kind::Number(match format {
                Some("float") => "f32".into(),
                _ => "f64".into(),
            }),
            Some("array") => {
                let inner = self.items();
                Kind::List(Box::new(
                    inner.map_or(Kind::Any, |i| i.kind_within(depth - 1)),
                ))
            }
            _ if self.get("properties").is_some() => Kind::Struct,
            _ => match self.get("additionalProperties") {
                Some(inner @ Value::Object(_)) => {
                    let inner = Schema::at(self.document, inner);
                    Kind::Map(Box::new(inner.kind_within(depth - 1)))
                }
                Some(Value::Bool(true)) => Kind::Map(Box::new(Kind::Any)),
                _ if self.parts().iter().any(|p| p.kind() == Kind::Struct) => {
                    Kind::Struct
                }
                _ => Kind::Any,
            },
        }
    }

    /// The properties, in the order in which they are shown.
    pub(crate) fn properties(
        &self,
        problems: &mut Vec<String>,
    ) -> Vec<Property> {
        self.properties_under("", DEPTH, problems)
    }

    fn properties_under(
        &self,
        prefix: &str,
        depth: usize,
        problems: &mut Vec<String>,
    ) -> Vec<Property> {
        if depth == 0 {
            return Vec::new();
        }
        let mut found: Vec<Property> = Vec::new();
        if let Some(Value::Object(own)) = self.get("properties") {
            let required = self.get("required").and_then(Value::as_array);
            for (name, place) in own {
                let schema = Schema::at(self.document, place);
                let mut property =
                    schema.property(name, prefix, depth, problems);
                property.required =
                    required.is_some_and(|r| r.iter().any(|n| n == name));
                found.push(property);
            }
        }
        for part in self.parts() {
            for mut property in part.properties_under(prefix, depth, problems) {
                property.required = false;
                if !found.iter().any(|p| p.name == property.name) {
                    found.push(property);
                }
            }
        }
        found.sort_by_key(|property| property.order);
        found
    }

    /// This schema as the property `name`.
    pub(crate) fn property(
        &self,
        name: &str,
        prefix: &str,
        depth: usize,
        problems: &mut Vec<String>,
    ) -> Property {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let pointer = format!("{prefix}/{escaped}");
        let kind = self.kind();
        let mut own = |text: String| {
            let place = self.name.map_or_else(String::new, |n| format!("{n} "));
            problems.push(format!("{place}{pointer}: {text}"));
        };
        let states = states(self.get("x-onprem-state"), &mut own);
        let format = match self.text("x-onprem-format") {
            Some(text) => text.parse().unwrap_or_else(|()| {
                own(format!("no format is called `{text}`"));
                Format::Text
            }),
            None if !states.is_empty() => Format::State,
            None => self.default_format(name, &kind),
        };
        let properties = match &kind {
            Kind::Struct => {
                self.properties_under(&pointer, depth - 1, problems)
            }
            Kind::List(inner) if **inner == Kind::Struct => {
                self.items().map_or_else(Vec::new, |items| {
                    items.properties_under("", depth - 1, problems)
                })
            }
            _ => Vec::new(),
        };
        Property {
            name: name.to_owned(),
            title: self.text("x-onprem-title").unwrap_or_else(|| title(name)),
            // The place's own words, else those of the type.
            description: self.text("description"),
            format,
            unit: self.text("x-onprem-unit"),
            states,
            reference: reference(self.get("x-onprem-ref")),
            group: self.text("x-onprem-group"),
            order: self
                .get("x-onprem-order")
                .and_then(Value::as_i64)
                .unwrap_or_else(|| 1000 + rank(name, &kind)),
            series: series(self.get("x-onprem-series")),
            current: current(self.get("x-onprem-current")),
            nullable: self.flag("nullable"),
            read_only: self.flag("readOnly"),
            write_only: self.flag("writeOnly")
                || self.text("format").as_deref() == Some("password"),
            default: self.get("default").cloned(),
            example: self.get("example").cloned(),
            minimum: self.bound("minimum", "minLength"),
            maximum: self.bound("maximum", "maxLength"),
            pattern: self.text("pattern"),
            properties,
            required: false,
            kind,
            pointer,
        }
    }

    fn bound(&self, number: &str, length: &str) -> Option<f64> {
        self.get(number).or_else(|| self.get(length))?.as_f64()
    }

    fn default_format(&self, name: &str, kind: &Kind) -> Format {
        match kind {
            Kind::Boolean => Format::Boolean,
            Kind::Integer(_) | Kind::Number(_) => Format::Number,
            Kind::DateTime => Format::Time,
            Kind::Map(_) => Format::Tags,
            Kind::List(inner) if **inner == Kind::Struct => Format::Json,
            Kind::List(_) => Format::List,
            Kind::Struct | Kind::Any => Format::Json,
            Kind::Enum(_) if name == "state" || name == "health" => {
                Format::State
            }
            Kind::Enum(_) => Format::Text,
            Kind::Text => match self.text("format").as_deref() {
                Some("uuid") => Format::Uuid,
                Some("ip" | "ipv4" | "ipv6") => Format::Ip,
                Some("uri" | "url") => Format::Url,
                Some("password") => Format::Secret,
                _ if self.name == Some("Xid") => Format::Xid,
                // Never shown by oversight.
                _ if name == "password" || name.ends_with("Password") => {
                    Format::Secret
                }
                _ => Format::Text,
            },
        }
    }
}

/// What one wants to see first comes first.
fn rank(name: &str, kind: &Kind) -> i64 {
    match (name, kind) {
        ("id", _) => 0,
        ("name", _) => 1,
        ("state" | "health" | "status", _) => 2,
        (_, Kind::DateTime) => 6,
        (_, Kind::Map(_) | Kind::List(_)) => 7,
        (_, Kind::Struct | Kind::Any) => 8,
        _ => 4,
    }
}

fn states(
    facts: Option<&Value>,
    problem: &mut impl FnMut(String),
) -> Vec<State> {
    let Some(facts) = facts.and_then(Value::as_object) else {
        return Vec::new();
    };
    facts
        .iter()
        .map(|(value, fact)| {
            let tone = fact.as_str().or_else(|| fact.get("tone")?.as_str());
            let tone = match tone {
                Some("ok") => Tone::Ok,
                Some("info") => Tone::Info,
                Some("warn") => Tone::Warn,
                Some("bad") => Tone::Bad,
                Some("off") => Tone::Off,
                other => {
                    problem(format!("`{value}` has no known tone: {other:?}"));
                    Tone::Off
                }
            };
            let label = fact.get("label").and_then(Value::as_str);
            let label = label.unwrap_or(value).to_owned();
            State { value: value.clone(), label, tone }
        })
        .collect()
}

fn reference(fact: Option<&Value>) -> Option<Reference> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let fact = fact?;
    let resource = text(fact).or_else(|| text(fact.get("resource")?))?;
    Some(Reference { resource, field: fact.get("field").and_then(text) })
}

fn current(fact: Option<&Value>) -> Option<Current> {
    let field = fact?.get("field")?.as_str()?;
    let field = format!("/{}", field.trim_start_matches('/'));
    Some(Current { field, values: strings(fact?.get("values")) })
}

fn series(fact: Option<&Value>) -> Option<Series> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let fact = fact?;
    Some(Series {
        metric: text(fact).or_else(|| text(fact.get("metric")?))?,
        unit: fact.get("unit").and_then(text),
        range: fact.get("range").and_then(text),
    })
}
