//! The on-prem fleet server: one API for every device.

pub mod api;
pub mod audit;
pub mod auth;
pub mod config;
pub mod console;
pub mod devices;
mod envelope;
mod envelopes;
pub mod error;
pub mod events;
pub mod fleet;
mod impact;
pub mod join_tokens;
pub mod live;
pub mod log;
pub mod name;
pub mod nodes;
mod serial_console;
pub mod server;
pub mod store;
pub mod tasks;
pub mod tunnel;
mod wiring;

pub use fleet::Fleet;
