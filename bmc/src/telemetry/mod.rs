//! Telemetry: reports of metrics over time, and triggers that watch them
//! (DSP2051).
//!
//! One task owns what is at work. It lives on the changes of the model, and
//! sleeps while nothing is due. What people define lies in `telemetry.json`
//! of the state directory; reports are in memory only.

mod change;
mod check;
mod collector;
mod config;
mod defaults;
mod defined;
mod duration;
mod engine;
mod metric;
mod report;
mod resolve;
mod task;
mod trigger;
mod value;
mod window;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use onprem_link::{file, task::Tasks as _};
use onprem_redfish::message::Message;
use serde_json::{Map, Value as Json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    collector::{Collector, SinceStart},
    engine::{Engine, lock},
    value::Reader,
};
pub(crate) use self::{
    config::{Definition, Kept, Trigger},
    defined::Defined,
    metric::{
        Form, OfManager, ids as metric_ids, named as metric_named, of_manager,
    },
    report::{Entry, Report},
    resolve::Resolver,
};
use crate::{
    model::{Model, Snapshot},
    redfish::event::Feed,
    state::{self, StateError},
};

/// The shortest time between two reports, and between two looks at what is
/// no sensor.
pub(crate) const SLOWEST: Duration = Duration::from_secs(1);
/// Definitions of reports there may be.
pub(crate) const DEFINITIONS: usize = 32;
/// Triggers there may be.
pub(crate) const TRIGGERS: usize = 32;
/// Reports that definitions of `NewReport` leave, all together.
pub(crate) const NEW_REPORTS: usize = 32;
/// Properties that one definition or one trigger may stand for.
pub(crate) const PROPERTIES: usize = 2048;
/// Properties of all definitions that something is calculated of over time.
pub(crate) const WINDOWS: usize = 1024;
/// Values that the reports of all definitions may hold, and as many again
/// those that definitions of `NewReport` leave.
pub(crate) const VALUES: usize = 20_480;
/// Entries of an appended report, unless the definition says how many.
pub(crate) const APPEND_LIMIT: u64 = 256;
/// The most entries it may say.
pub(crate) const MOST_APPENDED: u64 = 4096;
/// Writes that may wait for the task.
const QUEUE: usize = 16;
/// How long a write waits for the task.
const DEADLINE: Duration = Duration::from_secs(5);

/// What telemetry needs of the service it is part of. Nothing here waits.
pub(crate) trait Host: Send + Sync {
    /// The resource at `uri` as everyone may read it who can log in; never
    /// one of telemetry's own.
    fn resource(&self, uri: &str) -> Option<Map<String, Json>>;
    /// Tells subscribers of a report.
    fn report(&self, report: &Report);
    /// Tells subscribers of `message`.
    fn event(&self, message: &Message, origin: &str);
    /// Writes `message` into the log of the telemetry service.
    fn log(&self, message: &Message, origin: &str);
    /// There is a new resource.
    fn created(&self, uri: &str);
    /// A resource is gone.
    fn removed(&self, uri: &str);
}

/// What readers see of the task's work.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    kept: ArcSwap<Kept>,
    reports: Mutex<BTreeMap<String, Arc<Report>>>,
    /// Of the definitions whose reports are made when somebody asks.
    collectors: Mutex<HashMap<String, Arc<Mutex<Collector>>>>,
    since_start: Mutex<SinceStart>,
}

/// Wakes the task; it answers when it works by what is defined now.
type Reload = oneshot::Sender<()>;

/// The telemetry of one service.
#[derive(Debug)]
pub(crate) struct Telemetry {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Held by whoever changes what is defined, until it is stored.
    writer: tokio::sync::Mutex<()>,
    reload: mpsc::Sender<Reload>,
    waiting: Mutex<Option<mpsc::Receiver<Reload>>>,
}

/// Why something is not changed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What is wrong with it.
    Wrong(Vec<Message>),
    /// There is none of this id.
    Unknown,
    /// There is one of this id.
    Known,
    /// There are too many.
    Full,
    /// It cannot be stored.
    Unstored(io::Error),
    /// It is not heard of.
    Failed,
}

