//! Reports: what was collected, and how it is shown.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use onprem_redfish::schema::{Reference, metric_report};
use serde_json::{Map, Value as Json};

use super::{
    config::{Definition, ReportUpdates},
    value::Value,
};
use crate::redfish::uri;

/// One value in a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) path: Arc<str>,
    pub(crate) metric: Option<Cow<'static, str>>,
    pub(crate) value: Value,
    pub(crate) at: DateTime<Utc>,
}

/// A `MetricReport`.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The id of the definition; none where it is a test.
    pub(crate) definition: Option<String>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) entries: VecDeque<Entry>,
    /// The oldest ones go first where there are too many.
    pub(crate) number: u64,
}

impl Report {
    /// A report of `definition` without values, with its own id or another.
    pub(crate) fn of(definition: &Definition, id: Option<String>) -> Self {
        Self {
            id: id.unwrap_or_else(|| definition.id.clone()),
            name: definition.name.clone(),
            definition: Some(definition.id.clone()),
            at: Utc::now(),
            entries: VecDeque::new(),
            number: 0,
        }
    }

    /// Takes in what was collected at `at`, as the definition says. Whether
    /// it can take more.
    pub(crate) fn update(
        &mut self,
        definition: &Definition,
        entries: Vec<Entry>,
        at: DateTime<Utc>,
        timespan: Option<Duration>,
    ) -> bool {
        self.at = at;
        if !definition.appends() {
            self.entries = entries.into();
            return true;
        }
        let limit = definition.limit();
        let wraps =
            definition.report_updates == ReportUpdates::AppendWrapsWhenFull;
        let mut open = true;
        for entry in entries {
            if self.entries.len() >= limit {
                if !wraps {
                    open = false;
                    break;
                }
                self.entries.pop_front();
            }
            self.entries.push_back(entry);
        }
        let oldest = timespan
            .and_then(|span| TimeDelta::from_std(span).ok())
            .and_then(|span| at.checked_sub_signed(span));
        if let Some(oldest) = oldest {
            self.entries.retain(|entry| entry.at >= oldest);
        }
        open && (wraps || self.entries.len() < limit)
    }

    /// The report as it is shown, without `@odata.id`.
    pub(crate) fn body(&self) -> Map<String, Json> {
        let values = self.entries.iter().map(Entry::shown);
        let report =
            metric_report::MetricReport::new("", &*self.id, &*self.name)
                .timestamp(time(self.at))
                .metric_values(values);
        let report = match &self.definition {
            None => report,
            Some(id) => report.metric_report_definition(Reference::new(
                uri::of(uri::METRIC_REPORT_DEFINITION, &[id]),
            )),
        };
        report.into()
    }

    /// The report as it is sent.
    pub(crate) fn sent(&self) -> Map<String, Json> {
        let mut body = self.body();
        let uri = uri::of(uri::METRIC_REPORT, &[&self.id]);
        body.insert("@odata.id".to_owned(), uri.into());
        body
    }
}

impl Entry {
    /// An entry as somebody says it is.
    pub(crate) fn test(
        metric: Option<&str>,
        path: Option<&str>,
        value: Option<&str>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            path: path.unwrap_or_default().into(),
            metric: metric.map(|id| id.to_owned().into()),
            value: value.map_or(Value::Null, |it| Value::Text(it.into())),
            at,
        }
    }

    fn shown(&self) -> metric_report::MetricValue {
        let shown = metric_report::MetricValue::new().timestamp(time(self.at));
        let shown = match &*self.path {
            "" => shown,
            path => shown.metric_property(path),
        };
        let shown = match &self.metric {
            Some(id) => shown.metric_id(&**id),
            None => shown,
        };
        match &self.value {
            Value::Null => shown.metric_value_null(),
            value => shown.metric_value(value.to_string()),
        }
    }
}

pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(values: std::ops::Range<i32>, at: DateTime<Utc>) -> Vec<Entry> {
        let entry = |value| Entry {
            path: "/redfish/v1/x#/y".into(),
            metric: None,
            value: Value::Number(f64::from(value)),
            at,
        };
        values.map(entry).collect()
    }

    fn values(report: &Report) -> Vec<String> {
        report.entries.iter().map(|it| it.value.to_string()).collect()
    }

    fn report(updates: ReportUpdates) -> (Definition, Report) {
        let definition = Definition {
            id: "r".to_owned(),
            report_updates: updates,
            append_limit: Some(4),
            ..Definition::default()
        };
        let report = Report::of(&definition, None);
        (definition, report)
    }

    #[test]
    fn a_full_report_wraps_or_stops_as_its_definition_says() {
        let now = Utc::now();
        let (of, mut report) = self::report(ReportUpdates::AppendWrapsWhenFull);
        assert!(report.update(&of, entries(0..3, now), now, None));
        assert!(report.update(&of, entries(3..6, now), now, None));
        assert_eq!(values(&report), ["2", "3", "4", "5"]);

        let (of, mut report) = self::report(ReportUpdates::AppendStopsWhenFull);
        assert!(report.update(&of, entries(0..3, now), now, None));
        assert!(!report.update(&of, entries(3..6, now), now, None));
        assert_eq!(values(&report), ["0", "1", "2", "3"]);

        let (of, mut report) = self::report(ReportUpdates::Overwrite);
        assert!(report.update(&of, entries(0..9, now), now, None));
        assert!(report.update(&of, entries(3..6, now), now, None));
        assert_eq!(values(&report), ["3", "4", "5"]);
    }

    #[test]
    fn what_is_older_than_the_timespan_goes() {
        let now = Utc::now();
        let (of, mut report) = self::report(ReportUpdates::AppendWrapsWhenFull);
        let span = Some(Duration::from_secs(10));
        let before = now - TimeDelta::seconds(11);
        report.update(&of, entries(0..2, before), before, span);
        report.update(&of, entries(2..3, now), now, span);
        assert_eq!(values(&report), ["2"]);
    }
}
