//! `AccountService`: what holds for all accounts.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        account_service::{self, BasicAuthState, LocalAccountAuth},
        manager_account::AccountTypes,
    },
};

use super::enabled;
use crate::{
    accounts::{MAX_PASSWORD, MIN_PASSWORD},
    model::Health,
    redfish::{
        error::Error,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

const RESET_AFTER: &str = "/AccountLockoutCounterResetAfter";

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
            let accounts = &write.service.accounts;
            let mut policy = accounts.book().policy.clone();
            for (pointer, value) in [
                ("/AccountLockoutThreshold", &mut policy.lockout_threshold),
                ("/AccountLockoutDuration", &mut policy.lockout_seconds),
                (RESET_AFTER, &mut policy.lockout_reset_seconds),
            ] {
                *value = write.number(pointer)?.unwrap_or(*value);
            }
            let lock = policy.lockout_seconds;
            if lock > 0 && policy.lockout_reset_seconds > lock {
                let message = base::property_value_conflict(
                    "AccountLockoutCounterResetAfter",
                    "AccountLockoutDuration",
                );
                return Err(Error::bad(vec![message.about(RESET_AFTER)]));
            }
            accounts.set_policy(|kept| *kept = policy).await?;
            Ok(())
        })
    }
}
