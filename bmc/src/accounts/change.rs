//! How accounts are made, changed and deleted.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Account, Accounts, Book, ChangeError, LIMIT, Policy, READ_ONLY, book::Hash,
};

/// What a change sets; what is `None` stays.
#[derive(Default)]
pub struct AccountChange {
    /// The id of the role.
    pub role: Option<String>,
    /// Whether it may log in.
    pub enabled: Option<bool>,
    /// Whether the password has to be changed.
    pub password_change_required: Option<bool>,
    /// The password.
    pub password: Option<String>,
    /// When the password has served its time, or that it never has.
    pub password_expiration: Option<Option<DateTime<Utc>>>,
    /// `false` ends a lockout.
    pub locked: Option<bool>,
}

impl fmt::Debug for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountChange")
            .field("role", &self.role)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes an account.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn create(
        &self,
        user: &str,
        password: &str,
        change: AccountChange,
    ) -> Result<(), ChangeError> {
        let role = change.role.unwrap_or_else(|| READ_ONLY.to_owned());
        let book = self.book();
        if book.accounts.contains_key(user) {
            return Err(ChangeError::Exists(user.to_owned()));
        }
        let hash = Hash(self.hash(password, &book).await?);
        self.store(|book| {
            if book.accounts.contains_key(user) {
                return Err(ChangeError::Exists(user.to_owned()));
            }
            if book.accounts.len() >= LIMIT {
                return Err(ChangeError::Full);
            }
            if book.role(&role).is_none() {
                return Err(ChangeError::UnknownRole(role));
            }
            let account = Account {
                user_name: user.to_owned(),
                key: Some(Uuid::new_v4()),
                role,
                enabled: change.enabled.unwrap_or(true),
                password_change_required: change
                    .password_change_required
                    .unwrap_or(false),
                password_expiration: change
                    .password_expiration
                    .unwrap_or_else(|| book.policy.password_expiration()),
                hash,
                history: Vec::new(),
            };
            book.accounts.insert(user.to_owned(), account);
            Ok(())
        })
        .await
    }

    /// Changes the account of `user`. A new password or another role ends its
    /// sessions, but for the session `keep`; one that is disabled loses all.
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
            Some(password) => Some(self.next_hash(user, password).await?),
            None => None,
        };
        let new_password = hash.is_some();
        let disabled = change.enabled == Some(false);
        let mut new_role = false;
        self.store(|book| {
            let Book { accounts, policy, .. } = &mut *book;
            let account = accounts
                .get_mut(user)
                .ok_or_else(|| ChangeError::Unknown(user.to_owned()))?;
            if let Some(hash) = hash {
                account.set_hash(hash, policy);
            }
            if let Some(at) = change.password_expiration {
                account.password_expiration = at;
            }
            if let Some(required) = change.password_change_required {
                account.password_change_required = required;
            }
            account.enabled = change.enabled.unwrap_or(account.enabled);
            if let Some(role) = &change.role {
                new_role = account.role != *role;
                account.role.clone_from(role);
                if book.role(role).is_none() {
                    return Err(ChangeError::UnknownRole(role.clone()));
                }
            }
            still_administered(book, user)
        })
        .await?;
        if change.locked == Some(false) || new_password {
            self.lockout.clear(user).await;
        }
        if new_password || new_role || disabled {
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
        self.lockout.forget(user).await;
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

    async fn hash(
        &self,
        password: &str,
        book: &Book,
    ) -> Result<String, ChangeError> {
        if !book.policy.fits(password) {
            return Err(ChangeError::PasswordLength {
                minimum: book.policy.min_password,
                maximum: book.policy.max_password,
            });
        }
        self.passwords.hash(password).await.map_err(|_| ChangeError::Busy)
    }

    /// The hash of a password that takes the place of the one there is.
    async fn next_hash(
        &self,
        user: &str,
        password: &str,
    ) -> Result<String, ChangeError> {
        let book = self.book();
        let account = book
            .accounts
            .get(user)
            .ok_or_else(|| ChangeError::Unknown(user.to_owned()))?;
        let next = self.hash(password, &book).await?;
        let last = book.policy.password_history;
        let known = [&account.hash].into_iter().chain(&account.history);
        let known = known.take(last as usize).map(|it| it.0.clone());
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return Ok(next);
        }
        match self.passwords.matches_any(password, known).await {
            Ok(false) => Ok(next),
            Ok(true) => Err(ChangeError::PasswordReused(last)),
            Err(_) => Err(ChangeError::Busy),
        }
    }
}

fn still_administered(book: &Book, user: &str) -> Result<(), ChangeError> {
    if book.is_administered() {
        Ok(())
    } else {
        Err(ChangeError::LastAdministrator(user.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::FIRST_USER;

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
}
