//! Accounts: the people and programs that may come in.

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseCreated,
    HttpResponseDeleted, HttpResponseOk, Path, RequestContext, ResultsPage,
    endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, Json, answer},
    page::{Key, Listed, Listing, sorted, sorts},
};
use crate::{
    Fleet,
    auth::{Password, Role},
    name::Name,
};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(account_list)?;
    api.register(account_view)?;
    api.register(account_create)?;
    api.register(account_update)?;
    api.register(account_delete)
}

/// Somebody who may come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its id.
    pub id: Xid,
    /// The name to log in with.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Whether it may come in at all.
    pub enabled: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its password was last changed.
    pub password_changed_at: DateTime<Utc>,
    /// When it last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
}

/// An account to make.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountCreate {
    /// The name to log in with.
    pub name: Name,
    /// The password to log in with, 12 characters at least.
    #[schemars(length(min = 12, max = 1024))]
    pub password: Password,
    /// What it may do.
    pub role: Role,
}

/// What to change. What is left out stays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccountUpdate {
    /// A new password, 12 characters at least.
    #[schemars(length(min = 12, max = 1024))]
    pub password: Option<Password>,
    /// What it may do.
    pub role: Option<Role>,
    /// Whether it may come in at all.
    pub enabled: Option<bool>,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct AccountFilter {
    /// Only accounts of this role.
    pub role: Option<Role>,
    /// What to sort by; with `-` before it, downwards. By `name` unless said.
    #[schemars(schema_with = "sorts::<Account>")]
    pub sort: Option<String>,
}
sorted!(AccountFilter);

impl Listed for Account {
    const DEFAULT_SORT: &'static str = "name";
    const SORTS: &'static [&'static str] =
        &["name", "id", "role", "createdAt", "lastLoginAt"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "id" => Key::text(self.id),
            "role" => Key::Number(f64::from(self.role as u8)),
            "createdAt" => Key::time(Some(self.created_at)),
            "lastLoginAt" => Key::time(self.last_login_at),
            _ => Key::text(&self.name),
        }
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// An account.
#[derive(Debug, Deserialize, JsonSchema)]
struct AccountPath {
    /// Its id or its name.
    account: String,
}

/// List accounts
///
/// An administrator sees all, everybody else their own.
#[endpoint { method = GET, path = "/v1/accounts", tags = ["accounts"] }]
async fn account_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<AccountFilter>,
) -> Answer<HttpResponseOk<ResultsPage<Account>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let listing = listing.get()?;
        Ok(HttpResponseOk(call.fleet.auth().accounts(&call.caller, &listing)?))
    })
    .await
}

/// View an account
#[endpoint {
    method = GET,
    path = "/v1/accounts/{account}",
    tags = ["accounts"],
}]
async fn account_view(
    rqctx: RequestContext<Fleet>,
    path: Path<AccountPath>,
) -> Answer<HttpResponseOk<Account>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let account = path.into_inner().account;
        Ok(HttpResponseOk(call.fleet.auth().account(&call.caller, &account)?))
    })
    .await
}

/// Create an account
#[endpoint { method = POST, path = "/v1/accounts", tags = ["accounts"] }]
async fn account_create(
    rqctx: RequestContext<Fleet>,
    body: Json<AccountCreate>,
) -> Answer<HttpResponseCreated<Account>> {
    answer(rqctx, Role::Admin, |call| async move {
        let request = body.get()?;
        Ok(HttpResponseCreated(
            call.fleet.auth().account_create(request).await?,
        ))
    })
    .await
}

/// Update an account
///
/// Everybody may change their own password; the rest is for administrators. A
/// new password or a disabled account ends its sessions.
#[endpoint {
    method = PATCH,
    path = "/v1/accounts/{account}",
    tags = ["accounts"],
}]
async fn account_update(
    rqctx: RequestContext<Fleet>,
    path: Path<AccountPath>,
    body: Json<AccountUpdate>,
) -> Answer<HttpResponseOk<Account>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let account = path.into_inner().account;
        let change = body.get()?;
        let auth = call.fleet.auth();
        Ok(HttpResponseOk(
            auth.account_update(&call.caller, &account, change).await?,
        ))
    })
    .await
}

/// Delete an account
///
/// Its sessions and its API tokens end with it. The last administrator stays.
#[endpoint {
    method = DELETE,
    path = "/v1/accounts/{account}",
    tags = ["accounts"],
}]
async fn account_delete(
    rqctx: RequestContext<Fleet>,
    path: Path<AccountPath>,
) -> Answer<HttpResponseDeleted> {
    answer(rqctx, Role::Admin, |call| async move {
        let account = path.into_inner().account;
        call.fleet.auth().account_delete(&account).await?;
        Ok(HttpResponseDeleted())
    })
    .await
}
