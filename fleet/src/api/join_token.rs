//! Join tokens: what lets a new device in.

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
    api.register(join_token_list)?;
    api.register(join_token_create)?;
    api.register(join_token_delete)
}

/// What lets a new device in. The secret itself is shown only once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinToken {
    /// Its id.
    pub id: Xid,
    /// What it is for.
    pub description: String,
    /// How many devices it lets in yet.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// The account that made it.
    pub created_by: String,
}

/// A join token to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JoinTokenCreate {
    /// What it is for.
    #[schemars(length(max = 200))]
    pub description: String,
    /// How many devices it lets in.
    #[schemars(range(min = 1, max = 1000))]
    pub uses: u32,
    /// How long it holds, in seconds.
    #[schemars(range(min = 60, max = 2_592_000))]
    pub expires_in_seconds: u32,
}

impl Default for JoinTokenCreate {
    fn default() -> Self {
        Self { description: String::new(), uses: 1, expires_in_seconds: 3600 }
    }
}

/// A join token that was made, with its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenCreated {
    /// Its id.
    pub id: Xid,
    /// The secret; write it into the file that the agent's `join_token_file`
    /// names. It is not shown again.
    pub token: String,
    /// Where agents connect to.
    pub fleet_url: String,
    /// How many devices it lets in.
    pub uses_left: u32,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// How to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct JoinTokenFilter {
    /// What to sort by; with `-` before it, downwards. By `-createdAt` unless said.
    #[schemars(schema_with = "sorts::<JoinToken>")]
    pub sort: Option<String>,
}
sorted!(JoinTokenFilter);

impl Listed for JoinToken {
    const DEFAULT_SORT: &'static str = "-createdAt";
    const SORTS: &'static [&'static str] =
        &["createdAt", "id", "description", "expiresAt"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "id" => Key::text(self.id),
            "description" => Key::text(&self.description),
            "expiresAt" => Key::time(Some(self.expires_at)),
            _ => Key::time(Some(self.created_at)),
        }
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// A join token.
#[derive(Debug, Deserialize, JsonSchema)]
struct JoinTokenPath {
    /// Its id.
    join_token: String,
}

/// List join tokens
///
/// Those that have ended or are used up are gone.
#[endpoint { method = GET, path = "/v1/join-tokens", tags = ["join-tokens"] }]
async fn join_token_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<JoinTokenFilter>,
) -> Answer<HttpResponseOk<ResultsPage<JoinToken>>> {
    answer(rqctx, Role::Operator, |call| async move {
        Ok(HttpResponseOk(call.fleet.join_tokens_list(&listing.get()?)?))
    })
    .await
}

/// Create a join token
///
/// The secret in the answer lets one new device in (or as many as said); it
/// also carries the fingerprint of this fleet's certificate authority, so
/// that the device knows whom it talks to. It is not shown again.
#[endpoint { method = POST, path = "/v1/join-tokens", tags = ["join-tokens"] }]
async fn join_token_create(
    rqctx: RequestContext<Fleet>,
    body: Json<JoinTokenCreate>,
) -> Answer<HttpResponseCreated<JoinTokenCreated>> {
    answer(rqctx, Role::Operator, |call| async move {
        Ok(HttpResponseCreated(
            call.fleet.join_token_create(&call.caller, body.get()?).await?,
        ))
    })
    .await
}

/// Delete a join token
#[endpoint {
    method = DELETE,
    path = "/v1/join-tokens/{join_token}",
    tags = ["join-tokens"],
}]
async fn join_token_delete(
    rqctx: RequestContext<Fleet>,
    path: Path<JoinTokenPath>,
) -> Answer<HttpResponseDeleted> {
    answer(rqctx, Role::Operator, |call| async move {
        let token = path.into_inner().join_token;
        call.fleet.join_tokens().delete(&token).await?;
        Ok(HttpResponseDeleted())
    })
    .await
}
