//! Names that people give.

use std::{fmt, str::FromStr};

use onprem_link::id::Xid;
use schemars::{
    JsonSchema,
    r#gen::SchemaGenerator,
    schema::{InstanceType, Metadata, Schema, SchemaObject, StringValidation},
};
use serde::{Deserialize, Deserializer, Serialize};

/// A name: 1 to 63 characters `a-z 0-9 . -`, the first and the last a letter
/// or a digit, and not one that could be an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name: 1 to 63 characters a-z 0-9 . - expected, the first and \
     the last a letter or a digit, and not 20 that could be an id"
)]
pub struct NotAName(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name nearest to `text`, where there is one.
    #[must_use]
    pub fn nearest(text: &str) -> Option<Self> {
        let text: String = text
            .to_lowercase()
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .take(63)
            .collect();
        text.trim_matches(['-', '.']).parse().ok()
    }

    /// A name that nothing else has.
    #[must_use]
    pub fn from_id(id: Xid) -> Self {
        Self(format!("device-{id}"))
    }

    /// This name with a number after it.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let end = format!("-{number}");
        let start: String = self.0.chars().take(63 - end.len()).collect();
        Self(start + &end)
    }
}

fn allowed(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '.' | '-')
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let good = (1..=63).contains(&text.len())
            && text.chars().all(allowed)
            && !text.starts_with(['-', '.'])
            && !text.ends_with(['-', '.'])
            && text.parse::<Xid>().is_err();
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> String {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            string: Some(Box::new(StringValidation {
                min_length: Some(1),
                max_length: Some(63),
                pattern: Some("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$".into()),
            })),
            metadata: Some(Box::new(Metadata {
                description: Some(
                    "A name: letters, digits, `.` and `-`. It may not look \
                     like an id."
                        .into(),
                ),
                ..Default::default()
            })),
            ..Default::default()
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_nothing_else() {
        for good in ["a", "c001-b8-n01", "rack.7", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", "-a", "a.", "A", "a b", "é", &long, "cfv5v3h32ckl0mq6al70"]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn finds_the_name_nearest_to_a_text() {
        let near = |text| Name::nearest(text).map(|name| name.to_string());
        assert_eq!(near("My Pi_4"), Some("my-pi-4".into()));
        assert_eq!(near("--"), None);
        let numbered = Name(String::from("a").repeat(63)).numbered(12);
        assert_eq!(numbered.as_str().len(), 63);
        assert!(numbered.as_str().ends_with("-12"));
    }
}
