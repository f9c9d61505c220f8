//! The three fixed roles.

use onprem_redfish::privilege::{self, Privileges};
use serde::{Deserialize, Serialize};

/// A role of DMTF's that every Redfish service has and none may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// All there is.
    Administrator,
    /// Reads, and changes what does not concern users and the manager.
    Operator,
    /// Reads.
    ReadOnly,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] =
        [Self::Administrator, Self::Operator, Self::ReadOnly];

    /// The role with this Redfish id.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }

    /// The Redfish id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::Operator => "Operator",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// What who has the role may do.
    #[must_use]
    pub fn privileges(self) -> Privileges {
        privilege::of_role(self.id()).unwrap_or_default()
    }
}