impl Telemetry {
    /// The telemetry that the state directory remembers; what suits the board
    /// at the first start.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(
        state_dir: &Path,
        snapshot: &Snapshot,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("telemetry.json");
        let kept: Option<Kept> = state::load_or_put_aside(&path)?;
        let kept = kept.unwrap_or_else(|| Kept {
            enabled: true,
            definitions: defaults::definitions(snapshot),
            triggers: defaults::triggers(snapshot),
        });
        let (reload, waiting) = mpsc::channel(QUEUE);
        let kept = ArcSwap::from_pointee(kept);
        Ok(Arc::new(Self {
            shared: Arc::new(Shared { kept, ..Shared::default() }),
            path,
            writer: tokio::sync::Mutex::default(),
            reload,
            waiting: Mutex::new(Some(waiting)),
        }))
    }

    /// Begins to collect and to watch, until `stop`.
    pub(crate) fn start(
        self: &Arc<Self>,
        host: &Arc<impl Host + 'static>,
        model: Model,
        events: Feed,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let waiting = lock(&self.waiting).take();
        let Some(waiting) = waiting else { return };
        let mut engine = Engine::new(Arc::clone(&self.shared));
        // Before the first change, so that none is missed.
        let changes = model.changes();
        engine.reload(&**host, &model.snapshot());
        let host = Arc::downgrade(host);
        let host: Weak<dyn Host> = host;
        let task = task::Task {
            telemetry: Arc::clone(self),
            engine,
            host,
            model,
            changes,
            events,
            waiting,
        };
        tasks.start(task.run(stop));
    }

    /// What is defined.
    pub(crate) fn kept(&self) -> Arc<Kept> {
        self.shared.kept.load_full()
    }

    /// The ids of the reports there are.
    pub(crate) fn reports(&self) -> Vec<String> {
        let mut ids: Vec<_> =
            lock(&self.shared.reports).keys().cloned().collect();
        ids.extend(lock(&self.shared.collectors).keys().cloned());
        ids.sort();
        ids
    }

    /// The report `id`: the one that was made, or one made now.
    pub(crate) fn report(
        &self,
        id: &str,
        host: &dyn Host,
        snapshot: &Snapshot,
    ) -> Option<Arc<Report>> {
        if let Some(report) = lock(&self.shared.reports).get(id) {
            return Some(Arc::clone(report));
        }
        let collector = lock(&self.shared.collectors).get(id).cloned()?;
        let kept = self.shared.kept.load();
        let definition = kept.definitions.get(id)?;
        let mut report = Report::of(definition, None);
        if definition.enabled && kept.enabled {
            let mut reader = Reader::new(host, snapshot);
            let now = Instant::now();
            let since_start = lock(&self.shared.since_start);
            let mut collector = lock(&collector);
            let entries = collector.collect(&mut reader, &since_start, now);
            report.entries = entries.into();
        }
        Some(Arc::new(report))
    }

    /// The id of the last report of the definition `id`.
    pub(crate) fn latest(&self, id: &str) -> Option<String> {
        if lock(&self.shared.collectors).contains_key(id) {
            return Some(id.to_owned());
        }
        let reports = lock(&self.shared.reports);
        let own = reports
            .values()
            .filter(|report| report.definition.as_deref() == Some(id));
        own.max_by_key(|report| report.number).map(|it| it.id.clone())
    }

    /// Switches telemetry on or off.
    pub(crate) async fn enable(&self, enabled: bool) -> Result<(), Refused> {
        self.keep(|kept| {
            kept.enabled = enabled;
            Ok(())
        })
        .await
    }

    /// Makes the definitions what they were at the first start.
    pub(crate) async fn reset_definitions(
        &self,
        snapshot: &Snapshot,
    ) -> Result<(), Refused> {
        self.keep(|kept| {
            kept.definitions = defaults::definitions(snapshot);
            kept.unlink();
            Ok(())
        })
        .await
    }

    /// Makes the triggers what they were at the first start.
    pub(crate) async fn reset_triggers(
        &self,
        snapshot: &Snapshot,
    ) -> Result<(), Refused> {
        self.keep(|kept| {
            kept.triggers = defaults::triggers(snapshot);
            kept.unlink();
            Ok(())
        })
        .await
    }

    /// Empties all reports, and removes those that only hold the past.
    pub(crate) async fn clear(&self) -> Result<(), Refused> {
        lock(&self.shared.reports).clear();
        self.reload().await
    }

    /// Changes what is defined, and returns when it is stored and at work.
    async fn keep<T>(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let done = self.store(change).await?;
        self.reload().await?;
        Ok(done)
    }

    /// Changes what is defined, and returns when it is stored.
    async fn store<T>(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let _writer = self.writer.lock().await;
        let mut kept = Kept::clone(&self.shared.kept.load());
        let done = change(&mut kept)?;
        let bytes = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        if let Err(error) = file::store(&self.path, bytes).await {
            let path = self.path.display();
            tracing::error!(%error, %path, "telemetry not stored");
            return Err(Refused::Unstored(error));
        }
        self.shared.kept.store(Arc::new(kept));
        Ok(done)
    }

    async fn reload(&self) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.reload.send(answer).await.map_err(drop)?;
            answered.await.map_err(drop)
        };
        match timeout(DEADLINE, asked).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refused::Failed),
        }
    }
}
