//! How others on the network find the agent: SSDP (DSP0266, "Discovery").
//!
//! It is announced where the agent listens, and nowhere else: an agent on the
//! loopback is found by programs on the same machine only.

mod place;
mod settings;
mod ssdp;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::place::Place;
pub(crate) use self::{
    settings::{Networks, Scope, Ssdp},
    ssdp::PORT as SSDP_PORT,
};
use crate::drivers::tree::Tree;

/// How often it is looked whether addresses came or went.
const LOOK: Duration = Duration::from_secs(30);
/// The most addresses it is announced on.
const PLACES: usize = 32;

/// What is announced.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    /// Where Redfish is served.
    pub(crate) listen: SocketAddr,
    /// The UUID of the service root.
    pub(crate) uuid: Uuid,
}

/// What answers at one address.
struct Active {
    place: Place,
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
    let mut of = None;
    loop {
        let wanted = settings.borrow_and_update().clone();
        let places = if wanted.ssdp.enabled {
            let listen = announced.listen;
            let look = move || place::places(&Tree::new("/".as_ref()), listen);
            let places = tokio::task::spawn_blocking(look).await;
            places.unwrap_or_default()
        } else {
            Vec::new()
        };
        let same = of.as_ref() == Some(&wanted.ssdp);
        let mut kept = Vec::new();
        for it in active.drain(..) {
            let stays = same && places.contains(&it.place);
            if stays && !it.task.is_finished() {
                kept.push(it);
            } else {
                it.end().await;
            }
        }
        active = kept;
        for place in places.into_iter().take(PLACES) {
            if active.iter().any(|it| it.place == place) {
                continue;
            }
            let opened = ssdp::Responder::open(
                place.clone(),
                &announced,
                wanted.ssdp.clone(),
            );
            match opened {
                Ok(responder) => {
                    let stop = stop.child_token();
                    let task = tasks.spawn(responder.serve(stop.clone()));
                    active.push(Active { place, stop, task });
                }
                Err(error) => {
                    let address = place.address;
                    tracing::debug!(%error, %address, "no SSDP here");
                }
            }
        }
        networks.applied(&wanted);
        of = Some(wanted.ssdp);
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
