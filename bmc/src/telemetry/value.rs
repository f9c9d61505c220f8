//! Values of metrics, and where they are read.

use std::{collections::HashMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json};

use super::{
    Host,
    resolve::{Property, Source},
};
use crate::model::{Quality, Snapshot};

/// The value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Number(f64),
    /// What is neither null nor a number, as the report shows it.
    Text(Arc<str>),
}

impl Value {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Number(number) => {
                number.as_f64().map_or(Self::Null, Self::Number)
            }
            Json::String(text) => Self::Text(text.as_str().into()),
            other => Self::Text(other.to_string().into()),
        }
    }
}

/// Reads properties at one moment; each resource is made once.
pub(crate) struct Reader<'a> {
    host: &'a dyn Host,
    snapshot: &'a Snapshot,
    at: DateTime<Utc>,
    made: HashMap<String, Option<Map<String, Json>>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(host: &'a dyn Host, snapshot: &'a Snapshot) -> Self {
        Self { host, snapshot, at: Utc::now(), made: HashMap::new() }
    }

    /// The moment.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The value of `property`, and when it was obtained.
    pub(crate) fn read(
        &mut self,
        property: &Property,
    ) -> (Value, DateTime<Utc>) {
        if let Source::Sensor(id) = &property.source {
            let Some(reading) = self.snapshot.reading(id) else {
                return (Value::Null, self.at);
            };
            let number = reading.number();
            return (number.map_or(Value::Null, Value::Number), reading.at);
        }
        let (uri, pointer) = property.parts();
        if !self.made.contains_key(uri) {
            let made = self.host.resource(uri);
            self.made.insert(uri.to_owned(), made);
        }
        let body = self.made.get(uri).and_then(Option::as_ref);
        let value = body.and_then(|body| {
            let mut segments = pointer.split('/').skip(1);
            let first = plain(segments.next()?);
            segments.try_fold(body.get(&first)?, |value, segment| {
                let segment = plain(segment);
                match value {
                    Json::Array(items) => {
                        items.get(segment.parse::<usize>().ok()?)
                    }
                    other => other.get(&segment),
                }
            })
        });
        (value.map_or(Value::Null, Value::from), self.at)
    }

    /// What a sensor says, if that can be trusted.
    pub(crate) fn trusted(&mut self, property: &Property) -> Option<f64> {
        if let Source::Sensor(id) = &property.source {
            let reading = self.snapshot.reading(id)?;
            let good = reading.quality == Quality::Good;
            return reading.number().filter(|_| good);
        }
        self.read(property).0.number()
    }
}

/// A segment of a JSON pointer without its escapes (RFC 6901, 4).
fn plain(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}
