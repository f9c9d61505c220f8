//! The events of late: one buffer for all who are told.

use std::{collections::VecDeque, sync::Arc};

use super::record::{Content, Event};

/// Events that are kept for who is slow or comes back.
pub(crate) const KEPT: usize = 512;
/// And how much room they may take, in bytes.
const ROOM: usize = 1 << 20;
/// Records that go out in one message.
const BATCH: usize = 32;

/// The last events, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Ring {
    last: u64,
    /// The last one that had to go.
    forgotten: u64,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

/// What there is for a subscriber.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What was forgotten before it was sent: first and last id.
    pub(crate) missed: Option<(u64, u64)>,
    pub(crate) events: Vec<Arc<Event>>,
    /// Up to here nothing else is to be sent.
    pub(crate) upto: u64,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.missed.is_none() && self.events.is_empty()
    }
}

impl Ring {
    /// A ring that goes on after `last` with what is left of before.
    pub(super) fn after(last: u64, events: VecDeque<Arc<Event>>) -> Self {
        let forgotten = match events.front() {
            Some(first) => first.id.saturating_sub(1),
            None => 0,
        };
        let bytes = events.iter().map(|it| it.size()).sum();
        Self { last, forgotten, events, bytes }
    }

    /// The id of the last event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter()
    }

    /// Takes the event that `make` makes of its id; the oldest go.
    pub(super) fn push(&mut self, make: impl FnOnce(u64) -> Event) -> u64 {
        self.last += 1;
        let event = Arc::new(make(self.last));
        self.bytes += event.size();
        self.events.push_back(event);
        while self.events.len() > KEPT || self.bytes > ROOM {
            // The newest is sent whatever its size.
            if self.events.len() == 1 {
                break;
            }
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.forgotten = oldest.id;
        }
        self.last
    }

    /// Uses an id up for something that is not kept.
    pub(super) fn skip(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What there is after `cursor` for whom `wants` speaks. A report comes
    /// alone.
    pub(super) fn batch(
        &self,
        cursor: u64,
        wants: impl Fn(&Event) -> bool,
    ) -> Batch {
        let missed =
            (cursor < self.forgotten).then_some((cursor + 1, self.forgotten));
        let mut batch =
            Batch { missed, events: Vec::new(), upto: cursor.max(self.last) };
        let start = self.events.partition_point(|it| it.id <= cursor);
        for event in self.events.range(start..) {
            if !wants(event) {
                continue;
            }
            let report = matches!(event.content, Content::Report { .. });
            let full =
                batch.events.len() >= BATCH || report && !batch.is_empty();
            if full {
                batch.upto = event.id - 1;
                break;
            }
            batch.events.push(Arc::clone(event));
            if report {
                batch.upto = event.id;
                break;
            }
        }
        batch
    }

    /// The id of the last event that is older than `since`.
    pub(super) fn before(
        &self,
        since: chrono::DateTime<chrono::Utc>,
    ) -> Option<u64> {
        let older = self.events.iter().rev().find(|it| it.at < since);
        older.map(|it| it.id)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn report(id: u64, size: usize) -> Event {
        let content = Content::Report {
            definition: "/d".to_owned(),
            body: "x".repeat(size).into(),
        };
        Event { id, at: Utc::now(), content }
    }

    fn record(id: u64) -> Event {
        let record = super::super::record::Record::new(serde_json::Map::new());
        Event { id, at: Utc::now(), content: Content::Record(record) }
    }

    #[test]
    fn what_had_to_go_is_counted() {
        let mut ring = Ring::default();
        for _ in 0..KEPT + 10 {
            ring.push(record);
        }
        let batch = ring.batch(3, |_| true);
        assert_eq!(batch.missed, Some((4, 10)));
        assert_eq!(batch.events[0].id, 11);
        assert_eq!(batch.upto, 10 + BATCH as u64);
        assert_eq!(ring.batch(10, |_| true).missed, None);
        assert!(ring.batch(10, |_| false).is_empty());
    }

    #[test]
    fn large_events_do_not_take_all_the_memory() {
        let mut ring = Ring::default();
        for _ in 0..20 {
            ring.push(|id| report(id, ROOM / 4));
        }
        assert!(ring.bytes <= ROOM);
        assert_eq!(ring.batch(0, |_| true).missed, Some((1, 16)));
        ring.push(|id| report(id, 2 * ROOM));
        assert_eq!(ring.events.len(), 1);
    }

    #[test]
    fn a_report_comes_alone() {
        let mut ring = Ring::default();
        ring.push(record);
        ring.push(|id| report(id, 10));
        ring.push(record);
        for (cursor, upto) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            assert_eq!(ring.batch(cursor, |_| true).upto, upto);
        }
    }
}
