//! Diagnostic data that somebody had collected: files beside a log that says
//! what they are (`LogService.CollectDiagnosticData`).

mod bundle;
mod download;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use http::StatusCode;
use onprem_link::{file, id::Xid, log::Chain, task::blocking};
use onprem_redfish::message::base;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{error, warn};

use super::{
    Service,
    error::Error,
    task::{Ended, Progress, Work},
};
use crate::log::{Attachment, Entry, Kind, Logs, Severity};

/// The right to collect: one at a time has it.
#[derive(Debug)]
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

/// The files, by the entries that tell of them.
#[derive(Debug)]
pub(crate) struct Dumps {
    folder: PathBuf,
    logs: Arc<Logs>,
    turn: Arc<Mutex<()>>,
}

impl Dumps {
    /// What is in the state directory. Files that no entry tells of are
    /// removed.
    pub(crate) fn open(state_dir: &Path, logs: Arc<Logs>) -> Arc<Self> {
        let folder = state_dir.join("dumps");
        sweep(&folder, &logs);
        Arc::new(Self { folder, logs, turn: Arc::default() })
    }

    /// The right to collect.
    ///
    /// # Errors
    /// Somebody has it, or the log takes nothing.
    pub(crate) fn begin(&self, log: &str) -> Result<Turn, Error> {
        if !self.logs.of(Kind::Dump).enabled() {
            return Err(disabled(log));
        }
        let turn = Arc::clone(&self.turn).try_lock_owned();
        let guard = turn.map_err(|_| Error::busy(1))?;
        Ok(Turn { _guard: guard })
    }

    /// The work of collecting what `service` knows into a new entry of the
    /// log at `log`.
    pub(crate) fn work(
        self: &Arc<Self>,
        service: Weak<Service>,
        log: String,
        turn: Turn,
    ) -> Work {
        let dumps = Arc::clone(self);
        Work::new("Collection of diagnostic data", move |progress| async move {
            let _turn = turn;
            let service = service.upgrade().ok_or_else(Error::internal)?;
            let bundle = bundle::collect(&service, &progress).await;
            drop(service);
            dumps.keep(bundle, &log, &progress).await
        })
    }

    async fn keep(
        &self,
        bundle: Value,
        log: &str,
        progress: &Progress,
    ) -> Result<Ended, Error> {
        progress.no_way_back()?;
        let name = Xid::new();
        let path = path(&self.folder, &name);
        let written = blocking(move || {
            let bytes = bundle::text(&bundle);
            file::replace(&path, &bytes).map(|()| bytes.len() as u64)
        });
        let written = written.await.unwrap_or_else(|e| Err(e.into()));
        let bytes = written.map_err(|error| not_kept(&error))?;
        progress.percent(90);
        let attachment = Attachment { file: name, bytes };
        let entry = Entry::new(
            Severity::Ok,
            "What the manager knows of itself and of its machine was collected.",
        );
        let entry = Entry { attachment: Some(attachment), ..entry };
        let kept = self.logs.of(Kind::Dump).append_and_wait(entry, true).await;
        self.sweep().await;
        match kept {
            Ok(Some(id)) => Ok(Ended::Made(format!("{log}/Entries/{id}"))),
            Ok(None) => Err(disabled(log)),
            Err(error) => Err(not_kept(&error)),
        }
    }

    /// Removes the files of entries that were cleared. Where somebody
    /// collects, that is done at the end of it.
    pub(crate) async fn cleared(&self) {
        if let Ok(_turn) = self.turn.try_lock() {
            self.sweep().await;
        }
    }

    async fn sweep(&self) {
        let (folder, logs) = (self.folder.clone(), Arc::clone(&self.logs));
        let _ = blocking(move || sweep(&folder, &logs)).await;
    }

    /// What the entry `id` tells of, if it is still there.
    async fn read(&self, id: u64) -> Option<Vec<u8>> {
        let attachment = self.logs.of(Kind::Dump).entry(id)?.attachment?;
        let path = path(&self.folder, &attachment.file);
        let read = blocking(move || fs::read(&path)).await.ok()?;
        let told = |error: &io::Error| {
            warn!(error = %Chain(error), id, "diagnostic data not read");
        };
        read.inspect_err(told).ok()
    }
}

fn path(folder: &Path, name: &Xid) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// Removes what no entry tells of.
fn sweep(folder: &Path, logs: &Logs) {
    let log = logs.of(Kind::Dump);
    let entries = log.page(0, Kind::Dump.limit()).into_iter();
    let told: HashSet<_> = entries
        .filter_map(|entry| Some(path(folder, &entry.attachment?.file)))
        .collect();
    // There is no folder before the first collection.
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = file.path();
        if !told.contains(&path)
            && let Err(error) = fs::remove_file(&path)
        {
            let file = path.display();
            warn!(error = %Chain(&error), %file, "old data not removed");
        }
    }
}

fn disabled(log: &str) -> Error {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Error::new(status, base::service_disabled(log))
}

fn not_kept(error: &io::Error) -> Error {
    error!(error = %Chain(error), "diagnostic data not kept");
    Error::unstored(error)
}
