//! The Redfish service of a whole agent, through its TLS port.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

mod access;
mod boot;
mod client;
mod doors;
mod events;
mod logs;
mod manager;
#[path = "../support/mod.rs"]
mod support;
mod tree;
mod tunnel;
mod write;
