//! Accounts, and logging in.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use dropshot::ResultsPage;
use onprem_link::id::Xid;
use serde::{Deserialize, Serialize};

use super::{
    Auth, Caller, Role, SESSION_LIFE,
    credential::{CredentialRecord, Kind},
    password::{self, Password},
    throttle::Attempt,
};
use crate::{
    api::{
        Account, AccountCreate, AccountFilter, AccountUpdate, LoggedIn, Login,
        Page,
    },
    error::Error,
    name::Name,
    store::{Collection, Record, StoreError},
};

/// The shortest password.
const SHORTEST: usize = 12;

/// An account as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountRecord {
    pub(super) id: Xid,
    pub(super) name: Name,
    pub(super) role: Role,
    pub(super) enabled: bool,
    password_hash: String,
    created_at: DateTime<Utc>,
    password_changed_at: DateTime<Utc>,
    last_login_at: Option<DateTime<Utc>>,
}

impl Record for AccountRecord {
    const COLLECTION: Collection = Collection::Accounts;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.to_string())]
    }
}

impl AccountRecord {
    fn shown(&self) -> Account {
        Account {
            id: self.id,
            name: self.name.clone(),
            role: self.role,
            enabled: self.enabled,
            created_at: self.created_at,
            password_changed_at: self.password_changed_at,
            last_login_at: self.last_login_at,
        }
    }

    fn is_admin(&self) -> bool {
        self.enabled && self.role == Role::Admin
    }
}

impl Auth {
    /// Whether nobody can come in yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The accounts that the caller may see.
    ///
    /// # Errors
    /// They cannot be sorted in the way that is asked for.
    pub fn accounts(
        &self,
        caller: &Caller,
        page: &Page<AccountFilter>,
    ) -> Result<ResultsPage<Account>, Error> {
        let accounts = self
            .accounts
            .all()
            .iter()
            .filter(|account| sees(caller, account))
            .filter(|a| page.filter.role.is_none_or(|role| a.role == role))
            .map(|account| account.shown())
            .collect();
        page.page(accounts)
    }

