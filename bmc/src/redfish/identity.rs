//! Who asks: a grant, a session, or a name with a password.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

use super::{
    Service,
    error::Error,
    resource::{Caller, Origin},
    uri,
};
use crate::accounts::{self, Account, Denied};

/// The header that carries a session's token.
pub(crate) const TOKEN: &str = "x-auth-token";

impl Service {
    /// Who asks; what the headers say is checked, and nothing else.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<Caller, Error> {
        let peer = match origin {
            Origin::Tls { peer } => Some(*peer),
            Origin::Tunnel(grant) => {
                let role = accounts::predefined(grant.role.name());
                let role = role.map(|role| role.privileges);
                return Ok(Caller {
                    name: grant.subject.clone(),
                    privileges: role.unwrap_or_default(),
                    session: None,
                    account: false,
                    must_change_password: false,
                });
            }
        };
        let book = self.accounts.book();
        if let Some(token) = headers.get(TOKEN) {
            let token = token.to_str().map_err(|_| Error::unauthorized())?;
            let limits = book.policy.session_limits();
            let session = self.accounts.sessions.find(token, limits);
            let session = session.ok_or_else(Error::unauthorized)?;
            return match book.accounts.get(&session.user) {
                Some(account) if account.enabled => {
                    Ok(Caller::of(account, &book, Some(session.id.clone())))
                }
                _ => Err(Error::unauthorized()),
            };
        }
        let header = headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let (user, password) =
            header.and_then(basic).ok_or_else(Error::unauthorized)?;
        if !book.policy.basic {
            return Err(Error::unauthorized());
        }
        let account = self.log_in(&user, &password, peer).await?;
        Ok(Caller::of(&account, &book, None))
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
            self.events.resource_changed(&uri::of(uri::ACCOUNT, &[user]));
        }
        denied
    }
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
