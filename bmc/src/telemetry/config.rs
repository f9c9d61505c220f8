//! What people define: reports and triggers, in the words of the schema, as
//! they are kept and shown.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::duration;

/// When a report is made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
pub(crate) enum Kind {
    Periodic,
    OnChange,
    #[default]
    OnRequest,
}

/// What is done with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReportAction {
    LogToMetricReportsCollection,
    RedfishEvent,
}

/// What becomes of the report before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
pub(crate) enum ReportUpdates {
    #[default]
    Overwrite,
    AppendWrapsWhenFull,
    AppendStopsWhenFull,
    NewReport,
}

/// A calculation over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Function {
    Average,
    Maximum,
    Minimum,
    Summation,
}

/// Which time a value speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    Point,
    Interval,
    StartupInterval,
}

/// Metrics with what is calculated of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the schema"
)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Metric {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metric_properties: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collection_function: Option<Function>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collection_duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collection_time_scope: Option<Scope>,
}

/// What a name in braces stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Wildcard {
    pub(crate) name: String,
    /// `*` alone: whatever there is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
}

/// How often a report is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Schedule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recurrence_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_occurrences: Option<u64>,
}

/// A `MetricReportDefinition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Definition {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(rename = "MetricReportDefinitionType")]
    pub(crate) kind: Kind,
    #[serde(rename = "MetricReportDefinitionEnabled")]
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics: Vec<Metric>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metric_properties: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wildcards: Vec<Wildcard>,
    pub(crate) report_actions: Vec<ReportAction>,
    pub(crate) report_updates: ReportUpdates,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) append_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report_timespan: Option<String>,
    pub(crate) suppress_repeated_metric_value: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric_report_heartbeat_interval: Option<String>,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: "Metric report definition".to_owned(),
            description: None,
            kind: Kind::default(),
            enabled: true,
            schedule: None,
            metrics: Vec::new(),
            metric_properties: Vec::new(),
            wildcards: Vec::new(),
            report_actions: vec![ReportAction::LogToMetricReportsCollection],
            report_updates: ReportUpdates::default(),
            append_limit: None,
            report_timespan: None,
            suppress_repeated_metric_value: false,
            metric_report_heartbeat_interval: None,
        }
    }
}

impl Definition {
    /// The time between two reports.
    pub(crate) fn interval(&self) -> Option<Duration> {
        span(self.schedule.as_ref()?.recurrence_interval.as_ref())
    }

    /// After how many reports it ends.
    pub(crate) fn max_occurrences(&self) -> Option<u64> {
        self.schedule.as_ref()?.max_occurrences
    }

    /// Does it leave its reports where they can be read?
    pub(crate) fn keeps_reports(&self) -> bool {
        let action = ReportAction::LogToMetricReportsCollection;
        self.kind == Kind::OnRequest || self.report_actions.contains(&action)
    }

    /// Is it done by itself, and not only when asked?
    pub(crate) fn sends_reports(&self) -> bool {
        self.report_actions.contains(&ReportAction::RedfishEvent)
    }

    /// Is each report put behind the one before?
    pub(crate) fn appends(&self) -> bool {
        let updates = self.report_updates;
        matches!(
            updates,
            ReportUpdates::AppendWrapsWhenFull
                | ReportUpdates::AppendStopsWhenFull
        )
    }

    /// The most entries that an appended report has.
    pub(crate) fn limit(&self) -> usize {
        let limit = self.append_limit.unwrap_or(super::APPEND_LIMIT);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }
}

/// What is done when a trigger's condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TriggerAction {
    LogToLogService,
    RedfishEvent,
    RedfishMetricReport,
}

/// What kind of values a trigger looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetricType {
    Numeric,
    Discrete,
}

/// Which crossing of a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Activation {
    Increasing,
    Decreasing,
    Either,
    Disabled,
}

/// A threshold of a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Threshold {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activation: Option<Activation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dwell_time: Option<String>,
}

/// The thresholds of a trigger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Thresholds {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upper_critical: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upper_warning: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lower_warning: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lower_critical: Option<Threshold>,
}

/// When a discrete value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    Specified,
    Changed,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Severity {
    #[serde(rename = "OK")]
    Ok,
    Warning,
    Critical,
}

/// A value that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DiscreteTrigger {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dwell_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<Severity>,
}

/// A reference to a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    #[serde(rename = "@odata.id")]
    pub(crate) uri: String,
}

/// What a trigger starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Links {
    pub(crate) metric_report_definitions: Vec<Link>,
}

/// A `Triggers` resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the schema"
)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Trigger {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric_type: Option<MetricType>,
    #[serde(rename = "TriggerEnabled")]
    pub(crate) enabled: bool,
    pub(crate) trigger_actions: Vec<TriggerAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) numeric_thresholds: Option<Thresholds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) discrete_trigger_condition: Option<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) discrete_triggers: Vec<DiscreteTrigger>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) event_triggers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metric_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metric_properties: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wildcards: Vec<Wildcard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hysteresis_reading: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hysteresis_duration: Option<String>,
    pub(crate) links: Links,
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: "Trigger".to_owned(),
            description: None,
            metric_type: None,
            enabled: true,
            trigger_actions: Vec::new(),
            numeric_thresholds: None,
            discrete_trigger_condition: None,
            discrete_triggers: Vec::new(),
            event_triggers: Vec::new(),
            metric_ids: Vec::new(),
            metric_properties: Vec::new(),
            wildcards: Vec::new(),
            hysteresis_reading: None,
            hysteresis_duration: None,
            links: Links::default(),
        }
    }
}

/// All that is defined, as it lies in the state directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Reports are made and triggers watch.
    pub(crate) enabled: bool,
    pub(crate) definitions: BTreeMap<String, Definition>,
    pub(crate) triggers: BTreeMap<String, Trigger>,
}

impl Kept {
    /// Forgets links to definitions that are not there.
    pub(crate) fn unlink(&mut self) {
        let known = &self.definitions;
        for trigger in self.triggers.values_mut() {
            let links = &mut trigger.links.metric_report_definitions;
            links.retain(|link| {
                let id = link.uri.rsplit('/').next();
                id.is_some_and(|id| known.contains_key(id))
            });
        }
    }
}

/// The duration that was written, if one was.
pub(crate) fn span(text: Option<&String>) -> Option<Duration> {
    duration::parse(text?)
}
