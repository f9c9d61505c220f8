//! The model: writers take turns and make the next snapshot, listeners are told
//! what changed.

use std::{
    mem::discriminant,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::{sync::broadcast, time::Instant};

use super::{
    Contact, Id, Inventory, Part, Quality, Sample, Settings, Snapshot,
};

/// How many changes a slow listener may fall behind before it loses some.
const CHANGES: usize = 256;

/// What changed; a listener reads the new state from a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Parts came, went, or became different.
    Inventory,
    /// A setting of a part.
    Settings(Part),
    /// The power state of the system.
    Power(Id),
    /// Somebody has the system switched.
    Switched(Id),
    /// How far the start of the system has come.
    Boot(Id),
    /// The system answers on its control bus, or does not.
    Contact(Id),
    /// What a control does: its chassis, and itself.
    Control(Id, Id),
    /// An input became active, or inactive: a sensor, and whether it is now.
    Input(Id, bool),
    /// A power supply lost its input, or has it again: its chassis, and
    /// itself.
    Supply(Id, Id),
    /// Something is wrong with the part, or is no more.
    Trouble(Part),
    /// New values of these sensors.
    Readings(Arc<[Id]>),
    /// A sensor became trustworthy, stale or failed.
    Quality(Id),
    /// Something about a port or a switch, or who is at the other end.
    Network,
}

/// The agent's knowledge. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    now: ArcSwap<Snapshot>,
    /// Writers take turns, so that no change is lost.
    writing: Mutex<()>,
    changes: broadcast::Sender<Change>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(Inventory::default(), Settings::default())
    }
}

impl Model {
    /// A model of these parts with these settings, and no readings yet.
    #[must_use]
    pub fn new(inventory: Inventory, settings: Settings) -> Self {
        let mut snapshot = Snapshot { version: 1, ..Snapshot::default() };
        snapshot.fixed_version = 1;
        snapshot.inventory = Arc::new(inventory);
        snapshot.settings = Arc::new(settings);
        let (changes, _) = broadcast::channel(CHANGES);
        let now = ArcSwap::from_pointee(snapshot);
        let inner = Inner { now, writing: Mutex::new(()), changes };
        Self { inner: Arc::new(inner) }
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.now.load_full()
    }

    /// What changes from now on. A listener that falls behind is told how
    /// much it missed, and reads a snapshot.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Takes new readings.
    pub fn post(&self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let ids: Arc<[Id]> = samples.iter().map(|s| s.id.clone()).collect();
        let mut changes = vec![Change::Readings(ids)];
        self.write(|next| {
            let readings = Arc::make_mut(&mut next.readings);
            for sample in samples {
                let Sample { id, mut reading } = sample;
                reading.version = next.version;
                let before = readings.insert(id.clone(), reading.clone());
                // A part that fails in ever new words fails once.
                let before = before.map_or(Quality::Good, |r| r.quality);
                if discriminant(&before) != discriminant(&reading.quality) {
                    changes.push(Change::Quality(id));
                }
            }
            changes
        });
    }

    /// Marks as stale what is older than its driver promised.
    pub fn expire(&self, now: Instant) {
        self.expire_contacts(now);
        let overdue: Vec<Id> = self
            .snapshot()
            .readings
            .iter()
            .filter(|(_, reading)| reading.is_overdue(now))
            .map(|(id, _)| id.clone())
            .collect();
        if overdue.is_empty() {
            return;
        }
        self.write(|next| {
            let readings = Arc::make_mut(&mut next.readings);
            let mut changes = Vec::new();
            for id in overdue {
                // A driver may have been faster.
                if let Some(reading) = readings.get_mut(&id)
                    && reading.is_overdue(now)
                {
                    reading.quality = Quality::Stale;
                    reading.version = next.version;
                    changes.push(Change::Quality(id));
                }
            }
            changes
        });
    }

