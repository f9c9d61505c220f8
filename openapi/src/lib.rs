//! The client of the on-prem fleet API, made from its OpenAPI document.

// What is generated names the client by its crate, and streams by `futures`.
extern crate futures_util as futures;
extern crate self as onprem_client;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_debug_implementations,
    unreachable_pub,
    unused_imports,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

/// The command tree: a command for each operation.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_debug_implementations,
    unreachable_pub,
    unused_imports,
    unused_variables,
    reason = "generated"
)]
pub mod cli {
    include!(concat!(env!("OUT_DIR"), "/cli.rs"));
}

pub use generated::*;
