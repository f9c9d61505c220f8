//! All tasks: those that run, and those that ended not long ago.

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use http::{StatusCode, header::LOCATION};
use onprem_link::{file, id::Xid, task::Tasks as _};
use onprem_redfish::message::{self, Message, base, task_event};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use super::{
    Ended, Owner, Payload, Progress, Record, Work,
    record::{Final, State, Status},
};
use crate::{
    redfish::{error::Error, event::Events, uri},
    state::{self, StateError},
};

/// Tasks that are kept; a new one takes the place of the oldest that ended.
const KEPT: usize = 64;
/// Tasks that may run at once: a rack of nodes is shut down together.
const RUNNING: usize = 32;
/// An event is sent when a task has come this much further, in percent.
const STEP: u8 = 10;

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// A task, after its end.
    pub(crate) task_minutes: u32,
    /// The answer of its monitor, after it was first fetched.
    pub(crate) monitor_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { task_minutes: 24 * 60, monitor_seconds: 5 * 60 }
    }
}

/// What survives a restart.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    settings: Settings,
    /// The oldest first.
    tasks: VecDeque<Record>,
}

impl Kept {
    /// Forgets what has had its time.
    fn prune(&mut self) {
        let Settings { task_minutes, monitor_seconds } = self.settings;
        let task = Duration::from_mins(task_minutes.into());
        let monitor = Duration::from_secs(monitor_seconds.into());
        let now = Instant::now();
        let over = |since: Option<Instant>, time| {
            since.is_some_and(|since| now.duration_since(since) >= time)
        };
        self.tasks.retain(|it| !over(it.ended_at, task));
        for it in &mut self.tasks {
            if over(it.read_at, monitor) {
                it.answer = None;
            }
        }
    }

    /// Makes room for one more; whether there is some.
    fn make_room(&mut self) -> bool {
        let running = self.tasks.iter().filter(|it| it.is_running()).count();
        if running >= RUNNING {
            return false;
        }
        while self.tasks.len() >= KEPT {
            let ended = self.tasks.iter().position(|it| !it.is_running());
            let Some(ended) = ended else { return false };
            self.tasks.remove(ended);
        }
        true
    }

    fn find(&mut self, id: &str) -> Option<&mut Record> {
        self.tasks.iter_mut().find(|it| it.id == id)
    }
}

