//! Serial consoles: what a part has at the end of a line of bytes, for many
//! who look and one who types.
//!
//! A part gives a [`Line`] and serves it on a thread of its own. What comes is
//! kept in memory, so that whoever looks is served at his own pace, and on
//! disk, so that it can be read when nobody looked.

mod history;
mod lease;
mod line;
mod session;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use onprem_link::task::{Tasks as _, blocking};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(any(test, fuzzing))]
pub(crate) use self::line::look_back;
pub use self::line::{Attached, Line, Refused, Want};
pub(crate) use self::session::{Guest, Manner, Rights, attend};
use self::{history::History, lease::Lease};
use crate::model::Id;

/// Those who look at one console at the same time.
pub const SESSIONS: usize = 16;
/// Those of them who only look: the rest is for who may type.
pub const LOOKERS: usize = 12;
/// Those who only look at consoles of one machine, and all: a tunnel carries
/// so many requests at once, and has others to carry.
const ALL_LOOKERS: usize = 32;
const ALL: usize = 64;
/// What is new is on disk after this time: a memory card wears with each
/// write.
const SAVING: Duration = Duration::from_secs(10);

/// The consoles of a machine.
#[derive(Debug, Default)]
pub struct Consoles {
    all: BTreeMap<Id, Arc<Console>>,
    sessions: AtomicU64,
    stop: CancellationToken,
}

/// The console of one system.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) system: Id,
    line: Line,
    lease: Mutex<Lease>,
    history: Arc<Mutex<History>>,
}

/// Somebody has a place at a console, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    console: Arc<Console>,
    number: u64,
    /// Whether it is the place of one who may type.
    typist: bool,
}

impl Consoles {
    /// The consoles `lines`, with what is kept of them below `state_dir`. What
    /// is new is written on `tasks` until `stop`, and once more then.
    #[must_use]
    pub fn open(
        state_dir: &Path,
        lines: Vec<(Id, Line)>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let mut all = BTreeMap::new();
        let folder = state_dir.join("console");
        for (system, line) in lines {
            let history = History::open(&folder.join(&*system), &line);
            let console = Arc::new(Console {
                system: system.clone(),
                line,
                lease: Mutex::default(),
                history: Arc::new(Mutex::new(history)),
            });
            tasks.start(keep(Arc::clone(&console), stop.child_token()));
            all.insert(system, console);
        }
        Self { all, sessions: AtomicU64::new(1), stop: stop.child_token() }
    }

    /// What ends those who look.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// The console of `system`, if it has one.
    pub(crate) fn of(&self, system: &str) -> Option<&Arc<Console>> {
        self.all.get(system)
    }

    /// A place at the console, for a `typist` who may type or for one who
    /// only looks, unless all of that sort are taken.
    pub(crate) fn seat(
        &self,
        console: &Arc<Console>,
        typist: bool,
    ) -> Option<Seat> {
        let wants = self.all.values().map(|console| console.line.want());
        let all = wants.fold((0, 0), |(viewers, typists), want| {
            (viewers + want.viewers, typists + want.typists)
        });
        let (viewers, typists) = all;
        let full = !typist && viewers - typists >= ALL_LOOKERS;
        let most = if typist { SESSIONS } else { LOOKERS };
        if full || viewers >= ALL || !console.line.sit_down(typist, most) {
            return None;
        }
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        Some(Seat { console: Arc::clone(console), number, typist })
    }
}

impl Console {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may type now, if somebody asked for it.
    pub(crate) fn writer(&self) -> Option<String> {
        self.lease().holder(Instant::now()).map(|(_, who)| who.to_owned())
    }

    /// The last `most` bytes that came, from disk and from memory.
    pub(crate) async fn tail(&self, most: usize) -> Vec<u8> {
        let (line, history) = (self.line.clone(), Arc::clone(&self.history));
        let reading = blocking(move || {
            let history =
                history.lock().unwrap_or_else(PoisonError::into_inner);
            history.tail(&line, most)
        });
        reading.await.unwrap_or_default()
    }
}

impl Seat {
    fn line(&self) -> &Line {
        &self.console.line
    }

    /// Who has it may only look from here on.
    fn demote(&mut self) {
        if std::mem::take(&mut self.typist) {
            self.console.line.demote();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.console.lease().leave(self.number);
        self.console.line.stand_up(self.typist);
    }
}

/// Writes what is new on the console, in batches.
async fn keep(console: Arc<Console>, stop: CancellationToken) {
    loop {
        let due = async {
            console.line.dirty().await;
            tokio::select! {
                () = sleep(SAVING) => {}
                () = console.line.pressing() => {}
            }
        };
        let goes_on = stop.run_until_cancelled(due).await.is_some();
        let (line, history) =
            (console.line.clone(), Arc::clone(&console.history));
        let saved = blocking(move || {
            let mut history =
                history.lock().unwrap_or_else(PoisonError::into_inner);
            history.save(&line);
            if !goes_on {
                history.sync();
            }
        });
        // What broke in it has been told by itself.
        let _ = saved.await;
        if !goes_on {
            return;
        }
    }
}
