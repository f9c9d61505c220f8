//! How a system starts: from where, how far it has come, and what happens
//! when the power comes back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An enum whose variants have a word in Redfish.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$about:meta])* $variant:ident = $word:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize,
            Deserialize,
        )]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word for it, as Redfish writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What `word` stands for.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    )*};
}

words! {
    /// Where a system can start from.
    BootSource {
        /// The network.
        Pxe = "Pxe",
        /// A built-in drive.
        Hdd = "Hdd",
        /// A CD or DVD.
        Cd = "Cd",
        /// A USB drive.
        Usb = "Usb",
        /// An SD card.
        SdCard = "SDCard",
        /// The set-up program of the firmware.
        BiosSetup = "BiosSetup",
        /// An HTTP server that the firmware asks.
        UefiHttp = "UefiHttp",
    }
    /// For how many starts an override counts.
    BootEnabled {
        /// For none.
        Disabled = "Disabled",
        /// For the next one.
        Once = "Once",
        /// Until it is taken back.
        Continuous = "Continuous",
    }
    /// Which kind of firmware starts a system.
    BootMode {
        /// An old one.
        Legacy = "Legacy",
        /// UEFI.
        Uefi = "UEFI",
    }
    /// What a system does when the power comes back.
    #[derive(Default)]
    PowerRestorePolicy {
        /// It goes on.
        #[default]
        AlwaysOn = "AlwaysOn",
        /// It stays off.
        AlwaysOff = "AlwaysOff",
        /// It does what it did when the power went.
        LastState = "LastState",
    }
    /// What a watchdog does when nobody has calmed it in time.
    TimeoutAction {
        /// Nothing.
        None = "None",
        /// It starts the system again.
        ResetSystem = "ResetSystem",
        /// It takes the power away for a while.
        PowerCycle = "PowerCycle",
        /// It switches the system off.
        PowerDown = "PowerDown",
    }
    /// How far a start has come.
    BootStage {
        /// It has not begun.
        None = "None",
        /// The processor wakes up.
        Processor = "PrimaryProcessorInitializationStarted",
        /// The memory is trained.
        Memory = "MemoryInitializationStarted",
        /// Buses are looked at.
        Buses = "BusInitializationStarted",
        /// The hardware is ready.
        Hardware = "SystemHardwareInitializationComplete",
        /// The set-up program waits for a person.
        Setup = "SetupEntered",
        /// The operating system is on its way.
        OsStarted = "OSBootStarted",
        /// The operating system runs.
        OsRunning = "OSRunning",
    }
}

/// Where a system shall start from instead of where it usually does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootOverride {
    /// For how many starts.
    pub enabled: BootEnabled,
    /// From where; from the usual place where there is nothing.
    pub target: Option<BootSource>,
}

impl Default for BootOverride {
    fn default() -> Self {
        Self { enabled: BootEnabled::Disabled, target: None }
    }
}

impl BootOverride {
    /// Whether nothing is overridden.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What to start from, if not from the usual place.
    #[must_use]
    pub fn source(&self) -> Option<BootSource> {
        match self.enabled {
            BootEnabled::Disabled => None,
            BootEnabled::Once | BootEnabled::Continuous => self.target,
        }
    }
}

/// What people set of a watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watchdog {
    /// Whether it watches.
    pub enabled: bool,
    /// What it does when it has to.
    pub action: TimeoutAction,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { enabled: false, action: TimeoutAction::ResetSystem }
    }
}

impl Watchdog {
    /// Whether nobody has set anything.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a board says about the start of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// How often the system started since the agent looks after it.
    pub count: u64,
    /// How far it has come.
    pub stage: BootStage,
    /// Where it started from, once it did.
    pub from: Option<BootSource>,
    /// How long the last start took until the operating system ran.
    pub took: Option<Duration>,
}

/// What is known about the start of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// What the board says.
    pub started: Started,
    /// Since when it says so; nothing where it always did.
    pub since: Option<DateTime<Utc>>,
}

impl PowerRestorePolicy {
    /// Whether a system is on when the power is back, which `was_on` before.
    #[must_use]
    pub fn leads_to(self, was_on: bool) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::LastState => was_on,
        }
    }
}
