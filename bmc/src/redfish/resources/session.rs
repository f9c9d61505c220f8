//! `Session`: a token for a password.

use chrono::SecondsFormat;
use http::{HeaderName, StatusCode};
use onprem_redfish::{
    message::base,
    schema::{
        session::{self, SessionTypes},
        session_collection::SessionCollection,
    },
};

use super::With as _;
use crate::{
    accounts,
    redfish::{
        error::Error,
        identity::TOKEN,
        render::header,
        resource::{
            Answer, Caller, Created, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

/// `/redfish/v1/SessionService/Sessions`
pub(crate) struct Sessions;

impl Resource for Sessions {
    fn uri(&self) -> &'static str {
        uri::SESSIONS
    }

    fn kind(&self) -> &'static str {
        "SessionCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let open = open(view);
        let uris = open.iter().map(|it| uri::of(uri::SESSION, &[&it.id]));
        let body = SessionCollection::new("", "Sessions", uris);
        Some(answer(&body.members_count(open.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&["/UserName", "/Password"])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let service = write.service;
            let user = write.text("/UserName").unwrap_or_default();
            let password = write.text("/Password").unwrap_or_default();
            let account = service.accounts.log_in(user, password).await?;
            let from = write.peer.map(|peer| peer.to_string());
            let timeout = service.session_timeout();
            let opened = service.accounts.sessions.open(user, from, timeout);
            let (token, session) = opened.map_err(|_| {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Error::new(status, base::session_limit_exceeded())
            })?;
            let change = account.password_change_required.then(|| {
                base::password_change_required(uri::of(uri::ACCOUNT, &[user]))
            });
            let token = (HeaderName::from_static(TOKEN), header(&token));
            Ok(Created {
                uri: uri::of(uri::SESSION, &[&session.id]),
                headers: vec![token],
                message: change,
            })
        })
    }
}

/// `/redfish/v1/SessionService/Sessions/{SessionId}`
pub(crate) struct Session;

impl Resource for Session {
    fn uri(&self) -> &'static str {
        uri::SESSION
    }

    fn kind(&self) -> &'static str {
        "Session"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = find(view, ids)?;
        let created = it.created.to_rfc3339_opts(SecondsFormat::Secs, true);
        let body = session::Session::new("", &*it.id, "User session")
            .user_name(&*it.user)
            .session_type(SessionTypes::Redfish)
            .created_time(created)
            .with(it.client, session::Session::client_origin_ip_address);
        let mut answer = answer(&body);
        // Readable as null only.
        answer.body.insert("Password".to_owned(), serde_json::Value::Null);
        Some(answer)
    }

    fn is_own(&self, view: &View<'_>, ids: &[&str], caller: &Caller) -> bool {
        find(view, ids).is_some_and(|session| session.user == caller.name)
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let sessions = &write.service.accounts.sessions;
            sessions.close(|session| session.id == write.id(0));
            Ok(())
        })
    }
}

fn open(view: &View<'_>) -> Vec<accounts::Session> {
    let timeout = view.book.policy.session_timeout();
    view.service.accounts.sessions.list(timeout)
}

fn find(view: &View<'_>, ids: &[&str]) -> Option<accounts::Session> {
    let id = ids.first()?;
    open(view).into_iter().find(|session| session.id == *id)
}
