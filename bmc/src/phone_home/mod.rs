//! The way to the fleet: join it, dial it, serve it, whatever happens between.
//!
//! Nothing here goes by the machine's own clock, which may be off by years:
//! the fleet's time comes with its answers, and waits are monotonic.

mod dial;
mod enrolment;
mod keeper;
mod line;
mod serve;
mod verifier;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::{Request, Response};
use hyper::body::Incoming;
use onprem_http::{Answer, Body};
use onprem_link::{
    backoff::Backoff, enrol::Facts, grant::Grant, id::Xid, task::Tasks as _,
    tunnel::KeepAlive,
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use self::{
    enrolment::Papers,
    line::{Line, LineError, Wanted},
};

/// How the agent calls home.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fleet's device listener, `https://host:8444`.
    pub fleet_url: String,
    /// Where the device's key and certificate are kept.
    pub folder: PathBuf,
    /// The file with the join token.
    pub join_token_file: Option<PathBuf>,
    /// The UUID of this machine.
    pub uuid: Uuid,
    /// What the machine says about itself when it joins.
    pub facts: Facts,
    /// How dead paths are noticed.
    pub keep_alive: KeepAlive,
    /// How long to wait between tries.
    pub backoff: Backoff,
    /// How long to wait once the fleet has refused this device for good.
    pub refused_wait: Duration,
    /// How often to look for a new join token while there is nothing else to
    /// go by.
    pub token_wait: Duration,
    /// How long the fleet may take for each step.
    pub patience: Duration,
    /// What the two ends know each other by, once there is something.
    pub papers: Arc<ArcSwapOption<Papers>>,
}

impl Options {
    /// The usual times, for a fleet at `fleet_url`.
    #[must_use]
    pub fn new(fleet_url: String, folder: PathBuf, uuid: Uuid) -> Self {
        Self {
            fleet_url,
            folder,
            join_token_file: None,
            uuid,
            facts: Facts::default(),
            keep_alive: KeepAlive::default(),
            backoff: Backoff::default(),
            refused_wait: Duration::from_mins(5),
            token_wait: Duration::from_secs(5),
            patience: Duration::from_secs(10),
            papers: Arc::default(),
        }
    }
}

/// How things stand with the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no fleet to call.
    Absent,
    /// The fleet is not to be called.
    Disabled,
    /// There is neither a certificate nor a join token.
    NoToken,
    /// On the way: dialling, or waiting to.
    Connecting {
        /// Why the last try failed.
        problem: Option<String>,
    },
    /// Somebody has to approve this device's key.
    Waiting {
        /// The fleet's id of the device.
        device: Xid,
    },
    /// The fleet can reach this device.
    Connected {
        /// The fleet's id of the device.
        device: Xid,
        /// The fleet's end of the connection.
        peer: SocketAddr,
    },
    /// The fleet does not want this device.
    Refused {
        /// Why, in the fleet's words.
        message: String,
    },
}

impl State {
    /// One word for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Disabled => "disabled",
            Self::NoToken => "no_token",
            Self::Connecting { .. } => "connecting",
            Self::Waiting { .. } => "waiting",
            Self::Connected { .. } => "connected",
            Self::Refused { .. } => "refused",
        }
    }
}

/// Answers what the fleet asks; the grant has been checked.
pub type Handler =
    Arc<dyn Fn(Request<Incoming>, Grant) -> Answer + Send + Sync>;

/// Makes a handler of a function that returns a future.
pub fn handler<F>(
    answer: impl Fn(Request<Incoming>, Grant) -> F + Send + Sync + 'static,
) -> Handler
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |request, grant| Answer::later(answer(request, grant)))
}

/// Calls home until `stop`, and serves the fleet with `handler`. Tells how
/// things stand.
pub fn start(
    options: Options,
    handler: Handler,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> watch::Receiver<State> {
    let (state, watched) = watch::channel(State::Connecting { problem: None });
    let keeper = keeper::Keeper::new(options, handler, state, tasks.clone());
    tasks.start(async move { keeper.run(stop).await });
    watched
}
