//! Owns the power of the systems.

use std::sync::Arc;

use onprem_link::task::blocking;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    boards::Power,
    commands::{Command, CommandError, ResetType},
    model::{Model, Part},
};

/// Carries out power commands one after the other until `stop`.
pub(crate) async fn own(
    power: Arc<dyn Power>,
    mut commands: mpsc::Receiver<Command<ResetType>>,
    model: Model,
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
            result = reset(&power, &model, &part, kind) => result,
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
    power: &Arc<dyn Power>,
    model: &Model,
    part: &Part,
    kind: ResetType,
) -> Result<(), CommandError> {
    let snapshot = model.snapshot();
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
    let (power, id) = (Arc::clone(power), id.clone());
    let asked = id.clone();
    let done = blocking(move || power.reset(&asked, kind)).await;
    let state = done.unwrap_or_else(|error| {
        let reason = error.to_string();
        Err(CommandError::Failed { part: part.clone(), reason })
    })?;
    // Whoever asked sees the change in the next answer.
    if let Some(state) = state {
        model.post_power(&id, state);
    }
    Ok(())
}
