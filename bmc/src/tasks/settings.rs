//! Owns what people set: a setting is acknowledged when it is on disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use onprem_link::file::replace;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    commands::{Command, CommandError, Setting},
    model::{Model, Part, Settings, Snapshot},
};

/// The longest asset tag.
const ASSET_TAG: usize = 255;

/// The longest host name in the DNS.
const HOST_NAME: usize = 253;

/// Carries out changes of settings one after the other until `stop`.
pub(crate) async fn own(
    file: PathBuf,
    mut commands: mpsc::Receiver<Command<Vec<Setting>>>,
    model: Model,
    stop: CancellationToken,
) {
    loop {
        let command = tokio::select! {
            () = stop.cancelled() => return,
            command = commands.recv() => command,
        };
        let Some(Command { part, what, answer }) = command else { return };
        let result = set(&file, &model, &part, what).await;
        // The one who asked may have given up.
        let _ = answer.send(result);
    }
}

async fn set(
    file: &Path,
    model: &Model,
    part: &Part,
    changes: Vec<Setting>,
) -> Result<(), CommandError> {
    let snapshot = model.snapshot();
    if !exists(&snapshot, part) {
        return Err(CommandError::Unknown { part: part.clone() });
    }
    let mut settings = Settings::clone(&snapshot.settings);
    let own = settings.of_mut(part);
    for change in changes {
        match change {
            Setting::AssetTag(tag) => own.asset_tag = Some(asset_tag(tag)?),
            Setting::HostName(name) => {
                own.host_name = name.map(host_name).transpose()?;
            }
            Setting::LocationIndicator(active) => {
                own.location_indicator_active = active;
            }
        }
    }
    let failed = |reason: String| {
        error!(%reason, file = %file.display(), "settings not kept");
        CommandError::Failed { part: part.clone(), reason }
    };
    let mut text = serde_json::to_vec_pretty(&settings)
        .map_err(|error| failed(error.to_string()))?;
    text.push(b'\n');
    let path = file.to_owned();
    match spawn_blocking(move || replace(&path, &text)).await {
        Ok(Ok(())) => {
            model.update_settings(part, settings);
            Ok(())
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
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
