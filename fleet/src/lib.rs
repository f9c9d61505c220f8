//! The on-prem fleet server: one API for every device.

pub mod console;
pub mod tunnel;
