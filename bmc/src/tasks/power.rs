//! Owns the power of the systems.

use std::{sync::Arc, time::Duration};

use onprem_link::task::blocking;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cycles::Cycles;
use crate::{
    boards::Power,
    commands::{Command, CommandError, ResetType},
    model::{Id, Model, Part, PowerState, Snapshot},
};

/// How long a start waits for the disk that it is noted on.
const DISK: Duration = Duration::from_secs(2);

/// What owns the power.
pub(crate) struct Owner {
    pub(crate) power: Arc<dyn Power>,
    pub(crate) model: Model,
    /// How often systems were started.
    pub(crate) cycles: Cycles,
}

impl Owner {
    /// Carries out power commands one after the other until `stop`.
    pub(crate) async fn own(
        mut self,
        mut commands: mpsc::Receiver<Command<ResetType>>,
        stop: CancellationToken,
    ) {
        loop {
            let command = tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => command,
            };
            let Some(Command { part, what: kind, answer }) = command else {
                return;
            };
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = self.reset(&part, kind) => result,
            };
            match &result {
                Ok(()) => info!(%part, kind = kind.as_str(), "power changed"),
                Err(reason) => {
                    warn!(%part, kind = kind.as_str(), %reason, "power unchanged");
                }
            }
            // The one who asked may have given up.
            let _ = answer.send(result);
        }
    }

    async fn reset(
        &mut self,
        part: &Part,
        kind: ResetType,
    ) -> Result<(), CommandError> {
        let snapshot = self.model.snapshot();
        let Part::System(id) = part else {
            return Err(CommandError::Unknown { part: part.clone() });
        };
        let Some(system) = snapshot.system(id) else {
            return Err(CommandError::Unknown { part: part.clone() });
        };
        if !system.reset_types.contains(&kind) {
            let what = kind.as_str();
            return Err(CommandError::Unsupported { part: part.clone(), what });
        }
        let state = snapshot.seen_power(id);
        if kind == ResetType::GracefulRestart && state == Some(PowerState::Off)
        {
            return Err(CommandError::Off { part: part.clone() });
        }
        let limit = system.cycles_per_hour;
        let limit = limit.filter(|_| starts(&snapshot, id, kind));
        if let Some(limit) = limit
            && let Some(wait) = self.cycles.wait(id, limit)
        {
            return Err(CommandError::TooOften { part: part.clone(), wait });
        }
        let counts = limit.is_some();
        if counts {
            // Before it is done: an agent that dies over it knows of it.
            if timeout(DISK, self.cycles.note(id)).await.is_err() {
                warn!(%part, "the disk hangs: a start is not noted yet");
            }
        }
        let (power, asked) = (Arc::clone(&self.power), id.clone());
        let done = blocking(move || power.reset(&asked, kind)).await;
        let done = done.unwrap_or_else(|error| {
            let reason = error.to_string();
            Err(CommandError::Failed { part: part.clone(), reason })
        });
        if done.is_err() && counts {
            // It is forgotten in memory, whatever the disk does.
            let _ = timeout(DISK, self.cycles.forget(id)).await;
        }
        // Whoever asked sees the change in the next answer.
        if let Some(state) = done? {
            self.model.post_power(id, state);
        }
        Ok(())
    }
}

/// Whether `kind` takes the system `id` through a start of its power.
fn starts(snapshot: &Snapshot, id: &Id, kind: ResetType) -> bool {
    let state = snapshot.seen_power(id);
    let is_off =
        matches!(state, Some(PowerState::Off | PowerState::PoweringOff));
    match kind {
        ResetType::ForceRestart | ResetType::PowerCycle => true,
        ResetType::On | ResetType::ForceOn | ResetType::PushPowerButton => {
            is_off
        }
        ResetType::ForceOff
        | ResetType::GracefulShutdown
        | ResetType::GracefulRestart => false,
    }
}
