//! The Redfish service of a whole agent, through its TLS port.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

mod access;
mod accounts;
mod bitscope;
mod boot;
mod capture;
mod certificates;
mod chips;
mod client;
mod client_certificate;
mod conditions;
mod console;
mod controls;
mod diagnostic_data;
mod discovery;
mod doors;
mod events;
mod expand;
mod fabric;
mod full_disk;
mod gpio;
mod hats;
mod hostile;
mod i2cdetect;
mod interface;
mod jetson;
mod logs;
mod manager;
mod mdns;
mod modem;
mod names;
mod network_protocol;
mod node_agents;
mod oem;
mod outbound;
mod parts;
mod power;
mod probe;
mod query;
mod rack_shutdown;
mod raspberry_pi;
mod replay;
mod roles;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod telemetry;
mod telemetry_input;
mod telemetry_triggers;
mod time;
mod tls;
mod tree;
mod tunnel;
mod update;
mod volumes;
mod watchdog;
mod write;
