//! Who may use the agent: accounts, roles, sessions, lockout.

mod error;
mod password;
mod role;
mod session;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use onprem_link::file;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::password::Passwords;
pub use self::{
    error::{ChangeError, Denied, OpenError},
    role::Role,
    session::{Session, Sessions},
};

/// How many accounts there may be.
pub const LIMIT: usize = 64;
/// The shortest password.
pub const MIN_PASSWORD: usize = 8;
/// The longest password.
pub const MAX_PASSWORD: usize = 128;
/// The name of the first account.
pub const FIRST_USER: &str = "admin";

/// One account, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The name to log in with, and the id in the URI.
    pub user_name: String,
    /// What it may do.
    pub role: Role,
    /// May it log in?
    pub enabled: bool,
    /// May it do nothing but change its password?
    pub password_change_required: bool,
    /// Argon2.
    hash: String,
}

/// What may be set on the account and session services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Failed logins in a row that lock an account; 0: never.
    pub lockout_threshold: u32,
    /// How long it stays locked.
    pub lockout_seconds: u32,
    /// After how long failed logins are forgotten.
    pub lockout_reset_seconds: u32,
    /// After how long an unused session ends.
    pub session_seconds: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lockout_threshold: 10,
            lockout_seconds: 60,
            lockout_reset_seconds: 60,
            session_seconds: 1800,
        }
    }
}

impl Policy {
    /// After how long an unused session ends.
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.session_seconds.into())
    }
}

/// All accounts and the policy, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    /// By user name.
    pub accounts: BTreeMap<String, Account>,
    /// What holds for all.
    #[serde(default)]
    pub policy: Policy,
}

/// What a change sets; what is `None` stays.
#[derive(Debug, Default)]
pub struct AccountChange {
    /// The role.
    pub role: Option<Role>,
    /// Whether it may log in.
    pub enabled: Option<bool>,
    /// Whether the password has to be changed.
    pub password_change_required: Option<bool>,
    /// The password.
    pub password: Option<String>,
    /// `false` ends a lockout.
    pub locked: Option<bool>,
}

/// The accounts, kept in `accounts.json`.
#[derive(Debug)]
pub struct Accounts {
    path: PathBuf,
    book: ArcSwap<Book>,
    /// Held by whoever changes the book, until it is stored.
    writer: tokio::sync::Mutex<()>,
    passwords: Passwords,
    failures: Mutex<HashMap<String, Failures>>,
    /// The open sessions.
    pub sessions: Sessions,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Accounts {
    /// Loads the accounts of `state_dir`. On the first start it makes the
    /// account `admin`, writes its password to `initial-password` and returns
    /// it, to be shown once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(state_dir: &Path) -> Result<(Self, Option<String>), OpenError> {
        let path = state_dir.join("accounts.json");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        let stored = file::read_if_present(&path).map_err(at(&path))?;
        let (book, first) = if let Some(bytes) = stored {
            let book: Book =
                serde_json::from_slice(&bytes).map_err(|source| {
                    OpenError::Parse { path: path.clone(), source }
                })?;
            if !is_administered(&book) {
                return Err(OpenError::NoAdministrator { path });
            }
            (book, None)
        } else {
            let password = password::generate();
            let account = Account {
                user_name: FIRST_USER.to_owned(),
                role: Role::Administrator,
                enabled: true,
                password_change_required: false,
                hash: password::hash_now(&password),
            };
            let mut book = Book::default();
            book.accounts.insert(FIRST_USER.to_owned(), account);
            // The password first: without it the account is of no use.
            let note = state_dir.join("initial-password");
            file::replace(&note, format!("{password}\n").as_bytes())
                .map_err(at(&note))?;
            let bytes = serde_json::to_vec_pretty(&book).unwrap_or_default();
            file::replace(&path, &bytes).map_err(at(&path))?;
            (book, Some(password))
        };
        let accounts = Self {
            path,
            book: ArcSwap::from_pointee(book),
            writer: tokio::sync::Mutex::default(),
            passwords: Passwords::new(),
            failures: Mutex::default(),
            sessions: Sessions::default(),
        };
        Ok((accounts, first))
    }

