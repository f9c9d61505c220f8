//! `Role`: what an account may do. The predefined ones cannot be changed.

use onprem_redfish::{
    message::base,
    privilege::{Privilege, Privileges},
    schema::{
        privileges::PrivilegeType,
        role::{self, RoleRequired},
        role_collection::RoleCollection,
    },
};

use crate::redfish::{
    error::Error,
    resource::{
        Answer, Caller, Created, Freshness, Pending, Resource, View, Write,
        answer,
    },
    uri,
};

const ASSIGNED: &str = "/AssignedPrivileges";
const OEM: &str = "/OemPrivileges";

/// `/redfish/v1/AccountService/Roles`
pub(crate) struct Roles;

impl Resource for Roles {
    fn uri(&self) -> &'static str {
        uri::ROLES
    }

    fn kind(&self) -> &'static str {
        "RoleCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let ids = view.book.role_ids();
        let uris: Vec<_> = ids.map(|id| uri::of(uri::ROLE, &[id])).collect();
        let count = uris.len() as u64;
        let body = RoleCollection::new("", "Roles", uris);
        Some(answer(body.members_count(count)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&["/RoleId", ASSIGNED, OEM])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let id = write.text("/RoleId").unwrap_or_default();
            no_oem(write)?;
            let privileges = assigned(write)?.unwrap_or_default();
            may_grant(write.caller, privileges)?;
            let accounts = &write.service.accounts;
            accounts.create_role(id, privileges).await?;
            Ok(uri::of(uri::ROLE, &[id]).into())
        })
    }
}

/// `/redfish/v1/AccountService/Roles/{RoleId}`
pub(crate) struct Role;

impl Resource for Role {
    fn uri(&self) -> &'static str {
        uri::ROLE
    }

    fn kind(&self) -> &'static str {
        "Role"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.book.role(ids.first()?)?;
        let body = role::Role::new(RoleRequired {
            odata_id: String::new(),
            id: it.id.clone(),
            name: it.id.clone(),
            role_id: it.id,
        })
        .is_predefined(it.predefined)
        .assigned_privileges(it.privileges.iter().filter_map(typed))
        .oem_privileges(Vec::<String>::new())
        .restricted(false);
        Some(answer(body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[ASSIGNED, OEM]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let id = write.id(0);
            let role = write.service.accounts.book().role(id);
            if role.is_some_and(|role| role.predefined) {
                let written = write.values.keys().map(|pointer| {
                    let name = pointer.trim_start_matches('/');
                    base::property_not_writable(name).about(pointer)
                });
                return Err(Error::bad(written.collect()));
            }
            no_oem(write)?;
            if let Some(privileges) = assigned(write)? {
                may_grant(write.caller, privileges)?;
                let accounts = &write.service.accounts;
                accounts.change_role(id, privileges).await?;
            }
            Ok(())
        })
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            Ok(write.service.accounts.delete_role(write.id(0)).await?)
        })
    }
}

/// The privilege in the words of the schema; that of everyone is no role's.
fn typed(privilege: Privilege) -> Option<PrivilegeType> {
    Some(match privilege {
        Privilege::Login => PrivilegeType::Login,
        Privilege::ConfigureManager => PrivilegeType::ConfigureManager,
        Privilege::ConfigureUsers => PrivilegeType::ConfigureUsers,
        Privilege::ConfigureComponents => PrivilegeType::ConfigureComponents,
        Privilege::ConfigureSelf => PrivilegeType::ConfigureSelf,
        Privilege::NoAuth => return None,
    })
}

/// The privileges that a request names.
fn assigned(write: &Write<'_>) -> Result<Option<Privileges>, Error> {
    let Some(names) = write.texts(ASSIGNED) else { return Ok(None) };
    let mut privileges = Vec::new();
    for name in &names {
        let known = Privilege::named(name);
        let known = known.filter(|privilege| typed(*privilege).is_some());
        privileges.push(known.ok_or_else(|| {
            let property = ASSIGNED.trim_start_matches('/');
            let message = base::property_value_not_in_list(name, property);
            Error::bad(vec![message.about(ASSIGNED)])
        })?);
    }
    Ok(Some(Privileges::of(&privileges)))
}

/// There are no privileges but DMTF's.
fn no_oem(write: &Write<'_>) -> Result<(), Error> {
    let names = write.texts(OEM).unwrap_or_default();
    let Some(name) = names.first() else { return Ok(()) };
    let property = OEM.trim_start_matches('/');
    let message = base::property_value_not_in_list(name, property);
    Err(Error::bad(vec![message.about(OEM)]))
}

/// Nobody gives what he does not have.
fn may_grant(caller: Option<&Caller>, given: Privileges) -> Result<(), Error> {
    let held = caller.map(|caller| caller.privileges).unwrap_or_default();
    let all = given.iter().all(|privilege| held.contains(privilege));
    if all { Ok(()) } else { Err(Error::forbidden()) }
}
