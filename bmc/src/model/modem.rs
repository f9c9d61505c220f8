//! Cellular modems: what they say of themselves and of their network.

use std::sync::Arc;

/// Whether there is a SIM, and whether it can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimState {
    /// Nobody knows.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// It can be used.
    Ready,
    /// It wants a PIN or a PUK.
    Locked,
}

impl SimState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Absent => "Absent",
            Self::Ready => "Ready",
            Self::Locked => "Locked",
        }
    }
}

/// Whether a network has taken the modem in (3GPP TS 27.007, section 7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It is not, and it does not try.
    NotRegistered,
    /// It looks for one.
    Searching,
    /// They do not want it.
    Denied,
    /// Its own.
    Home,
    /// Another.
    Roaming,
}

impl Registration {
    /// What the number says.
    #[must_use]
    pub fn of(number: u32) -> Self {
        match number {
            0 => Self::NotRegistered,
            1 => Self::Home,
            2 => Self::Searching,
            3 => Self::Denied,
            5 => Self::Roaming,
            _ => Self::Unknown,
        }
    }

    /// Whether one has.
    #[must_use]
    pub fn is_registered(self) -> bool {
        matches!(self, Self::Home | Self::Roaming)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::NotRegistered => "NotRegistered",
            Self::Searching => "Searching",
            Self::Denied => "Denied",
            Self::Home => "Home",
            Self::Roaming => "Roaming",
        }
    }
}

/// A modem as a board has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modem {
    /// What the board file calls it.
    pub id: super::Id,
    /// What people call it.
    pub name: String,
    /// The sensors that say how it is.
    pub sensors: Vec<super::Id>,
    /// Whether its power can be cut.
    pub has_power_line: bool,
}

/// What a modem said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cellular {
    /// Who made it.
    pub manufacturer: Option<&'static str>,
    /// Which model it is.
    pub model: Option<Arc<str>>,
    /// The version of its firmware.
    pub firmware: Option<Arc<str>>,
    /// Its number, as far as it may be shown.
    pub imei: Option<Arc<str>>,
    /// The number of its SIM, as far as it may be shown.
    pub iccid: Option<Arc<str>>,
    /// Its SIM.
    pub sim: SimState,
    /// Its network.
    pub registration: Registration,
    /// What the network is called.
    pub operator: Option<Arc<str>>,
    /// How strong the network is, in dBm.
    pub dbm: Option<i32>,
    /// The access points that it knows.
    pub access_points: Vec<Arc<str>>,
    /// How it shows itself on USB.
    pub data_mode: Option<&'static str>,
}
