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

use hyper::rt::Executor;
use rustls::crypto::CryptoProvider;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs what hyper spawns as tasks with an owner, until `stop`.
#[derive(Clone, Debug)]
struct Tracked {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

/// The crypto provider of the process.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    })
}
