//! What the on-prem agent and the fleet share.

pub mod config;
pub mod file;
pub mod id;
pub mod log;
