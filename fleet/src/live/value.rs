//! Values of Redfish resources.

use std::time::Duration;

use chrono::{DateTime, Utc};
use onprem_link::span::in_words;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::Health;

/// What a Redfish service says is wrong, and what to do about it.
pub(crate) fn reason(answer: &Value) -> String {
    said(answer).unwrap_or_else(|| "no reason given".into())
}

fn said(answer: &Value) -> Option<String> {
    let first = answer.pointer("/error/@Message.ExtendedInfo/0");
    let said = |name| first?.get(name)?.as_str();
    let text = said("Message")
        .or_else(|| answer.pointer("/error/message")?.as_str())?;
    let text = &patient(first, text);
    let advice = said("Resolution").filter(|advice| !advice.is_empty());
    Some(advice.map_or(text.into(), |advice| format!("{text} {advice}")))
}

/// A message that counts a wait in seconds, as people say it.
fn patient(message: Option<&Value>, text: &str) -> String {
    let seconds = message
        .filter(|it| {
            let id = it.get("MessageId").and_then(Value::as_str);
            id.is_some_and(|it| it.ends_with(".ServiceTemporarilyUnavailable"))
        })
        .and_then(|it| it.pointer("/MessageArgs/0")?.as_str());
    let Some(seconds) = seconds else { return text.to_owned() };
    let Ok(wait) = seconds.parse::<u32>() else { return text.to_owned() };
    let words = in_words(Duration::from_secs(wait.into()));
    text.replace(&format!("{seconds} seconds"), &words)
}

pub(crate) fn text(resource: &Value, pointer: &str) -> Option<String> {
    let text = resource.pointer(pointer)?.as_str()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(crate) fn number(resource: &Value, pointer: &str) -> Option<f64> {
    resource.pointer(pointer)?.as_f64()
}

pub(crate) fn link<'a>(resource: &'a Value, pointer: &str) -> Option<&'a str> {
    resource.pointer(pointer)?.get("@odata.id")?.as_str()
}

pub(crate) fn time(resource: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    let text = resource.pointer(pointer)?.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// A value of an enum; none where the device has a word that we have not.
pub(crate) fn word<T: DeserializeOwned>(
    resource: &Value,
    pointer: &str,
) -> Option<T> {
    T::deserialize(resource.pointer(pointer)?).ok()
}

pub(crate) fn health(resource: &Value) -> Option<Health> {
    word(resource, "/Status/HealthRollup")
        .or_else(|| word(resource, "/Status/Health"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_wait_is_said_as_people_say_it() {
        let answer = |seconds: &str| {
            json!({"error": {"@Message.ExtendedInfo": [{
                "MessageId": "Base.1.22.ServiceTemporarilyUnavailable",
                "MessageArgs": [seconds],
                "Message": format!("It can in {seconds} seconds."),
                "Resolution": "Wait.",
            }]}})
        };
        assert_eq!(reason(&answer("2570")), "It can in 43 minutes. Wait.");
        assert_eq!(reason(&answer("20")), "It can in 20 seconds. Wait.");
        assert_eq!(reason(&answer("soon")), "It can in soon seconds. Wait.");
    }
}
