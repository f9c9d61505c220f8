//! Who may come in, and what they may do.

mod account;
mod credential;
mod password;
mod throttle;

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, header};
use onprem_link::{id::Xid, log::Chain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::warn;

use self::{
    account::AccountRecord, credential::CredentialRecord, throttle::Throttles,
};
pub use self::{
    credential::SESSION_COOKIE,
    password::{Password, generate},
};
use crate::{
    api::{Credential, Identity},
    error::Error,
    store::{Store, StoreError, Table},
};

/// A session ends after this time without use.
const SESSION_IDLE: TimeDelta = TimeDelta::hours(8);

/// A session ends after this time in any case.
const SESSION_LIFE: TimeDelta = TimeDelta::hours(24);

/// How exactly the last use of a token is known.
const LAST_USED_GRAIN: TimeDelta = TimeDelta::minutes(1);

/// What a caller may do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything but secrets.
    Readonly,
    /// Also change and switch devices.
    Operator,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Readonly => "readonly",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

impl From<Role> for onprem_link::grant::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Readonly => Self::ReadOnly,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Administrator,
        }
    }
}

/// Somebody who proved who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    account_id: Xid,
    account: String,
    role: Role,
    credential_id: Xid,
    credential: Credential,
    expires_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// The name of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// What the caller may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Refuses a caller who may do less than `least`.
    ///
    /// # Errors
    /// The caller may do less.
    pub fn require(&self, least: Role) -> Result<(), Error> {
        if self.role >= least {
            Ok(())
        } else {
            Err(Error::Forbidden { role: self.role })
        }
    }

    /// Who the caller is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            id: self.account_id,
            account: self.account.clone(),
            role: self.role,
            credential: self.credential,
            expires_at: self.expires_at,
        }
    }
}

/// The accounts, their API tokens and their sessions.
#[derive(Debug)]
pub struct Auth {
    accounts: Table<AccountRecord>,
    credentials: Table<CredentialRecord>,
    throttles: Throttles,
    /// One account loses its rights at a time, so that the last administrator
    /// is known to be the last.
    administrators: tokio::sync::Mutex<()>,
}

impl Auth {
    /// Reads what the store holds.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn open(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        Ok(Self {
            accounts: Table::open(Arc::clone(store)).await?,
            credentials: Table::open(Arc::clone(store)).await?,
            throttles: Throttles::open(Arc::clone(store)).await?,
            administrators: tokio::sync::Mutex::default(),
        })
    }

    /// Who makes a request with these headers: by `Authorization: Bearer`,
    /// or by the cookie of a session. A request with a cookie that changes
    /// something must come from a page of our own.
    ///
    /// # Errors
    /// Nobody who is known, or a page of another site.
    pub async fn caller(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Caller, Error> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let value = value.to_str().unwrap_or_default();
            let (scheme, token) = value.split_once(' ').unwrap_or_default();
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(Error::Unauthenticated);
            }
            return self.bearer(token.trim()).await;
        }
        let token = session_cookie(headers).ok_or(Error::Unauthenticated)?;
        let caller = self.bearer(token).await?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if reads || from_own_page(headers) {
            Ok(caller)
        } else {
            Err(Error::OtherSite)
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Nobody's, or it has ended.
    pub async fn bearer(&self, token: &str) -> Result<Caller, Error> {
        let hash = credential::hash(token);
        let found = self.credentials.find("hash", &hash);
        let found = found.ok_or(Error::Unauthenticated)?;
        let now = Utc::now();
        let account = self.holder(&found, now).ok_or(Error::Unauthenticated)?;
        if found.last_used_at.is_none_or(|at| at + LAST_USED_GRAIN <= now) {
            self.note_use(&found.id.to_string(), now).await;
        }
        Ok(Caller {
            account_id: account.id,
            account: account.name.to_string(),
            role: found.role.min(account.role),
            credential_id: found.id,
            credential: if found.session {
                Credential::Session
            } else {
                Credential::ApiToken
            },
            expires_at: found.expires_at,
        })
    }

    /// Whether what the caller showed is still good: sessions end, tokens are
    /// deleted.
    #[must_use]
    pub fn still_knows(&self, caller: &Caller) -> bool {
        let shown = self.credentials.get(&caller.credential_id.to_string());
        shown.is_some_and(|shown| self.holder(&shown, Utc::now()).is_some())
    }

    /// Whether the caller may still do all that they might when they came.
    #[must_use]
    pub fn still_may(&self, caller: &Caller) -> bool {
        let shown = self.credentials.get(&caller.credential_id.to_string());
        shown.is_some_and(|shown| {
            let holder = self.holder(&shown, Utc::now());
            holder.is_some_and(|it| it.role.min(shown.role) >= caller.role)
        })
    }

    /// The account that a credential is good for now.
    fn holder(
        &self,
        shown: &CredentialRecord,
        now: DateTime<Utc>,
    ) -> Option<Arc<AccountRecord>> {
        let account = self.accounts.get(&shown.account.to_string())?;
        let ended = shown.expires_at.is_some_and(|end| end <= now)
            || (shown.session
                && shown.last_used_or_made() + SESSION_IDLE <= now);
        (account.enabled && !ended).then_some(account)
    }

    async fn note_use(&self, id: &str, now: DateTime<Utc>) {
        let noted = self
            .credentials
            .update(id, |credential| {
                credential.last_used_at = Some(now);
                Ok::<_, StoreError>(())
            })
            .await;
        if let Err(error) = noted {
            warn!(error = %Chain(&error), "use of a token not noted");
        }
    }

    /// Forgets what has ended.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let now = Utc::now();
        for credential in self.credentials.all() {
            let ended = credential.expires_at.is_some_and(|end| end <= now);
            if ended {
                self.credentials.remove(&credential.id.to_string()).await?;
            }
        }
        self.throttles.tidy(now).await
    }
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value)
}

/// Whether the browser says that a page of our own made the request.
fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let origin = text("origin").and_then(|o| o.split_once("://"));
    match (origin, text("host")) {
        (Some((_, origin)), Some(host)) => origin == host,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (name.parse().unwrap(), value.parse().unwrap())
            })
            .collect::<HeaderMap>()
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> bool {
        from_own_page(&headers(pairs))
    }

    #[test]
    fn only_our_own_pages_may_change_things_with_a_cookie() {
        assert!(map(&[("sec-fetch-site", "same-origin")]));
        assert!(!map(&[("sec-fetch-site", "cross-site")]));
        let other = [("origin", "https://evil"), ("host", "fleet:1")];
        assert!(!map(&other));
        let own = [("origin", "http://fleet:1"), ("host", "fleet:1")];
        assert!(map(&own));
        assert!(!map(&[("host", "fleet:1")]));
        // What the browser says of the site counts more than the rest.
        let both = [
            ("sec-fetch-site", "same-site"),
            ("origin", "http://fleet:1"),
            ("host", "fleet:1"),
        ];
        assert!(!map(&both));
    }

    #[test]
    fn finds_the_session_among_the_cookies() {
        let found = headers(&[("cookie", "a=b; onprem_session=ops_x; c=d")]);
        assert_eq!(session_cookie(&found), Some("ops_x"));
        assert_eq!(session_cookie(&headers(&[("cookie", "a=b")])), None);
    }
}
