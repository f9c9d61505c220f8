//! Tasks: what runs in the background as long as the agent does.

pub(crate) mod control;
pub(crate) mod cycles;
mod drives;
pub(crate) mod emergency;
pub(crate) mod leave;
pub(crate) mod lldp;
pub(crate) mod network;
pub(crate) mod poll;
pub(crate) mod power;
pub(crate) mod power_plans;
pub(crate) mod power_record;
pub(crate) mod pulse;
pub(crate) mod quality;
pub(crate) mod scan;
pub(crate) mod settings;
pub(crate) mod switch;
pub(crate) mod volumes;
pub(crate) mod watchdog;
