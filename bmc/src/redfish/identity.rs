//! Who asks: a grant, a session, a name with a password, or a certificate.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderName,
    header::{AUTHORIZATION, HOST, ORIGIN},
    request::Parts,
};

use onprem_redfish::message::account_security;

use super::{
    Service,
    error::Error,
    exchange::is_write,
    resource::{Caller, Origin},
    uri,
};
use crate::{
    accounts::{self, Account, Book, Denied},
    server::Presented,
};

/// The header that carries a session's token.
pub(crate) const TOKEN: &str = "x-auth-token";

impl Service {
    /// Who asks; what the head of the request says is checked, and nothing
    /// else. A session counts before a password, and a password before a
    /// client certificate.
    pub(super) async fn identify(
        &self,
        head: &Parts,
        origin: &Origin,
    ) -> Result<Caller, Error> {
        if let Some(known) = self.known(head, origin) {
            return known;
        }
        let header = head.headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let (user, password) =
            header.and_then(basic).ok_or_else(Error::unauthorized)?;
        if !self.accounts.book().policy.basic {
            return Err(Error::unauthorized());
        }
        let peer = match origin {
            Origin::Tls { peer, .. } => Some(peer.ip()),
            Origin::Tunnel(_) => None,
        };
        let account = Box::pin(self.log_in(&user, &password, peer)).await?;
        Ok(Caller::of(&account, &self.accounts.book(), None))
    }

    /// Who asks, where no password has to be looked at.
    pub(super) fn known(
        &self,
        head: &Parts,
        origin: &Origin,
    ) -> Option<Result<Caller, Error>> {
        let headers = &head.headers;
        let shown = match origin {
            Origin::Tls { certificates, .. } => certificates.as_ref(),
            Origin::Tunnel(grant) => {
                let role = accounts::predefined(grant.role.name());
                let role = role.map(|role| role.privileges);
                return Some(Ok(Caller {
                    name: grant.subject.clone(),
                    privileges: role.unwrap_or_default(),
                    session: None,
                    account: false,
                    key: None,
                    certificate: false,
                    must_change_password: false,
                }));
            }
        };
        let book = self.accounts.book();
        if let Some(token) = headers.get(TOKEN) {
            let token = token.to_str().ok();
            let session = token.and_then(|token| {
                let limits = book.policy.session_limits();
                self.accounts.sessions.find(token, limits)
            });
            let caller = session.and_then(|session| {
                let account = book.accounts.get(&session.user);
                let account = account.filter(|account| account.enabled)?;
                Some(Caller::of(account, &book, Some(session.id.clone())))
            });
            return Some(caller.ok_or_else(Error::unauthorized));
        }
        let password = headers.contains_key(AUTHORIZATION);
        // A browser adds a certificate, and a password that it knows, to
        // whatever a page sends.
        let foreign = is_write(&head.method) && is_from_elsewhere(head);
        if foreign && (password || shown.is_some()) {
            return Some(Err(Error::forbidden()));
        }
        if password {
            return None;
        }
        let vouched = shown.map(|shown| self.vouched(shown, &book));
        Some(vouched.unwrap_or_else(|| Err(Error::unauthorized())))
    }

    /// The account that a client certificate stands for.
    fn vouched(&self, shown: &Presented, book: &Book) -> Result<Caller, Error> {
        let user = self.trust.user(shown).map_err(|refusal| {
            tracing::info!(%refusal, "client certificate refused");
            Error::uncertified(&refusal.to_string())
        })?;
        let account = book.accounts.get(&user).filter(|it| it.enabled);
        let account = account.ok_or_else(|| {
            tracing::info!(user, "client certificate without an account");
            Error::uncertified("its user has no account here that is enabled")
        })?;
        let caller = Caller::of(account, book, None);
        Ok(Caller { certificate: true, ..caller })
    }

    /// The account of `user`, if `password` is right and it may log in.
    pub(super) async fn log_in(
        &self,
        user: &str,
        password: &str,
        peer: Option<IpAddr>,
    ) -> Result<Account, Denied> {
        let denied = self.accounts.log_in(user, password, peer).await;
        if matches!(denied, Err(Denied::NowLocked)) {
            let account = uri::of(uri::ACCOUNT, &[user]);
            self.events.send(&account_security::account_locked(user), &account);
        }
        denied
    }
}

/// Does a browser say that another site's page sends the request?
pub(super) fn is_from_elsewhere(head: &Parts) -> bool {
    let text = |name: HeaderName| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return !["same-origin", "none"].contains(&site);
    }
    let Some(origin) = text(ORIGIN) else { return false };
    let here = head.uri.authority().map(http::uri::Authority::as_str);
    let here = here.or_else(|| text(HOST));
    here.is_none_or(|here| origin != format!("https://{here}"))
}

/// User and password of a Basic credential.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, credential) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(credential.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_a_colon() {
        let header = format!("basic {}", BASE64_STANDARD.encode("ada:a:b"));
        let expected = ("ada".to_owned(), "a:b".to_owned());
        assert_eq!(basic(&header), Some(expected));
        assert_eq!(basic("Bearer abc"), None);
        assert_eq!(basic("Basic !"), None);
    }
}
