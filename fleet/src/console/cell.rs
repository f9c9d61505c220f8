//! One value of the API as a page shows it.

use askama::Template;
use chrono::{DateTime, Utc};
use onprem_description::{Format, Kind, PageModel, Property, Tone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::chart::Spark;

/// What stays itself in a segment of a path or in a query.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The reading whose unit its item says beside it, and where.
pub(crate) const UNIT: (&str, &str) = ("reading", "readingUnits");

/// Units of UCUM as people write them.
const UNITS: &[(&str, &str)] = &[
    ("Cel", "°C"),
    ("{rev}/min", "rpm"),
    ("RPM", "rpm"),
    ("[cft_i]/min", "cfm"),
];

/// Units of which there may be thousands.
const SCALED: &[(&str, Format)] =
    &[("Hz", Format::Hertz), ("By", Format::Bytes)];

/// Properties in which the API speaks to people.
const MESSAGES: &[&str] = &["message", "result", "taintedReasons"];

/// A value as it is shown.
#[derive(Debug, Clone, Template)]
#[template(path = "cell.html")]
pub(crate) struct Cell {
    pub(crate) shown: Shown,
}

/// The forms a value takes on a page.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    Nothing,
    Text(String),
    Quiet(String),
    Code(String),
    Link { href: String, text: String },
    Outside(String),
    State { tone: &'static str, label: String },
    Time { at: String, text: String },
    Number { text: String, unit: String },
    Share { percent: f64, text: String },
    Tags(Vec<(String, String)>),
    Lines(Vec<Cell>),
    Properties(Vec<(String, Cell)>),
    Block(String),
    Spark(Spark),
}

impl From<Shown> for Cell {
    fn from(shown: Shown) -> Self {
        Self { shown }
    }
}

impl Cell {
    /// There is no value.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.shown, Shown::Nothing)
    }

    /// It takes the width of a card.
    pub(crate) fn is_wide(&self) -> bool {
        matches!(self.shown, Shown::Block(_))
    }
}

/// The word for a tone in the stylesheet.
pub(crate) fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Ok => "ok",
        Tone::Info => "info",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Off => "off",
    }
}

/// Numbers stand at the right of their column.
pub(crate) fn is_number(property: &Property) -> bool {
    matches!(property.kind, Kind::Integer(_) | Kind::Number(_))
        && property.format != Format::Percent
}

/// Makes cells of values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) model: &'a PageModel,
    pub(crate) now: DateTime<Utc>,
    /// The item that the page is of: its resource's segment, and its name.
    pub(crate) owner: Option<(&'a str, &'a str)>,
}

