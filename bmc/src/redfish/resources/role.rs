//! `Role`: what an account may do. None can be changed.

use onprem_redfish::{
    privilege::Privilege,
    schema::{
        privileges::PrivilegeType,
        role::{self, RoleRequired},
    },
};

use crate::{
    accounts,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

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
        Freshness::Static
    }

    fn get(&self, _: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = accounts::Role::named(ids.first()?)?;
        let privileges = it.privileges().iter().filter_map(|privilege| {
            Some(match privilege {
                Privilege::Login => PrivilegeType::Login,
                Privilege::ConfigureManager => PrivilegeType::ConfigureManager,
                Privilege::ConfigureUsers => PrivilegeType::ConfigureUsers,
                Privilege::ConfigureComponents => {
                    PrivilegeType::ConfigureComponents
                }
                Privilege::ConfigureSelf => PrivilegeType::ConfigureSelf,
                Privilege::NoAuth => return None,
            })
        });
        let body = role::Role::new(RoleRequired {
            odata_id: String::new(),
            id: it.id().to_owned(),
            name: it.id().to_owned(),
            role_id: it.id().to_owned(),
        })
        .is_predefined(true)
        .assigned_privileges(privileges);
        Some(answer(&body))
    }
}
