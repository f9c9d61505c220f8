//! Controls: parts that do what a person says, or what their loop says.

use chrono::{DateTime, Utc};

use super::Id;

/// Something that can be set; it belongs to a chassis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// The fan that it drives.
    pub fan: Id,
    /// The sensor that says how hard it is driven, in percent.
    pub sensor: Id,
    /// What its own loop goes by, where that is known: a sensor.
    pub watched: Option<Id>,
}

/// Who decides what a control does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlMode {
    /// Its own loop.
    #[default]
    Automatic,
    /// A person.
    Manual,
}

/// What a control does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlState {
    /// Who decides.
    pub mode: ControlMode,
    /// What the person said, in percent.
    pub set_point: Option<f64>,
    /// When that was.
    pub since: Option<DateTime<Utc>>,
    /// The sensor that made the agent take the control back from a person.
    pub taken_back_for: Option<Id>,
}