impl Cells<'_> {
    /// The value of `property` in `item`.
    pub(crate) fn of(&self, property: &Property, item: &Value) -> Cell {
        match property.value(item) {
            None => Shown::Nothing.into(),
            Some(value) if is_blank(value) => Shown::Nothing.into(),
            // Nobody can tell how it is now.
            Some(value) if property.is_past(item) => {
                let label = property.past(&property.show(value));
                if property.states.is_empty() {
                    return Shown::Quiet(label).into();
                }
                Shown::State { tone: tone(Tone::Off), label }.into()
            }
            Some(value) => self.value(property, value, item),
        }
    }

    fn value(&self, property: &Property, value: &Value, item: &Value) -> Cell {
        if is_blank(value) {
            return Shown::Nothing.into();
        }
        let href = self
            .href(property, value)
            .or_else(|| self.href_of_named(property, item));
        if let Some(href) = href {
            let text = property.show(value);
            return Shown::Link { href, text }.into();
        }
        match value {
            Value::String(text) => Self::text(property, text, self.now),
            Value::Bool(_) => Self::word(property, value),
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(0.0);
                let unit = item.get(UNIT.1).and_then(Value::as_str);
                if property.name == UNIT.0
                    && let Some(unit) = unit
                {
                    return with_unit(value, unit);
                }
                self.number(property, number, value)
            }
            Value::Array(items) => self.list(property, items),
            Value::Object(map) if property.properties.is_empty() => {
                if property.format == Format::Json {
                    return Shown::Block(pretty(value)).into();
                }
                let entry = |(name, value): (&String, &Value)| {
                    (name.clone(), property.format.show(value))
                };
                Shown::Tags(map.iter().map(entry).collect()).into()
            }
            Value::Object(_) => {
                let inner = property
                    .properties
                    .iter()
                    .filter(|inner| !inner.is_hidden())
                    .map(|inner| (inner.title.clone(), self.of(inner, item)))
                    .filter(|(_, cell)| !cell.is_nothing())
                    .collect();
                Shown::Properties(inner).into()
            }
            Value::Null => Shown::Nothing.into(),
        }
    }

    /// Where a reference leads.
    fn href(&self, property: &Property, value: &Value) -> Option<String> {
        let reference = property.reference.as_ref()?;
        let resource = self.model.resource(&reference.resource)?;
        resource.view.as_ref()?;
        let below = match resource.parent.as_deref() {
            None => String::new(),
            // What belongs to the item of this page is found below it.
            Some(parent) => {
                let (segment, name) = self.owner?;
                let parent = self.model.resource(parent)?;
                let is_own = parent.segment == segment;
                is_own.then(|| format!("/{segment}/{}", escape(name)))?
            }
        };
        let segment = &resource.segment;
        Some(format!("{below}/{segment}/{}", escape(value.as_str()?)))
    }

    /// Where `deviceName` leads, if `device` beside it is one's id.
    fn href_of_named(
        &self,
        property: &Property,
        item: &Value,
    ) -> Option<String> {
        let word = property.name.strip_suffix("Name")?;
        let resource = self.model.resource(word)?;
        let id = item.get(word)?.as_str()?;
        (resource.name == word && resource.view.is_some())
            .then(|| format!("/{}/{}", resource.segment, escape(id)))
    }

    fn text(property: &Property, text: &str, now: DateTime<Utc>) -> Cell {
        if let Some(state) = property.state(text) {
            let (tone, label) = (tone(state.tone), state.label.clone());
            return Shown::State { tone, label }.into();
        }
        let is_time = property.kind == Kind::DateTime
            || matches!(property.format, Format::Ago | Format::Time);
        if is_time && let Ok(at) = DateTime::parse_from_rfc3339(text) {
            let at = at.with_timezone(&Utc);
            let text = if property.format == Format::Time {
                at.format("%Y-%m-%d %H:%M:%S").to_string()
            } else {
                ago(now, at)
            };
            return Shown::Time { at: at.to_rfc3339(), text }.into();
        }
        if matches!(property.kind, Kind::Enum(_)) {
            return Shown::Text(super::input::label(property, text)).into();
        }
        let text = text.to_owned();
        match property.format {
            Format::State => Shown::State { tone: "off", label: text },
            Format::Xid
            | Format::Uuid
            | Format::Mac
            | Format::Ip
            | Format::Code
            | Format::Secret => Shown::Code(text),
            Format::Url if is_web(&text) => Shown::Outside(text),
            _ if MESSAGES.contains(&property.name.as_str()) => {
                Shown::Text(super::error::quoted(&text))
            }
            _ => Shown::Text(text),
        }
        .into()
    }

    fn word(property: &Property, value: &Value) -> Cell {
        let word = if *value == Value::Bool(true) { "true" } else { "false" };
        match property.state(word) {
            // That something is not so needs no dot.
            Some(state) if state.label == "–" => Shown::Nothing,
            Some(state) if state.tone == Tone::Off => {
                Shown::Quiet(state.label.clone())
            }
            Some(state) => Shown::State {
                tone: tone(state.tone),
                label: state.label.clone(),
            },
            None => {
                Shown::Text(onprem_description::title(&property.show(value)))
            }
        }
        .into()
    }

    fn number(&self, property: &Property, number: f64, value: &Value) -> Cell {
        if property.format == Format::Ago
            && let Some(past) = chrono::TimeDelta::try_milliseconds(
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "seconds of a time fit"
                )]
                {
                    (number * 1000.0) as i64
                },
            )
        {
            return Shown::Text(ago(self.now, self.now - past)).into();
        }
        let text = property.show(value);
        if property.format == Format::Percent {
            return Shown::Share { percent: number.clamp(0.0, 100.0), text }
                .into();
        }
        match text.split_once(' ') {
            Some((number, unit)) => {
                Shown::Number { text: number.to_owned(), unit: unit.to_owned() }
            }
            None => Shown::Number { text, unit: String::new() },
        }
        .into()
    }

    fn list(&self, property: &Property, items: &[Value]) -> Cell {
        let structured = items.iter().any(Value::is_object);
        if !structured {
            let words: Vec<_> =
                items.iter().map(|item| property.show(item)).collect();
            return if property.format == Format::Tags {
                let tag = |word| (word, String::new());
                Shown::Tags(words.into_iter().map(tag).collect()).into()
            } else {
                let line = |word| Shown::Text(word).into();
                Shown::Lines(words.into_iter().map(line).collect()).into()
            };
        }
        if property.properties.is_empty() {
            return Shown::Block(pretty(&Value::Array(items.to_vec()))).into();
        }
        let line = |item: &Value| {
            let inner = property
                .properties
                .iter()
                .filter(|inner| !inner.is_hidden())
                .filter_map(|inner| {
                    let value = item.get(&inner.name)?;
                    let cell = self.value(inner, value, item);
                    (!cell.is_nothing()).then(|| (inner.title.clone(), cell))
                })
                .collect();
            Shown::Properties(inner).into()
        };
        Shown::Lines(items.iter().map(line).collect()).into()
    }
}

