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
        let body = session_service::SessionService::new(
            "",
            "SessionService",
            "Session service",
        )
        .service_enabled(true)
        .status(enabled(Health::Ok))
        .session_timeout(view.book.policy.session_seconds.into())
        .sessions(Reference::new(uri::SESSIONS));
        Some(answer(&body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/SessionTimeout"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            if let Some(seconds) = write.number("/SessionTimeout")? {
                let accounts = &write.service.accounts;
                accounts
                    .set_policy(|policy| policy.session_seconds = seconds)
                    .await?;
            }
            Ok(())
        })
    }
}
