//! The machinery that makes reports and watches for triggers: what one task
//! owns, and what is due when.

mod make;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use onprem_redfish::message::telemetry;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::{
    Host, SLOWEST, Shared,
    collector::{Collector, Gauge, shapes},
    config::{Definition, Kind, Trigger, TriggerAction},
    resolve::{Resolver, Source},
    trigger::{Fired, Watch},
    value::{Reader, Value},
    window::Totals,
};
use crate::{
    model::{Id, Quality, Snapshot},
    redfish::uri,
};

/// A definition at work.
struct Active {
    config: Arc<Definition>,
    collector: Arc<Mutex<Collector>>,
    /// When the next report of a periodic one is due.
    next: Option<Instant>,
    /// How many there were.
    made: u64,
    /// It has to be looked at again and again, whatever changes.
    samples: bool,
    /// What the last report said, for all metrics, where that matters.
    last: Vec<Value>,
    /// When the last one was that left nothing out.
    whole: Instant,
}

/// Who wants to hear of a sensor.
#[derive(Clone, Copy)]
enum Use {
    /// A window: the definition, and the item in it.
    Window(usize, usize),
    /// A trigger, and the item in it.
    Trigger(usize, usize),
}

/// What one task owns.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    active: Vec<Active>,
    watches: Vec<Watch>,
    uses: HashMap<Id, Vec<Use>>,
    /// Something has changed since the last look at what is not a sensor.
    changed: bool,
    looked: Instant,
    /// Definitions that have come to their end.
    ended: Vec<String>,
    reports: u64,
}

