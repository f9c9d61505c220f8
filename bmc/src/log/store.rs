//! One log: the entries in memory, and the file behind them.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onprem_link::log::Chain;
use tokio::{runtime::Handle, sync::watch};
use tokio_util::task::TaskTracker;

use super::{
    Kind,
    entry::Entry,
    segment::{Line, Segments},
};

/// The most that the entries of one log take, in bytes.
const MEMORY: usize = 512 << 10;
/// The most that waits to be written, in bytes; beyond it everything is
/// written anew from memory, which has a bound of its own.
const WAITING: usize = 256 << 10;
/// What messages about the log itself are marked with, so that they do not
/// come back into it.
pub(super) const TARGET: &str = "onprem_bmc::log";

/// An entry as it is kept.
#[derive(Debug)]
struct Kept {
    id: u64,
    resolved: bool,
    line: Box<str>,
}

/// How far the file is behind the memory.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// Changes that are in the file.
    changes: u64,
    /// Attempts that failed, and how the last of them did.
    failures: u64,
    why: Option<io::ErrorKind>,
    /// The last attempt did.
    failing: bool,
}

/// What is on its way to the file.
#[derive(Debug)]
enum Waiting {
    /// These lines.
    Lines(String),
    /// All there is, instead of what is in the file.
    All,
}

#[derive(Debug)]
struct State {
    entries: VecDeque<Kept>,
    /// The length of their lines.
    bytes: usize,
    last: u64,
    enabled: bool,
    /// Counts the changes.
    changes: u64,
    waiting: Waiting,
    /// What waits has to be on the disk.
    sync: bool,
    /// Someone is writing.
    busy: bool,
}

/// One log.
#[derive(Debug)]
pub(crate) struct Log {
    kind: Kind,
    state: Mutex<State>,
    /// Held by whoever writes.
    segments: Arc<Mutex<Segments>>,
    written: watch::Sender<Written>,
    tasks: TaskTracker,
    runtime: Handle,
}

