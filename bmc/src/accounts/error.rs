//! Why nobody was let in, and why nothing was changed.

use std::{io, path::PathBuf};

use super::LIMIT;
use crate::state::StateError;

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No such user, another password, or disabled.
    #[error("the user name or password is not right")]
    Wrong,
    /// Wrong, and one time too often: from now on it is locked.
    #[error("the user name or password is not right, once too often")]
    NowLocked,
    /// Too many failures.
    #[error("the account is locked for a while")]
    Locked,
    /// Too many at once.
    #[error("too many passwords wait to be checked")]
    Busy,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is one of this name.
    #[error("there is an account `{0}` already")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no account `{0}`")]
    Unknown(String),
    /// There are [`LIMIT`] accounts, or as many roles as there may be.
    #[error("there are {LIMIT} accounts, or too many roles, already")]
    Full,
    /// The password is too short or too long.
    #[error("a password has {minimum} to {maximum} characters")]
    PasswordLength {
        /// As the policy says.
        minimum: u32,
        /// As the policy says.
        maximum: u32,
    },
    /// The password was used not long ago.
    #[error("the password is one of the last {0}")]
    PasswordReused(u32),
    /// No role has this id.
    #[error("there is no role `{0}`")]
    UnknownRole(String),
    /// There is a role with this id, or one that looks the same.
    #[error("there is a role `{0}` already")]
    RoleExists(String),
    /// What cannot be a role's id.
    #[error("`{0}` cannot be the id of a role")]
    RoleName(String),
    /// An account has the role.
    #[error("an account has the role `{0}`")]
    RoleInUse(String),
    /// The role is one of DMTF's.
    #[error("the role `{0}` is predefined")]
    Predefined(String),
    /// Nobody could administer the agent any more.
    #[error("`{0}` is the last enabled administrator")]
    LastAdministrator(String),
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The accounts cannot be stored.
    #[error("cannot store the accounts in {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Why the accounts cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// What is kept beside the accounts cannot be used.
    #[error("cannot use what is kept beside the accounts")]
    State(#[from] StateError),
    /// The file is not what was written.
    #[error(
        "cannot understand {path}: put a copy of it back, or move it away \
         to start with a new administrator"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Nobody could ever log in to change that.
    #[error(
        "no account in {path} is an enabled administrator: put a copy of it \
         back, or move it away to start with a new administrator"
    )]
    NoAdministrator {
        /// The file.
        path: PathBuf,
    },
}
