//! Whether what somebody wants to define can be done.

use std::time::Duration;

use onprem_redfish::message::{Message, base};

use super::{
    APPEND_LIMIT, MOST_APPENDED, SLOWEST, VALUES, WINDOWS,
    collector::shapes,
    config::{
        Activation, Condition, Definition, Kept, Kind, Metric, MetricType,
        Scope, Threshold, Trigger, TriggerAction, Wildcard, span,
    },
    duration,
    resolve::{Lost, Property, Resolver, Source},
    value::{Reader, Value},
};
use crate::redfish::uri;

/// The longest name, and the longest URI with wildcards.
const LONGEST: usize = 1024;
/// The most members of an array that is written.
const MOST: usize = 256;
/// The most values of a wildcard.
const WILD: usize = super::PROPERTIES;

/// Messages with the pointers of what they are about.
#[derive(Default)]
struct Check(Vec<Message>);

impl Check {
    fn add(&mut self, message: Message, pointer: impl AsRef<str>) {
        self.0.push(message.about(pointer));
    }

    fn incorrect(&mut self, pointer: &str, value: &str, why: String) {
        let name = name(pointer);
        let value: String = value.chars().take(200).collect();
        let message = base::property_value_incorrect(name, value);
        self.add(message.resolved_by(why), pointer);
    }

    fn conflict(&mut self, pointer: &str, other: &str) {
        self.add(base::property_value_conflict(name(pointer), other), pointer);
    }

    fn missing(&mut self, pointer: &str) {
        self.add(base::property_missing(name(pointer)), pointer);
    }

    fn lost(&mut self, pointer: &str, Lost { what, why }: Lost) {
        self.incorrect(pointer, &what, why);
    }

    /// A duration between two others, where there is one.
    fn span(
        &mut self,
        pointer: &str,
        text: Option<&String>,
        least: Duration,
    ) -> Option<Duration> {
        let text = text?;
        let parsed = duration::parse(text);
        if parsed.is_none_or(|it| it < least) {
            let range = base::property_value_out_of_range(text, name(pointer));
            let why = format!(
                "Send a duration of {} to {} seconds.",
                least.as_secs_f64(),
                duration::LONGEST.as_secs()
            );
            self.add(range.resolved_by(why), pointer);
        }
        parsed
    }

    fn short(&mut self, pointer: &str, text: &str) {
        if text.chars().count() > LONGEST {
            let start: String = text.chars().take(40).collect();
            let most = u16::try_from(LONGEST).unwrap_or(u16::MAX);
            self.add(base::string_value_too_long(start, most), pointer);
        }
    }

    fn few<T>(&mut self, pointer: &str, items: &[T], most: usize) {
        if items.len() > most {
            let most = u16::try_from(most).unwrap_or(u16::MAX);
            self.add(base::array_size_too_long(name(pointer), most), pointer);
        }
    }

    fn wildcards(&mut self, wildcards: &[Wildcard]) {
        self.few("/Wildcards", wildcards, 16);
        for (index, wildcard) in wildcards.iter().enumerate() {
            let pointer = format!("/Wildcards/{index}/Name");
            if wildcard.name.is_empty() {
                self.missing(&pointer);
            }
            self.short(&pointer, &wildcard.name);
            let pointer = format!("/Wildcards/{index}/Values");
            self.few(&pointer, &wildcard.values, WILD);
            let all = wildcard.values.iter().any(|it| it == "*");
            if all && wildcard.values.len() > 1 {
                let why = "`*` has to stand alone.".to_owned();
                self.incorrect(&pointer, "*", why);
            }
            for value in &wildcard.values {
                self.short(&pointer, value);
                if value.is_empty() || value.contains(['/', '#', '{', '}', '?'])
                {
                    let why = "A segment of a URI is expected.".to_owned();
                    self.incorrect(&pointer, value, why);
                }
            }
        }
    }

    fn done(self) -> Result<(), Vec<Message>> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut messages = self.0;
        messages.truncate(32);
        Err(messages)
    }
}

/// The name at the end of a pointer; of a member of an array, the array's.
fn name(pointer: &str) -> &str {
    let mut names = pointer.rsplit('/');
    let last = names.find(|it| it.parse::<usize>().is_err());
    last.unwrap_or_default()
}

