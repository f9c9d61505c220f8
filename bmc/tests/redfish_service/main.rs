//! The Redfish service of a whole agent, through its TLS port.

mod access;
mod client;
mod doors;
mod events;
mod tree;
mod write;