    /// The accounts and the policy as they are now.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        self.book.load_full()
    }

    /// The account of `user`, if `password` is right and it may log in.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn log_in(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Account, Denied> {
        if self.is_locked(user) {
            return Err(Denied::Locked);
        }
        let book = self.book();
        let account = book.accounts.get(user);
        let hash = account.map(|account| account.hash.as_str());
        let right = match self.passwords.verify(user, password, hash).await {
            Ok(right) => right && password.len() <= MAX_PASSWORD,
            Err(_) => return Err(Denied::Busy),
        };
        // Many that were asked at once are not more guesses.
        if self.is_locked(user) {
            return Err(Denied::Locked);
        }
        match account {
            Some(account) if right && account.enabled => {
                self.failures().remove(user);
                Ok(account.clone())
            }
            Some(_) => {
                self.count_failure(user, &book.policy);
                Err(Denied::Wrong)
            }
            None => Err(Denied::Wrong),
        }
    }

    /// Whether `user` is locked out at present.
    #[must_use]
    pub fn is_locked(&self, user: &str) -> bool {
        let policy = &self.book.load().policy;
        let threshold = policy.lockout_threshold;
        let lock = Duration::from_secs(policy.lockout_seconds.into());
        self.failures().get(user).is_some_and(|f| {
            threshold > 0 && f.count >= threshold && f.last.elapsed() < lock
        })
    }

    /// Makes an account.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn create(
        &self,
        user: &str,
        password: &str,
        role: Role,
        enabled: bool,
        password_change_required: bool,
    ) -> Result<(), ChangeError> {
        let hash = self.hash(password).await?;
        let account = Account {
            user_name: user.to_owned(),
            role,
            enabled,
            password_change_required,
            hash,
        };
        self.store(|book| {
            if book.accounts.contains_key(user) {
                return Err(ChangeError::Exists(user.to_owned()));
            }
            if book.accounts.len() >= LIMIT {
                return Err(ChangeError::Full);
            }
            book.accounts.insert(user.to_owned(), account);
            Ok(())
        })
        .await
    }

    /// Changes the account of `user`. A new password ends its sessions, but
    /// for the session `keep`; one that is disabled loses all.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(
        &self,
        user: &str,
        change: AccountChange,
        keep: Option<&str>,
    ) -> Result<(), ChangeError> {
        let hash = match &change.password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let new_password = hash.is_some();
        let disabled = change.enabled == Some(false);
        self.store(|book| {
            let account = book
                .accounts
                .get_mut(user)
                .ok_or_else(|| ChangeError::Unknown(user.to_owned()))?;
            if let Some(hash) = hash {
                account.hash = hash;
                account.password_change_required = false;
            }
            if let Some(required) = change.password_change_required {
                account.password_change_required = required;
            }
            account.role = change.role.unwrap_or(account.role);
            account.enabled = change.enabled.unwrap_or(account.enabled);
            still_administered(book, user)
        })
        .await?;
        if change.locked == Some(false) || new_password {
            self.failures().remove(user);
        }
        if new_password || disabled {
            self.sessions.close(|session| {
                session.user == user
                    && (disabled || Some(session.id.as_str()) != keep)
            });
        }
        Ok(())
    }

    /// Deletes the account of `user` and ends its sessions.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn delete(&self, user: &str) -> Result<(), ChangeError> {
        self.store(|book| {
            let known = book.accounts.remove(user);
            known.ok_or_else(|| ChangeError::Unknown(user.to_owned()))?;
            still_administered(book, user)
        })
        .await?;
        self.failures().remove(user);
        self.sessions.close(|session| session.user == user);
        Ok(())
    }

    /// Changes the policy.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn set_policy(
        &self,
        change: impl FnOnce(&mut Policy),
    ) -> Result<(), ChangeError> {
        self.store(|book| {
            change(&mut book.policy);
            Ok(())
        })
        .await
    }

    async fn hash(&self, password: &str) -> Result<String, ChangeError> {
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
            return Err(ChangeError::PasswordLength);
        }
        self.passwords.hash(password).await.map_err(|_| ChangeError::Busy)
    }

    /// Changes a copy of the book, stores it, and only then shows it.
    async fn store(
        &self,
        change: impl FnOnce(&mut Book) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        let _writer = self.writer.lock().await;
        let mut book = Book::clone(&self.book.load());
        change(&mut book)?;
        let bytes = serde_json::to_vec_pretty(&book).unwrap_or_default();
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || file::replace(&path, &bytes))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|source| ChangeError::Store {
                path: self.path.clone(),
                source,
            })?;
        self.book.store(Arc::new(book));
        Ok(())
    }

    fn count_failure(&self, user: &str, policy: &Policy) {
        let reset = Duration::from_secs(policy.lockout_reset_seconds.into());
        let now = Instant::now();
        let mut failures = self.failures();
        let entry = failures
            .entry(user.to_owned())
            .or_insert(Failures { count: 0, last: now });
        if entry.last.elapsed() >= reset {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_administered(book: &Book) -> bool {
    let mut accounts = book.accounts.values();
    accounts.any(|it| it.enabled && it.role == Role::Administrator)
}

fn still_administered(book: &Book, user: &str) -> Result<(), ChangeError> {
    if is_administered(book) {
        Ok(())
    } else {
        Err(ChangeError::LastAdministrator(user.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_start_makes_one_administrator_and_notes_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        let noted = folder.path().join("initial-password");
        assert_eq!(std::fs::read_to_string(noted).unwrap().trim(), password);
        let account = accounts.log_in(FIRST_USER, &password).await.unwrap();
        assert_eq!(account.role, Role::Administrator);
        let (again, none) = Accounts::open(folder.path()).unwrap();
        assert_eq!(none, None);
        assert!(again.log_in(FIRST_USER, &password).await.is_ok());
    }

    #[tokio::test]
    async fn the_last_administrator_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, _) = Accounts::open(folder.path()).unwrap();
        assert!(matches!(
            accounts.delete(FIRST_USER).await,
            Err(ChangeError::LastAdministrator(_))
        ));
        let change =
            AccountChange { enabled: Some(false), ..Default::default() };
        assert!(accounts.change(FIRST_USER, change, None).await.is_err());
        assert!(accounts.book().accounts.contains_key(FIRST_USER));
    }

    #[tokio::test]
    async fn guesses_made_at_once_are_counted_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        accounts.set_policy(|p| p.lockout_threshold = 1).await.unwrap();
        let (first, second) = tokio::join!(
            accounts.log_in(FIRST_USER, "wrong"),
            accounts.log_in(FIRST_USER, &password),
        );
        assert!(first.is_err());
        assert_eq!(second.unwrap_err(), Denied::Locked);
    }

    #[test]
    fn damaged_accounts_are_refused_and_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.json");
        let nobody = r#"{"accounts": {}}"#;
        for (damaged, reason) in
            [("", "cannot understand"), (nobody, "no account in")]
        {
            std::fs::write(&path, damaged).unwrap();
            let error = Accounts::open(folder.path()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(reason), "{text}");
            assert!(text.contains("put a copy of it back"), "{text}");
            let left = std::fs::read_to_string(&path).unwrap();
            assert_eq!(left, damaged);
            assert!(!folder.path().join("initial-password").exists());
        }
    }

    #[tokio::test]
    async fn failed_logins_lock_an_account_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        let lock = |p: &mut Policy| {
            p.lockout_threshold = 2;
            p.lockout_seconds = 30;
        };
        accounts.set_policy(lock).await.unwrap();
        for _ in 0..2 {
            let denied = accounts.log_in(FIRST_USER, "wrong").await;
            assert_eq!(denied.unwrap_err(), Denied::Wrong);
        }
        let denied = accounts.log_in(FIRST_USER, &password).await;
        assert_eq!(denied.unwrap_err(), Denied::Locked);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        assert!(accounts.log_in(FIRST_USER, &password).await.is_ok());
    }
}