/// Can `definition` be served, beside those that are `kept`?
pub(super) fn definition(
    definition: &mut Definition,
    kept: &Kept,
    resolver: &Resolver<'_>,
) -> Result<(), Vec<Message>> {
    let mut check = Check::default();
    if definition.appends() {
        definition.append_limit.get_or_insert(APPEND_LIMIT);
    }
    check.short("/Name", &definition.name);
    check.short(
        "/Description",
        definition.description.as_deref().unwrap_or_default(),
    );
    times(&mut check, definition);
    updates(&mut check, definition);
    check.wildcards(&definition.wildcards);
    check.few("/Metrics", &definition.metrics, MOST);
    check.few("/MetricProperties", &definition.metric_properties, MOST);
    for (index, metric) in definition.metrics.iter().enumerate() {
        self::metric(&mut check, metric, &format!("/Metrics/{index}"));
    }
    if definition.metrics.is_empty() && definition.metric_properties.is_empty()
    {
        check.missing("/MetricProperties");
    }
    if !check.0.is_empty() {
        return check.done();
    }
    let found = shapes(definition, resolver, |pointer, lost| {
        check.lost(&pointer, lost);
    });
    if found.len() > super::PROPERTIES {
        let why = format!("It stands for {} properties.", found.len());
        check.incorrect("/Metrics", &definition.id, why);
    }
    let mut reader = Reader::new(resolver.host, resolver.snapshot);
    for (property, how) in &found {
        let Some((function, span)) = how else { continue };
        if let Value::Text(text) = reader.read(property).0 {
            let why = format!(
                "{function:?} needs numbers, and {} is `{text}`.",
                property.path
            );
            check.incorrect("/Metrics", &property.path, why);
        }
        if span.is_none() && property.source == Source::Resource {
            let why = "What is calculated since the start is known of \
                       sensors only.";
            check.incorrect("/Metrics", &property.path, why.to_owned());
        }
    }
    room(&mut check, definition, kept, resolver);
    check.done()
}

/// Is there memory for `definition`, beside the others?
fn room(
    check: &mut Check,
    definition: &Definition,
    kept: &Kept,
    resolver: &Resolver<'_>,
) {
    let sizes = |of: &Definition| {
        let found = shapes(of, resolver, |_, _| {});
        let timed = found
            .iter()
            .filter(|(_, how)| how.is_some_and(|(_, span)| span.is_some()));
        let held = if of.appends() { of.limit() } else { 0 };
        (timed.count(), found.len().max(held))
    };
    let own = sizes(definition);
    let others = kept.definitions.values();
    let others = others.filter(|it| it.id != definition.id).map(sizes);
    let all = others.fold(own, |all, it| (all.0 + it.0, all.1 + it.1));
    if own.0 > 0 && all.0 > WINDOWS {
        let most = u16::try_from(WINDOWS).unwrap_or(u16::MAX);
        let message = base::array_size_too_long("CollectionFunction", most);
        check.add(message, "/Metrics");
    }
    // What was there before a part was added may get smaller, at least.
    let before = kept.definitions.get(&definition.id).map(sizes);
    if all.1 > VALUES && before.is_none_or(|before| own.1 > before.1) {
        let pointer = if definition.appends() && own.1 == definition.limit() {
            "/AppendLimit"
        } else if definition.metrics.is_empty() {
            "/MetricProperties"
        } else {
            "/Metrics"
        };
        let why = format!(
            "All reports together hold at most {VALUES} values; with this \
             one they would hold {}.",
            all.1
        );
        check.incorrect(pointer, &own.1.to_string(), why);
    }
}

fn times(check: &mut Check, definition: &Definition) {
    let schedule = definition.schedule.clone().unwrap_or_default();
    let pointer = "/Schedule/RecurrenceInterval";
    let interval =
        check.span(pointer, schedule.recurrence_interval.as_ref(), SLOWEST);
    if definition.kind == Kind::Periodic
        && schedule.recurrence_interval.is_none()
    {
        check.missing(pointer);
    }
    if schedule.max_occurrences == Some(0) {
        let pointer = "/Schedule/MaxOccurrences";
        let range = base::property_value_out_of_range("0", name(pointer));
        check.add(range, pointer);
    }
    let pointer = "/MetricReportHeartbeatInterval";
    let text = definition.metric_report_heartbeat_interval.as_ref();
    let heartbeat = check.span(pointer, text, SLOWEST);
    if heartbeat.is_some_and(|it| interval.is_some_and(|other| it <= other)) {
        check.conflict(pointer, "RecurrenceInterval");
    }
    let text = definition.report_timespan.as_ref();
    check.span("/ReportTimespan", text, SLOWEST);
}

fn updates(check: &mut Check, definition: &Definition) {
    let Some(limit) = definition.append_limit else { return };
    if !(1..=MOST_APPENDED).contains(&limit) {
        let range =
            base::property_value_out_of_range(limit.to_string(), "AppendLimit");
        let why = format!("Send a number from 1 to {MOST_APPENDED}.");
        check.add(range.resolved_by(why), "/AppendLimit");
    }
    if !definition.appends() {
        check.conflict("/AppendLimit", "ReportUpdates");
    }
}

