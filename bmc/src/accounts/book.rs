//! What is stored: accounts, roles, and the rules for all.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ADMINISTRATOR, MadeRole, SessionLimits};

/// The shortest password that the rules can allow, in characters.
pub const MIN_PASSWORD: u32 = 8;
/// The longest password that the rules can allow, in characters.
pub const MAX_PASSWORD: u32 = 128;
/// How many passwords of an account are remembered at most.
pub const MAX_HISTORY: u32 = 16;
/// How long a password can be allowed to serve, in days.
pub const MAX_EXPIRATION: u32 = 3650;

/// A password's hash, which nobody gets to see.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hash(pub(super) String);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// One account, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The name to log in with, and the id in the URI.
    pub user_name: String,
    /// Tells it from others that had its name before; those of old versions
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Uuid>,
    /// The id of its role.
    pub role: String,
    /// May it log in?
    pub enabled: bool,
    /// Was it told to change its password before anything else?
    pub password_change_required: bool,
    /// When the password has served its time.
    #[serde(default)]
    pub password_expiration: Option<DateTime<Utc>>,
    /// Argon2.
    pub(super) hash: Hash,
    /// The passwords before, the latest first.
    #[serde(default)]
    pub(super) history: Vec<Hash>,
}

impl Account {
    /// May it do nothing but change its password?
    #[must_use]
    pub fn must_change_password(&self) -> bool {
        let expired = self.password_expiration.is_some_and(|at| at <= now());
        self.password_change_required || expired
    }

    /// Takes a new password.
    pub(super) fn set_hash(&mut self, hash: String, policy: &Policy) {
        let old = std::mem::replace(&mut self.hash, Hash(hash));
        self.history.insert(0, old);
        let kept = policy.password_history.saturating_sub(1);
        self.history.truncate(kept as usize);
        self.password_change_required = false;
        self.password_expiration = policy.password_expiration();
    }
}

/// What may be set on the account and session services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Failed logins in a row that lock an account; 0: never.
    pub lockout_threshold: u32,
    /// How long it stays locked; 0: it is never locked.
    pub lockout_seconds: u32,
    /// After how long failed logins are forgotten.
    pub lockout_reset_seconds: u32,
    /// Whether they are forgotten, and a lock ends, by itself.
    pub lockout_reset: bool,
    /// After how many failed logins on an account a line is logged; 0: none.
    pub failures_logged: u32,
    /// The shortest password, in characters.
    pub min_password: u32,
    /// The longest password, in characters.
    pub max_password: u32,
    /// How many of the last passwords may not be taken again.
    pub password_history: u32,
    /// How long a password serves.
    pub password_days: Option<u32>,
    /// Whether a name and a password may come with each request.
    pub basic: bool,
    /// After how long an unused session ends.
    pub session_seconds: u32,
    /// After how long a session ends in any case.
    pub session_absolute_seconds: u32,
    /// Whether that is so.
    pub session_absolute: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lockout_threshold: 10,
            lockout_seconds: 60,
            lockout_reset_seconds: 60,
            lockout_reset: true,
            failures_logged: 3,
            min_password: MIN_PASSWORD,
            max_password: MAX_PASSWORD,
            password_history: 0,
            password_days: None,
            basic: true,
            session_seconds: 1800,
            session_absolute_seconds: 86_400,
            session_absolute: false,
        }
    }
}

impl Policy {
    /// When sessions end.
    #[must_use]
    pub fn session_limits(&self) -> SessionLimits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        SessionLimits {
            idle: seconds(self.session_seconds),
            absolute: self
                .session_absolute
                .then(|| seconds(self.session_absolute_seconds)),
        }
    }

    /// Until when a password serves that is set now.
    pub(super) fn password_expiration(&self) -> Option<DateTime<Utc>> {
        let days = TimeDelta::days(self.password_days?.into());
        now().checked_add_signed(days)
    }

    /// Whether a password has a length that is allowed.
    pub(super) fn fits(&self, password: &str) -> bool {
        let length = password.chars().count();
        (self.min_password as usize..=self.max_password as usize)
            .contains(&length)
    }
}

/// Whole seconds are what Redfish shows.
fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now)
}

/// All accounts and the policy, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    /// By user name.
    pub accounts: BTreeMap<String, Account>,
    /// The roles that somebody made, by id.
    #[serde(default)]
    pub(super) roles: BTreeMap<String, MadeRole>,
    /// What holds for all.
    #[serde(default)]
    pub policy: Policy,
}

impl Book {
    /// Can somebody log in and change everything?
    pub(super) fn is_administered(&self) -> bool {
        let mut accounts = self.accounts.values();
        accounts.any(|it| it.enabled && it.role == ADMINISTRATOR)
    }
}
