//! `AccountService`: what holds for all accounts.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        account_service::{self, BasicAuthState, LocalAccountAuth},
        manager_account::AccountTypes,
    },
};

use super::{With as _, client_certificate, enabled};
use crate::{
    accounts::{
        MAX_EXPIRATION, MAX_HISTORY, MAX_PASSWORD, MIN_PASSWORD, Policy,
    },
    model::Health,
    redfish::{
        error::Error,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

const RESET_AFTER: &str = "/AccountLockoutCounterResetAfter";
const MINIMUM: &str = "/MinPasswordLength";
const MAXIMUM: &str = "/MaxPasswordLength";
const BASIC: &str = "/HTTPBasicAuth";
const DAYS: &str = "/PasswordExpirationDays";
/// Whoever forgets passwords that are longer than this needs another tool.
const LONGEST_MINIMUM: u32 = 64;

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
        let basic = if policy.basic {
            BasicAuthState::Enabled
        } else {
            BasicAuthState::Disabled
        };
        let body = account_service::AccountService::new(
            "",
            "AccountService",
            "Account service",
        )
        .service_enabled(true)
        .status(enabled(Health::Ok))
        .local_account_auth(LocalAccountAuth::Enabled)
        .http_basic_auth(basic)
        .supported_account_types([AccountTypes::Redfish])
        .min_password_length(policy.min_password.into())
        .max_password_length(policy.max_password.into())
        .enforce_password_history_count(policy.password_history.into())
        .auth_failure_logging_threshold(policy.failures_logged.into())
        .account_lockout_threshold(policy.lockout_threshold.into())
        .account_lockout_duration(policy.lockout_seconds.into())
        .account_lockout_counter_reset_after(
            policy.lockout_reset_seconds.into(),
        )
        .account_lockout_counter_reset_enabled(policy.lockout_reset)
        .accounts(Reference::new(uri::ACCOUNTS))
        .privilege_map(Reference::new(uri::PRIVILEGE_MAP))
        .roles(Reference::new(uri::ROLES));
        // Only who can call a fleet has any.
        let fleet = view.service.line().ok();
        let outbound = Reference::new(uri::OUTBOUND_CONNECTIONS);
        let body = body.with(
            fleet.map(|_| outbound),
            account_service::AccountService::outbound_connections,
        );
        let body = match policy.password_days {
            Some(days) => body.password_expiration_days(days.into()),
            None => body.password_expiration_days_null(),
        };
        let rules = view.service.trust().rules();
        let body = body.multi_factor_auth(
            account_service::MultiFactorAuth::new()
                .client_certificate(client_certificate::typed(rules)),
        );
        let mut answer = answer(body);
        let states = ["Enabled", "Disabled"];
        let name = "HTTPBasicAuth@Redfish.AllowableValues".to_owned();
        answer.body.insert(name, states.as_slice().into());
        Some(answer)
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/AccountLockoutThreshold",
            "/AccountLockoutDuration",
            RESET_AFTER,
            "/AccountLockoutCounterResetEnabled",
            "/AuthFailureLoggingThreshold",
            MINIMUM,
            MAXIMUM,
            "/EnforcePasswordHistoryCount",
            DAYS,
            BASIC,
            client_certificate::ENABLED,
            client_certificate::RESPOND,
            client_certificate::MAPPING,
        ]
    }

    fn clears(&self) -> &'static [&'static str] {
        &[DAYS]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let accounts = &write.service.accounts;
            let mut policy = accounts.book().policy.clone();
            numbers(write, &mut policy)?;
            if let Some(reset) =
                write.flag("/AccountLockoutCounterResetEnabled")
            {
                policy.lockout_reset = reset;
            }
            if write.is_null(DAYS) {
                policy.password_days = None;
            }
            match write.text(BASIC) {
                None => {}
                Some("Enabled") => policy.basic = true,
                Some("Disabled") => policy.basic = false,
                Some(other) => {
                    let name = BASIC.trim_start_matches('/');
                    let message = base::property_value_not_in_list(other, name);
                    return Err(Error::bad(vec![message.about(BASIC)]));
                }
            }
            check(&policy)?;
            let rules = client_certificate::rules(write)?;
            if let Some(rules) = rules {
                write.service.trust().set_rules(rules).await?;
            }
            accounts.set_policy(|kept| *kept = policy).await?;
            Ok(())
        })
    }
}

fn numbers(write: &Write<'_>, policy: &mut Policy) -> Result<(), Error> {
    let any = 0..=u32::MAX;
    for (pointer, range, value) in [
        (
            "/AccountLockoutThreshold",
            any.clone(),
            &mut policy.lockout_threshold,
        ),
        ("/AccountLockoutDuration", any.clone(), &mut policy.lockout_seconds),
        (RESET_AFTER, any.clone(), &mut policy.lockout_reset_seconds),
        ("/AuthFailureLoggingThreshold", any, &mut policy.failures_logged),
        (MINIMUM, MIN_PASSWORD..=LONGEST_MINIMUM, &mut policy.min_password),
        (MAXIMUM, MIN_PASSWORD..=MAX_PASSWORD, &mut policy.max_password),
        (
            "/EnforcePasswordHistoryCount",
            0..=MAX_HISTORY,
            &mut policy.password_history,
        ),
    ] {
        *value = write.number_in(pointer, range)?.unwrap_or(*value);
    }
    if !write.is_null(DAYS)
        && let Some(days) = write.number_in(DAYS, 1..=MAX_EXPIRATION)?
    {
        policy.password_days = Some(days);
    }
    Ok(())
}

/// Do the rules go together?
fn check(policy: &Policy) -> Result<(), Error> {
    let conflict = |pointer: &str, other: &str| {
        let name = pointer.trim_start_matches('/');
        let message = base::property_value_conflict(name, other);
        Err(Error::bad(vec![message.about(pointer)]))
    };
    let lock = policy.lockout_seconds;
    if lock > 0 && policy.lockout_reset_seconds > lock {
        return conflict(RESET_AFTER, "AccountLockoutDuration");
    }
    if policy.min_password > policy.max_password {
        return conflict(MINIMUM, "MaxPasswordLength");
    }
    Ok(())
}
