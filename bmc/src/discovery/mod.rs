//! How others on the network find the agent: SSDP (DSP0266, "Discovery"), and
//! where somebody wants it, mDNS.
//!
//! It is announced where the agent listens, and nowhere else: an agent on the
//! loopback is found by programs on the same machine only.

mod budget;
mod mdns;
mod place;
mod settings;
mod socket;
mod ssdp;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub(crate) use self::{
    mdns::PORT as MDNS_PORT,
    settings::{Networks, Scope, Ssdp},
    ssdp::PORT as SSDP_PORT,
};
use self::{place::Place, settings::Network};
use crate::drivers::tree::Tree;

/// How often it is looked whether addresses came or went.
const LOOK: Duration = Duration::from_secs(30);
/// The most that is done at once to announce it.
const JOBS: usize = 64;

/// What is announced.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    /// Where Redfish is served.
    pub(crate) listen: SocketAddr,
    /// The UUID of the service root.
    pub(crate) uuid: Uuid,
    /// What people call the machine.
    pub(crate) name: String,
}

/// Takes a datagram of mDNS, and of SSDP, for what it is.
#[cfg(any(test, fuzzing))]
pub(crate) fn hear(datagram: &mut [u8]) {
    let announced = Announced {
        listen: SocketAddr::from(([192, 0, 2, 1], 443)),
        uuid: Uuid::nil(),
        name: "blade".to_owned(),
    };
    let _ = ssdp::search(datagram);
    mdns::look_up(&announced, datagram);
}

/// Waits until what is `due`; for good where nothing is.
async fn when(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What can be done to announce it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Job {
    Ssdp(Place, Ssdp),
    Mdns(mdns::Link),
}

/// What is being done.
struct Active {
    job: Job,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Active {
    async fn end(self) {
        self.stop.cancel();
        // It has said what is wrong, if anything.
        let _ = self.task.await;
    }
}

/// Announces the service as the settings want it, until `stop`.
pub(crate) async fn run(
    announced: Announced,
    networks: Arc<Networks>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut settings = networks.follow();
    let mut active: Vec<Active> = Vec::new();
    let shared = Arc::new(mdns::Shared::default());
    loop {
        let wanted = settings.borrow_and_update().clone();
        let jobs = jobs(&wanted, announced.listen, &shared).await;
        let mut kept = Vec::new();
        for it in active.drain(..) {
            if jobs.contains(&it.job) && !it.task.is_finished() {
                kept.push(it);
            } else {
                it.end().await;
            }
        }
        active = kept;
        for job in jobs.into_iter().take(JOBS) {
            if active.iter().any(|it| it.job == job) {
                continue;
            }
            match begin(&job, &announced, &shared, &tasks, &stop) {
                Ok(it) => active.push(it),
                Err(error) => tracing::debug!(%error, ?job, "not here"),
            }
        }
        networks.applied(&wanted);
        tokio::select! {
            () = stop.cancelled() => break,
            changed = settings.changed() => if changed.is_err() { break },
            () = sleep(LOOK) => {}
        }
    }
    for it in active {
        it.end().await;
    }
}

/// What is to be done on the addresses that this machine has now.
async fn jobs(
    wanted: &Network,
    listen: SocketAddr,
    shared: &mdns::Shared,
) -> Vec<Job> {
    if !wanted.ssdp.enabled && !wanted.mdns.enabled {
        return Vec::new();
    }
    let look = move || place::places(&Tree::new("/".as_ref()), listen);
    let places = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    shared.know(&places);
    let mut jobs = Vec::new();
    if wanted.mdns.enabled {
        jobs.extend(mdns::links(&places).into_iter().map(Job::Mdns));
    }
    if wanted.ssdp.enabled {
        let job = |place| Job::Ssdp(place, wanted.ssdp.clone());
        jobs.extend(places.into_iter().map(job));
    }
    jobs
}

fn begin(
    job: &Job,
    announced: &Announced,
    shared: &Arc<mdns::Shared>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<Active> {
    let stop = stop.child_token();
    let task = match job.clone() {
        Job::Ssdp(place, settings) => {
            let it = ssdp::Responder::open(place, announced, settings)?;
            tasks.spawn(it.serve(stop.clone()))
        }
        Job::Mdns(link) => {
            let it = mdns::Responder::open(link, announced, shared)?;
            tasks.spawn(it.serve(stop.clone()))
        }
    };
    Ok(Active { job: job.clone(), stop, task })
}
