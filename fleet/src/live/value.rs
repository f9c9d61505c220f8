//! Values of Redfish resources.

use chrono::{DateTime, Utc};
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
    let advice = said("Resolution").filter(|advice| !advice.is_empty());
    Some(advice.map_or(text.into(), |advice| format!("{text} {advice}")))
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