fn metric(check: &mut Check, metric: &Metric, at: &str) {
    let pointer = |name: &str| format!("{at}/{name}");
    check.few(&pointer("MetricProperties"), &metric.metric_properties, MOST);
    match (&metric.metric_id, metric.metric_properties.is_empty()) {
        (None, true) => check.missing(&pointer("MetricId")),
        (Some(_), false) => {
            check.conflict(&pointer("MetricId"), "MetricProperties");
        }
        _ => {}
    }
    let duration = metric.collection_duration.as_ref();
    check.span(&pointer("CollectionDuration"), duration, SLOWEST);
    let function = metric.collection_function.is_some();
    match metric.collection_time_scope {
        Some(Scope::Interval) | None if function && duration.is_none() => {
            check.missing(&pointer("CollectionDuration"));
        }
        // What speaks of a time is calculated, and what speaks of a moment
        // is not.
        Some(Scope::Point) if function => {
            let other = "CollectionFunction";
            check.conflict(&pointer("CollectionTimeScope"), other);
        }
        Some(Scope::Interval | Scope::StartupInterval) if !function => {
            check.missing(&pointer("CollectionFunction"));
        }
        Some(Scope::StartupInterval) if duration.is_some() => {
            let other = "CollectionTimeScope";
            check.conflict(&pointer("CollectionDuration"), other);
        }
        None | Some(Scope::Point) if !function && duration.is_some() => {
            check.missing(&pointer("CollectionFunction"));
        }
        _ => {}
    }
}

/// Can `trigger` be served? What it does not say and follows from what it
/// says is put in.
pub(super) fn trigger(
    trigger: &mut Trigger,
    kept: &Kept,
    resolver: &Resolver<'_>,
) -> Result<(), Vec<Message>> {
    let mut check = Check::default();
    check.short("/Name", &trigger.name);
    check.short(
        "/Description",
        trigger.description.as_deref().unwrap_or_default(),
    );
    check.wildcards(&trigger.wildcards);
    check.few("/MetricProperties", &trigger.metric_properties, MOST);
    check.few("/MetricIds", &trigger.metric_ids, MOST);
    check.few("/EventTriggers", &trigger.event_triggers, MOST);
    check.few("/DiscreteTriggers", &trigger.discrete_triggers, MOST);
    if trigger.trigger_actions.is_empty() {
        check.missing("/TriggerActions");
    }
    trigger.trigger_actions.sort_by_key(|action| *action as u8);
    trigger.trigger_actions.dedup();
    links(&mut check, trigger, kept);
    kind(&mut check, trigger);
    if !check.0.is_empty() {
        return check.done();
    }
    let mut found: Vec<(String, Property)> = Vec::new();
    let mut take =
        |pointer: String, result: Result<Vec<Property>, Lost>| match result {
            Ok(properties) => found
                .extend(properties.into_iter().map(|it| (pointer.clone(), it))),
            Err(lost) => check.lost(&pointer, lost),
        };
    for (index, id) in trigger.metric_ids.iter().enumerate() {
        take(format!("/MetricIds/{index}"), resolver.metric(id));
    }
    for (index, template) in trigger.metric_properties.iter().enumerate() {
        let pointer = format!("/MetricProperties/{index}");
        take(pointer, resolver.expand(template, &trigger.wildcards));
    }
    if found.len() > super::PROPERTIES {
        let why = format!("It stands for {} properties.", found.len());
        check.incorrect("/MetricProperties", &trigger.id, why);
    }
    if trigger.metric_type == Some(MetricType::Numeric) {
        let mut reader = Reader::new(resolver.host, resolver.snapshot);
        for (pointer, property) in &found {
            if let Value::Text(text) = reader.read(property).0 {
                let why = format!("A number is expected; it is `{text}`.");
                check.incorrect(pointer, &property.path, why);
            }
        }
    }
    check.done()
}

fn links(check: &mut Check, trigger: &Trigger, kept: &Kept) {
    let links = &trigger.links.metric_report_definitions;
    check.few("/Links/MetricReportDefinitions", links, MOST);
    for (index, link) in links.iter().enumerate() {
        let id = link.uri.rsplit('/').next().unwrap_or_default();
        let uri = uri::of(uri::METRIC_REPORT_DEFINITION, &[id]);
        if link.uri != uri || !kept.definitions.contains_key(id) {
            let pointer = format!("/Links/MetricReportDefinitions/{index}");
            let why = "There is no such MetricReportDefinition.".to_owned();
            check.incorrect(&pointer, &link.uri, why);
        }
    }
    let starts =
        trigger.trigger_actions.contains(&TriggerAction::RedfishMetricReport);
    if !starts && !links.is_empty() {
        let pointer = "/Links/MetricReportDefinitions";
        check.conflict(pointer, "TriggerActions");
    }
}

