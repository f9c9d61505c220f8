//! Owns the switches: what they are interlocked with is looked at before each
//! change, and with each reading. One that loses what it needs is switched off
//! at once, however long it was on, and stays off until somebody switches it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use onprem_link::{file::replace, task::blocking};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    boards::Switches,
    commands::{Command, CommandError, SwitchChange},
    gather,
    model::{
        Change, Chassis, FirstState, Id, Model, Part, Quality, Reading,
        Snapshot, Switch, SwitchState,
    },
    redfish::uri,
};

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// From here on a sensor of 0 to 100 is active.
const ACTIVE: f64 = 50.0;

/// What the switches were last, by their ids.
pub(crate) type Kept = BTreeMap<Id, Last>;

/// What a switch was last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Last {
    /// And since when.
    Since {
        /// Whether it was on.
        on: bool,
        /// Since when.
        at: DateTime<Utc>,
    },
    /// As it was kept before.
    State(bool),
}

impl Last {
    fn on(self) -> bool {
        let (Self::Since { on, .. } | Self::State(on)) = self;
        on
    }

    /// When it came to be so; what is in the future was just now.
    fn moved(self) -> Option<Instant> {
        let Self::Since { at, .. } = self else { return None };
        let age = (Utc::now() - at).to_std().unwrap_or_default();
        Instant::now().checked_sub(age)
    }
}

/// Owns the switches of a board.
pub(crate) struct Owner {
    switches: Arc<dyn Switches>,
    model: Model,
    /// Where it is kept what they were last.
    path: PathBuf,
    kept: Kept,
    /// When each was last switched.
    moved: BTreeMap<Id, Instant>,
    /// Those that shall be on, and cannot yet.
    waiting: BTreeSet<Id>,
    under_way: UnderWay,
}

/// Switches with a step that has not ended, given up or not. A line that hangs
/// holds up itself, and one thread.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<BTreeSet<Id>>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step under way; however it ends, the switch can be switched again.
struct Step {
    of: UnderWay,
    id: Id,
}

impl Drop for Step {
    fn drop(&mut self) {
        self.of.lock().remove(&self.id);
    }
}

impl Owner {
    pub(crate) fn new(
        switches: Arc<dyn Switches>,
        model: Model,
        path: PathBuf,
        kept: Kept,
    ) -> Self {
        let (moved, waiting) = (BTreeMap::new(), BTreeSet::new());
        let under_way = UnderWay::default();
        Self { switches, model, path, kept, moved, waiting, under_way }
    }

