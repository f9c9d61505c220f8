//! Triggers at work: when a condition is met, and when it no longer is.
//!
//! Times are monotonic, so that a clock that is set does not fire anything.

use std::{sync::Arc, time::Duration};

use onprem_redfish::message::{Message, telemetry};
use tokio::time::Instant;

use super::{
    config::{
        Activation, Condition, MetricType, Severity, Threshold, Thresholds,
        Trigger, span,
    },
    resolve::{Property, Source},
    value::Value,
};

/// A trigger at work.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) config: Arc<Trigger>,
    pub(crate) items: Vec<Item>,
    /// Some of it is no sensor's, and has to be looked at.
    pub(crate) looks: bool,
    /// Until then there is nothing to do for any of them, whatever the
    /// values.
    next: Option<Instant>,
}

/// What a trigger says.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) message: Message,
    /// The condition is met; otherwise it has ceased to be.
    pub(crate) met: bool,
}

/// A property that a trigger looks at.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) property: Property,
    state: State,
    last: Value,
}

#[derive(Debug)]
enum State {
    Numeric(Vec<Edge>),
    Discrete {
        /// Since when the value is what it is.
        since: Instant,
        /// There is nothing to say of this value any more.
        told: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    UpperCritical,
    UpperWarning,
    LowerWarning,
    LowerCritical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

/// One threshold of one property.
#[derive(Debug)]
struct Edge {
    level: Level,
    limit: f64,
    activation: Activation,
    dwell: Duration,
    /// How far, and for how long, the value has to be back.
    hysteresis: (f64, Duration),
    /// Where the value is, as far as that counts; unknown at first.
    side: Option<Side>,
    /// Where it may be going, and since when.
    pending: Option<(Side, Instant)>,
}

impl Edge {
    /// Does being on `side` activate the threshold?
    fn activates(&self, side: Side) -> bool {
        match self.activation {
            Activation::Increasing => side == Side::Above,
            Activation::Decreasing => side == Side::Below,
            Activation::Either => true,
            Activation::Disabled => false,
        }
    }

    fn wait(&self, side: Side) -> Duration {
        if self.activates(side) { self.dwell } else { self.hysteresis.1 }
    }

    /// Takes a value; the side it is now on, if that is another one.
    fn observe(&mut self, value: f64, now: Instant) -> Option<Side> {
        let Some(side) = self.side else {
            // Where it starts it did not come to.
            self.side = self.look(value, 0.0);
            return None;
        };
        let back = if self.activates(side) { self.hysteresis.0 } else { 0.0 };
        let seen = self.look(value, back).filter(|seen| *seen != side);
        let Some(seen) = seen else {
            self.pending = None;
            return None;
        };
        let since = match self.pending {
            Some((pending, since)) if pending == seen => since,
            _ => now,
        };
        if now.duration_since(since) >= self.wait(seen) {
            self.side = Some(seen);
            self.pending = None;
            return Some(seen);
        }
        self.pending = Some((seen, since));
        None
    }

    /// The side of `value`, if it is clearly on one.
    fn look(&self, value: f64, margin: f64) -> Option<Side> {
        if value > self.limit && (value - self.limit) >= margin {
            Some(Side::Above)
        } else if value < self.limit && (self.limit - value) >= margin {
            Some(Side::Below)
        } else {
            None
        }
    }

    fn due(&self) -> Option<Instant> {
        let (side, since) = self.pending?;
        Some(since + self.wait(side))
    }
}

impl Watch {
    pub(crate) fn new(
        config: Arc<Trigger>,
        properties: Vec<Property>,
        now: Instant,
    ) -> Self {
        let numeric = config.metric_type == Some(MetricType::Numeric);
        let looks = properties.iter().any(|it| it.source == Source::Resource);
        let items = properties.into_iter().map(|property| Item {
            property,
            state: if numeric {
                State::Numeric(edges(&config))
            } else {
                State::Discrete { since: now, told: true }
            },
            last: Value::Null,
        });
        Self { items: items.collect(), config, looks, next: None }
    }

    /// Takes the value of the property at `index`; what there is to say.
    pub(crate) fn observe(
        &mut self,
        index: usize,
        value: Value,
        now: Instant,
    ) -> Vec<Fired> {
        let config = Arc::clone(&self.config);
        let Some(item) = self.items.get_mut(index) else { return Vec::new() };
        let changed = item.last != value;
        let known = item.last != Value::Null;
        item.last = value;
        let fired = item.judge(&config, changed, known, now);
        let due = item.due(&config);
        self.next = self.next.into_iter().chain(due).min();
        fired
    }

    /// Looks at the values that are known again, since time has passed.
    pub(crate) fn wait(&mut self, now: Instant) -> Vec<Fired> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let config = Arc::clone(&self.config);
        let due =
            |item: &&mut Item| item.due(&config).is_some_and(|at| at <= now);
        let items = self.items.iter_mut().filter(due);
        let fired = items
            .flat_map(|item| item.judge(&config, false, true, now))
            .collect();
        let items = self.items.iter();
        self.next = items.filter_map(|item| item.due(&config)).min();
        fired
    }

    /// When to look again, whatever the values: no later than needed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next
    }
}

