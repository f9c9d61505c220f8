//! Why nobody was let in, and why nothing was changed.

use std::{io, path::PathBuf};

use super::{LIMIT, MAX_PASSWORD, MIN_PASSWORD};

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No such user, another password, or disabled.
    #[error("the user name or password is not right")]
    Wrong,
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
    /// There are [`LIMIT`].
    #[error("there are {LIMIT} accounts already")]
    Full,
    /// The password is too short or too long.
    #[error("a password has {MIN_PASSWORD} to {MAX_PASSWORD} bytes")]
    PasswordLength,
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
