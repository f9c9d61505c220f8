//! Whether a value is one that a property can take.

use crate::csdl::{Kind, Property};
use regex_lite::Regex;
use serde_json::Value;
use std::fmt;

const TIME: &str = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$";
const DURATION: &str = r"^-?P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$";
const UUID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Type,
    Format,
    NotInList,
    OutOfRange,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "has the wrong type",
            Self::Format => "has the wrong form",
            Self::NotInList => "is not in the list of values",
            Self::OutOfRange => "is out of range",
        })
    }
}

/// Judges a single value (an element, of a collection) that is not an object.
pub(crate) fn judge(property: &Property, value: &Value) -> Result<(), Fault> {
    if value.is_null() {
        return property.nullable.then_some(()).ok_or(Fault::Type);
    }
    match property.kind {
        Kind::Boolean => demand(value.is_boolean()),
        Kind::Integer => {
            demand(value.is_i64() || value.is_u64())?;
            range(property, value)
        }
        Kind::Number => {
            demand(value.is_number())?;
            range(property, value)
        }
        Kind::Text => form(value, property.pattern()),
        Kind::Time => form(value, Some(TIME)),
        Kind::Duration => form(value, Some(DURATION)),
        Kind::Uuid => form(value, Some(UUID)),
        Kind::Primitive => demand(!value.is_object() && !value.is_array()),
        Kind::Enum(members) => {
            let text = value.as_str().ok_or(Fault::Type)?;
            members.contains(&text).then_some(()).ok_or(Fault::NotInList)
        }
        Kind::Object(_) | Kind::Excerpt(_) | Kind::Link(_) => {
            demand(value.is_object())
        }
    }
}

fn demand(right: bool) -> Result<(), Fault> {
    right.then_some(()).ok_or(Fault::Type)
}

fn range(property: &Property, value: &Value) -> Result<(), Fault> {
    let number = value.as_f64().ok_or(Fault::Type)?;
    let above = property.minimum().is_none_or(|least| number >= least);
    let below = property.maximum().is_none_or(|most| number <= most);
    (above && below).then_some(()).ok_or(Fault::OutOfRange)
}

fn form(value: &Value, pattern: Option<&str>) -> Result<(), Fault> {
    let text = value.as_str().ok_or(Fault::Type)?;
    let fits = pattern.is_none_or(|pattern| {
        Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
    });
    fits.then_some(()).ok_or(Fault::Format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csdl::{self, Object};
    use serde_json::json;

    fn judged(path: [&str; 2], value: &Value) -> Result<(), Fault> {
        let found = csdl::type_named(path[0]).unwrap();
        judge(found.property(path[1]).unwrap(), value)
    }

    #[test]
    fn tells_a_wrong_type_from_a_wrong_value() {
        let indicator = ["Chassis", "LocationIndicatorActive"];
        assert_eq!(judged(indicator, &json!(true)), Ok(()));
        assert_eq!(judged(indicator, &json!("on")), Err(Fault::Type));
        let state = ["ComputerSystem", "PowerState"];
        assert_eq!(judged(state, &json!("Off")), Ok(()));
        assert_eq!(judged(state, &json!("off")), Err(Fault::NotInList));
        let timeout = ["SessionService", "SessionTimeout"];
        assert_eq!(judged(timeout, &json!(600)), Ok(()));
        assert_eq!(judged(timeout, &json!(29)), Err(Fault::OutOfRange));
        assert_eq!(judged(timeout, &json!(600.5)), Err(Fault::Type));
        let uuid = ["ComputerSystem", "UUID"];
        assert_eq!(judged(uuid, &json!("8938301d")), Err(Fault::Format));
    }

    #[test]
    fn a_time_needs_its_zone() {
        let time = ["Manager", "DateTime"];
        assert_eq!(judged(time, &json!("2026-11-22T15:00:00Z")), Ok(()));
        let bare = json!("2026-11-22T15:00:00");
        assert_eq!(judged(time, &bare), Err(Fault::Format));
    }

    #[test]
    fn every_pattern_of_the_schemas_is_understood() {
        fn visit(object: &'static Object, seen: &mut Vec<&'static str>) {
            if seen.contains(&object.name) {
                return;
            }
            seen.push(object.name);
            for property in object.properties {
                if let Some(pattern) = property.pattern() {
                    Regex::new(pattern).unwrap();
                }
                if let Kind::Object(inner) | Kind::Excerpt(inner) =
                    property.kind
                {
                    visit(inner, seen);
                }
            }
        }
        let mut seen = Vec::new();
        for found in csdl::types() {
            visit(found.object, &mut seen);
        }
    }
}
