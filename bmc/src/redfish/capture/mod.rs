//! Captures that are kept: what instruments recorded, a file each, and an
//! index of them.

mod action;
mod csv;
mod download;
mod sigrok;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use http::StatusCode;
use onprem_link::{file, id::Xid, log::Chain, task::blocking};
use onprem_redfish::message::base;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

pub(crate) use self::action::{CAPTURE, PARAMETERS, capture};
use super::{
    Service,
    error::Error,
    task::{Ended, Progress, Work},
    uri,
};
use crate::{
    boards::Instruments,
    model::{
        Capture, CaptureAsked, CaptureError, CaptureRequest, Id, Reduction,
    },
    state::{self, StateError},
};

/// How many are kept; a new one takes the place of the oldest.
const KEPT: usize = 64;

/// What is known of a capture without reading it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) chassis: String,
    pub(crate) instrument: String,
    pub(crate) name: String,
    pub(crate) made: DateTime<Utc>,
    pub(crate) model: String,
    pub(crate) mode: String,
    pub(crate) reduction: Reduction,
    pub(crate) block: u32,
    pub(crate) rate: f64,
    pub(crate) range: f64,
    pub(crate) values: u32,
    pub(crate) series: Vec<String>,
    pub(crate) triggered: bool,
    pub(crate) trigger: u32,
    pub(crate) at: DateTime<Utc>,
    pub(crate) session_bytes: u64,
    pub(crate) csv_bytes: u64,
}

/// The captures of the state directory.
#[derive(Debug)]
pub(crate) struct Captures {
    folder: PathBuf,
    /// The oldest first.
    kept: Mutex<Vec<About>>,
    /// Held by whoever writes.
    writer: tokio::sync::Mutex<()>,
}

/// Sets a flag when it goes.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Captures {
    /// What is in the state directory. Files that the index does not tell of
    /// are removed.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn open(state_dir: &Path) -> Result<Arc<Self>, StateError> {
        let folder = state_dir.join("captures");
        let index = folder.join(INDEX);
        let kept: Vec<About> = state::load_or_put_aside(&index)?;
        sweep(&folder, &kept);
        let kept = Mutex::new(kept);
        Ok(Arc::new(Self {
            folder,
            kept,
            writer: tokio::sync::Mutex::default(),
        }))
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<About> {
        self.lock().clone()
    }

    /// The capture `id`.
    pub(crate) fn get(&self, id: &str) -> Option<About> {
        self.lock().iter().find(|it| it.id == id).cloned()
    }

    /// What was recorded in the capture `id`.
    async fn read(&self, id: &str) -> Option<Capture> {
        let path = self.path(&self.get(id)?.id);
        let read = blocking(move || {
            let bytes = fs::read(&path)?;
            serde_json::from_slice(&bytes).map_err(std::io::Error::from)
        });
        let read = read.await.unwrap_or_else(|error| Err(error.into()));
        let told = |error: &std::io::Error| {
            warn!(error = %Chain(error), id, "capture not read");
        };
        read.inspect_err(told).ok()
    }

    /// Removes the capture `id`.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Error> {
        let _turn = self.writer.lock().await;
        let mut kept = self.all();
        kept.retain(|it| it.id != id);
        self.write(kept).await
    }

    /// The work of recording what `request` says.
    pub(crate) fn work(
        self: &Arc<Self>,
        service: Weak<Service>,
        by: Arc<dyn Instruments>,
        [chassis, instrument]: [Id; 2],
        request: CaptureRequest,
    ) -> Work {
        let captures = Arc::clone(self);
        Work::new("Capture", move |progress| async move {
            let leaving = Leaving(Arc::default());
            let cancelled = Arc::clone(&leaving.0);
            let (id, told) = (instrument.clone(), progress.clone());
            let recording = blocking(move || {
                let asked = CaptureAsked {
                    cancelled: &cancelled,
                    progress: &|percent| told.percent(percent),
                };
                by.capture(&id, &request, &asked)
            });
            let recorded = recording.await.map_err(|_| Error::internal())??;
            let made = [&*chassis, &*instrument];
            captures.keep(&service, made, recorded, &progress).await
        })
    }

    async fn keep(
        &self,
        service: &Weak<Service>,
        [chassis, instrument]: [&str; 2],
        capture: Capture,
        progress: &Progress,
    ) -> Result<Ended, Error> {
        progress.no_way_back()?;
        let id = Xid::new().to_string();
        let path = self.path(&id);
        let mut about = About {
            id,
            chassis: chassis.to_owned(),
            instrument: instrument.to_owned(),
            name: format!("Capture of {}", inputs(&capture)),
            made: Utc::now(),
            model: capture.model.clone(),
            mode: capture.mode.clone(),
            reduction: capture.reduction,
            block: capture.block,
            rate: capture.rate,
            range: capture.range,
            values: u32::try_from(capture.values()).unwrap_or(u32::MAX),
            series: series(&capture),
            triggered: capture.triggered,
            trigger: capture.trigger,
            at: capture.at,
            session_bytes: 0,
            csv_bytes: 0,
        };
        let written = blocking(move || {
            about.session_bytes = sigrok::session(&capture).len() as u64;
            about.csv_bytes = csv::text(&capture).len() as u64;
            let bytes = serde_json::to_vec(&capture)?;
            file::replace(&path, &bytes).map(|()| about)
        });
        let written = written.await.unwrap_or_else(|error| Err(error.into()));
        let about = written.map_err(|error| unkept(&error))?;
        progress.percent(95);
        let uri = uri::of(uri::TELEMETRY_DATUM, &[&about.id]);
        let _turn = self.writer.lock().await;
        let mut kept = self.all();
        let over = (kept.len() + 1).saturating_sub(KEPT);
        kept.drain(..over);
        kept.push(about);
        self.write(kept).await?;
        if let Some(service) = service.upgrade() {
            service.touch();
            service.events.resource_created(&uri);
        }
        Ok(Ended::Made(uri))
    }

    /// Puts `kept` in the place of what was, on disk first.
    async fn write(&self, kept: Vec<About>) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        let stored = file::store(&self.folder.join(INDEX), bytes).await;
        stored.map_err(|error| unkept(&error))?;
        self.lock().clone_from(&kept);
        let folder = self.folder.clone();
        let _ = blocking(move || sweep(&folder, &kept)).await;
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        path(&self.folder, id)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<About>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const INDEX: &str = "index.json";

fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.capture"))
}

/// Removes the captures that are not in the index.
fn sweep(folder: &Path, kept: &[About]) {
    for found in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = found.path();
        let is_capture = found.extension().is_some_and(|it| it == "capture");
        let told = kept.iter().any(|it| path(folder, &it.id) == found);
        if is_capture
            && !told
            && let Err(error) = fs::remove_file(&found)
        {
            let file = found.display();
            warn!(error = %Chain(&error), %file, "old capture not removed");
        }
    }
}

/// The logic inputs of a capture, in the order of their bits.
fn lines(capture: &Capture) -> impl Iterator<Item = u8> {
    let lines = capture.lines;
    (0..8).filter(move |line| lines & (1 << line) != 0)
}

/// What a logic input is called in a series.
fn line_name(line: u8, series: &str) -> String {
    if series.is_empty() {
        return format!("L{line}");
    }
    format!("L{line} {series}")
}

/// The names of all series: one for each input, and what of it.
fn series(capture: &Capture) -> Vec<String> {
    let analog = capture.analog.iter().map(|it| it.name.clone());
    let logic = capture.logic.iter().flat_map(|it| {
        lines(capture).map(move |line| line_name(line, &it.name))
    });
    analog.chain(logic).collect()
}

fn inputs(capture: &Capture) -> String {
    let names = series(capture);
    let mut inputs: Vec<&str> =
        names.iter().filter_map(|name| name.split(' ').next()).collect();
    inputs.dedup();
    inputs.join(", ")
}

fn unkept(error: &std::io::Error) -> Error {
    error!(error = %Chain(error), "capture not kept");
    Error::unstored(error)
}

impl From<CaptureError> for Error {
    fn from(error: CaptureError) -> Self {
        let text = format!("{error}.");
        match error {
            CaptureError::Busy => Self::busy(1),
            CaptureError::Fault(fault) => action::refused(&fault),
            CaptureError::NoTrigger(_) => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                base::operation_timeout().resolved_by(format!(
                    "The capture ended because {text} Send a longer \
                     TriggerTimeoutSeconds, another trigger, or the \
                     TriggerMode Auto."
                )),
            ),
            CaptureError::Cancelled | CaptureError::Failed(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                base::operation_failed().resolved_by(text),
            ),
        }
    }
}
