//! Values of fields, read from words of the command line.

use onprem_description::{Kind, Property};
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};

/// `text` as a value of `property`.
pub(crate) fn value(property: &Property, text: &str) -> Result<Value, Failure> {
    if property.nullable && text == "null" {
        return Ok(Value::Null);
    }
    let value = of_kind(&property.kind, text);
    let value = value.and_then(|value| within(property, value));
    value.map_err(|expected| {
        let message = format!("`{text}` is no {}: {expected}", property.name);
        Failure::new(Code::Invalid, message)
    })
}

/// A number that the field can have.
fn within(property: &Property, value: Value) -> Result<Value, String> {
    let Some(number) = value.as_f64() else { return Ok(value) };
    let low = property.minimum.is_some_and(|least| number < least);
    let high = property.maximum.is_some_and(|most| number > most);
    match (property.minimum, property.maximum) {
        (Some(least), None) if low => {
            Err(format!("{least} or more is expected"))
        }
        (None, Some(most)) if high => {
            Err(format!("{most} at most is expected"))
        }
        (Some(least), Some(most)) if low || high => {
            Err(format!("{least} to {most} is expected"))
        }
        _ => Ok(value),
    }
}

fn of_kind(kind: &Kind, text: &str) -> Result<Value, String> {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    match kind {
        Kind::Text | Kind::DateTime => Ok(text.into()),
        Kind::Boolean => match text {
            "true" | "yes" | "on" | "1" => Ok(true.into()),
            "false" | "no" | "off" | "0" => Ok(false.into()),
            _ => Err("true or false is expected".into()),
        },
        Kind::Integer(_) => json(text)
            .filter(|value| value.is_i64() || value.is_u64())
            .ok_or_else(|| "a whole number is expected".into()),
        Kind::Number(_) => json(text)
            .filter(Value::is_number)
            .ok_or_else(|| "a number is expected".into()),
        Kind::Enum(words) => words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(text))
            .map(|word| word.as_str().into())
            .ok_or_else(|| format!("one of {} is expected", words.join(", "))),
        Kind::List(inner) => {
            if text.starts_with('[') {
                return json(text)
                    .filter(Value::is_array)
                    .ok_or_else(|| "this is not JSON".into());
            }
            let words = text.split(',').map(str::trim);
            let words = words.filter(|word| !word.is_empty());
            let items: Result<_, _> =
                words.map(|word| of_kind(inner, word)).collect();
            Ok(Value::Array(items?))
        }
        Kind::Map(inner) => {
            if text.starts_with('{') {
                return json(text)
                    .filter(Value::is_object)
                    .ok_or_else(|| "this is not JSON".into());
            }
            let mut map = Map::new();
            for entry in text.split(',').filter(|entry| !entry.is_empty()) {
                let (name, text) = entry
                    .split_once('=')
                    .ok_or_else(|| "NAME=VALUE is expected".to_owned())?;
                map.insert(name.to_owned(), of_kind(inner, text)?);
            }
            Ok(Value::Object(map))
        }
        Kind::Struct => json(text)
            .filter(Value::is_object)
            .ok_or_else(|| "a JSON object is expected".into()),
        Kind::Any => {
            Ok(json(text).unwrap_or_else(|| Value::String(text.into())))
        }
    }
}

/// Enters `path=text` into `body`. Where one entry of a map is set, the
/// others are those of `current`.
pub(crate) fn assign(
    body: &mut Map<String, Value>,
    fields: &[Property],
    assignment: &str,
    current: &Value,
) -> Result<(), Failure> {
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(Failure::usage(format!(
            "`{assignment}` sets nothing: FIELD=VALUE is expected"
        )));
    };
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let field = fields
        .iter()
        .find(|field| field.name == first)
        .ok_or_else(|| unknown(first, fields))?;
    let Some(rest) = rest else {
        if matches!(field.kind, Kind::Map(_)) && !text.starts_with('{') {
            // It would take the place of all that is there.
            let message = format!("`{assignment}` names no entry of {first}");
            return Err(Failure::new(Code::Invalid, message).hint(format!(
                "`{first}.NAME=VALUE` sets one, `{first}.NAME=` removes \
                 one, `{first}={{\"NAME\":\"VALUE\"}}` replaces all"
            )));
        }
        body.insert(first.to_owned(), value(field, text)?);
        return Ok(());
    };
    let before = body.get(first).or_else(|| current.get(first));
    let mut inner = match before {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    match &field.kind {
        Kind::Map(kind) => {
            if rest.is_empty() {
                let message = format!("`{assignment}` names no entry");
                return Err(Failure::new(Code::Invalid, message)
                    .hint(format!("`{first}.NAME=VALUE` sets one")));
            }
            if matches!(text, "" | "null") {
                inner.shift_remove(rest);
            } else {
                let value = of_kind(kind, text).map_err(|expected| {
                    let text = format!("`{text}` is no {path}: {expected}");
                    Failure::new(Code::Invalid, text)
                })?;
                inner.insert(rest.to_owned(), value);
            }
        }
        Kind::Struct => {
            let current = current.get(first).unwrap_or(&Value::Null);
            let assignment = format!("{rest}={text}");
            assign(&mut inner, &field.properties, &assignment, current)?;
        }
        _ => {
            return Err(Failure::new(
                Code::Invalid,
                format!("`{first}` has no parts: `{path}` cannot be set"),
            ));
        }
    }
    body.insert(first.to_owned(), Value::Object(inner));
    Ok(())
}

