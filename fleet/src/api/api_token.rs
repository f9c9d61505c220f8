//! API tokens: what programs prove themselves with.

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
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(api_token_list)?;
    api.register(api_token_create)?;
    api.register(api_token_delete)
}

/// What a program proves itself with. The secret itself is shown only once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken {
    /// Its id.
    pub id: Xid,
    /// What it is for.
    pub description: String,
    /// The account that it acts for.
    pub account: String,
    /// What it may do at most.
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends; never, where absent.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// An API token to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiTokenCreate {
    /// What it is for.
    #[schemars(length(max = 200))]
    pub description: String,
    /// What it may do at most; as much as the caller, unless said.
    pub role: Option<Role>,
    /// How long it holds, in seconds; for ever, unless said.
    #[schemars(range(min = 60, max = 315_360_000))]
    pub expires_in_seconds: Option<u32>,
}

/// An API token that was made, with its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiTokenCreated {
    /// Its id.
    pub id: Xid,
    /// The secret, for `Authorization: Bearer`. It is not shown again.
    pub token: String,
    /// The account that it acts for.
    pub account: String,
    /// What it may do at most.
    pub role: Role,
    /// When it ends; never, where absent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// How to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct ApiTokenFilter {
    /// What to sort by; with `-` before it, downwards. By `-createdAt` unless said.
    #[schemars(schema_with = "sorts::<ApiToken>")]
    pub sort: Option<String>,
}
sorted!(ApiTokenFilter);

impl Listed for ApiToken {
    const DEFAULT_SORT: &'static str = "-createdAt";
    const SORTS: &'static [&'static str] = &[
        "createdAt",
        "id",
        "description",
        "account",
        "expiresAt",
        "lastUsedAt",
    ];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "id" => Key::text(self.id),
            "description" => Key::text(&self.description),
            "account" => Key::text(&self.account),
            "expiresAt" => Key::time(self.expires_at),
            "lastUsedAt" => Key::time(self.last_used_at),
            _ => Key::time(Some(self.created_at)),
        }
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// An API token.
#[derive(Debug, Deserialize, JsonSchema)]
struct ApiTokenPath {
    /// Its id.
    api_token: String,
}

/// List API tokens
///
/// An administrator sees all, everybody else their own.
#[endpoint { method = GET, path = "/v1/api-tokens", tags = ["api-tokens"] }]
async fn api_token_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<ApiTokenFilter>,
) -> Answer<HttpResponseOk<ResultsPage<ApiToken>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let listing = listing.get()?;
        Ok(HttpResponseOk(call.fleet.auth().tokens(&call.caller, &listing)?))
    })
    .await
}

/// Create an API token
///
/// It acts for the caller's account and may do no more than the caller.
#[endpoint { method = POST, path = "/v1/api-tokens", tags = ["api-tokens"] }]
async fn api_token_create(
    rqctx: RequestContext<Fleet>,
    body: Json<ApiTokenCreate>,
) -> Answer<HttpResponseCreated<ApiTokenCreated>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let request = body.get()?;
        Ok(HttpResponseCreated(
            call.fleet.auth().token_create(&call.caller, request).await?,
        ))
    })
    .await
}

/// Delete an API token
///
/// It is worth nothing from then on.
#[endpoint {
    method = DELETE,
    path = "/v1/api-tokens/{api_token}",
    tags = ["api-tokens"],
}]
async fn api_token_delete(
    rqctx: RequestContext<Fleet>,
    path: Path<ApiTokenPath>,
) -> Answer<HttpResponseDeleted> {
    answer(rqctx, Role::Readonly, |call| async move {
        let token = path.into_inner().api_token;
        call.fleet.auth().token_delete(&call.caller, &token).await?;
        Ok(HttpResponseDeleted())
    })
    .await
}
