//! Who may do what, by the DMTF privilege registry.

use crate::csdl::{self, Resource};

/// A privilege a role may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    Login,
    ConfigureManager,
    ConfigureUsers,
    ConfigureComponents,
    /// Counts only for what belongs to the account itself.
    ConfigureSelf,
    /// Held by everyone, credentials or not.
    NoAuth,
}

impl Privilege {
    const ALL: [Self; 6] = [
        Self::Login,
        Self::ConfigureManager,
        Self::ConfigureUsers,
        Self::ConfigureComponents,
        Self::ConfigureSelf,
        Self::NoAuth,
    ];

    /// The privilege with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Its name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "Login",
            Self::ConfigureManager => "ConfigureManager",
            Self::ConfigureUsers => "ConfigureUsers",
            Self::ConfigureComponents => "ConfigureComponents",
            Self::ConfigureSelf => "ConfigureSelf",
            Self::NoAuth => "NoAuth",
        }
    }
}

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Privileges(u8);

impl Privileges {
    #[must_use]
    pub const fn of(privileges: &[Privilege]) -> Self {
        let mut set = 0;
        let mut rest = privileges;
        while let [first, others @ ..] = rest {
            set |= 1 << *first as u8;
            rest = others;
        }
        Self(set)
    }

    /// Whether any one of these is among those held.
    #[must_use]
    pub const fn met_by(self, held: Self) -> bool {
        let everyone = Self::of(&[Privilege::NoAuth]);
        self.0 & (held.0 | everyone.0) != 0
    }

    /// The set without one of its members.
    #[must_use]
    pub const fn without(self, privilege: Privilege) -> Self {
        Self(self.0 & !(1 << privilege as u8))
    }

    #[must_use]
    pub const fn contains(self, privilege: Privilege) -> bool {
        self.0 & (1 << privilege as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        let all = Privilege::ALL.into_iter();
        all.filter(move |privilege| self.contains(*privilege))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A row of the table; in an override an empty set leaves the rule as it is.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    below: &'static [&'static str],
    property: Option<&'static str>,
    get: Privileges,
    head: Privileges,
    post: Privileges,
    patch: Privileges,
    put: Privileges,
    delete: Privileges,
}

include!(concat!(env!("OUT_DIR"), "/privilege.rs"));

/// The privileges of which one is needed for a method on the resources at a
/// URI pattern (a path does too), for the resource as a whole or one property.
///
/// An action needs what a POST on its resource does; making a member needs what
/// a POST on the collection does. Nothing is known of a method the table lacks.
#[must_use]
pub fn required(
    pattern: &str,
    method: &str,
    property: Option<&str>,
) -> Option<Privileges> {
    let place = csdl::place(pattern)?;
    let name = place.of.name;
    let rule = RULES.iter().find(|rule| rule.name == name)?;
    let fitting = OVERRIDES.iter().filter(|it| {
        it.name == name
            && it.property == property.filter(|_| it.property.is_some())
            && (it.below.is_empty() || lies_below(place, it.below))
    });
    let mut special = fitting.filter_map(|it| it.method(method));
    special.rfind(|it| !it.is_empty()).or_else(|| rule.method(method))
}

/// The privileges of which one is needed for a method on resources of a type,
/// wherever they are.
#[must_use]
pub fn of_type(name: &str, method: &str) -> Option<Privileges> {
    RULES.iter().find(|rule| rule.name == name)?.method(method)
}

/// The methods that the table knows.
pub const METHODS: [&str; 6] =
    ["GET", "HEAD", "PATCH", "POST", "PUT", "DELETE"];

/// What the table says of one type, as `PrivilegeRegistry` shows it.
#[derive(Debug)]
pub struct Mapping {
    pub entity: &'static str,
    /// For each of [`METHODS`], any one of these.
    pub operations: [Privileges; 6],
    pub exceptions: Vec<Exception>,
}

/// Where it is otherwise. An empty set leaves it as it is.
#[derive(Debug)]
pub struct Exception {
    /// Below resources of this type.
    pub below: Option<&'static str>,
    /// For this property.
    pub property: Option<&'static str>,
    /// For each of [`METHODS`].
    pub operations: [Privileges; 6],
}

/// What the table says of the served types, by name.
#[must_use]
pub fn mappings() -> Vec<Mapping> {
    let served = |rule: &&Rule| csdl::type_named(rule.name).is_some();
    let mapping = |rule: &Rule| {
        let own = OVERRIDES.iter().filter(|it| it.name == rule.name);
        let exceptions = own.flat_map(|it| {
            let everywhere = it.below.is_empty().then_some(None);
            let below = it.below.iter().map(|below| Some(*below));
            everywhere.into_iter().chain(below).map(|below| Exception {
                below,
                property: it.property,
                operations: it.operations(),
            })
        });
        Mapping {
            entity: rule.name,
            operations: rule.operations(),
            exceptions: exceptions.collect(),
        }
    };
    RULES.iter().filter(served).map(mapping).collect()
}

/// What each predefined role may do.
#[must_use]
pub fn of_role(role: &str) -> Option<Privileges> {
    use Privilege::{
        ConfigureComponents, ConfigureManager, ConfigureSelf, ConfigureUsers,
        Login,
    };
    match role {
        "Administrator" => Some(Privileges::of(&[
            Login,
            ConfigureManager,
            ConfigureUsers,
            ConfigureComponents,
            ConfigureSelf,
        ])),
        "Operator" => {
            Some(Privileges::of(&[Login, ConfigureComponents, ConfigureSelf]))
        }
        "ReadOnly" => Some(Privileges::of(&[Login, ConfigureSelf])),
        _ => None,
    }
}

impl Rule {
    fn operations(&self) -> [Privileges; 6] {
        METHODS.map(|method| self.method(method).unwrap_or_default())
    }

