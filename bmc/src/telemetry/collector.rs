//! What a report is made from: properties, and what is calculated of them.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{
    config::{Definition, Function, Scope, span},
    report::Entry,
    resolve::{Lost, Property, Resolver, Source},
    value::{Reader, Value},
    window::{Totals, Window},
};
use crate::model::Id;

/// What each sensor has said since the agent began to read it.
pub(crate) type SinceStart = HashMap<Id, Totals>;

/// The metrics of one definition.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub(crate) items: Vec<Item>,
}

/// One metric.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) property: Property,
    pub(crate) gauge: Gauge,
}

/// How a value comes about.
#[derive(Debug)]
pub(crate) enum Gauge {
    /// It is read.
    Point,
    /// It is calculated of what was read within a span.
    Window(Function, Window),
    /// It is calculated of all that was read.
    SinceStart(Function),
}

/// What a metric has to be like, in order to tell whether it is another one.
type Shape = (Property, Option<(Function, Option<Duration>)>);

/// The metrics of `definition` with what is calculated of them; what leads
/// nowhere is told to `lost`, with its JSON pointer in the definition.
pub(crate) fn shapes(
    definition: &Definition,
    resolver: &Resolver<'_>,
    mut lost: impl FnMut(String, Lost),
) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    let mut take = |found, pointer, how| match found {
        Ok(found) => {
            let found: Vec<Property> = found;
            shapes.extend(found.into_iter().map(|it| (it, how)));
        }
        Err(error) => lost(pointer, error),
    };
    let wildcards = &definition.wildcards;
    for (index, metric) in definition.metrics.iter().enumerate() {
        let how = metric.collection_function.map(|function| {
            let whole =
                metric.collection_time_scope == Some(Scope::StartupInterval);
            let duration = span(metric.collection_duration.as_ref());
            (function, duration.filter(|_| !whole))
        });
        if let Some(id) = &metric.metric_id {
            let pointer = format!("/Metrics/{index}/MetricId");
            take(resolver.metric(id), pointer, how);
        }
        for (at, template) in metric.metric_properties.iter().enumerate() {
            let pointer = format!("/Metrics/{index}/MetricProperties/{at}");
            take(resolver.expand(template, wildcards), pointer, how);
        }
    }
    for (at, template) in definition.metric_properties.iter().enumerate() {
        let pointer = format!("/MetricProperties/{at}");
        take(resolver.expand(template, wildcards), pointer, None);
    }
    if definition.suppress_repeated_metric_value {
        let mut known = std::collections::HashSet::new();
        shapes.retain(|(property, how)| {
            known.insert((property.path.clone(), how.map(|it| it.0 as u8)))
        });
    }
    shapes
}

impl Collector {
    /// The collector of what `shapes` are; what goes on from `before` keeps
    /// what it knows.
    pub(crate) fn new(
        shapes: Vec<Shape>,
        before: Option<&mut Self>,
        now: Instant,
    ) -> Self {
        let items = before.map(|it| std::mem::take(&mut it.items));
        let mut windows = HashMap::new();
        for item in items.unwrap_or_default() {
            if let Gauge::Window(function, window) = item.gauge {
                let key = (item.property.path, function as u8, window.span());
                windows.insert(key, window);
            }
        }
        let items = shapes.into_iter().map(|(property, how)| {
            let gauge = match how {
                None => Gauge::Point,
                Some((function, None)) => Gauge::SinceStart(function),
                Some((function, Some(span))) => {
                    let key = (property.path.clone(), function as u8, span);
                    let window = windows.remove(&key);
                    let window =
                        window.unwrap_or_else(|| Window::new(span, now));
                    Gauge::Window(function, window)
                }
            };
            Item { property, gauge }
        });
        Self { items: items.collect() }
    }

    /// The values now.
    pub(crate) fn collect(
        &mut self,
        reader: &mut Reader<'_>,
        since_start: &SinceStart,
        now: Instant,
    ) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.items.len());
        for item in &mut self.items {
            let property = &item.property;
            let number =
                |number: Option<f64>| number.map_or(Value::Null, Value::Number);
            let (value, at) = match &mut item.gauge {
                Gauge::Point => reader.read(property),
                Gauge::Window(function, window) => {
                    (number(window.value(now, *function)), reader.at())
                }
                Gauge::SinceStart(function) => {
                    let totals = match &property.source {
                        Source::Sensor(id) => since_start.get(id),
                        Source::Resource => None,
                    };
                    let value = totals.map(|it| it.value(*function));
                    (number(value), reader.at())
                }
            };
            entries.push(Entry {
                path: property.path.clone(),
                metric: property.metric.map(Into::into),
                value,
                at,
            });
        }
        entries
    }

    /// Takes what is not a sensor's into the windows.
    pub(crate) fn sample(&mut self, reader: &mut Reader<'_>, now: Instant) {
        for item in &mut self.items {
            if let Gauge::Window(_, window) = &mut item.gauge
                && item.property.source == Source::Resource
                && let Some(value) = reader.trusted(&item.property)
            {
                window.push(now, value);
            }
        }
    }

    /// Is there anything that has to be read again and again?
    pub(crate) fn samples(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(item.gauge, Gauge::Window(..))
                && item.property.source == Source::Resource
        })
    }
}