    /// One account.
    ///
    /// # Errors
    /// There is none that the caller may see.
    pub fn account(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Account, Error> {
        self.find(caller, name).map(|account| account.shown())
    }

    fn find(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<std::sync::Arc<AccountRecord>, Error> {
        self.accounts
            .get(name)
            .or_else(|| self.accounts.find("name", name))
            .filter(|account| sees(caller, account))
            .ok_or_else(|| Error::not_found("account", name))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The name is taken, the password too short.
    pub async fn account_create(
        &self,
        request: AccountCreate,
    ) -> Result<Account, Error> {
        let AccountCreate { name, password, role } = request;
        check_length(&password)?;
        if self.accounts.find("name", name.as_str()).is_some() {
            return Err(taken(&name));
        }
        let now = Utc::now();
        let account = AccountRecord {
            id: Xid::new(),
            name: name.clone(),
            role,
            enabled: true,
            password_hash: password::hash(password).await?,
            created_at: now,
            password_changed_at: now,
            last_login_at: None,
        };
        match self.accounts.insert(account).await {
            Ok(account) => Ok(account.shown()),
            Err(StoreError::Taken { .. }) => Err(taken(&name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes an account.
    ///
    /// # Errors
    /// There is none that the caller may change; it is the last
    /// administrator.
    pub async fn account_update(
        &self,
        caller: &Caller,
        name: &str,
        change: AccountUpdate,
    ) -> Result<Account, Error> {
        let account = self.find(caller, name)?;
        if change.role.is_some() || change.enabled.is_some() {
            caller.require(Role::Admin)?;
        }
        // A token that may do less than its account must not become it.
        caller.require(account.role)?;
        let hash = match change.password {
            Some(password) => {
                check_length(&password)?;
                Some(password::hash(password).await?)
            }
            None => None,
        };
        let id = account.id.to_string();
        let new_password = hash.is_some();
        let _one_at_a_time = self.administrators.lock().await;
        let changed = self
            .accounts
            .update(&id, |account| {
                if let Some(hash) = &hash {
                    account.password_hash.clone_from(hash);
                    account.password_changed_at = Utc::now();
                }
                account.role = change.role.unwrap_or(account.role);
                account.enabled = change.enabled.unwrap_or(account.enabled);
                if account.is_admin() || self.has_other_admin(account.id) {
                    Ok(())
                } else {
                    let pointer = if change.role.is_some() {
                        "/role"
                    } else {
                        "/enabled"
                    };
                    Err(Error::conflict(pointer, LAST_ADMIN))
                }
            })
            .await?
            .ok_or_else(|| Error::not_found("account", name))?;
        if new_password || !changed.enabled {
            self.end_sessions(changed.id).await?;
        }
        Ok(changed.shown())
    }

    /// Deletes an account with its tokens and sessions.
    ///
    /// # Errors
    /// There is none; it is the last administrator.
    pub async fn account_delete(&self, name: &str) -> Result<(), Error> {
        let _one_at_a_time = self.administrators.lock().await;
        let account = self
            .accounts
            .get(name)
            .or_else(|| self.accounts.find("name", name))
            .ok_or_else(|| Error::not_found("account", name))?;
        if account.is_admin() && !self.has_other_admin(account.id) {
            let message = LAST_ADMIN.to_owned();
            return Err(Error::Conflict { pointer: None, message });
        }
        self.accounts.remove(&account.id.to_string()).await?;
        for credential in self.credentials.all() {
            if credential.account == account.id {
                self.credentials.remove(&credential.id.to_string()).await?;
            }
        }
        Ok(())
    }

    fn has_other_admin(&self, than: Xid) -> bool {
        let all = self.accounts.all();
        all.iter().any(|account| account.id != than && account.is_admin())
    }

    async fn end_sessions(&self, account: Xid) -> Result<(), StoreError> {
        for credential in self.credentials.all() {
            if credential.session && credential.account == account {
                self.credentials.remove(&credential.id.to_string()).await?;
            }
        }
        Ok(())
    }

    /// Makes a session for whoever knows the password.
    ///
    /// # Errors
    /// Name and password do not belong together; too many wrong ones before.
    pub async fn login(
        &self,
        login: Login,
        source: IpAddr,
    ) -> Result<LoggedIn, Error> {
        let attempt = Attempt::new(&login.name, source);
        let now = Utc::now();
        self.throttles.check(&attempt, now)?;
        let account = self.accounts.find("name", &login.name);
        let account = account.filter(|account| account.enabled);
        let known = account.as_ref().map(|a| a.password_hash.clone());
        let right = password::verify(login.password, known).await?;
        let Some(account) = account.filter(|_| right) else {
            self.throttles.failed(&attempt, now).await?;
            return Err(Error::WrongPassword);
        };
        self.throttles.succeeded(&attempt).await?;
        self.accounts
            .update(&account.id.to_string(), |account| {
                account.last_login_at = Some(now);
                Ok::<_, StoreError>(())
            })
            .await?;
        let expires_at = now + SESSION_LIFE;
        let (session, token) =
            CredentialRecord::new(Kind::Session, account.id, account.role);
        self.credentials
            .insert(CredentialRecord {
                expires_at: Some(expires_at),
                ..session
            })
            .await?;
        Ok(LoggedIn {
            token,
            account: account.name.to_string(),
            role: account.role,
            expires_at,
        })
    }

    /// Ends the session that the caller shows.
    ///
    /// # Errors
    /// It is no session.
    pub async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        if caller.credential != crate::api::Credential::Session {
            let message = "an API token cannot log out; delete it instead";
            let message = message.to_owned();
            return Err(Error::Conflict { pointer: None, message });
        }
        self.credentials.remove(&caller.credential_id.to_string()).await?;
        Ok(())
    }
}

const LAST_ADMIN: &str = "this is the last administrator";

/// Administrators see all accounts, everybody else their own.
fn sees(caller: &Caller, account: &AccountRecord) -> bool {
    caller.role == Role::Admin || caller.account_id == account.id
}

fn taken(name: &Name) -> Error {
    Error::conflict("/name", format!("the name `{name}` is taken"))
}

fn check_length(password: &Password) -> Result<(), Error> {
    let password = password.reveal();
    if password.chars().count() < SHORTEST {
        let message = format!("a password has {SHORTEST} characters at least");
        return Err(Error::invalid("/password", message));
    }
    if password.len() > 1024 {
        let message = "a password has 1024 bytes at most";
        return Err(Error::invalid("/password", message));
    }
    Ok(())
}
