//! Messages of the registries, and the body of an error.
//!
//! Each message of `messages.toml` is a function that takes its arguments:
//! `base::property_not_writable("UUID")`.

use std::borrow::Cow;

use crate::csdl;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// A message registry this product sends messages of.
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    /// `Base`.
    pub name: &'static str,
    /// `1.22.1`.
    pub version: &'static str,
    /// Its messages, by id.
    pub templates: &'static [Template],
}

/// A message before its arguments are known.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// `ResourceChanged`.
    pub id: &'static str,
    /// `OK`, `Warning` or `Critical`.
    pub severity: &'static str,
    /// The sentence; `%1` stands for the first argument.
    pub text: &'static str,
    /// How many arguments it takes.
    pub arguments: u8,
}

impl Registry {
    /// The registry with this name, if the product sends messages of it.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        REGISTRIES.iter().find(|it| it.name == name)
    }

    /// The message with this id, `ResourceChanged`.
    #[must_use]
    pub fn template(&self, id: &str) -> Option<&'static Template> {
        self.templates.iter().find(|it| it.id == id)
    }
}

/// A member of `@Message.ExtendedInfo`.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    id: &'static str,
    severity: &'static str,
    text: &'static str,
    resolution: Cow<'static, str>,
    arguments: Vec<String>,
    related: Vec<String>,
}

/// An argument, in the form in which it is sent.
struct Argument;

impl Argument {
    fn text(value: &str) -> String {
        value.to_owned()
    }

    fn number(value: f64) -> String {
        value.to_string()
    }
}

include!(concat!(env!("OUT_DIR"), "/message.rs"));

impl Message {
    fn new(
        id: &'static str,
        severity: &'static str,
        text: &'static str,
        resolution: &'static str,
        arguments: Vec<String>,
    ) -> Self {
        let resolution = Cow::Borrowed(resolution);
        Self { id, severity, text, resolution, arguments, related: Vec::new() }
    }

    /// Names the property it is about, as a JSON pointer: `/Boot`.
    #[must_use]
    pub fn about(mut self, pointer: impl AsRef<str>) -> Self {
        self.related.push(format!("#{}", pointer.as_ref()));
        self
    }

    /// Says something better than the general advice.
    #[must_use]
    pub fn resolved_by(
        mut self,
        resolution: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.resolution = resolution.into();
        self
    }

    /// Gives it another severity: some messages are as bad as somebody says.
    #[must_use]
    pub fn rated(mut self, severity: &'static str) -> Self {
        self.severity = severity;
        self
    }

    /// `Base.1.22.PropertyNotWritable`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// `OK`, `Warning` or `Critical`.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        self.severity
    }

    /// What to do about it.
    #[must_use]
    pub fn resolution(&self) -> &str {
        &self.resolution
    }

    /// The arguments, in their order.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The sentence, with its arguments filled in.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut rest = self.text;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            let digit = after.chars().next().and_then(|it| it.to_digit(10));
            let index = digit.and_then(|it| (it as usize).checked_sub(1));
            if let Some(argument) = index.and_then(|it| self.arguments.get(it))
            {
                text.push_str(argument);
                rest = after.get(1..).unwrap_or_default();
            } else {
                text.push('%');
                rest = after;
            }
        }
        text + rest
    }

    /// The member of `@Message.ExtendedInfo`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut body = Map::new();
        body.insert("@odata.type".into(), csdl::message_type().into());
        body.insert("MessageId".into(), self.id.into());
        body.insert("Message".into(), self.text().into());
        if !self.arguments.is_empty() {
            body.insert("MessageArgs".into(), json!(self.arguments));
        }
        body.insert("MessageSeverity".into(), self.severity.into());
        body.insert("Resolution".into(), self.resolution().into());
        if !self.related.is_empty() {
            body.insert("RelatedProperties".into(), json!(self.related));
        }
        Value::Object(body)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(to)
    }
}

/// The body of an error: the first message says what the whole is about, and
/// several share a general one.
#[must_use]
pub fn error(messages: &[Message]) -> Value {
    let general = base::general_error();
    let leading = match messages {
        [only] => only,
        _ => &general,
    };
    json!({"error": {
        "code": leading.id(),
        "message": leading.text(),
        "@Message.ExtendedInfo": extended_info(messages),
    }})
}

/// The value of an `@Message.ExtendedInfo` annotation.
#[must_use]
pub fn extended_info(messages: &[Message]) -> Value {
    messages.iter().map(Message::to_value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_arguments_in_and_lists_them() {
        let message = base::property_value_not_in_list("100% on", "PowerState");
        let body = message.about("/PowerState").to_value();
        assert_eq!(body["MessageId"], "Base.1.22.PropertyValueNotInList");
        assert_eq!(body["MessageArgs"], json!(["100% on", "PowerState"]));
        assert_eq!(body["RelatedProperties"], json!(["#/PowerState"]));
        let text = body["Message"].as_str().unwrap();
        assert!(text.contains("'100% on'") && text.contains("PowerState"));
    }

    #[test]
    fn numbers_are_written_without_a_needless_fraction() {
        let message = base::array_size_too_long("NTPServers", 4);
        assert_eq!(message.arguments(), ["NTPServers", "4"]);
    }

    #[test]
    fn a_message_is_found_by_its_registry_and_id() {
        let registry = Registry::named("ResourceEvent").unwrap();
        let found = registry.template("ResourceStatusChangedOK").unwrap();
        assert_eq!((found.severity, found.arguments), ("OK", 2));
        assert!(registry.template("Success").is_none());
        assert!(Registry::named("Nope").is_none());
    }

    #[test]
    fn several_messages_share_a_general_error() {
        let two = [base::property_unknown("A"), base::property_unknown("B")];
        let body = error(&two);
        assert_eq!(body["error"]["code"], "Base.1.22.GeneralError");
        let info = &body["error"]["@Message.ExtendedInfo"];
        assert_eq!(info.as_array().unwrap().len(), 2);
    }
}
