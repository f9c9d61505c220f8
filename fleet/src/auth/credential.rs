//! API tokens and sessions: random texts, of which only a hash is kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use dropshot::ResultsPage;
use onprem_link::{enrol::Fingerprint, id::Xid};
use serde::{Deserialize, Serialize};

use super::{Auth, Caller, Role};
use crate::{
    api::{ApiToken, ApiTokenCreate, ApiTokenCreated, ApiTokenFilter, Page},
    error::Error,
    store::{Collection, Record},
};

/// The cookie that carries a session.
pub const SESSION_COOKIE: &str = "onprem_session";

/// API tokens that one account may have.
const MAX_TOKENS: usize = 1000;

/// An API token or a session as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialRecord {
    pub(super) id: Xid,
    pub(super) hash: String,
    pub(super) account: Xid,
    pub(super) role: Role,
    pub(super) session: bool,
    pub(super) description: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
}

impl Record for CredentialRecord {
    const COLLECTION: Collection = Collection::Credentials;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("hash", self.hash.clone())]
    }
}

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program.
    ApiToken,
    /// A person.
    Session,
}

impl CredentialRecord {
    /// A new credential, and the secret that proves it.
    pub(super) fn new(kind: Kind, account: Xid, role: Role) -> (Self, String) {
        let prefix = match kind {
            Kind::ApiToken => "opt_",
            Kind::Session => "ops_",
        };
        let secret = rand::random::<[u8; 32]>();
        let token = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(secret));
        let credential = Self {
            id: Xid::new(),
            hash: hash(&token),
            account,
            role,
            session: kind == Kind::Session,
            description: String::new(),
            created_at: Utc::now(),
            expires_at: None,
            last_used_at: None,
        };
        (credential, token)
    }

    pub(super) fn last_used_or_made(&self) -> DateTime<Utc> {
        self.last_used_at.unwrap_or(self.created_at)
    }
}

/// What is kept of a token. It has 256 random bits, so that one round of
/// SHA-256 is enough.
pub(super) fn hash(token: &str) -> String {
    Fingerprint::of(token.as_bytes()).to_string()
}

impl Auth {
    /// The API tokens that the caller may see.
    ///
    /// # Errors
    /// They cannot be sorted in the way that is asked for.
    pub fn tokens(
        &self,
        caller: &Caller,
        page: &Page<ApiTokenFilter>,
    ) -> Result<ResultsPage<ApiToken>, Error> {
        let tokens = self
            .credentials
            .all()
            .iter()
            .filter(|token| sees(caller, token))
            .filter_map(|token| {
                let account = self.accounts.get(&token.account.to_string())?;
                Some(ApiToken {
                    id: token.id,
                    description: token.description.clone(),
                    account: account.name.to_string(),
                    role: token.role.min(account.role),
                    created_at: token.created_at,
                    expires_at: token.expires_at,
                    last_used_at: token.last_used_at,
                })
            })
            .collect();
        page.page(tokens)
    }

    /// Makes an API token for the caller.
    ///
    /// # Errors
    /// It would be allowed more than the caller; there are too many.
    pub async fn token_create(
        &self,
        caller: &Caller,
        request: ApiTokenCreate,
    ) -> Result<ApiTokenCreated, Error> {
        let role = request.role.unwrap_or(caller.role);
        if role > caller.role {
            return Err(Error::conflict(
                "/role",
                format!("`{role}` is more than you may do yourself"),
            ));
        }
        let description = request.description;
        if description.chars().count() > 200 {
            let message = "a description has 200 characters at most";
            return Err(Error::invalid("/description", message));
        }
        let life = request.expires_in_seconds;
        if life.is_some_and(|life| !(60..=315_360_000).contains(&life)) {
            let message = "a token holds from 60 seconds to ten years";
            return Err(Error::invalid("/expiresInSeconds", message));
        }
        let all = self.credentials.all();
        let own = all.iter().filter(|t| t.account == caller.account_id);
        if own.filter(|token| !token.session).count() >= MAX_TOKENS {
            let message = format!("you have {MAX_TOKENS} tokens already");
            return Err(Error::Conflict { pointer: None, message });
        }
        let (credential, token) =
            CredentialRecord::new(Kind::ApiToken, caller.account_id, role);
        let made = self
            .credentials
            .insert(CredentialRecord {
                description,
                expires_at: life.map(|seconds| {
                    Utc::now() + TimeDelta::seconds(i64::from(seconds))
                }),
                ..credential
            })
            .await?;
        Ok(ApiTokenCreated {
            id: made.id,
            token,
            account: caller.account.clone(),
            role,
            expires_at: made.expires_at,
        })
    }

    /// Makes an API token for the account `name`, at the first start.
    ///
    /// # Errors
    /// There is no such account; the store does not work.
    pub async fn first_token(&self, name: &str) -> Result<String, Error> {
        let account = self
            .accounts
            .find("name", name)
            .ok_or_else(|| Error::not_found("account", name))?;
        let (credential, token) =
            CredentialRecord::new(Kind::ApiToken, account.id, account.role);
        let description = "made at the first start".to_owned();
        self.credentials
            .insert(CredentialRecord { description, ..credential })
            .await?;
        Ok(token)
    }

    /// Deletes an API token.
    ///
    /// # Errors
    /// There is none that the caller may see.
    pub async fn token_delete(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(), Error> {
        let token = self.credentials.get(id);
        if !token.is_some_and(|token| sees(caller, &token)) {
            return Err(Error::not_found("API token", id));
        }
        self.credentials.remove(id).await?;
        Ok(())
    }
}

/// Administrators see all API tokens, everybody else their own.
fn sees(caller: &Caller, token: &CredentialRecord) -> bool {
    !token.session
        && (caller.role == Role::Admin || caller.account_id == token.account)
}
