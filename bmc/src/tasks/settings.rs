//! Owns what people set: a setting is acknowledged when it is on disk.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use onprem_link::{file, task::blocking};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    boards::Power,
    commands::{Command, CommandError, Setting},
    model::{
        BootEnabled, Change, Id, Model, Part, PartSettings, Settings, Snapshot,
    },
};

/// The longest asset tag.
const ASSET_TAG: usize = 255;

/// The longest host name in the DNS.
const HOST_NAME: usize = 253;

/// How long a board may take to take settings.
const PATIENCE: Duration = Duration::from_secs(5);

/// The owner of what people set.
pub(crate) struct Owner {
    /// Where it is kept.
    pub(crate) file: PathBuf,
    /// What is told of boots and watchdogs.
    pub(crate) power: Arc<dyn Power>,
    pub(crate) model: Model,
    /// How often systems had started when they were told where from.
    armed: BTreeMap<Id, u64>,
}

impl Owner {
    pub(crate) fn new(
        file: PathBuf,
        power: Arc<dyn Power>,
        model: Model,
    ) -> Self {
        Self { file, power, model, armed: BTreeMap::new() }
    }

    /// Carries out changes of settings one after the other until `stop`.
    pub(crate) async fn own(
        mut self,
        mut commands: mpsc::Receiver<Command<Vec<Setting>>>,
        stop: CancellationToken,
    ) {
        let mut changes = self.model.changes();
        self.configure_all().await;
        // Boards may have said how often they started before this listened.
        self.take_back().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    let Command { part, what, answer } = command;
                    let result = self.set(&part, what).await;
                    // The one who asked may have given up.
                    let _ = answer.send(result);
                }
                change = changes.recv() => match change {
                    Ok(Change::Boot(_)) | Err(RecvError::Lagged(_)) => {
                        self.take_back().await;
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Tells the board what was set before the agent started.
    async fn configure_all(&mut self) {
        let snapshot = self.model.snapshot();
        for system in &snapshot.inventory.systems {
            let part = Part::System(system.id.clone());
            let settings = snapshot.settings.of(&part);
            if let Err(error) = self.configure(&part, &settings).await {
                warn!(%error, "what was set is not in force");
            }
        }
    }

    /// Takes back what counted for one start, after that start.
    async fn take_back(&mut self) {
        let snapshot = self.model.snapshot();
        for (id, boot) in snapshot.boots.iter() {
            let part = Part::System(id.clone());
            let told = snapshot.settings.of(&part).boot;
            let armed = self.armed.get(id).copied().unwrap_or_default();
            if told.enabled != BootEnabled::Once || boot.started.count <= armed
            {
                continue;
            }
            info!(%part, target = ?told.target, "started from elsewhere");
            let changes = vec![
                Setting::BootEnabled(BootEnabled::Disabled),
                Setting::BootTarget(None),
            ];
            if let Err(error) = self.set(&part, changes).await {
                warn!(%error, "the override of the boot still stands");
            }
        }
    }

    async fn set(
        &mut self,
        part: &Part,
        changes: Vec<Setting>,
    ) -> Result<(), CommandError> {
        let snapshot = self.model.snapshot();
        if !exists(&snapshot, part) {
            return Err(CommandError::Unknown { part: part.clone() });
        }
        let mut settings = Settings::clone(&snapshot.settings);
        let before = settings.of(part);
        change(settings.of_mut(part), changes)?;
        let after = settings.of(part);
        let told = |of: &PartSettings| (of.boot, of.watchdog);
        if told(&before) != told(&after) {
            self.configure(part, &after).await?;
        }
        let failed = |reason: String| {
            error!(%reason, file = %self.file.display(), "settings not kept");
            CommandError::Failed { part: part.clone(), reason }
        };
        let mut text = serde_json::to_vec_pretty(&settings)
            .map_err(|error| failed(error.to_string()))?;
        text.push(b'\n');
        let error = match file::store(&self.file, text).await {
            Ok(()) => {
                self.model.update_settings(part, settings);
                return Ok(());
            }
            Err(error) => {
                warn!(%error, file = %self.file.display(), "settings not kept");
                CommandError::unkept(part, &error)
            }
        };
        if told(&before) != told(&after) {
            // What cannot be kept is not to be in force either.
            let _ = self.configure(part, &before).await;
        }
        Err(error)
    }

    async fn configure(
        &mut self,
        part: &Part,
        settings: &PartSettings,
    ) -> Result<(), CommandError> {
        let Part::System(id) = part else { return Ok(()) };
        let (power, system) = (Arc::clone(&self.power), id.clone());
        let settings = settings.clone();
        let told = blocking(move || power.configure(&system, &settings));
        // A board that hangs keeps only its own thread.
        let told = timeout(PATIENCE, told).await;
        let late = |_| CommandError::Timeout { part: part.clone() };
        let count = told.map_err(late)?.map_err(|error| {
            let reason = error.to_string();
            CommandError::Failed { part: part.clone(), reason }
        })??;
        self.armed.insert(id.clone(), count);
        Ok(())
    }
}

fn change(
    own: &mut PartSettings,
    changes: Vec<Setting>,
) -> Result<(), CommandError> {
    for change in changes {
        match change {
            Setting::AssetTag(tag) => own.asset_tag = Some(asset_tag(tag)?),
            Setting::HostName(name) => {
                own.host_name = name.map(host_name).transpose()?;
            }
            Setting::LocationIndicator(active) => {
                own.location_indicator_active = active;
            }
            Setting::PowerRestorePolicy(policy) => {
                own.power_restore_policy = Some(policy);
            }
            Setting::BootEnabled(enabled) => own.boot.enabled = enabled,
            Setting::BootTarget(target) => own.boot.target = target,
            Setting::WatchdogEnabled(enabled) => {
                own.watchdog.enabled = enabled;
            }
            Setting::WatchdogAction(action) => own.watchdog.action = action,
        }
    }
    Ok(())
}

fn exists(snapshot: &Arc<Snapshot>, part: &Part) -> bool {
    match part {
        Part::System(id) => snapshot.system(id).is_some(),
        Part::Chassis(id) => snapshot.chassis(id).is_some(),
        Part::Manager(id) => snapshot.inventory.manager.id == *id,
    }
}

fn asset_tag(value: String) -> Result<String, CommandError> {
    let reason = if value.chars().count() > ASSET_TAG {
        "it is longer than 255 characters"
    } else if value.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(value);
    };
    Err(CommandError::Invalid { what: "AssetTag", value, reason })
}

fn host_name(value: String) -> Result<String, CommandError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if value.len() <= HOST_NAME && value.split('.').all(is_label) {
        return Ok(value);
    }
    let reason = "labels of letters, digits and inner hyphens are expected";
    Err(CommandError::Invalid { what: "HostName", value, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_what_the_dns_takes() {
        for good in ["n01", "c001-b8-n01", "node.example.net", "1"] {
            assert!(host_name(good.into()).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a..b", "a b", "ä", &long] {
            assert!(host_name(bad.into()).is_err(), "{bad}");
        }
        assert!(asset_tag("x\ny".into()).is_err());
        assert!(asset_tag("ä".repeat(255)).is_ok());
    }
}
