//! The logs of the agent: bounded, kept over restarts, read from memory.
//!
//! [`Logs`] has one [`Log`] a [`Kind`]. An entry is in memory at once and on
//! disk a moment later: adding one never waits, unless the caller asks to
//! know that it is on disk.

mod conditions;
mod entry;
mod journal;
mod segment;
mod standing;
mod store;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use onprem_link::task::Tasks as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::standing::of_watchdog;
pub(crate) use self::{
    entry::{Attachment, By, Entry, Severity},
    store::Log,
};
use crate::{
    drivers::segment,
    model::{Id, Inventory, Model},
    state::StateError,
};

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Who changed what, or tried to.
    Audit,
    /// The events the service sent.
    Event,
    /// What the agent says of itself.
    Journal,
    /// What became of the hardware.
    Hardware,
    /// The diagnostic data that somebody had collected.
    Dump,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Audit, Self::Event, Self::Journal, Self::Hardware, Self::Dump];

    /// The folder of the log, below `logs` in the state directory.
    const fn folder(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Event => "event",
            Self::Journal => "journal",
            Self::Hardware => "hardware",
            Self::Dump => "dump",
        }
    }

    /// How many entries are kept; the oldest go first.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Audit => 2000,
            Self::Event | Self::Journal | Self::Hardware => 1000,
            Self::Dump => 4,
        }
    }

    /// Whether each entry has to survive a power loss, and not only the end
    /// of the process.
    const fn synced(self) -> bool {
        matches!(self, Self::Audit | Self::Hardware | Self::Dump)
    }
}

/// All logs of the agent.
#[derive(Debug)]
pub(crate) struct Logs {
    logs: [Arc<Log>; Kind::ALL.len()],
    /// The hardware logs of all systems but the first.
    others: BTreeMap<Id, Arc<Log>>,
}

impl Logs {
    /// Opens the logs in `state_dir` of what is in `inventory`; what a crash
    /// left half written at their ends is cut off.
    ///
    /// # Errors
    /// A folder cannot be made or read.
    pub(crate) fn open(
        state_dir: &Path,
        inventory: &Inventory,
        tasks: &TaskTracker,
    ) -> Result<Arc<Self>, StateError> {
        let folder = state_dir.join("logs");
        let open_in = |kind: Kind, name: &str| {
            let folder = folder.join(name);
            Log::open(kind, &folder, tasks)
                .map(Arc::new)
                .map_err(|source| StateError::File { path: folder, source })
        };
        let open = |kind: Kind| open_in(kind, kind.folder());
        let others = inventory.systems.iter().skip(1).map(|system| {
            let kind = Kind::Hardware;
            let name = format!("{}-{}", kind.folder(), segment(&system.id));
            Ok((system.id.clone(), open_in(kind, &name)?))
        });
        let others = others.collect::<Result<_, StateError>>()?;
        let [audit, event, journal, hardware, dump] = Kind::ALL;
        let logs = [
            open(audit)?,
            open(event)?,
            open(journal)?,
            open(hardware)?,
            open(dump)?,
        ];
        Ok(Arc::new(Self { logs, others }))
    }

    /// Starts to note what becomes of the hardware, and what is logged.
    pub(crate) fn watch(
        self: &Arc<Self>,
        model: Model,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let lines = journal::listen();
        let journal =
            journal::follow(lines, Arc::clone(self), stop.child_token());
        tasks.start(journal);
        let conditions =
            conditions::follow(model, Arc::clone(self), stop.child_token());
        tasks.start(conditions);
    }

    /// The log of this kind.
    pub(crate) fn of(&self, kind: Kind) -> &Arc<Log> {
        let [audit, event, journal, hardware, dump] = &self.logs;
        match kind {
            Kind::Audit => audit,
            Kind::Event => event,
            Kind::Journal => journal,
            Kind::Hardware => hardware,
            Kind::Dump => dump,
        }
    }

    /// The hardware log of `system`: the first one's where it has none.
    pub(crate) fn of_system(&self, system: &str) -> &Arc<Log> {
        let own = self.others.get(system);
        own.unwrap_or_else(|| self.of(Kind::Hardware))
    }

    /// The hardware logs of all systems but the first.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&Id, &Arc<Log>)> {
        self.others.iter()
    }

    /// Adds to the log of this kind; never waits.
    pub(crate) fn append(&self, kind: Kind, entry: Entry) {
        self.of(kind).append(entry);
    }

    /// Notes something about the hardware that is no system's in particular.
    pub(crate) fn hardware(&self, entry: Entry) {
        self.append(Kind::Hardware, entry);
    }
}