impl Item {
    fn due(&self, config: &Trigger) -> Option<Instant> {
        match &self.state {
            State::Numeric(edges) => edges.iter().filter_map(Edge::due).min(),
            State::Discrete { since, told: false } => {
                let dwell = self.specified(config)?.0;
                Some(*since + dwell)
            }
            State::Discrete { .. } => None,
        }
    }

    /// The dwell time and severity of the value, if it is one that counts.
    fn specified(&self, config: &Trigger) -> Option<(Duration, Severity)> {
        let value = self.last.to_string();
        let mut all = config.discrete_triggers.iter();
        let found = all.find(|it| it.value.as_ref() == Some(&value))?;
        let dwell = span(found.dwell_time.as_ref()).unwrap_or_default();
        Some((dwell, found.severity.unwrap_or(Severity::Ok)))
    }

    fn judge(
        &mut self,
        config: &Trigger,
        changed: bool,
        known: bool,
        now: Instant,
    ) -> Vec<Fired> {
        match &mut self.state {
            State::Numeric(edges) => {
                let Some(value) = self.last.number() else {
                    // Nobody knows for how long it stays where it was going.
                    for edge in edges {
                        edge.pending = None;
                    }
                    return Vec::new();
                };
                cross(edges, value, now, &self.property.path, &config.id)
            }
            State::Discrete { since, told } => {
                if changed {
                    *since = now;
                    *told = !known || self.last == Value::Null;
                }
                if *told {
                    return Vec::new();
                }
                let since = *since;
                let severity = match config.discrete_trigger_condition {
                    Some(Condition::Specified) => {
                        match self.specified(config) {
                            None => return Vec::new(),
                            Some((dwell, _))
                                if now.duration_since(since) < dwell =>
                            {
                                return Vec::new();
                            }
                            Some((_, severity)) => severity,
                        }
                    }
                    _ => Severity::Ok,
                };
                self.state = State::Discrete { since, told: true };
                let message = telemetry::trigger_discrete_condition_met(
                    &self.property.path,
                    self.last.to_string(),
                    &config.id,
                );
                let message = message.rated(match severity {
                    Severity::Ok => "OK",
                    Severity::Warning => "Warning",
                    Severity::Critical => "Critical",
                });
                vec![Fired { message, met: true }]
            }
        }
    }
}

fn edges(config: &Trigger) -> Vec<Edge> {
    let Some(all) = &config.numeric_thresholds else { return Vec::new() };
    let Thresholds {
        upper_critical,
        upper_warning,
        lower_warning,
        lower_critical,
    } = all;
    let margin = config.hysteresis_reading.unwrap_or_default().abs();
    let linger = span(config.hysteresis_duration.as_ref()).unwrap_or_default();
    let edge = |level, threshold: &Option<Threshold>| {
        let threshold = threshold.as_ref()?;
        Some(Edge {
            level,
            limit: threshold.reading?,
            activation: threshold.activation?,
            dwell: span(threshold.dwell_time.as_ref()).unwrap_or_default(),
            hysteresis: (margin, linger),
            side: None,
            pending: None,
        })
    };
    // The worst first: what it says makes the lesser one plain.
    let edges = [
        edge(Level::UpperCritical, upper_critical),
        edge(Level::UpperWarning, upper_warning),
        edge(Level::LowerCritical, lower_critical),
        edge(Level::LowerWarning, lower_warning),
    ];
    edges.into_iter().flatten().collect()
}

