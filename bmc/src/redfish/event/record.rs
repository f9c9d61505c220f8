//! What is told: one record of an event, or one metric report.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::{
    csdl,
    message::{Message, base},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Something that happened, ready to be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Grows with each, over restarts too.
    pub(crate) id: u64,
    /// When it was noticed, by the clock on the wall.
    pub(crate) at: DateTime<Utc>,
    pub(crate) content: Content,
}

/// What an event carries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// A member of `Event.Events`, without its `MemberId`.
    Record(Record),
    /// A `MetricReport`.
    Report {
        /// The URI of its definition.
        definition: String,
        /// The whole resource, as JSON text.
        body: Box<str>,
    },
}

/// A member of `Event.Events`, with what filters look at.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `ResourceEvent`
    pub(crate) registry: String,
    /// `ResourceChanged`
    pub(crate) key: String,
    /// `OK`, `Warning` or `Critical`; a test event may have none.
    pub(crate) severity: Option<String>,
    /// The URI of the resource it is about.
    pub(crate) origin: Option<String>,
    /// The type of that resource, `Sensor`.
    pub(crate) kind: Option<String>,
    /// The object as JSON text.
    body: Box<str>,
}

/// The resource at a URI, where the subscriber may see it.
pub(crate) type Look<'a> = &'a dyn Fn(&str) -> Option<Map<String, Value>>;

impl Record {
    /// What `body` says: a member of `Event.Events`.
    pub(crate) fn new(body: Map<String, Value>) -> Self {
        let text =
            |name: &str| body.get(name).and_then(Value::as_str).map(Into::into);
        let id: String = text("MessageId").unwrap_or_default();
        let (registry, _) = id.split_once('.').unwrap_or((&id, ""));
        let (_, key) = id.rsplit_once('.').unwrap_or(("", &id));
        let origin = body.get("OriginOfCondition");
        let origin = origin.and_then(|it| it.get("@odata.id"));
        let origin = origin.and_then(Value::as_str);
        let kind = origin.and_then(|uri| {
            let path = uri.split('#').next().unwrap_or_default();
            csdl::resource_at(path).map(|it| it.of.name.to_owned())
        });
        Self {
            registry: registry.to_owned(),
            key: key.to_owned(),
            severity: text("MessageSeverity"),
            origin: origin.map(str::to_owned),
            kind,
            body: Value::Object(body).to_string().into(),
        }
    }

    /// The object, without its `MemberId`.
    pub(crate) fn value(&self) -> Map<String, Value> {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// The record of `message` about the resource at `origin`.
pub(super) fn of_message(
    id: u64,
    at: DateTime<Utc>,
    message: &Message,
    origin: &str,
) -> Map<String, Value> {
    let Value::Object(mut record) = message.to_value() else {
        return Map::new();
    };
    record.shift_remove("@odata.type");
    // The types of old are gone; the schema asks for one still.
    record.insert("EventType".to_owned(), "Other".into());
    record.insert("EventId".to_owned(), id.to_string().into());
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    record.insert("EventTimestamp".to_owned(), at.into());
    let origin = json!({ "@odata.id": origin });
    record.insert("OriginOfCondition".to_owned(), origin);
    record
}

impl Event {
    /// The record, if it is one.
    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Record(record) => Some(record),
            Content::Report { .. } => None,
        }
    }

    /// How much room it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Record(record) => record.body.len(),
            Content::Report { body, .. } => body.len(),
        }
    }

    /// It says that what came before it, from `first` to `last`, is lost to
    /// this subscriber. Whether it wanted them is not known any more.
    pub(super) fn gap(first: u64, last: u64, origin: &str) -> Self {
        let at = Utc::now();
        let message = base::event_buffer_exceeded();
        let mut record = of_message(last, at, &message, origin);
        let count = last - first + 1;
        let text = format!(
            "{} No longer known: events {first} to {last}, {count} before \
             any filter.",
            message.text()
        );
        record.insert("Message".to_owned(), text.into());
        Self { id: last, at, content: Content::Record(Record::new(record)) }
    }
}

