//! `AccountService`: what holds for all accounts.

use onprem_redfish::schema::{
    Reference,
    account_service::{self, BasicAuthState, LocalAccountAuth},
    manager_account::AccountTypes,
};

use super::enabled;
use crate::{
    accounts::{MAX_PASSWORD, MIN_PASSWORD},
    model::Health,
    redfish::{
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

/// `/redfish/v1/AccountService`
pub(crate) struct AccountService;

impl Resource for AccountService {
    fn uri(&self) -> &'static str {
        uri::ACCOUNT_SERVICE
    }

    fn kind(&self) -> &'static str {
        "AccountService"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let policy = &view.book.policy;
        let length = |bytes: usize| i64::try_from(bytes).unwrap_or_default();
        let body = account_service::AccountService::new(
            "",
            "AccountService",
            "Account service",
        )
        .service_enabled(true)
        .status(enabled(Health::Ok))
        .local_account_auth(LocalAccountAuth::Enabled)
        .http_basic_auth(BasicAuthState::Enabled)
        .supported_account_types([AccountTypes::Redfish])
        .min_password_length(length(MIN_PASSWORD))
        .max_password_length(length(MAX_PASSWORD))
        .account_lockout_threshold(policy.lockout_threshold.into())
        .account_lockout_duration(policy.lockout_seconds.into())
        .account_lockout_counter_reset_after(
            policy.lockout_reset_seconds.into(),
        )
        .accounts(Reference::new(uri::ACCOUNTS))
        .roles(Reference::new(uri::ROLES));
        Some(answer(&body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/AccountLockoutThreshold",
            "/AccountLockoutDuration",
            "/AccountLockoutCounterResetAfter",
        ]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let threshold = write.number("/AccountLockoutThreshold");
            let duration = write.number("/AccountLockoutDuration");
            let reset = write.number("/AccountLockoutCounterResetAfter");
            let accounts = &write.service.accounts;
            accounts
                .set_policy(|policy| {
                    let old = policy.clone();
                    policy.lockout_threshold =
                        threshold.unwrap_or(old.lockout_threshold);
                    policy.lockout_seconds =
                        duration.unwrap_or(old.lockout_seconds);
                    policy.lockout_reset_seconds =
                        reset.unwrap_or(old.lockout_reset_seconds);
                })
                .await?;
            Ok(())
        })
    }
}
