//! Coming in, going out, and who one is.

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk,
    HttpResponseUpdatedNoContent, RequestContext, endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Answer, Json, answer, answer_anyone};
use crate::{
    Fleet,
    auth::{Password, Role},
};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(login)?;
    api.register(logout)?;
    api.register(whoami)
}

/// A name and its password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The name of the account.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Its password.
    #[schemars(length(max = 1024))]
    pub password: Password,
}

/// A session that was made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// What to show from now on: as `Authorization: Bearer`, or as the cookie
    /// `onprem_session`.
    pub token: String,
    /// The account's name.
    pub account: String,
    /// What it may do.
    pub role: Role,
    /// When the session ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The id of the account.
    pub id: Xid,
    /// The account's name.
    pub account: String,
    /// What the caller may do.
    pub role: Role,
    /// How the caller proved it.
    pub credential: Credential,
    /// When that ends; never, where absent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// How a caller proved who they are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Credential {
    /// With an API token.
    ApiToken,
    /// With a session.
    Session,
}

/// Log in
///
/// Makes a session. It ends after 8 hours without use, after 24 hours in any
/// case. After five wrong passwords further ones are refused for a while that
/// doubles each time.
#[endpoint { method = POST, path = "/v1/login", tags = ["session"] }]
async fn login(
    rqctx: RequestContext<Fleet>,
    body: Json<Login>,
) -> Answer<HttpResponseOk<LoggedIn>> {
    answer_anyone(rqctx, |call| async move {
        let request = body.get()?;
        call.claims(&request.name);
        let auth = call.fleet.auth();
        Ok(HttpResponseOk(auth.login(request, call.source).await?))
    })
    .await
}

/// Log out
///
/// Ends the session that the caller shows. An API token stays; delete it
/// instead.
#[endpoint { method = POST, path = "/v1/logout", tags = ["session"] }]
async fn logout(
    rqctx: RequestContext<Fleet>,
) -> Answer<HttpResponseUpdatedNoContent> {
    answer(rqctx, Role::Readonly, |call| async move {
        call.fleet.auth().logout(&call.caller).await?;
        Ok(HttpResponseUpdatedNoContent())
    })
    .await
}

/// View who you are
#[endpoint { method = GET, path = "/v1/whoami", tags = ["session"] }]
async fn whoami(
    rqctx: RequestContext<Fleet>,
) -> Answer<HttpResponseOk<Identity>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.caller.identity()))
    })
    .await
}