/// Takes a value for all thresholds of a property.
fn cross(
    edges: &mut [Edge],
    value: f64,
    now: Instant,
    path: &str,
    trigger: &str,
) -> Vec<Fired> {
    let crossed: Vec<(usize, Side)> = edges
        .iter_mut()
        .enumerate()
        .filter(|(_, edge)| edge.activation != Activation::Disabled)
        .filter_map(|(index, edge)| Some((index, edge.observe(value, now)?)))
        .collect();
    let beyond = |level, side| {
        edges.iter().any(|edge| edge.level == level && edge.side == Some(side))
    };
    let still_high = beyond(Level::UpperWarning, Side::Above);
    let still_low = beyond(Level::LowerWarning, Side::Below);
    let mut fired: Vec<Fired> = Vec::new();
    for (index, side) in crossed {
        let Some(edge) = edges.get(index) else { continue };
        let (limit, met) = (edge.limit, edge.activates(side));
        let normal =
            || telemetry::trigger_numeric_reading_normal(path, value, trigger);
        let message = match (edge.level, side) {
            (Level::UpperCritical, Side::Above) => {
                telemetry::trigger_numeric_above_upper_critical(
                    path, value, limit, trigger,
                )
            }
            (Level::UpperWarning, Side::Above) => {
                telemetry::trigger_numeric_above_upper_warning(
                    path, value, limit, trigger,
                )
            }
            (Level::UpperCritical, Side::Below) if still_high => {
                telemetry::trigger_numeric_below_upper_critical(
                    path, value, limit, trigger,
                )
            }
            (Level::LowerCritical, Side::Below) => {
                telemetry::trigger_numeric_below_lower_critical(
                    path, value, limit, trigger,
                )
            }
            (Level::LowerWarning, Side::Below) => {
                telemetry::trigger_numeric_below_lower_warning(
                    path, value, limit, trigger,
                )
            }
            (Level::LowerCritical, Side::Above) if still_low => {
                telemetry::trigger_numeric_above_lower_critical(
                    path, value, limit, trigger,
                )
            }
            _ => normal(),
        };
        // Several thresholds may be left at once; it is normal once.
        if fired.iter().all(|it| it.message.id() != message.id()) {
            fired.push(Fired { message, met });
        }
    }
    fired
}

