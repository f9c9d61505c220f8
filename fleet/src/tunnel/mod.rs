//! The way to the devices: they dial in, the fleet asks.
//!
//! [`DeviceListener`] takes their connections, lets them join
//! ([`Directory`], [`Authority`]) and hands each tunnel to [`Tunnels`], through
//! which the rest of the fleet sends requests.

mod authority;
mod body;
mod directory;
mod endpoints;
mod listener;
mod registry;
mod verifier;

pub use authority::{Authority, AuthorityError};
pub use body::{Body, BodyError, Incoming, empty, full};
pub use directory::{
    Admission, Directory, DirectoryError, Enrolment, Standing,
};
pub use listener::{DeviceListener, ListenError, ListenOptions};
pub use registry::{
    Change, GrantFor, OpenError, TunnelError, TunnelOptions, Tunnels,
};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The crypto provider of the process.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    })
}