    fn expire_contacts(&self, now: Instant) {
        if !self.snapshot().contacts.values().any(|it| it.is_overdue(now)) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.contacts);
            let overdue = all.iter_mut().filter(|(_, it)| it.is_overdue(now));
            let stale = |(id, contact): (&Id, &mut Contact)| {
                contact.quality = Quality::Stale;
                Change::Contact(id.clone())
            };
            overdue.map(stale).collect()
        });
    }

    /// Takes that the machine's clock is right now.
    pub fn confirm_clock(&self) {
        self.write(|next| {
            next.clock_confirmed = Some(Instant::now());
            Vec::new()
        });
    }

    /// Replaces the inventory where it is different; readings of sensors that
    /// are gone are forgotten.
    pub fn update_inventory(&self, inventory: Inventory) {
        if *self.snapshot().inventory == inventory {
            return;
        }
        self.write(|next| {
            let sensors = inventory.chassis.iter().flat_map(|c| &c.sensors);
            let known: Vec<Id> = sensors.map(|s| s.id.clone()).collect();
            Arc::make_mut(&mut next.readings)
                .retain(|id, _| known.contains(id));
            next.inventory = Arc::new(inventory);
            next.fixed_version += 1;
            vec![Change::Inventory]
        });
    }

    /// Takes the settings of `part`.
    pub(crate) fn update_settings(&self, part: &Part, settings: Settings) {
        self.write(|next| {
            next.settings = Arc::new(settings);
            next.fixed_version += 1;
            vec![Change::Settings(part.clone())]
        });
    }

    pub(super) fn write(
        &self,
        change: impl FnOnce(&mut Snapshot) -> Vec<Change>,
    ) {
        let writing = self.inner.writing.lock();
        let _turn = writing.unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.inner.now.load());
        next.version += 1;
        let changes = change(&mut next);
        self.inner.now.store(Arc::new(next));
        for change in changes {
            // Without a listener there is nobody to tell.
            let _ = self.inner.changes.send(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Celsius, Chassis, Quantity};

    fn sample(id: &str, value: f64) -> Sample {
        let celsius = Quantity::from(Celsius(value));
        Sample::good(&id.into(), celsius, Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_is_not_renewed_goes_stale_and_keeps_its_value() {
        let model = Model::default();
        let mut changes = model.changes();
        model.post(vec![sample("cpu", 40.0)]);
        model.expire(Instant::now() + Duration::from_secs(4));
        let quality =
            |m: &Model| m.snapshot().reading("cpu").unwrap().quality.clone();
        assert_eq!(quality(&model), Quality::Good);
        model.expire(Instant::now() + Duration::from_secs(6));
        assert_eq!(quality(&model), Quality::Stale);
        let value = model.snapshot().reading("cpu").unwrap().value;
        assert_eq!(value, Some(Celsius(40.0).into()));
        assert!(matches!(changes.try_recv(), Ok(Change::Readings(_))));
        assert_eq!(changes.try_recv(), Ok(Change::Quality("cpu".into())));
    }

    #[test]
    fn a_snapshot_does_not_change_in_the_readers_hand() {
        let model = Model::default();
        model.post(vec![sample("cpu", 40.0)]);
        let before = model.snapshot();
        model.post(vec![sample("cpu", 50.0)]);
        let value = |s: &Snapshot| s.reading("cpu").unwrap().value;
        assert_eq!(value(&before), Some(Celsius(40.0).into()));
        assert_eq!(value(&model.snapshot()), Some(Celsius(50.0).into()));
        assert_eq!(before.fixed_version, model.snapshot().fixed_version);
    }

    #[test]
    fn the_readings_of_a_sensor_leave_with_it() {
        let model = Model::default();
        model.post(vec![sample("cpu", 40.0)]);
        let chassis = vec![Chassis { id: "host".into(), ..Chassis::default() }];
        model.update_inventory(Inventory { chassis, ..Inventory::default() });
        assert_eq!(model.snapshot().reading("cpu"), None);
        assert_eq!(model.snapshot().fixed_version, 2);
    }
}
