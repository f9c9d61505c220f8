//! Who may use the agent: accounts, roles, sessions, lockout.

mod book;
mod change;
mod error;
mod lockout;
mod password;
mod role;
mod session;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use onprem_link::file;
use uuid::Uuid;

use self::{book::Hash, lockout::Lockout, password::Passwords};
pub use self::{
    book::{
        Account, Book, MAX_EXPIRATION, MAX_HISTORY, MAX_PASSWORD, MIN_PASSWORD,
        Policy,
    },
    change::AccountChange,
    error::{ChangeError, Denied, OpenError},
    role::{ADMINISTRATOR, MadeRole, READ_ONLY, ROLES, Role, predefined},
    session::{
        Full, LIMIT as SESSIONS, PER_ACCOUNT, Session, SessionLimits, Sessions,
    },
};

/// How many accounts there may be.
pub const LIMIT: usize = 64;
/// The longest name of an account or a role, in bytes.
const MAX_NAME: usize = 32;
/// The name of the first account.
pub const FIRST_USER: &str = "admin";

/// The accounts, kept in `accounts.json`.
#[derive(Debug)]
pub struct Accounts {
    path: PathBuf,
    book: ArcSwap<Book>,
    /// Held by whoever changes the book, until it is stored.
    writer: tokio::sync::Mutex<()>,
    passwords: Passwords,
    lockout: Lockout,
    /// The open sessions.
    pub sessions: Sessions,
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
            if !book.is_administered() {
                return Err(OpenError::NoAdministrator { path });
            }
            (book, None)
        } else {
            let password = password::generate();
            let account = Account {
                user_name: FIRST_USER.to_owned(),
                key: Some(Uuid::new_v4()),
                role: ADMINISTRATOR.to_owned(),
                enabled: true,
                password_change_required: false,
                password_expiration: None,
                hash: Hash(password::hash_now(&password)),
                history: Vec::new(),
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
            lockout: Lockout::open(state_dir.join("lockout.json"))?,
            sessions: Sessions::default(),
        };
        Ok((accounts, first))
    }

    /// The accounts and the policy as they are now.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        self.book.load_full()
    }

    /// The account of `user`, if `password` is right and it may log in from
    /// `from`.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn log_in(
        &self,
        user: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Account, Denied> {
        let book = self.book();
        let policy = &book.policy;
        if self.lockout.keeps_out(user, from, policy) {
            // As slow as for a name that nobody has, so that an answer at
            // once does not give away that there is an account.
            let _ = self.passwords.verify(user, password, None).await;
            return Err(Denied::Locked);
        }
        let account = book.accounts.get(user);
        let hash = account.map(|account| account.hash.0.as_str());
        let verified = self.passwords.verify(user, password, hash).await;
        let Ok(right) = verified else { return Err(Denied::Busy) };
        // Many that were asked at once are not more guesses.
        if self.lockout.keeps_out(user, from, policy) {
            return Err(Denied::Locked);
        }
        match account {
            Some(account) if right && account.enabled => {
                self.lockout.succeeded(user, from).await;
                Ok(account.clone())
            }
            // Right, and yet no guess.
            Some(_) if right => Err(Denied::Wrong),
            Some(_) if self.lockout.failed(user, from, policy).await => {
                tracing::warn!(user, ?from, "account locked");
                Err(Denied::NowLocked)
            }
            _ => Err(Denied::Wrong),
        }
    }

    /// Opens a session for who has just logged in as `account`; nothing, if
    /// its password was changed meanwhile, or it may not log in any more.
    ///
    /// # Errors
    /// [`Full`]
    pub fn open_session(
        &self,
        account: &Account,
        client: Option<String>,
        context: Option<String>,
    ) -> Result<Option<(String, Arc<Session>)>, Full> {
        let user = &account.user_name;
        let limits = self.book().policy.session_limits();
        let (token, session) =
            self.sessions.open(user, client, context, limits)?;
        // A change that comes later finds the session, and ends it.
        let book = self.book();
        let now = book.accounts.get(user);
        if now.is_some_and(|now| now.enabled && now.hash.0 == account.hash.0) {
            return Ok(Some((token, session)));
        }
        self.sessions.end(&session.id);
        Ok(None)
    }

    /// Whether anyone is locked out of the account of `user` at present.
    #[must_use]
    pub fn is_locked(&self, user: &str) -> bool {
        self.lockout.is_locked(user, &self.book.load().policy)
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
        let stored = file::store(&self.path, bytes).await;
        stored.map_err(|source| {
            let path = self.path.clone();
            ChangeError::Store { path, source }
        })?;
        self.book.store(Arc::new(book));
        Ok(())
    }
}

/// Can it be the name of an account or a role? It is a segment of a URI as
/// well.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphanumeric())
        && text.len() <= MAX_NAME
        && text.chars().all(safe)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_first_start_makes_one_administrator_and_notes_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        let noted = folder.path().join("initial-password");
        assert_eq!(std::fs::read_to_string(noted).unwrap().trim(), password);
        let account =
            accounts.log_in(FIRST_USER, &password, None).await.unwrap();
        assert_eq!(account.role, ADMINISTRATOR);
        let (again, none) = Accounts::open(folder.path()).unwrap();
        assert_eq!(none, None);
        assert!(again.log_in(FIRST_USER, &password, None).await.is_ok());
    }

    #[tokio::test]
    async fn guesses_made_at_once_are_counted_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        accounts.set_policy(|p| p.lockout_threshold = 1).await.unwrap();
        let (first, second) = tokio::join!(
            accounts.log_in(FIRST_USER, "wrong", None),
            accounts.log_in(FIRST_USER, &password, None),
        );
        assert!(first.is_err());
        assert_eq!(second.unwrap_err(), Denied::Locked);
    }

    #[tokio::test]
    async fn who_logs_in_while_the_password_changes_gets_no_session() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, password) = Accounts::open(folder.path()).unwrap();
        let password = password.unwrap();
        let account =
            accounts.log_in(FIRST_USER, &password, None).await.unwrap();
        assert!(accounts.open_session(&account, None, None).unwrap().is_some());
        let password = Some("another password".to_owned());
        let change = AccountChange { password, ..Default::default() };
        accounts.change(FIRST_USER, change, None).await.unwrap();
        assert!(accounts.open_session(&account, None, None).unwrap().is_none());
        let limits = accounts.book().policy.session_limits();
        assert!(accounts.sessions.list(limits).is_empty());
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
        for expected in [Denied::Wrong, Denied::NowLocked] {
            let denied = accounts.log_in(FIRST_USER, "wrong", None).await;
            assert_eq!(denied.unwrap_err(), expected);
        }
        let denied = accounts.log_in(FIRST_USER, &password, None).await;
        assert_eq!(denied.unwrap_err(), Denied::Locked);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        assert!(accounts.log_in(FIRST_USER, &password, None).await.is_ok());
    }
}
