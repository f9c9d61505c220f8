//! `ManagerAccount`: who may use the agent.

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::{
    message::base,
    schema::{
        manager_account::{
            AccountTypes, Links, ManagerAccount, ManagerAccountRequired,
        },
        manager_account_collection::ManagerAccountCollection,
    },
};

use crate::{
    accounts::{AccountChange, Denied, is_name},
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Caller, Created, Freshness, Pending,
            Resource, View, Write, answer,
        },
        uri,
    },
};

const CHANGE_PASSWORD: &str = "ManagerAccount.ChangePassword";
/// Its parameters: the password of who asks, and the new one.
const OWN: &str = "/SessionAccountPassword";
const NEW: &str = "/NewPassword";

/// `/redfish/v1/AccountService/Accounts`
pub(crate) struct Accounts;

impl Resource for Accounts {
    fn uri(&self) -> &'static str {
        uri::ACCOUNTS
    }

    fn kind(&self) -> &'static str {
        "ManagerAccountCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let users = view.book.accounts.keys();
        let uris: Vec<_> =
            users.map(|user| uri::of(uri::ACCOUNT, &[user])).collect();
        let count = uris.len() as u64;
        let body = ManagerAccountCollection::new("", "Accounts", uris);
        Some(answer(body.members_count(count)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "/UserName",
            "/Password",
            "/RoleId",
            "/Enabled",
            "/PasswordChangeRequired",
            "/PasswordExpiration",
            "/AccountTypes",
        ])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let user = write.text("/UserName").unwrap_or_default();
            if !is_name(user) {
                let message =
                    base::property_value_format_error(user, "UserName");
                return Err(Error::bad(vec![message.about("/UserName")]));
            }
            account_types(write)?;
            let password = write.text("/Password").unwrap_or_default();
            let accounts = &write.service.accounts;
            accounts.create(user, password, change(write)?).await?;
            Ok(uri::of(uri::ACCOUNT, &[user]).into())
        })
    }
}

/// `/redfish/v1/AccountService/Accounts/{ManagerAccountId}`
pub(crate) struct Account;

impl Resource for Account {
    fn uri(&self) -> &'static str {
        uri::ACCOUNT
    }

    fn kind(&self) -> &'static str {
        "ManagerAccount"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.book.accounts.get(*ids.first()?)?;
        let locked = view.service.accounts.is_locked(&it.user_name);
        let role = &*it.role;
        let body = ManagerAccount::new(ManagerAccountRequired {
            odata_id: String::new(),
            id: it.user_name.clone(),
            name: "User account".to_owned(),
            account_types: Some(vec![AccountTypes::Redfish]),
        })
        .user_name(&*it.user_name)
        .role_id(role)
        .enabled(it.enabled)
        .locked(locked)
        .password_change_required(it.must_change_password())
        .links(Links::new().role(uri::of(uri::ROLE, &[role])));
        let body = match it.password_expiration {
            Some(at) => body.password_expiration(
                at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ),
            None => body.password_expiration_null(),
        };
        let mut answer = answer(body);
        // Readable as null only.
        answer.body.insert("Password".to_owned(), serde_json::Value::Null);
        Some(answer.action(CHANGE_PASSWORD, serde_json::Map::new()))
    }

    fn actions(&self) -> &'static [Action] {
        &[(CHANGE_PASSWORD, &[OWN, NEW])]
    }

    fn writes(&self, _: &str) -> Option<&'static str> {
        Some("Password")
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        _: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(change_password(write))
    }

    fn is_own(&self, _: &View<'_>, ids: &[&str], caller: &Caller) -> bool {
        ids.first() == Some(&&*caller.name)
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            "/Password",
            "/RoleId",
            "/Enabled",
            "/Locked",
            "/PasswordChangeRequired",
            "/PasswordExpiration",
            "/AccountTypes",
        ]
    }

    fn clears(&self) -> &'static [&'static str] {
        &["/PasswordExpiration"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let caller = write.caller.filter(|it| it.must_change_password);
            // Not even an administrator can let himself off.
            if let Some(caller) = caller
                && write.values.keys().any(|it| *it != "/Password")
            {
                let here = uri::of(uri::ACCOUNT, &[&caller.name]);
                return Err(Error::password_change_required(&here));
            }
            let locked = write.flag("/Locked");
            if locked == Some(true) {
                let message =
                    base::property_value_not_in_list("true", "Locked");
                return Err(Error::bad(vec![message.about("/Locked")]));
            }
            account_types(write)?;
            let change = change(write)?;
            let keep = write.caller.and_then(|it| it.session.as_deref());
            let accounts = &write.service.accounts;
            Ok(accounts.change(write.id(0), change, keep).await?)
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            Ok(write.service.accounts.delete(write.id(0)).await?)
        })
    }
}

/// Changes a password for who knows his own: a session that somebody else got
/// hold of is not enough.
async fn change_password(write: &Write<'_>) -> Result<Acted, Error> {
    let caller = write.caller.ok_or_else(Error::unauthorized)?;
    let refused = |advice: &'static str| {
        let name = OWN.trim_start_matches('/');
        let message = base::action_parameter_value_error(name, CHANGE_PASSWORD);
        Error::bad(vec![message.resolved_by(advice)])
    };
    if !caller.account {
        return Err(refused(
            "Log in to the device itself: who comes through the fleet has no \
             password here.",
        ));
    }
    let own = write.text(OWN).unwrap_or_default();
    let known = write.service.log_in(&caller.name, own, write.peer).await;
    known.map_err(|denied| match denied {
        Denied::Busy => denied.into(),
        _ => refused("Send the password of the account that asks."),
    })?;
    let change = AccountChange {
        password: write.text(NEW).map(str::to_owned),
        ..AccountChange::default()
    };
    let keep = caller.session.as_deref();
    let accounts = &write.service.accounts;
    accounts.change(write.id(0), change, keep).await?;
    Ok(Acted::Done)
}

/// What a request sets.
///
/// # Errors
/// A time that is none.
fn change(write: &Write<'_>) -> Result<AccountChange, Error> {
    const EXPIRATION: &str = "/PasswordExpiration";
    let password_expiration = if let Some(text) = write.text(EXPIRATION) {
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| {
            let name = EXPIRATION.trim_start_matches('/');
            let message = base::property_value_format_error(text, name);
            Error::bad(vec![message.about(EXPIRATION)])
        })?;
        Some(Some(at.with_timezone(&Utc)))
    } else {
        write.is_null(EXPIRATION).then_some(None)
    };
    Ok(AccountChange {
        role: write.text("/RoleId").map(str::to_owned),
        enabled: write.flag("/Enabled"),
        password_change_required: write.flag("/PasswordChangeRequired"),
        password: write.text("/Password").map(str::to_owned),
        password_expiration,
        locked: write.flag("/Locked"),
    })
}

/// All accounts are for Redfish, and for nothing else.
fn account_types(write: &Write<'_>) -> Result<(), Error> {
    let Some(types) = write.texts("/AccountTypes") else { return Ok(()) };
    if types.is_empty() {
        let message = base::array_size_too_short("AccountTypes", 1);
        return Err(Error::bad(vec![message.about("/AccountTypes")]));
    }
    match types.iter().find(|it| *it != "Redfish") {
        None => Ok(()),
        Some(other) => {
            let message =
                base::property_value_not_in_list(other, "AccountTypes");
            Err(Error::bad(vec![message.about("/AccountTypes")]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_user_name_is_safe_in_a_uri() {
        for name in ["ada", "a.b-c_9", "Z"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", ".", "a b", "a/b", "é", &"x".repeat(33)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