    /// Carries out changes one after the other until `stop`. What is on then
    /// stays on.
    pub(crate) async fn own(
        mut self,
        mut commands: mpsc::Receiver<Command<SwitchChange>>,
        stop: CancellationToken,
    ) {
        let mut changes = self.model.changes();
        self.begin().await;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                change = changes.recv() => match change {
                    Ok(Change::Readings(_) | Change::Quality(_))
                    | Err(RecvError::Lagged(_)) => self.look().await,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
                command = commands.recv() => {
                    let Some(Command { part, what, answer }) = command else {
                        return;
                    };
                    let result = self.change(&part, &what).await;
                    // The one who asked may have given up.
                    let _ = answer.send(result);
                }
            }
        }
    }

    /// Puts all into their first states; what shall be on and cannot yet, as
    /// nobody knows what it needs, is on later.
    async fn begin(&mut self) {
        let snapshot = self.model.snapshot();
        let known = gather::set(all(&snapshot).map(|(_, it)| it.id.clone()));
        self.kept.retain(|id, _| known.contains(id));
        for (chassis, switch) in all(&snapshot) {
            let on = match switch.first {
                FirstState::Off => false,
                FirstState::On => true,
                FirstState::Last => {
                    self.kept.get(&switch.id).is_some_and(|it| it.on())
                }
            };
            let now = self.model.snapshot();
            let on = on && {
                let held = held(&now, switch).is_some();
                if held {
                    self.waiting.insert(switch.id.clone());
                }
                !held
            };
            if let Err(error) = self.put(chassis, switch, on, None).await {
                warn!(%error, switch = %switch.id, "not switched");
            }
        }
        // Who was switched a moment ago was so whatever the agent did since.
        self.moved.clear();
        let now = self.model.snapshot();
        for (id, last) in &self.kept {
            let moved = last.moved().filter(|_| is_on(&now, id) == last.on());
            self.moved.extend(moved.map(|at| (id.clone(), at)));
        }
    }

    /// Switches off what lost what it needs, and on what has it now.
    async fn look(&mut self) {
        let snapshot = self.model.snapshot();
        for (chassis, switch) in all(&snapshot) {
            let on = is_on(&snapshot, &switch.id);
            let lost = missing(&snapshot, switch);
            if let (true, Some(sensor)) = (on, lost) {
                warn!(switch = %switch.id, %sensor, "switched off");
                let why = Some(sensor.clone());
                match self.put(chassis, switch, false, why).await {
                    Ok(()) => self.keep(&switch.id, false).await,
                    // The next reading brings the next try.
                    Err(error) => Err(error),
                }
                .unwrap_or_else(|error| {
                    warn!(%error, switch = %switch.id, "not switched off");
                });
            }
            if self.waiting.contains(&switch.id)
                && held(&self.model.snapshot(), switch).is_none()
            {
                self.waiting.remove(&switch.id);
                if let Err(error) = self.put(chassis, switch, true, None).await
                {
                    warn!(%error, switch = %switch.id, "not switched on");
                }
            }
        }
    }

    async fn change(
        &mut self,
        part: &Part,
        change: &SwitchChange,
    ) -> Result<(), CommandError> {
        let snapshot = self.model.snapshot();
        let Some((chassis, switch)) =
            all(&snapshot).find(|(_, it)| it.id == change.switch)
        else {
            return Err(CommandError::Unknown { part: part.clone() });
        };
        let before = is_on(&snapshot, &switch.id);
        if change.on
            && let Some(other) = held(&snapshot, switch)
        {
            return Err(CommandError::Interlock { part: part.clone(), other });
        }
        if before != change.on {
            let [least_on, least_off] = switch.least;
            let least = if before { least_on } else { least_off };
            let moved = self.moved.get(&switch.id);
            let since = moved.map_or(Duration::MAX, Instant::elapsed);
            if since < least {
                let wait = least.saturating_sub(since);
                return Err(CommandError::TooSoon { part: part.clone(), wait });
            }
        }
        self.waiting.remove(&switch.id);
        let failed = |error: io::Error| CommandError::unkept(part, &error);
        self.put(chassis, switch, change.on, None).await.map_err(failed)?;
        if let Err(error) = self.keep(&switch.id, change.on).await {
            // What would not outlast a restart is not done.
            if let Err(error) = self.put(chassis, switch, before, None).await {
                warn!(%error, switch = %switch.id, "not switched back");
            }
            return Err(failed(error));
        }
        info!(switch = %switch.id, on = change.on, "switched");
        Ok(())
    }

    async fn put(
        &mut self,
        chassis: &Chassis,
        switch: &Switch,
        on: bool,
        opened_for: Option<Id>,
    ) -> io::Result<()> {
        let id = switch.id.clone();
        if !self.under_way.lock().insert(id.clone()) {
            let reason = "what it was told before has not ended";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
        }
        let step = Step { of: self.under_way.clone(), id };
        let switches = Arc::clone(&self.switches);
        let newly = on && !is_on(&self.model.snapshot(), &switch.id);
        // Set by who is first: the step that ends, or we who give it up.
        let settled = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&settled);
        let mut putting = blocking(move || {
            let mut put = switches.put(&step.id, on);
            if ended.swap(true, Ordering::AcqRel) && newly {
                // Nobody knows of it, nor looks what it needs.
                put = switches.put(&step.id, false);
            }
            put
        });
        let put = match timeout(PATIENCE, &mut putting).await {
            Ok(put) => put,
            Err(_) if settled.swap(true, Ordering::AcqRel) => putting.await,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        put.unwrap_or_else(|error| Err(error.into()))?;
        self.moved.insert(switch.id.clone(), Instant::now());
        let state = SwitchState { on, since: Utc::now(), opened_for };
        self.model.post_switch(&chassis.id, &switch.id, state);
        Ok(())
    }

    /// Keeps what a switch was last.
    async fn keep(&mut self, switch: &Id, on: bool) -> io::Result<()> {
        if self.kept.get(switch).is_some_and(|last| last.on() == on) {
            return Ok(());
        }
        let mut next = self.kept.clone();
        next.insert(switch.clone(), Last::Since { on, at: Utc::now() });
        let text = serde_json::to_vec_pretty(&next).unwrap_or_default();
        let path = self.path.clone();
        blocking(move || replace(&path, &text)).await??;
        self.kept = next;
        Ok(())
    }
}

fn all(snapshot: &Snapshot) -> impl Iterator<Item = (&Chassis, &Switch)> {
    let chassis = snapshot.inventory.chassis.iter();
    chassis.flat_map(|it| it.switches.iter().map(move |switch| (it, switch)))
}

fn is_on(snapshot: &Snapshot, id: &Id) -> bool {
    snapshot.switches.get(id).is_some_and(|state| state.on)
}

/// What the switch needs, and is not active or not known: a sensor.
fn missing<'a>(snapshot: &Snapshot, switch: &'a Switch) -> Option<&'a Id> {
    switch.needs.iter().find(|id| {
        let reading = snapshot.reading(id);
        let good = reading.filter(|it| it.quality == Quality::Good);
        good.and_then(Reading::number).is_none_or(|value| value < ACTIVE)
    })
}

/// Where to find what keeps the switch from being on.
fn held(snapshot: &Snapshot, switch: &Switch) -> Option<String> {
    let mut others = all(snapshot);
    let other = others.find(|(_, other)| {
        let excluded = switch.never_with.contains(&other.id)
            || other.never_with.contains(&switch.id);
        excluded && other.id != switch.id && is_on(snapshot, &other.id)
    });
    if let Some((chassis, other)) = other {
        return Some(uri::of(uri::CONTROL, &[&chassis.id, &other.id]));
    }
    let sensor = missing(snapshot, switch)?;
    let mut chassis = snapshot.inventory.chassis.iter();
    let of = chassis.find(|it| it.sensor(sensor).is_some());
    let of = of.map_or("", |it| &*it.id);
    Some(uri::of(uri::SENSOR, &[of, sensor]))
}