impl Log {
    pub(super) fn open(
        kind: Kind,
        folder: &Path,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        let mut state = State {
            entries: VecDeque::new(),
            bytes: 0,
            last: 0,
            enabled: true,
            changes: 0,
            waiting: Waiting::Lines(String::new()),
            sync: false,
            busy: false,
        };
        let limit = kind.limit();
        let segments = Segments::open(folder, |line, text| match line {
            Line::Cleared { cleared } => {
                state.entries.clear();
                state.bytes = 0;
                state.last = state.last.max(cleared);
            }
            Line::Resolved { resolved, to } => state.resolve(resolved, to),
            Line::Enabled { enabled } => state.enabled = enabled,
            Line::Entry(entry) => state.push(entry.id, text, limit),
        })?;
        Ok(Self {
            kind,
            state: Mutex::new(state),
            segments: Arc::new(Mutex::new(segments)),
            written: watch::Sender::default(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        })
    }

    /// Adds an entry; it is in the file a moment later.
    pub(crate) fn append(self: &Arc<Self>, entry: Entry) {
        self.add(entry, self.kind.synced());
    }

    /// Adds an entry, and returns its id when it is in the file – on the disk
    /// if `sync`; no id where the log takes none.
    ///
    /// # Errors
    /// The file cannot be written; the entry is in memory, and the next
    /// attempt writes it.
    pub(crate) async fn append_and_wait(
        self: &Arc<Self>,
        entry: Entry,
        sync: bool,
    ) -> io::Result<Option<u64>> {
        let mut written = self.written.subscribe();
        let failures = written.borrow_and_update().failures;
        let (id, change) = self.add(entry, sync);
        let done = written
            .wait_for(|it| it.changes >= change || it.failures > failures)
            .await;
        match done {
            Ok(it) if it.changes >= change => Ok(id),
            // A full disk is told as such.
            Ok(it) => Err(it.why.map_or_else(
                || io::Error::other("the log cannot be written"),
                io::Error::from,
            )),
            Err(_) => Err(io::Error::other("the log cannot be written")),
        }
    }

    /// The id of the new entry, and the number of the change.
    fn add(self: &Arc<Self>, entry: Entry, sync: bool) -> (Option<u64>, u64) {
        let mut state = self.state();
        if !state.enabled {
            return (None, state.changes);
        }
        let id = state.last + 1;
        let entry = Entry { id, ..entry.bounded() };
        let line = Line::Entry(entry.into()).text();
        state.push(id, &line, self.kind.limit());
        (Some(id), self.write(state, &line, sync))
    }

    /// Marks the entry `id` as seen to, or not; whether there is one.
    pub(crate) fn resolve(self: &Arc<Self>, id: u64, to: bool) -> bool {
        let mut state = self.state();
        if state.find(id).is_none() {
            return false;
        }
        state.resolve(id, to);
        let line = Line::Resolved { resolved: id, to }.text();
        self.write(state, &line, true);
        true
    }

    /// Takes entries from now on, or does not.
    pub(crate) fn enable(self: &Arc<Self>, enabled: bool) {
        let mut state = self.state();
        state.enabled = enabled;
        let line = Line::Enabled { enabled }.text();
        self.write(state, &line, true);
    }

    /// Forgets all entries.
    pub(crate) fn clear(self: &Arc<Self>) {
        let mut state = self.state();
        state.entries.clear();
        state.bytes = 0;
        state.waiting = Waiting::All;
        self.write(state, "", true);
    }

    /// Whether it takes entries.
    pub(crate) fn enabled(&self) -> bool {
        self.state().enabled
    }

    /// Whether the last attempt to write the file worked.
    pub(crate) fn is_well(&self) -> bool {
        !self.written.borrow().failing
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// The entry `id`.
    pub(crate) fn entry(&self, id: u64) -> Option<Entry> {
        let state = self.state();
        state.find(id).and_then(|at| state.entries.get(at)?.read())
    }

    /// Up to `top` entries after the first `skip`, the newest first.
    pub(crate) fn page(&self, skip: usize, top: usize) -> Vec<Entry> {
        let state = self.state();
        let kept = state.entries.iter().rev().skip(skip).take(top);
        kept.filter_map(Kept::read).collect()
    }

    /// Sends `line` on its way to the file; the number of the change.
    fn write(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        line: &str,
        sync: bool,
    ) -> u64 {
        state.changes += 1;
        state.sync |= sync;
        if let Waiting::Lines(lines) = &mut state.waiting {
            lines.push_str(line);
            lines.push('\n');
            if lines.len() > WAITING {
                state.waiting = Waiting::All;
            }
        }
        if !state.busy {
            state.busy = true;
            let log = Arc::clone(self);
            self.tasks.spawn_blocking_on(move || log.flush(), &self.runtime);
        }
        state.changes
    }

    /// Writes until nothing waits.
    fn flush(&self) {
        let segments = self.segments.lock();
        let mut segments = segments.unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut state = self.state();
            let changes = state.changes;
            if self.written.borrow().changes >= changes {
                state.busy = false;
                return;
            }
            let sync = std::mem::take(&mut state.sync);
            let nothing = Waiting::Lines(String::new());
            let waiting = std::mem::replace(&mut state.waiting, nothing);
            let done = match waiting {
                Waiting::Lines(lines) if !segments.many() => {
                    drop(state);
                    segments.append(&lines, sync)
                }
                _ => {
                    let all = state.all();
                    drop(state);
                    segments.rewrite(&all)
                }
            };
            match done {
                Ok(()) => {
                    self.written.send_modify(|it| {
                        it.changes = changes;
                        it.failing = false;
                    });
                }
                Err(error) => {
                    // The next change brings the next attempt.
                    let mut state = self.state();
                    state.waiting = Waiting::All;
                    state.busy = false;
                    drop(state);
                    self.written.send_modify(|it| {
                        it.failures += 1;
                        it.why = Some(error.kind());
                        it.failing = true;
                    });
                    let log = self.kind;
                    tracing::error!(target: TARGET, error = %Chain(&error),
                        ?log, "log not written");
                    return;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, id: u64, line: &str, limit: usize) {
        if id <= self.last {
            return;
        }
        self.last = id;
        self.bytes += line.len();
        self.entries.push_back(Kept { id, resolved: false, line: line.into() });
        while self.entries.len() > limit || self.bytes > MEMORY {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.line.len();
        }
    }

    /// Where the entry `id` is.
    fn find(&self, id: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |it| it.id).ok()
    }

    fn resolve(&mut self, id: u64, to: bool) {
        let at = self.find(id);
        if let Some(kept) = at.and_then(|at| self.entries.get_mut(at)) {
            kept.resolved = to;
        }
    }

    /// All that has to be in the file.
    fn all(&self) -> String {
        let first = self.entries.front().map_or(self.last, |it| it.id - 1);
        let mut all = format!("{}\n", Line::Cleared { cleared: first }.text());
        let line = Line::Enabled { enabled: self.enabled }.text();
        let _ = writeln!(all, "{line}");
        for kept in &self.entries {
            let _ = writeln!(all, "{}", kept.line);
            if kept.resolved {
                let line = Line::Resolved { resolved: kept.id, to: true };
                let _ = writeln!(all, "{}", line.text());
            }
        }
        all
    }
}

impl Kept {
    fn read(&self) -> Option<Entry> {
        let entry: Entry = serde_json::from_str(&self.line).ok()?;
        Some(Entry { resolved: self.resolved, ..entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Severity;

    struct Opened {
        log: Arc<Log>,
        tasks: TaskTracker,
    }

    fn open(folder: &Path, kind: Kind) -> Opened {
        let tasks = TaskTracker::new();
        let log = Log::open(kind, folder, &tasks).unwrap();
        Opened { log: Arc::new(log), tasks }
    }

    impl Opened {
        fn say(&self, text: &str) {
            self.log.append(Entry::new(Severity::Ok, text));
        }

        async fn close(self) {
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    fn texts(log: &Log) -> Vec<String> {
        log.page(0, 10).into_iter().map(|entry| entry.text).collect()
    }

    #[tokio::test]
    async fn all_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), Kind::Hardware);
        for text in ["a", "b", "c"] {
            opened.say(text);
        }
        assert!(opened.log.resolve(2, true));
        assert!(!opened.log.resolve(9, true));
        opened.close().await;
        let opened = open(folder.path(), Kind::Hardware);
        assert_eq!(texts(&opened.log), ["c", "b", "a"]);
        assert!(opened.log.entry(2).unwrap().resolved);
        opened.log.clear();
        opened.log.enable(false);
        opened.say("nobody takes it");
        opened.close().await;
        let opened = open(folder.path(), Kind::Hardware);
        assert_eq!(texts(&opened.log), [""; 0]);
        assert!(!opened.log.enabled());
        opened.log.enable(true);
        opened.say("d");
        assert_eq!(opened.log.page(0, 1)[0].id, 4);
        opened.close().await;
    }

    #[tokio::test]
    async fn memory_and_disk_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), Kind::Journal);
        let long = "x".repeat(10_000);
        for _ in 0..20 {
            for _ in 0..200 {
                opened.say(&long);
            }
            let entry = Entry::new(Severity::Ok, "end");
            opened.log.append_and_wait(entry, false).await.unwrap();
        }
        assert!(opened.log.len() <= 1000);
        let (newest, count) = (opened.log.page(0, 1), opened.log.len());
        opened.close().await;
        let files = std::fs::read_dir(folder.path()).unwrap();
        let size: u64 =
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(size < 2 << 20, "{size}");
        let opened = open(folder.path(), Kind::Journal);
        assert_eq!(opened.log.page(0, 1), newest);
        assert_eq!(opened.log.len(), count);
        opened.close().await;
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_of_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let opened = open(&path, Kind::Audit);
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "no folder").unwrap();
        let entry = || Entry::new(Severity::Ok, "text");
        let failed = opened.log.append_and_wait(entry(), true).await;
        let kind = failed.unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::NotADirectory);
        assert!(!opened.log.is_well());
        std::fs::remove_file(&path).unwrap();
        opened.log.append_and_wait(entry(), true).await.unwrap();
        assert!(opened.log.is_well());
        opened.close().await;
        assert_eq!(open(&path, Kind::Audit).log.len(), 2);
    }
}