fn unknown(name: &str, fields: &[Property]) -> Failure {
    let failure = Failure::new(
        Code::Invalid,
        format!("there is no field `{name}` that can be set"),
    );
    let names: Vec<_> = fields.iter().map(|f| f.name.as_str()).collect();
    match closest(name, &names) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("there are {}", names.join(", "))),
    }
}

/// The word that is nearly `text`.
pub(crate) fn closest<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    words
        .iter()
        .map(|word| {
            (distance(&text.to_lowercase(), &word.to_lowercase()), word)
        })
        .filter(|(distance, word)| *distance <= word.len().min(6) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| *word)
}

/// How many letters must be changed to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cost =
                |at: Option<&usize>| at.copied().unwrap_or(usize::MAX / 2);
            let change = cost(row.get(j)) + usize::from(from != *to);
            let shorter = cost(row.get(j + 1)) + 1;
            let longer = cost(next.last()) + 1;
            next.push(change.min(shorter).min(longer));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Vec<Property> {
        let field = |name: &str, kind| Property {
            name: name.into(),
            kind,
            ..Property::default()
        };
        let text = || Box::new(Kind::Text);
        vec![
            field("assetTag", Kind::Text),
            field("uses", Kind::Integer("u32".into())),
            field("state", Kind::Enum(vec!["On".into(), "Off".into()])),
            field("tags", Kind::Map(text())),
            field("names", Kind::List(text())),
        ]
    }

    fn assigned(
        assignments: &[&str],
        current: &Value,
    ) -> Result<Value, Failure> {
        let mut body = Map::new();
        for assignment in assignments {
            assign(&mut body, &fields(), assignment, current)?;
        }
        Ok(Value::Object(body))
    }

    #[test]
    fn reads_values_by_the_type_of_their_field() {
        let body = assigned(
            &[
                "assetTag=12",
                "uses=3",
                "state=off",
                "names=a,b",
                "tags={\"r\":\"1\"}",
            ],
            &Value::Null,
        );
        let expected = json!({
            "assetTag": "12", "uses": 3, "state": "Off",
            "names": ["a", "b"], "tags": {"r": "1"},
        });
        assert_eq!(body.unwrap(), expected);
    }

    #[test]
    fn keeps_the_other_entries_of_a_map() {
        let current = json!({"tags": {"row": "a", "lab": "1", "old": "2"}});
        let change = ["tags.row=b", "tags.lab=null", "tags.old="];
        let body = assigned(&change, &current);
        assert_eq!(body.unwrap(), json!({"tags": {"row": "b"}}));
    }

    #[test]
    fn replaces_a_map_only_by_a_whole_map() {
        for text in ["tags=x", "tags=a=b", "tags=", "tags=null", "tags.=b"] {
            let wrong = assigned(&[text], &Value::Null).unwrap_err();
            assert_eq!(wrong.code, Code::Invalid, "{text}");
            let hint = wrong.hint.unwrap();
            assert!(hint.contains("`tags.NAME=VALUE`"), "{hint}");
        }
        let wrong = assigned(&["tags={x"], &Value::Null).unwrap_err();
        assert!(wrong.message.contains("JSON"), "{}", wrong.message);
    }

    #[test]
    fn names_the_field_and_the_value_that_are_wrong() {
        let failure = |text| assigned(&[text], &Value::Null).unwrap_err();
        let wrong = failure("uses=many");
        assert_eq!(wrong.code, Code::Invalid);
        assert!(wrong.message.contains("uses"), "{}", wrong.message);
        assert!(wrong.message.contains("many"), "{}", wrong.message);
        let unknown = failure("asettag=1");
        assert_eq!(unknown.hint.unwrap(), "did you mean `assetTag`?");
        assert_eq!(failure("assetTag").code, Code::Usage);
        assert!(failure("uses.x=1").message.contains("no parts"));
    }
}
