//! Owns the volumes: looks which there are, and makes and removes them.

use std::{sync::Arc, time::Duration};

use onprem_link::task::blocking;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    boards::Volumes,
    commands::{Command, CommandError, VolumeChange},
    model::{Id, Model, Part},
};

/// How often the arrays are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Carries out changes one after the other until `stop`.
pub(crate) async fn own(
    volumes: Arc<dyn Volumes>,
    mut commands: mpsc::Receiver<Command<VolumeChange, Id>>,
    model: Model,
    stop: CancellationToken,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let command = tokio::select! {
            () = stop.cancelled() => return,
            command = commands.recv() => match command {
                Some(command) => command,
                None => return,
            },
            _ = ticks.tick() => {
                look(&volumes, &model).await;
                continue;
            }
        };
        let Command { part, what, answer } = command;
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = change(&volumes, &model, &part, &what) => result,
        };
        match &result {
            Ok(volume) => info!(%part, %volume, ?what, "volumes changed"),
            Err(reason) => warn!(%part, ?what, %reason, "volumes unchanged"),
        }
        // The one who asked may have given up.
        let _ = answer.send(result);
    }
}

async fn look(volumes: &Arc<dyn Volumes>, model: &Model) {
    let (volumes, snapshot) = (Arc::clone(volumes), model.snapshot());
    let listed = blocking(move || volumes.list(&snapshot.inventory)).await;
    match listed {
        Ok(listed) => model.post_volumes(listed),
        Err(error) => warn!(%error, "volumes not looked at"),
    }
}

async fn change(
    volumes: &Arc<dyn Volumes>,
    model: &Model,
    part: &Part,
    what: &VolumeChange,
) -> Result<Id, CommandError> {
    // What is so now counts, not what was so a moment ago.
    look(volumes, model).await;
    let snapshot = model.snapshot();
    let unknown = || CommandError::Unknown { part: part.clone() };
    let Part::System(system) = part else { return Err(unknown()) };
    let (by, system, what) =
        (Arc::clone(volumes), system.clone(), what.clone());
    let there = snapshot.volumes(&system, what.storage()).to_vec();
    let storage = snapshot.system(&system).and_then(|system| {
        let mut all = system.storage.iter();
        all.find(|storage| storage.id == *what.storage()).cloned()
    });
    let storage = storage.ok_or_else(unknown)?;
    let doing = blocking(move || match what {
        VolumeChange::Create(_, wish) => {
            let capacity = wish.check(&storage, &there)?;
            by.create(&system, &storage.id, &wish, capacity)
        }
        VolumeChange::Delete(_, id) => {
            let volume = there.iter().find(|volume| volume.id == id);
            let part = Part::System(system.clone());
            let volume = volume.ok_or(CommandError::Unknown { part })?;
            by.delete(&system, &storage.id, volume)?;
            Ok(id)
        }
    });
    let done = doing.await.unwrap_or_else(|error| {
        let reason = error.to_string();
        Err(CommandError::Failed { part: part.clone(), reason })
    });
    // Whoever asked sees the change in the next answer.
    look(volumes, model).await;
    done
}
