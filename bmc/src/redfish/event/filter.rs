//! What a subscriber wants to hear of.

use serde::{Deserialize, Serialize};

use super::record::{Content, Event};

/// What a subscriber is sent: its `EventFormatType`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize,
)]
pub(crate) enum Format {
    /// Events.
    #[default]
    Event,
    /// Metric reports.
    MetricReport,
}

/// The filters of an `EventDestination`; an empty list filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    pub(crate) format: Format,
    pub(crate) registry_prefixes: Vec<String>,
    pub(crate) exclude_registry_prefixes: Vec<String>,
    /// `ResourceEvent.ResourceChanged`; a version in between says nothing.
    pub(crate) message_ids: Vec<String>,
    pub(crate) exclude_message_ids: Vec<String>,
    /// `Sensor`
    pub(crate) resource_types: Vec<String>,
    /// URIs.
    pub(crate) origin_resources: Vec<String>,
    /// What lies below those counts as well.
    pub(crate) subordinate_resources: bool,
    /// `OK`, `Warning`, `Critical`
    pub(crate) severities: Vec<String>,
    /// URIs.
    pub(crate) metric_report_definitions: Vec<String>,
}

impl Filter {
    /// Is this for the subscriber?
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let record = match (&event.content, self.format) {
            (Content::Report { definition, .. }, Format::MetricReport) => {
                return lists(&self.metric_report_definitions, definition);
            }
            (Content::Record(record), Format::Event) => record,
            _ => return false,
        };
        let registry = |of: &[String]| of.contains(&record.registry);
        let message =
            |of: &[String]| of.iter().any(|id| named(id, record.id()));
        let all =
            self.registry_prefixes.is_empty() && self.message_ids.is_empty();
        let severity = record.severity.as_deref().unwrap_or_default();
        let kind = record.kind.as_deref().unwrap_or_default();
        (all || registry(&self.registry_prefixes) || message(&self.message_ids))
            && !registry(&self.exclude_registry_prefixes)
            && !message(&self.exclude_message_ids)
            && lists(&self.severities, severity)
            && lists(&self.resource_types, kind)
            && (self.origin_resources.is_empty()
                || record.origin.as_deref().is_some_and(|origin| {
                    self.origin_resources
                        .iter()
                        .any(|at| lies(origin, at, self.subordinate_resources))
                }))
    }
}

impl super::record::Record {
    /// Registry and key.
    pub(super) fn id(&self) -> (&str, &str) {
        (&self.registry, &self.key)
    }
}

fn lists(list: &[String], value: &str) -> bool {
    list.is_empty() || list.iter().any(|it| it == value)
}

/// Does `id` name the message of this registry and key, whatever the version
/// in between?
pub(super) fn named(id: &str, (registry, key): (&str, &str)) -> bool {
    let prefix = id.split('.').next();
    let last = id.rsplit('.').next();
    prefix == Some(registry) && last == Some(key)
}

/// Is `origin` what is `at`, or below it?
pub(super) fn lies(origin: &str, at: &str, below: bool) -> bool {
    let at = at.trim_end_matches('/');
    let Some(rest) = origin.strip_prefix(at) else { return false };
    let rest = rest.trim_end_matches('/');
    rest.is_empty() || below && rest.starts_with(['/', '#'])
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::{Value, json};

    use super::{super::record::Record, *};

    fn event(id: &str, severity: &str, origin: &str) -> Event {
        let body = json!({"MessageId": id, "MessageSeverity": severity,
            "OriginOfCondition": {"@odata.id": origin}});
        let Value::Object(body) = body else { unreachable!() };
        let content = Content::Record(Record::new(body));
        Event { id: 1, at: Utc::now(), content }
    }

    fn filter(text: Value) -> Filter {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn each_filter_lets_its_own_through() {
        let hot = event(
            "SensorEvent.1.1.ReadingAboveUpperCautionThreshold",
            "Warning",
            "/redfish/v1/Chassis/c/Sensors/t",
        );
        for (filters, wanted) in [
            (json!({}), true),
            (json!({"format": "MetricReport"}), false),
            (json!({"registry_prefixes": ["SensorEvent"]}), true),
            (json!({"registry_prefixes": ["Base"]}), false),
            (json!({"exclude_registry_prefixes": ["SensorEvent"]}), false),
            (
                json!({"message_ids":
                    ["SensorEvent.ReadingAboveUpperCautionThreshold"]}),
                true,
            ),
            (
                json!({"message_ids":
                    ["SensorEvent.1.0.ReadingAboveUpperCautionThreshold"]}),
                true,
            ),
            (
                json!({"exclude_message_ids":
                    ["SensorEvent.ReadingAboveUpperCautionThreshold"]}),
                false,
            ),
            // A message counts if either its id or its registry is named.
            (
                json!({"registry_prefixes": ["SensorEvent"],
                    "message_ids": ["Base.Success"]}),
                true,
            ),
            (json!({"message_ids": ["Base.Success"]}), false),
            (json!({"resource_types": ["Sensor"]}), true),
            (json!({"resource_types": ["Fan"]}), false),
            (json!({"severities": ["Critical", "Warning"]}), true),
            (json!({"severities": ["OK"]}), false),
            (
                json!({"origin_resources":
                    ["/redfish/v1/Chassis/c/Sensors/t"]}),
                true,
            ),
            (json!({"origin_resources": ["/redfish/v1/Chassis/c"]}), false),
            (
                json!({"origin_resources": ["/redfish/v1/Chassis/c"],
                    "subordinate_resources": true}),
                true,
            ),
            (
                json!({"origin_resources": ["/redfish/v1/Chassis/c/Sens"],
                    "subordinate_resources": true}),
                false,
            ),
        ] {
            assert_eq!(
                filter(filters.clone()).wants(&hot),
                wanted,
                "{filters}"
            );
        }
    }

    #[test]
    fn a_report_is_for_who_asked_for_its_definition() {
        let definition = "/redfish/v1/TelemetryService/D/a".to_owned();
        let content = Content::Report { definition, body: "{}".into() };
        let report = Event { id: 1, at: Utc::now(), content };
        assert!(!filter(json!({})).wants(&report));
        assert!(filter(json!({"format": "MetricReport"})).wants(&report));
        let only = |uri: &str| {
            let list = json!({"format": "MetricReport",
                "metric_report_definitions": [uri]});
            filter(list).wants(&report)
        };
        assert!(only("/redfish/v1/TelemetryService/D/a"));
        assert!(!only("/redfish/v1/TelemetryService/D/b"));
    }
}
