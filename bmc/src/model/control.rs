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
    /// A person, for a while.
    Manual,
    /// The agent: it is too hot, or nobody knows how hot it is.
    Override,
}

/// What a control does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlState {
    /// Who decides.
    pub mode: ControlMode,
    /// What the person or the agent said, in percent.
    pub set_point: Option<f64>,
    /// When that was.
    pub since: Option<DateTime<Utc>>,
    /// Until when a person has it.
    pub until: Option<DateTime<Utc>>,
    /// The sensor that made the agent take the control, from a person or from
    /// its own loop.
    pub taken_back_for: Option<Id>,
}