/// All tasks.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// Ends the work of a task that runs.
    stops: Mutex<HashMap<String, CancellationToken>>,
    /// Held by whoever writes the file.
    writer: tokio::sync::Mutex<()>,
    events: Arc<Events>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Book {
    /// The tasks of the state directory. What ran when the process ended has
    /// failed, but for `survivors`: they are [taken up](Self::take_up).
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(
        state_dir: &Path,
        survivors: &[String],
        events: Arc<Events>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("tasks.json");
        let mut kept: Kept = state::load_or_put_aside(&path)?;
        for it in &mut kept.tasks {
            if !it.is_running() {
                it.ended_at = Some(Instant::now());
            } else if !survivors.contains(&it.id) {
                it.interrupt();
                let uri = uri::of(uri::TASK, &[&it.id]);
                events.send(&task_event::task_aborted(&it.id), &uri);
            }
        }
        Ok(Arc::new(Self {
            path,
            kept: Mutex::new(kept),
            stops: Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            events,
            tasks,
            stop,
        }))
    }

    /// Starts `work` as a task of `owner`, and returns when it is on disk.
    ///
    /// # Errors
    /// Too many run, or the disk is full.
    pub(crate) async fn start(
        self: &Arc<Self>,
        work: Work,
        owner: Owner,
        payload: Option<Payload>,
    ) -> Result<Record, Error> {
        let id = Xid::new().to_string();
        let mut record =
            Record::new(id.clone(), work.name.to_owned(), owner, payload);
        if let Some(first) = &work.first {
            record.say(first);
        }
        {
            let mut kept = self.kept();
            kept.prune();
            if !kept.make_room() {
                return Err(Error::busy(5));
            }
            kept.tasks.push_back(record.clone());
        }
        let stop = CancellationToken::new();
        self.stops().insert(id.clone(), stop.clone());
        if let Err(error) = self.store().await {
            self.kept().tasks.retain(|it| it.id != id);
            self.stops().remove(&id);
            return Err(error);
        }
        info!(task = id, name = work.name, "task started");
        self.tell(&task_event::task_started(&id), &id);
        let run = Arc::clone(self).run(work, id, stop);
        self.tasks.start(run);
        Ok(record)
    }

    async fn run(
        self: Arc<Self>,
        work: Work,
        id: String,
        stop: CancellationToken,
    ) {
        let progress = Progress { book: Arc::clone(&self), id: id.clone() };
        let work = AssertUnwindSafe((work.run)(progress)).catch_unwind();
        let outcome = tokio::select! {
            outcome = work => outcome.unwrap_or_else(|_| Err(Error::internal())),
            () = stop.cancelled() => {
                let _ = self.store().await;
                return;
            }
            () = self.stop.cancelled() => {
                self.change(&id, |it| {
                    if !it.handed_over {
                        it.interrupt();
                    }
                });
                let _ = self.store().await;
                return;
            }
        };
        if !matches!(outcome, Ok(Ended::Later)) {
            self.finish(&id, outcome).await;
        }
    }

    /// Ends the task `id`, if it still runs.
    pub(super) async fn finish(&self, id: &str, outcome: Result<Ended, Error>) {
        self.stops().remove(id);
        let ended = {
            let mut kept = self.kept();
            let record = kept.find(id).filter(|it| it.is_running());
            record.map(|record| {
                conclude(record, outcome);
                record.clone()
            })
        };
        let Some(record) = ended else { return };
        let _ = self.store().await;
        let message = match (record.state, record.status) {
            (State::Completed, Status::Ok) => task_event::task_completed_ok(id),
            (State::Completed, _) => task_event::task_completed_warning(id),
            _ => task_event::task_aborted(id),
        };
        if record.state == State::Completed {
            info!(task = id, name = record.name, "task done");
        } else {
            let said = record.messages.last();
            let said = said.and_then(|it| it.get("Message"));
            let said = said.and_then(Value::as_str).unwrap_or_default();
            warn!(task = id, name = record.name, said, "task failed");
        }
        self.tell(&message, id);
    }

    /// The handle of a task that survived a restart.
    pub(crate) fn take_up(self: &Arc<Self>, id: &str) -> Option<Progress> {
        let running = self.kept().find(id).is_some_and(|it| it.is_running());
        running.then(|| Progress { book: Arc::clone(self), id: id.to_owned() })
    }

    /// Stops the task `id`, which leaves no answer; `false` where it is past
    /// the point where it can be.
    pub(crate) async fn cancel(&self, id: &str) -> bool {
        {
            let mut kept = self.kept();
            let Some(record) = kept.find(id) else { return true };
            if !record.is_running() {
                return true;
            }
            if !record.can_be_cancelled {
                return false;
            }
            let message = task_event::task_cancelled(id);
            record.say(&message);
            record.end(State::Cancelled, None);
        }
        let stop = self.stops().remove(id);
        if let Some(stop) = stop {
            stop.cancel();
        }
        info!(task = id, "task cancelled");
        self.tell(&task_event::task_cancelled(id), id);
        let _ = self.store().await;
        true
    }

    /// Removes the tasks that have ended and that `which` names.
    pub(crate) async fn remove(
        &self,
        which: impl Fn(&Record) -> bool,
    ) -> Result<(), Error> {
        self.kept().tasks.retain(|it| it.is_running() || !which(it));
        self.store().await
    }

    /// Removes the answer of the task `id`.
    pub(crate) async fn close_monitor(&self, id: &str) -> Result<(), Error> {
        self.change(id, |it| it.answer = None);
        self.store().await
    }

    /// The task `id`.
    pub(crate) fn get(&self, id: &str) -> Option<Record> {
        let mut kept = self.kept();
        kept.prune();
        kept.find(id).cloned()
    }

    /// The ids of all tasks, the oldest first.
    pub(crate) fn ids(&self) -> Vec<String> {
        let mut kept = self.kept();
        kept.prune();
        kept.tasks.iter().map(|it| it.id.clone()).collect()
    }

    /// How long what has ended is kept.
    pub(crate) fn settings(&self) -> Settings {
        self.kept().settings
    }

    /// Changes how long it is.
    pub(crate) async fn set(&self, settings: Settings) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.kept().settings, settings);
        let stored = self.store().await;
        if stored.is_err() {
            self.kept().settings = before;
        }
        stored
    }

    /// Notes that the answer of the task `id` was fetched.
    pub(super) fn read(&self, id: &str) {
        self.change(id, |it| {
            it.read_at.get_or_insert_with(Instant::now);
        });
    }

    pub(super) fn percent(&self, id: &str, percent: u8) {
        let percent = percent.min(99);
        let mut told = false;
        self.change(id, |it| {
            told = it.is_running() && it.percent / STEP < percent / STEP;
            it.percent = it.percent.max(percent);
        });
        if told {
            self.tell(&task_event::task_progress_changed(id, percent), id);
        }
    }

    /// Makes the task one that cannot be cancelled; whether it still runs.
    pub(super) fn keep(&self, id: &str) -> bool {
        let mut runs = false;
        self.change(id, |it| {
            it.can_be_cancelled = false;
            runs = it.is_running();
        });
        runs
    }

    /// Leaves the task to the process that comes after this one.
    pub(super) async fn hand_over(&self, id: &str) {
        self.change(id, |it| it.handed_over = true);
        // Where it fails, that is logged, and what was said is lost.
        let _ = self.store().await;
    }

    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.kept().find(id) {
            change(record);
        }
    }

    fn tell(&self, message: &Message, id: &str) {
        self.events.send(message, &uri::of(uri::TASK, &[id]));
    }

    /// Returns when all is on disk.
    async fn store(&self) -> Result<(), Error> {
        let _turn = self.writer.lock().await;
        let bytes = serde_json::to_vec(&*self.kept()).unwrap_or_default();
        let stored = file::store(&self.path, bytes).await;
        stored.map_err(|error| {
            error!(%error, path = %self.path.display(), "tasks not stored");
            Error::unstored(&error)
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes into `record` how it ended.
fn conclude(record: &mut Record, outcome: Result<Ended, Error>) {
    let answer = |status: StatusCode, body| Final {
        status: status.as_u16(),
        headers: Vec::new(),
        body,
    };
    match outcome {
        Ok(Ended::Done | Ended::Later) => {
            let body = message::error(&[base::success()]);
            record.end(State::Completed, Some(answer(StatusCode::OK, body)));
        }
        Ok(Ended::Made(uri)) => {
            let body = message::error(&[base::created()]);
            let mut answer = answer(StatusCode::CREATED, body);
            let location = LOCATION.as_str().to_owned();
            answer.headers.push((location, uri.clone()));
            record.made.push(uri);
            record.end(State::Completed, Some(answer));
        }
        Err(error) => {
            for message in &error.messages {
                record.say(message);
            }
            record.status = Status::Critical;
            let mut answer = answer(error.status, error.body());
            for (name, value) in &error.headers {
                let value = value.to_str().unwrap_or_default().to_owned();
                answer.headers.push((name.to_string(), value));
            }
            record.end(State::Exception, Some(answer));
        }
    }
}
