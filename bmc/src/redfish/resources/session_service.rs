//! `SessionService`: how long sessions last.

use onprem_redfish::schema::{Reference, session_service};

use super::enabled;
use crate::{
    model::Health,
    redfish::{
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

const TIMEOUT: &str = "/SessionTimeout";
const ABSOLUTE: &str = "/AbsoluteSessionTimeout";
const ABSOLUTE_ENABLED: &str = "/AbsoluteSessionTimeoutEnabled";

/// `/redfish/v1/SessionService`
pub(crate) struct SessionService;

impl Resource for SessionService {
    fn uri(&self) -> &'static str {
        uri::SESSION_SERVICE
    }

    fn kind(&self) -> &'static str {
        "SessionService"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let policy = &view.book.policy;
        let body = session_service::SessionService::new(
            "",
            "SessionService",
            "Session service",
        )
        .service_enabled(true)
        .status(enabled(Health::Ok))
        .session_timeout(policy.session_seconds.into())
        .absolute_session_timeout(policy.session_absolute_seconds.into())
        .absolute_session_timeout_enabled(policy.session_absolute)
        .sessions(Reference::new(uri::SESSIONS));
        Some(answer(body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[TIMEOUT, ABSOLUTE, ABSOLUTE_ENABLED]
    }

    /// The schema says how long they may be.
    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let idle = write.number(TIMEOUT)?;
            let absolute = write.number(ABSOLUTE)?;
            let enabled = write.flag(ABSOLUTE_ENABLED);
            let accounts = &write.service.accounts;
            accounts
                .set_policy(|policy| {
                    let seconds = &mut policy.session_seconds;
                    *seconds = idle.unwrap_or(*seconds);
                    let seconds = &mut policy.session_absolute_seconds;
                    *seconds = absolute.unwrap_or(*seconds);
                    let counts = &mut policy.session_absolute;
                    *counts = enabled.unwrap_or(*counts);
                })
                .await?;
            Ok(())
        })
    }
}
