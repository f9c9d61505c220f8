//! What the on-prem agent and the fleet share.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod enrol;
pub mod executor;
pub mod file;
pub mod grant;
pub mod id;
pub mod log;
pub mod process;
pub mod span;
pub mod task;
pub mod tunnel;
