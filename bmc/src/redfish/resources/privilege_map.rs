//! `PrivilegeRegistry`: which privilege is needed for what, as the table that
//! the router goes by says.

use onprem_redfish::{
    privilege::{self, Exception, Mapping, Privilege, Privileges},
    schema::{
        privilege_registry::{
            self, OperationMap, OperationPrivilege, TargetPrivilegeMap,
        },
        privileges::PrivilegeType,
    },
};

use super::With as _;
use crate::redfish::{
    resource::{Answer, Freshness, Resource, View, answer},
    uri,
};

/// `/redfish/v1/AccountService/PrivilegeMap`
pub(crate) struct PrivilegeMap;

impl Resource for PrivilegeMap {
    fn uri(&self) -> &'static str {
        uri::PRIVILEGE_MAP
    }

    fn kind(&self) -> &'static str {
        "PrivilegeRegistry"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Static
    }

    fn get(&self, _: &View<'_>, _: &[&str]) -> Option<Answer> {
        let body = privilege_registry::PrivilegeRegistry::new(
            "",
            "PrivilegeMap",
            "Privileges by operation",
        )
        .privileges_used([
            PrivilegeType::Login,
            PrivilegeType::ConfigureManager,
            PrivilegeType::ConfigureUsers,
            PrivilegeType::ConfigureComponents,
            PrivilegeType::ConfigureSelf,
            PrivilegeType::NoAuth,
        ])
        .oem_privileges_used(Vec::<String>::new())
        .mappings(privilege::mappings().iter().map(mapping));
        Some(answer(body))
    }
}

fn mapping(of: &Mapping) -> privilege_registry::Mapping {
    let exceptions = |property: bool| {
        let all = of.exceptions.iter();
        let fitting = all.filter(|it| it.property.is_some() == property);
        let targets: Vec<_> = fitting.map(target).collect();
        (!targets.is_empty()).then_some(targets)
    };
    privilege_registry::Mapping::new()
        .entity(of.entity)
        .operation_map(operations(of.operations))
        .with(
            exceptions(false),
            privilege_registry::Mapping::subordinate_overrides,
        )
        .with(exceptions(true), privilege_registry::Mapping::property_overrides)
}

fn target(of: &Exception) -> TargetPrivilegeMap {
    TargetPrivilegeMap::new()
        .targets(of.property.or(of.below))
        .operation_map(operations(of.operations))
}

fn operations(of: [Privileges; 6]) -> OperationMap {
    let [get, head, patch, post, put, delete] = of.map(any_of);
    OperationMap::new()
        .with(get, OperationMap::get)
        .with(head, OperationMap::head)
        .with(patch, OperationMap::patch)
        .with(post, OperationMap::post)
        .with(put, OperationMap::put)
        .with(delete, OperationMap::delete)
}

/// One of them is enough.
fn any_of(privileges: Privileges) -> Option<Vec<OperationPrivilege>> {
    let one = |privilege: Privilege| {
        OperationPrivilege::new().privilege([privilege.name()])
    };
    let all: Vec<_> = privileges.iter().map(one).collect();
    (!all.is_empty()).then_some(all)
}