/// A reading whose unit stands beside it.
fn with_unit(value: &Value, unit: &str) -> Cell {
    let known = |(code, _): &&(&str, Format)| *code == unit;
    let format = SCALED.iter().find(known).map(|(_, format)| *format);
    let text = format.unwrap_or(Format::Number).show(value);
    let (text, own) = text.split_once(' ').unwrap_or((&text, ""));
    let word = UNITS.iter().find(|(code, _)| *code == unit);
    Shown::Number {
        text: text.to_owned(),
        unit: match own {
            "" => word.map_or(unit, |(_, word)| word).to_owned(),
            own => own.to_owned(),
        },
    }
    .into()
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Only these may become links: a device names its own addresses.
fn is_web(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// How long ago, in words that change at most once a minute.
pub(crate) fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    let (ahead, seconds) = (seconds < 0, seconds.abs());
    let length = match seconds {
        0..60 if ahead => "in under a minute".to_owned(),
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    };
    match (ahead, seconds < 60) {
        (_, true) => length,
        (true, _) => format!("in {length}"),
        (false, _) => format!("{length} ago"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(property: Property, value: &Value) -> String {
        let model = PageModel::default();
        let cells = Cells { model: &model, now: Utc::now(), owner: None };
        let property = Property { pointer: "/x".into(), ..property };
        cells.of(&property, &json!({ "x": value })).render().unwrap()
    }

    #[test]
    fn a_hostile_name_is_text() {
        let html =
            show(Property::default(), &json!("<script>alert(1)</script>"));
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&#60;script"), "{html}");
    }

    #[test]
    fn only_web_addresses_become_links() {
        let url = || Property { format: Format::Url, ..Property::default() };
        let html = show(url(), &json!("javascript:alert(1)"));
        assert!(!html.contains("href"), "{html}");
        let html = show(url(), &json!("https://example.com/"));
        assert!(html.contains("href=\"https://example.com/\""), "{html}");
    }

    #[test]
    fn a_number_has_its_unit_beside_it() {
        let property =
            Property { format: Format::Celsius, ..Property::default() };
        let html = show(property, &json!(48.3));
        assert!(html.contains("48.3"), "{html}");
        assert!(html.contains("°C"), "{html}");
    }

    #[test]
    fn a_reading_takes_the_unit_that_stands_beside_it() {
        let text = |value: Value, unit| match with_unit(&value, unit).shown {
            Shown::Number { text, unit } => format!("{text} {unit}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(json!(48.25), "Cel"), "48.25 °C");
        assert_eq!(text(json!(1_500_000_000.0), "Hz"), "1.5 GHz");
        assert_eq!(text(json!(1726.0), "{rev}/min"), "1726 rpm");
        assert_eq!(text(json!(5.02), "V"), "5.02 V");
    }

    #[test]
    fn a_time_is_told_by_its_age() {
        let now = Utc::now();
        let ago = |seconds| ago(now, now - chrono::TimeDelta::seconds(seconds));
        assert_eq!(ago(5), "just now");
        assert_eq!(ago(125), "2 min ago");
        assert_eq!(ago(7300), "2 h ago");
        assert_eq!(ago(-7300), "in 2 h");
    }
}
