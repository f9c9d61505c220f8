//! The on-prem agent: a Redfish service for the machine it runs on.

pub mod accounts;
pub mod agent;
pub mod boards;
pub mod bus;
pub mod clock;
pub mod collectors;
pub mod commands;
pub mod config;
pub mod console;
mod discovery;
pub mod drivers;
pub mod fabric;
mod gather;
pub mod leave;
mod log;
pub mod model;
pub mod node_agent;
pub mod phone_home;
pub mod probe;
pub mod redfish;
pub mod server;
pub mod sim;
pub mod state;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod tasks;
mod telemetry;
pub mod update;
mod verifier;
mod writer;
