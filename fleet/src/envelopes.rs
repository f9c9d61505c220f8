//! How many recordings are read at once, and the outlines that were drawn
//! lately: a recording does not change once it was made.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use chrono::{DateTime, Utc};
use onprem_link::id::Xid;
use tokio::{sync::Semaphore, time::timeout};

use crate::{api::CaptureEnvelope, error::Error};

/// Recordings that are read at once.
const AT_ONCE: usize = 2;

/// Recordings of one device that are read at once.
const OF_DEVICE: usize = 1;

/// Those that are read, or wait for that.
const WAITING: usize = 32;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_mins(2);

/// Outlines that are kept.
const KEPT: usize = 32;

/// What they may consist of in all: numbers of eight bytes.
const NUMBERS: usize = 1 << 20;

/// Which outline of which recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) device: Xid,
    pub(crate) capture: String,
    /// When it was recorded: a device may use an id again.
    pub(crate) made_at: Option<DateTime<Utc>>,
    pub(crate) points: usize,
}

/// An outline that is kept.
type Known = (Key, Arc<CaptureEnvelope>);

/// The outlines of recordings.
#[derive(Debug)]
pub(crate) struct Envelopes {
    room: Semaphore,
    all: Semaphore,
    devices: Mutex<HashMap<Xid, Weak<Semaphore>>>,
    /// The oldest first.
    kept: Mutex<VecDeque<Known>>,
}

impl Default for Envelopes {
    fn default() -> Self {
        Self {
            room: Semaphore::new(WAITING),
            all: Semaphore::new(AT_ONCE),
            devices: Mutex::default(),
            kept: Mutex::default(),
        }
    }
}

impl Envelopes {
    /// The outline that is known, or what `read` makes, once it is its turn.
    ///
    /// # Errors
    /// Too many wait; what `read` says.
    pub(crate) async fn get(
        &self,
        key: Key,
        read: impl Future<Output = Result<CaptureEnvelope, Error>>,
    ) -> Result<CaptureEnvelope, Error> {
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let busy = "too many recordings are read at once; try again later";
        let room = self.room.try_acquire();
        let _room = room.map_err(|_| Error::Busy(busy))?;
        let device = self.device(key.device);
        // Those of one device do not take the turns of others.
        let turn = async {
            let device = device.acquire().await;
            (device, self.all.acquire().await)
        };
        let turn = timeout(PATIENCE, turn).await;
        let _turn = turn.map_err(|_| Error::Busy(busy))?;
        // Somebody before may have looked at the same.
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let made = read.await?;
        self.keep(key, &made);
        Ok(made)
    }

    fn known(&self, key: &Key) -> Option<CaptureEnvelope> {
        let kept = locked(&self.kept);
        let (_, known) = kept.iter().find(|(it, _)| it == key)?;
        let known = Arc::clone(known);
        drop(kept);
        Some(CaptureEnvelope::clone(&known))
    }

    fn keep(&self, key: Key, made: &CaptureEnvelope) {
        let mut kept = locked(&self.kept);
        kept.push_back((key, Arc::new(made.clone())));
        let mut numbers: usize = kept.iter().map(|(_, it)| size(it)).sum();
        while kept.len() > KEPT || numbers > NUMBERS {
            let Some((_, oldest)) = kept.pop_front() else { return };
            numbers -= size(&oldest);
        }
    }

    /// What those take turns by that read of this device.
    fn device(&self, device: Xid) -> Arc<Semaphore> {
        let mut devices = locked(&self.devices);
        if let Some(known) = devices.get(&device).and_then(Weak::upgrade) {
            return known;
        }
        devices.retain(|_, it| it.strong_count() > 0);
        let new = Arc::new(Semaphore::new(OF_DEVICE));
        devices.insert(device, Arc::downgrade(&new));
        new
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of an outline.
fn size(envelope: &CaptureEnvelope) -> usize {
    let series = envelope.series.iter();
    series.map(|it| it.low.len() + it.high.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;
    use crate::api::EnvelopeSeries;

    fn outline(points: usize) -> CaptureEnvelope {
        let values = vec![1.0; points];
        let series = EnvelopeSeries {
            name: "A".to_owned(),
            unit: None,
            low: values.clone(),
            high: values,
        };
        CaptureEnvelope {
            from_seconds: 0.0,
            to_seconds: 1.0,
            values: 10,
            series: vec![series],
        }
    }

    fn key(device: Xid, capture: usize) -> Key {
        let capture = capture.to_string();
        Key { device, capture, made_at: None, points: 900 }
    }

    #[tokio::test]
    async fn few_are_read_at_once_and_none_twice() {
        let envelopes = Envelopes::default();
        let devices: Vec<Xid> = (0..4).map(|_| Xid::new()).collect();
        let now: Vec<AtomicUsize> = (0..4).map(|_| 0.into()).collect();
        let (most, read) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let look = |at: usize, capture: usize| {
            let (now, most, read) = (&now, &most, &read);
            envelopes.get(key(devices[at], capture), async move {
                assert_eq!(now[at].fetch_add(1, SeqCst), 0, "of one device");
                let all = now.iter().map(|it| it.load(SeqCst)).sum();
                most.fetch_max(all, SeqCst);
                for _ in 0..10 {
                    yield_now().await;
                }
                read.fetch_add(1, SeqCst);
                now[at].fetch_sub(1, SeqCst);
                Ok(outline(3))
            })
        };
        let looks = (0..24).map(|it| look(it % 4, it / 12));
        let found = join_all(looks).await;
        assert!(found.iter().all(|it| it.as_ref().unwrap().values == 10));
        assert_eq!(most.load(SeqCst), AT_ONCE);
        // Four devices, two recordings of each.
        assert_eq!(read.load(SeqCst), 8);
        let looks = (0..=WAITING).map(|it| look(it % 4, it + 9));
        let found = join_all(looks).await;
        let refused = found.iter().filter(|it| it.is_err()).count();
        assert_eq!(refused, 1, "beyond those that may wait");
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_and_the_oldest_is_forgotten() {
        let envelopes = Envelopes::default();
        let device = Xid::new();
        let read = AtomicUsize::new(0);
        let look = async |capture, made: Result<usize, Error>| {
            let made = async {
                read.fetch_add(1, SeqCst);
                made.map(outline)
            };
            envelopes.get(key(device, capture), made).await
        };
        look(0, Err(Error::NotJson)).await.unwrap_err();
        look(0, Ok(3)).await.unwrap();
        look(0, Err(Error::NotJson)).await.unwrap();
        assert_eq!(read.load(SeqCst), 2);
        // One that is as large as all may be.
        look(1, Ok(NUMBERS / 2)).await.unwrap();
        look(0, Ok(3)).await.unwrap();
        assert_eq!(read.load(SeqCst), 4);
        for capture in 2..=KEPT + 1 {
            look(capture, Ok(1)).await.unwrap();
        }
        assert_eq!(locked(&envelopes.kept).len(), KEPT);
        assert_eq!(locked(&envelopes.devices).len(), 1);
    }
}
