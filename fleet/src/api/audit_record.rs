//! Audit records: who did what.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk,
    RequestContext, ResultsPage, endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    page::Listing,
};
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(audit_record_list)
}

/// Who did what, and what came of it. Records are only ever added, and each
/// carries the hash of the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Its number, counted from 1 without gaps.
    pub sequence: u64,
    /// When it was done.
    pub time: DateTime<Utc>,
    /// The account that did it; absent where nobody proved who they are.
    pub account: Option<String>,
    /// Where from.
    pub source: IpAddr,
    /// The operation.
    pub operation: String,
    /// The method of the request.
    pub method: String,
    /// The path of the request.
    pub path: String,
    /// The device it was about.
    pub device: Option<Xid>,
    /// What exactly was asked, where the path does not say it.
    // Records from before have none, and keep their hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The code of the error, where it was refused or failed.
    pub error_code: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// The hash of the record before; empty in the first.
    pub previous_hash: String,
    /// SHA-256 of this record without this field.
    pub hash: String,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct AuditRecordFilter {
    /// Only what this account did.
    pub account: Option<String>,
    /// Only this operation.
    pub operation: Option<String>,
    /// Only what was about this device, by its id or its name.
    pub device: Option<String>,
}

/// List audit records
///
/// The newest comes first.
#[endpoint {
    method = GET,
    path = "/v1/audit-records",
    tags = ["audit-records"],
}]
async fn audit_record_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<AuditRecordFilter>,
) -> Answer<HttpResponseOk<ResultsPage<AuditRecord>>> {
    answer(rqctx, Role::Admin, |call| async move {
        Ok(HttpResponseOk(call.fleet.audit_records(&listing.get()?).await?))
    })
    .await
}
