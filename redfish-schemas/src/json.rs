//! JSON as a request may have it: no name twice in an object.

use std::{cell::RefCell, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

/// Why a text is not JSON that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It is no JSON, or nested more than 128 deep, or a number is too large.
    Malformed,
    /// The property at this JSON pointer is there twice.
    Duplicate(String),
}

/// Reads a text as JSON.
///
/// # Errors
/// It is none, or says something twice.
pub fn parse(text: &[u8]) -> Result<Value, Unusable> {
    let twice = RefCell::new(None);
    let mut input = serde_json::Deserializer::from_slice(text);
    let at = Place { above: None, name: "", twice: &twice };
    let value = at.deserialize(&mut input);
    let value = value.and_then(|value| input.end().map(|()| value));
    match twice.take() {
        Some(pointer) => Err(Unusable::Duplicate(pointer)),
        None => value.map_err(|_| Unusable::Malformed),
    }
}

/// A value, and where it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    name: &'a str,
    /// The pointer to what is there twice, once found.
    twice: &'a RefCell<Option<String>>,
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self.above {
            Some(above) => format!("{}/{}", above.pointer(), self.name),
            None => String::new(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(
        self,
        input: D,
    ) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut input: A,
    ) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let name = values.len().to_string();
            let place = Place { above: Some(&self), name: &name, ..self };
            match input.next_element_seed(place)? {
                Some(value) => values.push(value),
                None => return Ok(values.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut input: A,
    ) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = input.next_key::<String>()? {
            let place = Place { above: Some(&self), name: &name, ..self };
            if object.contains_key(&name) {
                *self.twice.borrow_mut() = Some(place.pointer());
                return Err(A::Error::custom("a name is there twice"));
            }
            let value = input.next_value_seed(place)?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "null",
            "true",
            "-5",
            "18446744073709551615",
            "1.5e3",
            r#""a\u00e9\n""#,
            r#"[1,"a",[],{},null]"#,
            r#"{"b":{"c":[{"d":1},{"d":2}]},"a":2}"#,
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
        let order = parse(br#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(order.to_string(), json!({"b": 1, "a": 2}).to_string());
    }

    #[test]
    fn says_what_is_there_twice() {
        for (text, pointer) in [
            (r#"{"A":1,"B":2,"A":1}"#, "/A"),
            (r#"{"A":{"B":[0,{"C":1,"C":2}]}}"#, "/A/B/1/C"),
            (r#"{"A":1,"\u0041":1"#, "/A"),
        ] {
            let expected = Unusable::Duplicate(pointer.to_owned());
            assert_eq!(parse(text.as_bytes()), Err(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_json() {
        let deep = "[".repeat(100_000);
        for text in
            ["", "{", "{} {}", "{\"a\":}", "1e999", "nul", "{\"a\" 1}", &deep]
        {
            let found = parse(text.as_bytes());
            assert_eq!(found, Err(Unusable::Malformed), "{text:.20}");
        }
        assert_eq!(parse(b"\"\xff\""), Err(Unusable::Malformed));
    }
}
