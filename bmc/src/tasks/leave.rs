//! Lets the agent leave when it is asked to come back.

use std::path::PathBuf;

use onprem_link::task::blocking;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    commands::{Command, CommandError},
    leave::Leave,
};

/// Notes in `folder` how to come back and tells `leaving`, until `stop`.
pub(crate) async fn own(
    folder: PathBuf,
    mut commands: mpsc::Receiver<Command<Leave>>,
    leaving: CancellationToken,
    stop: CancellationToken,
) {
    loop {
        let command = tokio::select! {
            () = stop.cancelled() => return,
            command = commands.recv() => command,
        };
        let Some(Command { part, what, answer }) = command else { return };
        if leaving.is_cancelled() {
            let _ = answer.send(Err(CommandError::Busy { part }));
            continue;
        }
        let path = folder.clone();
        let noted = blocking(move || what.note(&path)).await;
        let noted = noted.unwrap_or_else(|error| Err(error.into()));
        let result = noted.map_err(|error| CommandError::unkept(&part, &error));
        let leaves = result.is_ok();
        // The one who asked may have given up.
        let _ = answer.send(result);
        if leaves {
            info!(defaults = ?what.defaults, "starting anew");
            leaving.cancel();
        }
    }
}