/// What the kind of a trigger asks for.
fn kind(check: &mut Check, trigger: &mut Trigger) {
    let numeric = trigger.numeric_thresholds.is_some();
    let discrete = trigger.discrete_trigger_condition.is_some()
        || !trigger.discrete_triggers.is_empty();
    let events = !trigger.event_triggers.is_empty();
    let metrics =
        !trigger.metric_properties.is_empty() || !trigger.metric_ids.is_empty();
    if trigger.metric_type.is_none() && !events {
        trigger.metric_type = match (numeric, discrete) {
            (true, _) => Some(MetricType::Numeric),
            (false, true) => Some(MetricType::Discrete),
            (false, false) => None,
        };
    }
    match trigger.metric_type {
        None if events => {
            if numeric {
                check.conflict("/NumericThresholds", "EventTriggers");
            }
            if discrete {
                check.conflict("/DiscreteTriggers", "EventTriggers");
            }
            if metrics {
                check.conflict("/MetricProperties", "EventTriggers");
            }
            return;
        }
        None => return check.missing("/MetricType"),
        Some(_) if events => {
            return check.conflict("/EventTriggers", "MetricType");
        }
        Some(MetricType::Numeric) => {
            if discrete {
                check.conflict("/DiscreteTriggers", "MetricType");
            }
            thresholds(check, trigger);
        }
        Some(MetricType::Discrete) => {
            if numeric {
                check.conflict("/NumericThresholds", "MetricType");
            }
            self::discrete(check, trigger);
        }
    }
    if !metrics {
        check.missing("/MetricProperties");
    }
}

fn thresholds(check: &mut Check, trigger: &mut Trigger) {
    let Some(all) = &mut trigger.numeric_thresholds else {
        return check.missing("/NumericThresholds");
    };
    let up = Activation::Increasing;
    let down = Activation::Decreasing;
    let mut last: Option<(f64, &str)> = None;
    let mut any = false;
    for (name, usual, threshold) in [
        ("LowerCritical", down, &mut all.lower_critical),
        ("LowerWarning", down, &mut all.lower_warning),
        ("UpperWarning", up, &mut all.upper_warning),
        ("UpperCritical", up, &mut all.upper_critical),
    ] {
        let Some(threshold) = threshold else { continue };
        any = true;
        let Threshold { reading, activation, dwell_time } = threshold;
        activation.get_or_insert(usual);
        let pointer = format!("/NumericThresholds/{name}/DwellTime");
        check.span(&pointer, dwell_time.as_ref(), Duration::ZERO);
        let pointer = format!("/NumericThresholds/{name}/Reading");
        let Some(reading) = *reading else {
            check.missing(&pointer);
            continue;
        };
        if let Some((least, other)) = last
            && reading < least
        {
            check.conflict(&pointer, other);
        }
        last = Some((reading, name));
    }
    if !any {
        check.missing("/NumericThresholds");
    }
    let linger = trigger.hysteresis_duration.as_ref();
    check.span("/HysteresisDuration", linger, Duration::ZERO);
}

fn discrete(check: &mut Check, trigger: &mut Trigger) {
    let listed = !trigger.discrete_triggers.is_empty();
    let condition =
        *trigger.discrete_trigger_condition.get_or_insert(if listed {
            Condition::Specified
        } else {
            Condition::Changed
        });
    match condition {
        Condition::Specified if !listed => check.missing("/DiscreteTriggers"),
        Condition::Changed if listed => {
            check.conflict("/DiscreteTriggers", "DiscreteTriggerCondition");
        }
        _ => {}
    }
    for (index, value) in trigger.discrete_triggers.iter().enumerate() {
        let at = |name: &str| format!("/DiscreteTriggers/{index}/{name}");
        if value.value.is_none() {
            check.missing(&at("Value"));
        }
        let dwell = value.dwell_time.as_ref();
        check.span(&at("DwellTime"), dwell, Duration::ZERO);
    }
    // `HysteresisReading` and `HysteresisDuration` speak of thresholds.
    if trigger.hysteresis_reading.is_some() {
        check.conflict("/HysteresisReading", "MetricType");
    }
    if span(trigger.hysteresis_duration.as_ref()).is_some() {
        check.conflict("/HysteresisDuration", "MetricType");
    }
}