impl Engine {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            active: Vec::new(),
            watches: Vec::new(),
            uses: HashMap::new(),
            changed: true,
            looked: Instant::now(),
            ended: Vec::new(),
            reports: 0,
        }
    }

    /// Makes what is at work what is defined. What did not change goes on.
    pub(crate) fn reload(&mut self, host: &dyn Host, snapshot: &Snapshot) {
        let now = Instant::now();
        let kept = self.shared.kept.load_full();
        let resolver = Resolver { host, snapshot };
        lock(&self.shared.since_start)
            .retain(|id, _| snapshot.reading(id).is_some());
        let mut before: HashMap<String, Active> =
            std::mem::take(&mut self.active)
                .into_iter()
                .map(|active| (active.config.id.clone(), active))
                .collect();
        for definition in kept.definitions.values() {
            let old = before.remove(&definition.id);
            let shapes = shapes(definition, &resolver, |_, _| {});
            let active = match old {
                Some(mut old) if *old.config == *definition => {
                    let mut collector = lock(&old.collector);
                    let new = Collector::new(shapes, Some(&mut collector), now);
                    old.samples = new.samples();
                    *collector = new;
                    drop(collector);
                    if !kept.enabled {
                        old.next = None;
                    } else if old.next.is_none() {
                        old.next = first(definition, now);
                    }
                    old
                }
                _ => {
                    let collector = Collector::new(shapes, None, now);
                    let next = kept.enabled.then(|| first(definition, now));
                    Active {
                        config: Arc::new(definition.clone()),
                        samples: collector.samples(),
                        collector: Arc::new(Mutex::new(collector)),
                        next: next.flatten(),
                        made: 0,
                        last: Vec::new(),
                        whole: now,
                    }
                }
            };
            self.active.push(active);
        }
        let mut watches: HashMap<String, Watch> =
            std::mem::take(&mut self.watches)
                .into_iter()
                .map(|watch| (watch.config.id.clone(), watch))
                .collect();
        for trigger in kept.triggers.values() {
            let properties = properties(trigger, &resolver);
            // What was pending when telemetry was switched off is not known.
            let old = watches.remove(&trigger.id).filter(|old| {
                let same = old.items.iter().map(|item| &item.property);
                kept.enabled && *old.config == *trigger && same.eq(&properties)
            });
            let watch = old.unwrap_or_else(|| {
                Watch::new(Arc::new(trigger.clone()), properties, now)
            });
            self.watches.push(watch);
        }
        self.index();
        self.publish();
        self.changed = true;
    }

    /// Who wants to hear of which sensor.
    fn index(&mut self) {
        self.uses.clear();
        for (at, active) in self.active.iter().enumerate() {
            let collector = lock(&active.collector);
            for (item, metric) in collector.items.iter().enumerate() {
                if let (Source::Sensor(id), Gauge::Window(..)) =
                    (&metric.property.source, &metric.gauge)
                {
                    let uses = self.uses.entry(id.clone()).or_default();
                    uses.push(Use::Window(at, item));
                }
            }
        }
        for (at, watch) in self.watches.iter().enumerate() {
            for (item, watched) in watch.items.iter().enumerate() {
                if let Source::Sensor(id) = &watched.property.source {
                    let uses = self.uses.entry(id.clone()).or_default();
                    uses.push(Use::Trigger(at, item));
                }
            }
        }
    }

    /// Takes new readings of sensors.
    pub(crate) fn read(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        ids: &[Id],
    ) {
        let enabled = self.shared.kept.load().enabled;
        let now = Instant::now();
        let mut since_start = lock(&self.shared.since_start);
        let mut fired = Vec::new();
        self.changed = true;
        for id in ids {
            let Some(reading) = snapshot.reading(id) else { continue };
            let good = reading.quality == Quality::Good;
            let number = reading.number().filter(|_| good);
            if let Some(number) = number {
                let totals = Totals::of(number);
                match since_start.get_mut(id) {
                    Some(all) => all.add(totals),
                    None => drop(since_start.insert(id.clone(), totals)),
                }
            }
            if !enabled {
                continue;
            }
            for used in self.uses.get(id).into_iter().flatten() {
                match *used {
                    Use::Window(at, item) => {
                        let Some(active) = self.active.get(at) else {
                            continue;
                        };
                        let mut collector = lock(&active.collector);
                        let item = collector.items.get_mut(item);
                        if let (Some(item), Some(number)) = (item, number)
                            && let Gauge::Window(_, window) = &mut item.gauge
                        {
                            window.push(reading.taken, number);
                        }
                    }
                    Use::Trigger(at, item) => {
                        let Some(watch) = self.watches.get_mut(at) else {
                            continue;
                        };
                        if !watch.config.enabled {
                            continue;
                        }
                        let value = number.map_or(Value::Null, Value::Number);
                        let said = watch.observe(item, value, now);
                        fired.extend(said.into_iter().map(|it| (at, it)));
                    }
                }
            }
        }
        drop(since_start);
        self.act(host, snapshot, fired, now);
    }

    /// Something else has changed.
    pub(crate) fn change(&mut self) {
        self.changed = true;
    }

    /// Does any trigger wait for events?
    pub(crate) fn listens(&self) -> bool {
        self.watches.iter().any(|it| !it.config.event_triggers.is_empty())
    }

    /// An event was sent that triggers may wait for.
    pub(crate) fn event(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        event: &Map<String, Json>,
    ) {
        let id = event.get("MessageId").and_then(Json::as_str);
        let Some(message_id) = id else { return };
        // What telemetry says itself must not set it off.
        if !self.shared.kept.load().enabled
            || message_id.starts_with("Telemetry.")
        {
            return;
        }
        let mut fired = Vec::new();
        for (at, watch) in self.watches.iter().enumerate() {
            let config = &watch.config;
            let waits = config.event_triggers.iter().any(|it| it == message_id);
            if config.enabled && waits {
                let message = telemetry::trigger_discrete_condition_met(
                    "MessageId",
                    message_id,
                    &config.id,
                );
                fired.push((at, Fired { message, met: true }));
            }
        }
        self.act(host, snapshot, fired, Instant::now());
    }

    /// When there is something to do, whatever happens until then.
    pub(crate) fn due(&self) -> Instant {
        let idle = Instant::now() + Duration::from_hours(1);
        if !self.shared.kept.load().enabled {
            return idle;
        }
        let periodic = self.active.iter().filter_map(|active| active.next);
        let dwell = self.watches.iter().filter_map(Watch::due);
        let look = self.looks().then(|| self.looked + SLOWEST);
        let first = periodic.chain(dwell).chain(look).min();
        first.unwrap_or(idle)
    }

    /// Is there anything that is looked at again and again?
    fn looks(&self) -> bool {
        let mut active = self.active.iter().filter(|it| it.config.enabled);
        let mut watches = self.watches.iter().filter(|it| it.config.enabled);
        active.any(|active| {
            let on_change = active.config.kind == Kind::OnChange;
            on_change && self.changed || active.samples
        }) || self.changed && watches.any(|watch| watch.looks)
    }

    /// Does what is due. The definitions that have come to their end.
    pub(crate) fn advance(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
    ) -> Vec<String> {
        let now = Instant::now();
        if !self.shared.kept.load().enabled {
            return Vec::new();
        }
        let mut fired = Vec::new();
        for (at, watch) in self.watches.iter_mut().enumerate() {
            if watch.config.enabled {
                fired.extend(watch.wait(now).into_iter().map(|it| (at, it)));
            }
        }
        if now >= self.looked + SLOWEST && self.looks() {
            self.looked = now;
            let mut reader = Reader::new(host, snapshot);
            for active in self.active.iter().filter(|it| it.samples) {
                lock(&active.collector).sample(&mut reader, now);
            }
            if std::mem::take(&mut self.changed) {
                fired.extend(self.observe(&mut reader, now));
                for at in 0..self.active.len() {
                    self.on_change(host, snapshot, at, now);
                }
            }
        }
        self.act(host, snapshot, fired, now);
        for at in 0..self.active.len() {
            let Some(active) = self.active.get_mut(at) else { continue };
            let Some(due) = active.next.filter(|due| *due <= now) else {
                continue;
            };
            let interval = active.config.interval().unwrap_or(SLOWEST);
            let late = now.duration_since(due);
            // What was missed is not made up for.
            let missed = late.as_nanos() / interval.as_nanos().max(1);
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            active.next = Some(due + interval * (missed + 1));
            self.generate(host, snapshot, at, now);
        }
        std::mem::take(&mut self.ended)
    }

    /// Shows triggers what is not a sensor's.
    fn observe(
        &mut self,
        reader: &mut Reader<'_>,
        now: Instant,
    ) -> Vec<(usize, Fired)> {
        let mut fired = Vec::new();
        for (at, watch) in self.watches.iter_mut().enumerate() {
            if !watch.config.enabled || !watch.looks {
                continue;
            }
            for item in 0..watch.items.len() {
                let Some(watched) = watch.items.get(item) else { continue };
                if watched.property.source != Source::Resource {
                    continue;
                }
                let (value, _) = reader.read(&watched.property);
                let said = watch.observe(item, value, now);
                fired.extend(said.into_iter().map(|it| (at, it)));
            }
        }
        fired
    }

    /// Does what triggers ask for.
    fn act(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        fired: Vec<(usize, Fired)>,
        now: Instant,
    ) {
        for (at, Fired { message, met }) in fired {
            let Some(watch) = self.watches.get(at) else { continue };
            let config = Arc::clone(&watch.config);
            let origin = uri::of(uri::TRIGGER, &[&config.id]);
            for action in &config.trigger_actions {
                match action {
                    TriggerAction::RedfishEvent => {
                        host.event(&message, &origin);
                    }
                    TriggerAction::LogToLogService => {
                        host.log(&message, &origin);
                    }
                    TriggerAction::RedfishMetricReport if met => {
                        self.start(host, snapshot, &config, now);
                    }
                    TriggerAction::RedfishMetricReport => {}
                }
            }
        }
    }
}

/// When a periodic report is made for the first time: soon, and so that
/// sensors have been read.
fn first(definition: &Definition, now: Instant) -> Option<Instant> {
    let periodic = definition.kind == Kind::Periodic && definition.enabled;
    let interval = definition.interval()?;
    periodic.then(|| now + interval.min(SLOWEST))
}

/// The properties that `trigger` looks at, as far as there are any now.
pub(crate) fn properties(
    trigger: &Trigger,
    resolver: &Resolver<'_>,
) -> Vec<super::resolve::Property> {
    let by_id = trigger.metric_ids.iter().map(|id| resolver.metric(id));
    let templates = trigger.metric_properties.iter();
    let by_uri = templates.map(|it| resolver.expand(it, &trigger.wildcards));
    by_id.chain(by_uri).filter_map(Result::ok).flatten().collect()
}

/// The content of a mutex, whatever happened to who held it before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