    fn method(&self, method: &str) -> Option<Privileges> {
        match method {
            "GET" => Some(self.get),
            "HEAD" => Some(self.head),
            "POST" => Some(self.post),
            "PATCH" => Some(self.patch),
            "PUT" => Some(self.put),
            "DELETE" => Some(self.delete),
            _ => None,
        }
    }
}

/// Whether a resource of one of these types is on the way to the place.
fn lies_below(place: &Resource, types: &[&str]) -> bool {
    let mut path = place.pattern;
    while let Some((parent, _)) = path.rsplit_once('/') {
        let above = csdl::resources().iter().find(|it| it.pattern == parent);
        if above.is_some_and(|it| types.contains(&it.of.name)) {
            return true;
        }
        path = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str =
        "/redfish/v1/AccountService/Accounts/{ManagerAccountId}";

    fn may(
        role: &str,
        method: &str,
        path: &str,
        property: Option<&str>,
    ) -> bool {
        let held = of_role(role).unwrap();
        required(path, method, property).unwrap().met_by(held)
    }

    #[test]
    fn an_interface_of_the_manager_takes_more_than_one_of_a_system() {
        let system = "/redfish/v1/Systems/1/EthernetInterfaces/eth0";
        let manager = "/redfish/v1/Managers/1/EthernetInterfaces/eth0";
        assert!(may("Operator", "PATCH", system, None));
        assert!(!may("Operator", "PATCH", manager, None));
        assert!(may("Administrator", "PATCH", manager, None));
    }

    #[test]
    fn a_user_may_write_the_password_of_an_account_and_nothing_else() {
        assert!(may("ReadOnly", "PATCH", ACCOUNT, Some("Password")));
        assert!(!may("ReadOnly", "PATCH", ACCOUNT, Some("RoleId")));
        let held = of_role("ReadOnly").unwrap();
        let other = held.without(Privilege::ConfigureSelf);
        let needed = required(ACCOUNT, "PATCH", Some("Password")).unwrap();
        assert!(!needed.met_by(other));
    }

    #[test]
    fn the_service_root_is_open_to_everyone() {
        let needed = required("/redfish/v1/", "GET", None).unwrap();
        assert!(needed.met_by(Privileges::default()));
        let needed = required("/redfish/v1/Systems", "GET", None).unwrap();
        assert!(!needed.met_by(Privileges::default()));
    }

    #[test]
    fn every_served_type_has_a_rule() {
        let lacking: Vec<_> = csdl::resources()
            .iter()
            .filter(|it| required(it.pattern, "GET", None).is_none())
            .map(|it| it.pattern)
            .collect();
        assert_eq!(lacking, Vec::<&str>::new());
    }
}
