//! Updates of the agent as Redfish sees them: who may start one, the task it
//! runs as, and what is told of it.

mod push;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use http::StatusCode;
use onprem_link::file;
use onprem_redfish::message::{base, update};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::error;

pub(crate) use self::work::{Order, Source};
use super::{
    Service,
    error::Error,
    event::Events,
    task::{Book, Ended},
    uri,
};
use crate::{
    commands::Commands,
    config,
    state::{self, StateError},
    update::{
        image::Trusted,
        launch,
        slots::{Outcome, Record, Slots},
    },
};

/// What a request may have changed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Whether servers of images have to prove who they are.
    pub(crate) verify_server: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { verify_server: true }
    }
}

/// The right to update: one at a time has it.
#[derive(Debug)]
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

/// Updates of the agent.
#[derive(Debug)]
pub(crate) struct Updater {
    pub(crate) slots: Slots,
    pub(crate) config: config::Update,
    trusted: Trusted,
    settings: ArcSwap<Settings>,
    path: PathBuf,
    turn: Arc<Mutex<()>>,
    commands: Commands,
    /// The manager that is updated.
    manager: String,
    events: Arc<Events>,
}

impl Updater {
    pub(crate) fn open(
        state_dir: &Path,
        config: config::Update,
        manager: String,
        commands: Commands,
        events: Arc<Events>,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("update.json");
        let settings: Settings = state::load_or_put_aside(&path)?;
        let slots = Slots::new(state_dir);
        slots.sweep();
        Ok(Arc::new(Self {
            slots,
            // It was checked when it was read.
            trusted: Trusted::parse(&config.trusted_keys).unwrap_or_default(),
            config,
            settings: ArcSwap::from_pointee(settings),
            path,
            turn: Arc::default(),
            commands,
            manager,
            events,
        }))
    }

    /// The tasks that an update across a restart belongs to.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let Record { trial, outcome, .. } = self.slots.record();
        let trial = trial.filter(|_| launch::is_on_trial());
        let trial = trial.and_then(|it| it.task);
        trial.into_iter().chain(outcome.and_then(|it| it.task)).collect()
    }

    /// Tells what the last trial led to, if that is not told yet.
    pub(crate) async fn tell(&self, book: &Arc<Book>) {
        if launch::is_on_trial() {
            return;
        }
        let Some(outcome) = self.slots.record().outcome else { return };
        let Outcome { version, task, failure, .. } = outcome;
        let target = Self::target();
        let image = format!("{} {version}", crate::update::PRODUCT);
        let (message, ended) = match failure {
            None => {
                (update::update_successful(&target, &image), Ok(Ended::Done))
            }
            Some(reason) => {
                let message = update::activate_failed(&image, &target);
                let message = message.resolved_by(format!(
                    "The version before it runs again: {reason}."
                ));
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                (message.clone(), Err(Error::new(status, message)))
            }
        };
        self.events.send(&message, &target);
        let task = task.and_then(|task| book.take_up(&task));
        if let Some(task) = task {
            if ended.is_ok() {
                task.say(&message);
            }
            task.finish(ended).await;
        }
        let slots = self.slots.clone();
        let told = tokio::task::spawn_blocking(move || slots.told());
        if let Ok(Err(error)) = told.await {
            error!(%error, "the record of the slots is not kept");
        }
    }

    /// Can anything be updated?
    pub(crate) fn is_enabled(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Takes the turn of the next update.
    ///
    /// # Errors
    /// No key is trusted, or another update runs.
    pub(crate) fn begin(&self) -> Result<Turn, Error> {
        if !self.is_enabled() {
            let message = base::service_disabled(uri::UPDATE_SERVICE);
            let message = message.resolved_by(NO_KEYS);
            return Err(Error::new(StatusCode::FORBIDDEN, message));
        }
        let guard = Arc::clone(&self.turn).try_lock_owned();
        let busy = || {
            let mut error = Error::busy(10);
            error.messages.push(update::update_in_progress());
            error
        };
        let guard = guard.map_err(|_| busy())?;
        if launch::is_on_trial() || self.slots.record().trial.is_some() {
            return Err(busy());
        }
        Ok(Turn { _guard: guard })
    }

    /// The URI of what is updated.
    pub(crate) fn target() -> String {
        uri::of(uri::FIRMWARE, &[AGENT])
    }

    /// Is everything in `targets` the agent?
    ///
    /// # Errors
    /// The first that is something else.
    pub(crate) fn check_targets<'t>(
        &self,
        targets: &'t [String],
    ) -> Result<(), &'t str> {
        let manager = uri::of(uri::MANAGER, &[&self.manager]);
        let known = [Self::target(), manager];
        match targets.iter().find(|target| !known.contains(target)) {
            Some(other) => Err(other),
            None => Ok(()),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        **self.settings.load()
    }

    pub(crate) async fn set(&self, settings: Settings) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&settings).unwrap_or_default();
        if let Err(error) = file::store(&self.path, bytes).await {
            error!(%error, path = %self.path.display(), "settings not stored");
            return Err(Error::unstored(&error));
        }
        self.settings.store(Arc::new(settings));
        Ok(())
    }
}

impl Service {
    /// The record of the slots, as it is.
    pub(crate) fn slots(&self) -> Record {
        self.updater.slots.record()
    }
}

/// The id of the agent among the firmware.
pub(crate) const AGENT: &str = "agent";

const NO_KEYS: &str = "Put the public key that images are signed with into \
    `update.trusted_keys` of the agent's configuration.";
