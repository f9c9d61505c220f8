//! `Session`: a token for a password.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderName, StatusCode};
use onprem_redfish::{
    message::{account_security, base},
    schema::{
        Reference,
        session::{self, SessionTypes},
        session_collection::SessionCollection,
    },
};

use super::{
    With as _,
    outbound_connection::{ROLES, refused},
};
use crate::{
    accounts::{self, Denied},
    redfish::{
        error::Error,
        fleet::{self, Tunnel},
        identity::TOKEN,
        render::header,
        resource::{
            Answer, Caller, Created, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const CONTEXT: &str = "/Context";
/// The longest context, in bytes: it is kept in memory.
const MAX_CONTEXT: usize = 256;

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
        let tunnel = view.service.tunnel().map(|it| it.session);
        let ids = open.iter().map(|it| it.id.clone()).chain(tunnel);
        let uris: Vec<_> = ids.map(|id| uri::of(uri::SESSION, &[id])).collect();
        let count = uris.len() as u64;
        let body = SessionCollection::new("", "Sessions", uris);
        Some(answer(body.members_count(count)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&["/UserName", "/Password", CONTEXT])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let service = write.service;
            let user = write.text("/UserName").unwrap_or_default();
            let password = write.text("/Password").unwrap_or_default();
            let context = write.text(CONTEXT).map(str::to_owned);
            if context.as_ref().is_some_and(|it| it.len() > MAX_CONTEXT) {
                let limit = u32::try_from(MAX_CONTEXT).unwrap_or(u32::MAX);
                let message = base::string_value_too_long("Context", limit);
                return Err(Error::bad(vec![message.about(CONTEXT)]));
            }
            let account = service.log_in(user, password, write.peer).await?;
            let from = service.far_end(write.peer);
            let from = from.map(|peer| peer.to_string());
            let accounts = &service.accounts;
            let opened = accounts.open_session(&account, from, context);
            let opened = opened.map_err(|_| {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Error::new(status, base::session_limit_exceeded())
            })?;
            let (token, session) = opened.ok_or(Denied::Wrong)?;
            let change = account.must_change_password().then(|| {
                base::password_change_required(uri::of(uri::ACCOUNT, &[user]))
            });
            let token = (HeaderName::from_static(TOKEN), header(&token));
            let here = uri::of(uri::SESSION, &[&session.id]);
            let from = write.peer.map(|peer| peer.to_string());
            let message = account_security::successful_login(
                user,
                from.as_deref().unwrap_or("the tunnel"),
                "Redfish",
            );
            service.events.send(&message, &here);
            Ok(Created { uri: here, headers: vec![token], message: change })
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
        if let Some(tunnel) = view.service.tunnel()
            && ids == [tunnel.session.as_str()]
        {
            return Some(outbound(&tunnel));
        }
        let it = find(view, ids)?;
        let text =
            |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let absolute = view.book.policy.session_limits().absolute;
        let expires = absolute.map(|limit| it.created + limit).map(text);
        let role = view.book.accounts.get(&it.user)?.role.clone();
        let body = session::Session::new("", &*it.id, "User session")
            .user_name(&*it.user)
            .session_type(SessionTypes::Redfish)
            .created_time(text(it.created))
            .roles([role])
            .with(
                it.client.as_ref(),
                session::Session::client_origin_ip_address,
            )
            .with(it.context.as_ref(), session::Session::context)
            .with(expires, session::Session::expiration_time);
        let mut answer = answer(body);
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
            let service = write.service;
            let tunnel = service.tunnel();
            if tunnel.is_some_and(|it| it.session == write.id(0)) {
                // What the schema says of a session of this kind.
                return service.line()?.enable(false).await.map_err(refused);
            }
            service.accounts.sessions.end(write.id(0));
            Ok(())
        })
    }
}

/// The tunnel as a session: nobody's account, since each request through it
/// brings its own grant.
fn outbound(tunnel: &Tunnel) -> Answer {
    let since = tunnel.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let connection = uri::of(uri::OUTBOUND_CONNECTION, &[fleet::ID]);
    let connection = Reference::new(connection);
    let body = session::Session::new("", &*tunnel.session, "Tunnel")
        .user_name_null()
        .session_type(SessionTypes::OutboundConnection)
        .client_origin_ip_address(tunnel.peer.ip().to_string())
        .created_time(since)
        .roles(ROLES)
        .links(session::Links::new().outbound_connection(connection));
    let mut answer = answer(body);
    answer.body.insert("Password".to_owned(), serde_json::Value::Null);
    answer
}

fn open(view: &View<'_>) -> Vec<Arc<accounts::Session>> {
    let limits = view.book.policy.session_limits();
    view.service.accounts.sessions.list(limits)
}

fn find(view: &View<'_>, ids: &[&str]) -> Option<Arc<accounts::Session>> {
    let limits = view.book.policy.session_limits();
    view.service.accounts.sessions.named(ids.first()?, limits)
}
