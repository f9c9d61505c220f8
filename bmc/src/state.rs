//! The state directory: what survives a restart, and where it lies.

use std::{
    fs::{self, DirBuilder, File},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use onprem_link::{
    file::{read_if_present, replace},
    log::Chain,
};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::error;
use uuid::Uuid;

use crate::{
    leave,
    model::Settings,
    tasks::{
        cycles::Cycles, power_plans::Plans, power_record::PowerRecord, switch,
    },
};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or opened.
    #[error("cannot use the state directory {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another agent runs with the state directory {path}")]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// A file in it cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// The agent's state directory, held by this process alone.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl StateDir {
    /// Takes the directory at `path`, and makes it where it is missing.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let unusable =
            |source| StateError::Open { path: path.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let path = path.to_owned();
                leave::arrive(&path)?;
                Ok(Self { path, _lock: lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StateError::Taken { path: path.to_owned() })
            }
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is kept which systems are on.
    pub(crate) fn power_file(&self) -> PathBuf {
        self.path.join("power.json")
    }

    /// How often systems were started in the last hour.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn cycles(&self) -> Result<Cycles, StateError> {
        Cycles::open(self.path.join("cycles.json"))
    }

    /// What was under way with the power of systems.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn plans(&self) -> Result<Plans, StateError> {
        Plans::open(self.path.join("power-plans.json"))
    }

    /// Which systems were on.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn power(&self) -> Result<PowerRecord, StateError> {
        load_or_put_aside(&self.power_file())
    }

    /// Where it is kept what switches were last.
    pub(crate) fn switches_file(&self) -> PathBuf {
        self.path.join("switches.json")
    }

    /// What switches were last.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub(crate) fn switches(&self) -> Result<switch::Kept, StateError> {
        load_or_put_aside(&self.switches_file())
    }

    /// Where the settings of the parts lie.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.path.join("settings.json")
    }

    /// The settings of the parts.
    ///
    /// # Errors
    /// See [`load_or_put_aside`].
    pub fn settings(&self) -> Result<Settings, StateError> {
        load_or_put_aside(&self.settings_file())
    }

    /// The identity of a machine that has none: made once, then kept.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn identity(&self) -> Result<String, StateError> {
        let path = self.path.join("identity");
        let kept = read(&path)?.unwrap_or_default();
        let kept = String::from_utf8_lossy(&kept).trim().to_owned();
        if !kept.is_empty() {
            return Ok(kept);
        }
        let identity = Uuid::new_v4().to_string();
        write(path, identity.as_bytes())?;
        Ok(identity)
    }

    /// Tells scripts where the agent listens.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_addresses(
        &self,
        redfish: SocketAddr,
        metrics: Option<SocketAddr>,
    ) -> Result<(), StateError> {
        let addresses = json!({
            "redfish": format!("https://{redfish}"),
            "metrics": metrics.map(|address| format!("http://{address}")),
        });
        let text = format!("{addresses:#}\n");
        write(self.path.join("addresses.json"), text.as_bytes())
    }
}

/// What the JSON file at `path` says; the default where there is none. A file
/// that cannot be understood is put aside: a machine that cannot be reached
/// helps nobody.
///
/// # Errors
/// The file is there, and cannot be read or put aside.
pub(crate) fn load_or_put_aside<T: DeserializeOwned + Default>(
    path: &Path,
) -> Result<T, StateError> {
    let Some(content) = read(path)? else { return Ok(T::default()) };
    serde_json::from_slice(&content).or_else(|reason| {
        let aside = path.with_extension("json.broken");
        error!(
            error = %Chain(&reason),
            file = %path.display(),
            aside = %aside.display(),
            "cannot understand the file; put aside, going on without it"
        );
        fs::rename(path, aside).map_err(|source| StateError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(T::default())
    })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    read_if_present(path)
        .map_err(|source| StateError::File { path: path.to_owned(), source })
}

fn write(path: PathBuf, content: &[u8]) -> Result<(), StateError> {
    replace(&path, content).map_err(|source| StateError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_holds_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = StateDir::open(&path).unwrap();
        let second = StateDir::open(&path).unwrap_err();
        assert!(matches!(second, StateError::Taken { .. }));
        let identity = first.identity().unwrap();
        drop(first);
        let again = StateDir::open(&path).unwrap();
        assert_eq!(again.identity().unwrap(), identity);
    }

    #[test]
    fn puts_broken_settings_aside() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        fs::write(state.settings_file(), "{\"systems\":").unwrap();
        assert_eq!(state.settings().unwrap(), Settings::default());
        let aside = folder.path().join("settings.json.broken");
        let aside = fs::read_to_string(aside).unwrap();
        assert_eq!(aside, "{\"systems\":");
    }
}