/// What goes over the wire: one `Event` of all `events`, or the one report.
/// `look` puts the resources in that they are about.
pub(crate) fn payload(
    events: &[Arc<Event>],
    context: Option<&str>,
    look: Option<Look<'_>>,
) -> String {
    if let [only] = events
        && let Content::Report { body, .. } = &only.content
    {
        return with_context(body, context);
    }
    let id = events.last().map_or(0, |it| it.id);
    let mut seen = HashMap::new();
    let records: Vec<String> = events
        .iter()
        .filter_map(|it| it.record())
        .enumerate()
        .map(|(member, record)| match look {
            None => numbered(&record.body, member),
            Some(look) => expanded(record, member, look, &mut seen),
        })
        .collect();
    let of = csdl::type_named("Event").map(csdl::Type::odata_type);
    let of = Value::from(of.unwrap_or_default());
    let body = format!(
        r#"{{"@odata.type":{of},"Id":"{id}","Name":"Event","Events":[{}]}}"#,
        records.join(",")
    );
    with_context(&body, context)
}

/// The object `body` with one more property at its start.
fn with_context(body: &str, context: Option<&str>) -> String {
    match (context, body.strip_prefix('{')) {
        (Some(context), Some(rest)) => {
            format!(r#"{{"Context":{},{rest}"#, Value::from(context))
        }
        _ => body.to_owned(),
    }
}

fn numbered(body: &str, member: usize) -> String {
    let rest = body.strip_prefix('{').unwrap_or("}");
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{{"MemberId":"{member}"{comma}{rest}"#)
}

fn expanded(
    record: &Record,
    member: usize,
    look: Look<'_>,
    seen: &mut HashMap<String, Option<Map<String, Value>>>,
) -> String {
    let mut body = record.value();
    if let Some(origin) = &record.origin {
        let found =
            seen.entry(origin.clone()).or_insert_with(|| look(origin)).clone();
        let (name, value) = match found {
            Some(found) => ("OriginOfCondition", found.into()),
            None => ("OriginOfConditionUnavailable", true.into()),
        };
        body.insert(name.to_owned(), value);
    }
    numbered(&Value::Object(body).to_string(), member)
}

#[cfg(test)]
mod tests {
    use onprem_redfish::message::resource_event;

    use super::*;

    fn event(id: u64) -> Arc<Event> {
        let at = Utc::now();
        let origin = "/redfish/v1/Chassis/c/Sensors/t#/Reading";
        let message = resource_event::resource_changed();
        let record = Record::new(of_message(id, at, &message, origin));
        Arc::new(Event { id, at, content: Content::Record(record) })
    }

    #[test]
    fn a_record_knows_its_registry_and_the_type_of_its_origin() {
        let event = event(7);
        let record = event.record().unwrap();
        assert_eq!(record.registry, "ResourceEvent");
        assert_eq!(record.key, "ResourceChanged");
        assert_eq!(record.kind.as_deref(), Some("Sensor"));
        assert_eq!(record.severity.as_deref(), Some("OK"));
    }

    #[test]
    fn what_is_sent_fits_the_schema() {
        let text = payload(&[event(7), event(8)], Some("a \"b\""), None);
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["Id"], "8");
        assert_eq!(body["Context"], "a \"b\"");
        assert_eq!(body["Events"][1]["MemberId"], "1");
        assert_eq!(body["Events"][1]["EventId"], "8");
    }

    #[test]
    fn the_resource_is_put_in_where_it_may_be_seen() {
        let look = |uri: &str| {
            let body = json!({"@odata.id": uri, "Reading": 5});
            body.as_object().cloned()
        };
        let text = payload(&[event(1)], None, Some(&look));
        let body: Value = serde_json::from_str(&text).unwrap();
        let origin = &body["Events"][0]["OriginOfCondition"];
        assert_eq!(origin["Reading"], 5);
        let text = payload(&[event(1)], None, Some(&|_| None));
        let body: Value = serde_json::from_str(&text).unwrap();
        let record = &body["Events"][0];
        assert_eq!(record["OriginOfConditionUnavailable"], true);
        assert!(record["OriginOfCondition"]["@odata.id"].is_string());
    }
}
