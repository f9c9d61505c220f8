//! How the agent leaves in order to come back: as it was, or as new.
//!
//! A note in the state directory says so, and is carried out at the next
//! start: a power loss in between changes nothing of that.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use onprem_link::file::{read_if_present, replace};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::state::StateError;

/// The note.
const NOTE: &str = "restart.json";

/// What is no setting, and so is left by every reset: who the machine is, what
/// happened to it, and what it runs.
const LASTING: &[&str] = &[
    "lock",
    "identity",
    "cycles.json",
    "hand.json",
    "logs",
    "power.json",
    "slots",
    "switches.json",
    "watchdog.json",
];

/// What belongs to the way to the machine: its keys, the fleet, its protocols.
const NETWORK: &[&str] = &["tls", "fleet", "network.json"];

/// What belongs to its users. Rules for their certificates and what failed at
/// the door go with the accounts they are about.
const USERS: &[&str] = &[
    "accounts.json",
    "client-certificates.json",
    "initial-password",
    "lockout.json",
];

/// How much of what was set is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defaults {
    /// All of it.
    ResetAll,
    /// All but what leads to the machine: keys, the fleet, protocols.
    PreserveNetwork,
    /// All but that and the accounts.
    PreserveNetworkAndUsers,
}

impl Defaults {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::ResetAll, Self::PreserveNetwork, Self::PreserveNetworkAndUsers];

    /// The word for it, as Redfish writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResetAll => "ResetAll",
            Self::PreserveNetwork => "PreserveNetwork",
            Self::PreserveNetworkAndUsers => "PreserveNetworkAndUsers",
        }
    }

    fn spares(self, name: &str) -> bool {
        LASTING.contains(&name)
            || self != Self::ResetAll && NETWORK.contains(&name)
            || self == Self::PreserveNetworkAndUsers && USERS.contains(&name)
    }
}

/// Why the agent leaves.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct Leave {
    /// What to forget before it comes back.
    pub defaults: Option<Defaults>,
}

impl Leave {
    /// Notes in the state directory `folder` how to come back.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn note(self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self).unwrap_or_default();
        replace(&folder.join(NOTE), &text)
    }
}

/// Comes back to the state directory `folder` as the note there says, if there
/// is one.
///
/// # Errors
/// The note cannot be read, or not be carried out.
pub(crate) fn arrive(folder: &Path) -> Result<(), StateError> {
    let path = folder.join(NOTE);
    let file = |path: PathBuf| {
        move |source| StateError::File { path: path.clone(), source }
    };
    let note = read_if_present(&path).map_err(file(path.clone()))?;
    let Some(note) = note else { return Ok(()) };
    let note: Leave = serde_json::from_slice(&note).unwrap_or_else(|error| {
        warn!(%error, "cannot understand how to come back: as it was");
        Leave::default()
    });
    if let Some(defaults) = note.defaults {
        let entries = fs::read_dir(folder).map_err(file(folder.to_owned()))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == NOTE || defaults.spares(&name) {
                continue;
            }
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
            let gone = if is_folder {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.map_err(file(path))?;
        }
        info!(kind = defaults.as_str(), "what was set is forgotten");
    }
    // Last, so that what a power loss interrupts is done again.
    fs::remove_file(&path).map_err(file(path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn forgets_what_it_was_told_to_and_nothing_else() {
        let kept = |defaults: Option<Defaults>| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            for name in [
                "accounts.json",
                "identity",
                "lockout.json",
                "settings.json",
                "switches.json",
                "update.json",
            ] {
                fs::write(path.join(name), "x").unwrap();
            }
            for name in ["logs", "slots", "tls"] {
                fs::create_dir(path.join(name)).unwrap();
                fs::write(path.join(name).join("x"), "x").unwrap();
            }
            arrive(path).unwrap();
            Leave { defaults }.note(path).unwrap();
            arrive(path).unwrap();
            assert!(!path.join(NOTE).exists(), "once");
            names(path).join(" ")
        };
        let all = "accounts.json identity lockout.json logs settings.json \
            slots switches.json tls update.json";
        assert_eq!(kept(None), all);
        let least = kept(Some(Defaults::ResetAll));
        assert_eq!(least, "identity logs slots switches.json");
        let network = kept(Some(Defaults::PreserveNetwork));
        assert_eq!(network, "identity logs slots switches.json tls");
        let users = kept(Some(Defaults::PreserveNetworkAndUsers));
        let with_users = "accounts.json identity lockout.json logs slots \
            switches.json tls";
        assert_eq!(users, with_users);
    }

    #[test]
    fn a_note_that_says_nothing_is_a_plain_restart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NOTE), "{").unwrap();
        fs::write(folder.path().join("settings.json"), "x").unwrap();
        arrive(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["settings.json"]);
    }
}
