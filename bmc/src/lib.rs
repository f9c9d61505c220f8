//! The on-prem agent: a Redfish service for the machine it runs on.

pub mod commands;
pub mod model;
