//! Switches: outputs that are on or off, as a person says, and as what they
//! are interlocked with lets them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Id;

/// What a switch is when the agent starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstState {
    /// Off.
    #[default]
    Off,
    /// On.
    On,
    /// What it was last.
    Last,
}

/// An output that is on or off; it belongs to a chassis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// Segment of its URI, among the controls.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// The sensor that says what it is: 100 is on.
    pub sensor: Id,
    /// What it is when the agent starts.
    pub first: FirstState,
    /// Sensors that have to be active while it is on.
    pub needs: Vec<Id>,
    /// Switches that are never on when it is.
    pub never_with: Vec<Id>,
    /// How long it stays on at least, and off.
    pub least: [Duration; 2],
}

/// What a switch is.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchState {
    /// Whether it is on.
    pub on: bool,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The sensor because of which it was switched off.
    pub opened_for: Option<Id>,
}
