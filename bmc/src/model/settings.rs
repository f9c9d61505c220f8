//! What people set on parts, and what survives a restart.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{BootOverride, Id, PowerRestorePolicy, Watchdog};

/// A part that can be set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The system of this id.
    System(Id),
    /// The chassis of this id.
    Chassis(Id),
    /// The manager of this id.
    Manager(Id),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(id) => write!(f, "system `{id}`"),
            Self::Chassis(id) => write!(f, "chassis `{id}`"),
            Self::Manager(id) => write!(f, "manager `{id}`"),
        }
    }
}

/// The settings of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartSettings {
    /// What the owner's books call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_tag: Option<String>,
    /// The host name the part was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Whether it shows somebody in the room where it is.
    pub location_indicator_active: bool,
    /// What it does when the power comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_restore_policy: Option<PowerRestorePolicy>,
    /// Where it starts from instead of where it usually does.
    #[serde(skip_serializing_if = "BootOverride::is_default")]
    pub boot: BootOverride,
    /// What its watchdog does.
    #[serde(skip_serializing_if = "Watchdog::is_default")]
    pub watchdog: Watchdog,
}

/// The settings of all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    systems: BTreeMap<Id, PartSettings>,
    chassis: BTreeMap<Id, PartSettings>,
    managers: BTreeMap<Id, PartSettings>,
}

impl Settings {
    /// The settings of `part`; the default where nobody set anything.
    #[must_use]
    pub fn of(&self, part: &Part) -> PartSettings {
        let found = match part {
            Part::System(id) => self.systems.get(id),
            Part::Chassis(id) => self.chassis.get(id),
            Part::Manager(id) => self.managers.get(id),
        };
        found.cloned().unwrap_or_default()
    }

    /// The settings of `part`, to be changed.
    pub(crate) fn of_mut(&mut self, part: &Part) -> &mut PartSettings {
        let (all, id) = match part {
            Part::System(id) => (&mut self.systems, id),
            Part::Chassis(id) => (&mut self.chassis, id),
            Part::Manager(id) => (&mut self.managers, id),
        };
        all.entry(id.clone()).or_default()
    }
}