#[cfg(test)]
mod tests {
    use super::{super::resolve::Source, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn watch(json: &str) -> Watch {
        let config: Trigger = serde_json::from_str(json).unwrap();
        let property = Property {
            path: "/redfish/v1/x#/Reading".into(),
            metric: None,
            source: Source::Resource,
        };
        Watch::new(Arc::new(config), vec![property], Instant::now())
    }

    fn numbers(watch: &mut Watch, values: &[f64]) -> Vec<(usize, String)> {
        let start = Instant::now();
        let mut said = Vec::new();
        for (second, value) in values.iter().enumerate() {
            let now = start + SECOND * u32::try_from(second).unwrap();
            for fired in watch.observe(0, Value::Number(*value), now) {
                let id = fired.message.id().rsplit('.').next().unwrap();
                let id = id.trim_start_matches("TriggerNumeric");
                said.push((second, id.to_owned()));
            }
        }
        said
    }

    #[test]
    fn a_threshold_has_to_be_crossed() {
        let mut watch = watch(
            r#"{"MetricType": "Numeric", "NumericThresholds": {
                "UpperCritical": {"Reading": 80, "Activation": "Increasing"}
            }}"#,
        );
        let said =
            numbers(&mut watch, &[90.0, 95.0, 70.0, 80.0, 81.0, 82.0, 79.0]);
        assert_eq!(
            said,
            [
                (2, "ReadingNormal".to_owned()),
                (4, "AboveUpperCritical".to_owned()),
                (6, "ReadingNormal".to_owned()),
            ]
        );
    }

    #[test]
    fn a_short_peak_is_not_told() {
        let mut watch = watch(
            r#"{"MetricType": "Numeric", "NumericThresholds": {
                "UpperWarning": {"Reading": 80, "Activation": "Increasing",
                    "DwellTime": "PT3S"}
            }}"#,
        );
        let values = [70.0, 81.0, 82.0, 70.0, 81.0, 82.0, 83.0, 84.0, 85.0];
        let said = numbers(&mut watch, &values);
        assert_eq!(said, [(7, "AboveUpperWarning".to_owned())]);
    }

    #[test]
    fn time_alone_ends_the_dwell() {
        let mut watch = watch(
            r#"{"MetricType": "Numeric", "NumericThresholds": {
                "LowerCritical": {"Reading": 5, "Activation": "Decreasing",
                    "DwellTime": "PT10S"}
            }}"#,
        );
        let start = Instant::now();
        assert!(watch.observe(0, Value::Number(6.0), start).is_empty());
        assert_eq!(watch.due(), None);
        assert!(watch.observe(0, Value::Number(4.0), start).is_empty());
        assert_eq!(watch.due(), Some(start + SECOND * 10));
        assert!(watch.wait(start + SECOND * 9).is_empty());
        let fired = watch.wait(start + SECOND * 10);
        assert!(fired[0].met);
        assert_eq!(watch.due(), None);
    }

    #[test]
    fn hysteresis_keeps_it_from_flapping() {
        let mut watch = watch(
            r#"{"MetricType": "Numeric", "HysteresisReading": -2,
                "HysteresisDuration": "PT2S", "NumericThresholds": {
                "UpperWarning": {"Reading": 80, "Activation": "Increasing"}
            }}"#,
        );
        let values =
            [70.0, 81.0, 79.0, 81.0, 77.0, 79.0, 77.0, 77.0, 77.0, 77.0, 81.0];
        let said = numbers(&mut watch, &values);
        assert_eq!(
            said,
            [
                (1, "AboveUpperWarning".to_owned()),
                (8, "ReadingNormal".to_owned()),
                (10, "AboveUpperWarning".to_owned()),
            ]
        );
    }

    #[test]
    fn falling_from_critical_to_warning_is_not_yet_normal() {
        let mut watch = watch(
            r#"{"MetricType": "Numeric", "NumericThresholds": {
                "UpperCritical": {"Reading": 90, "Activation": "Increasing"},
                "UpperWarning": {"Reading": 80, "Activation": "Increasing"}
            }}"#,
        );
        let said = numbers(&mut watch, &[70.0, 95.0, 85.0, 75.0]);
        assert_eq!(
            said,
            [
                (1, "AboveUpperCritical".to_owned()),
                (1, "AboveUpperWarning".to_owned()),
                (2, "BelowUpperCritical".to_owned()),
                (3, "ReadingNormal".to_owned()),
            ]
        );
    }

    #[test]
    fn a_discrete_value_counts_when_it_stays() {
        let mut watch = watch(
            r#"{"MetricType": "Discrete",
                "DiscreteTriggerCondition": "Specified",
                "DiscreteTriggers": [{"Value": "Off", "DwellTime": "PT2S",
                    "Severity": "Critical"}]}"#,
        );
        let start = Instant::now();
        let text = |text: &str| Value::Text(text.into());
        assert!(watch.observe(0, text("Off"), start).is_empty());
        assert_eq!(watch.due(), None, "it was so from the start");
        assert!(watch.observe(0, text("On"), start).is_empty());
        assert!(watch.observe(0, text("Off"), start + SECOND).is_empty());
        assert_eq!(watch.due(), Some(start + SECOND * 3));
        let fired = watch.observe(0, text("Off"), start + SECOND * 3);
        assert_eq!(fired[0].message.severity(), "Critical");
        assert!(watch.observe(0, text("Off"), start + SECOND * 9).is_empty());
    }
}
