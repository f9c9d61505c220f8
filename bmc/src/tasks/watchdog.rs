//! Feeds a hardware watchdog as long as what the agent lives by makes
//! progress: the loop that drives fans, those who read parts, the door, and
//! the service behind it.
//!
//! One hung part is no reason to reset the machine; all of them are.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http::Request;
use http_body_util::Empty;
use onprem_link::{file::replace, log::Chain, task::blocking};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::pulse::Pulses;
use crate::{
    bus::watchdog::{Identity, Kennel, ResetCause, Watchdog},
    model::{Health, Id, Model, Part, Trouble, WatchdogState},
    redfish::{Origin, Service},
};

/// How often one that cannot be had is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the kernel, or the service, may take for one step.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one that waits for long is fed.
const OFTEN: Duration = Duration::from_secs(5);
/// The least that is between two feedings.
const SELDOM: Duration = Duration::from_millis(250);

/// What a watchdog is to do.
pub(crate) struct Watch {
    pub(crate) kennel: Arc<dyn Kennel>,
    /// Its device file.
    pub(crate) device: String,
    pub(crate) timeout: Duration,
    /// Where it is kept which resets were told of.
    pub(crate) file: PathBuf,
    /// The start of the machine, as its kernel calls it.
    pub(crate) boot: Option<String>,
}

/// What those have who feed it.
pub(crate) struct Keeper {
    pub(crate) watch: Watch,
    pub(crate) model: Model,
    pub(crate) service: Arc<Service>,
    pub(crate) pulses: Pulses,
    /// Told when the agent ends to start anew at once.
    pub(crate) leaving: CancellationToken,
}

/// A watchdog with what it was found to be.
struct Held {
    dog: Box<dyn Watchdog>,
    identity: Identity,
    timeout: Duration,
}

impl Keeper {
    /// Feeds the watchdog until `stop`, and then stops it; where the agent is
    /// to start anew, that one finds it going, with all its time.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let mut watches = false;
        while !stop.is_cancelled() {
            // It takes no longer than a step may, and what is opened watches:
            // that is not given up in between.
            let ended = match self.open().await {
                Ok(held) => {
                    watches = true;
                    self.feed(held, &stop).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            self.lost(&error);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(AGAIN) => {}
            }
        }
        // What was lost while it watched resets the machine otherwise.
        if watches && let Ok(held) = self.open().await {
            let Held { dog, identity, timeout } = held;
            self.end(dog, &identity, timeout).await;
        }
    }

    async fn open(&self) -> io::Result<Held> {
        let kennel = Arc::clone(&self.watch.kennel);
        let wanted = self.watch.timeout;
        step(move || {
            let mut dog = kennel.open()?;
            match meet(dog.as_mut(), wanted) {
                Ok((identity, timeout)) => Ok(Held { dog, identity, timeout }),
                Err(error) => {
                    // It watches, and nobody would feed it.
                    let _ = dog.stop();
                    Err(error)
                }
            }
        })
        .await
    }

    async fn feed(
        &self,
        held: Held,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        let Held { mut dog, identity, timeout } = held;
        let pace = (timeout / 4).clamp(SELDOM, OFTEN);
        info!(
            device = self.watch.device,
            name = identity.name,
            ?timeout,
            stops = identity.stops,
            "the watchdog watches"
        );
        // A disk that hangs is no reason not to feed it.
        let telling = self.tell(&identity);
        let mut hungry = None;
        loop {
            let reason = self.silence(timeout).await;
            if hungry != reason {
                if let Some(reason) = &reason {
                    error!(%reason, ?timeout, "the watchdog is not fed");
                } else {
                    warn!("the watchdog is fed again");
                }
            }
            let feeds = reason.is_none();
            let (back, left) = step(move || {
                if feeds {
                    dog.feed()?;
                }
                let left = dog.left();
                Ok((dog, left))
            })
            .await?;
            dog = back;
            self.show(Some(&identity), Some(timeout), left);
            let trouble = reason.as_ref().map(|reason| {
                trouble("WatchdogNotFed", reason, Health::Critical)
            });
            self.post(trouble);
            hungry = reason;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pace) => {}
            }
        }
        self.end(dog, &identity, timeout).await;
        if let Some(telling) = telling {
            let _ = tokio::time::timeout(PATIENCE, telling).await;
        }
        Ok(())
    }

    /// What makes no progress, though it should within `limit`.
    async fn silence(&self, limit: Duration) -> Option<String> {
        if let Some((name, silent)) = self.pulses.weakest()
            && silent > limit
        {
            let seconds = silent.as_secs();
            return Some(format!("no progress of the {name} for {seconds} s"));
        }
        let request = Request::get("/redfish/v1/").body(Empty::<&[u8]>::new());
        let Ok(request) = request else { return None };
        let peer = ([127, 0, 0, 1], 0).into();
        let origin = Origin::Tls { peer, certificates: None };
        // One that cannot be made holds this task up, and the dog bites.
        let status = self.service.handle(request, origin).await.status();
        (!status.is_success()).then(|| format!("the service answers {status}"))
    }

    async fn end(
        &self,
        mut dog: Box<dyn Watchdog>,
        identity: &Identity,
        timeout: Duration,
    ) {
        let anew = self.leaving.is_cancelled();
        let stops = identity.stops && !anew;
        let ended = step(move || {
            dog.feed()?;
            if stops { dog.stop() } else { Ok(()) }
        });
        match ended.await {
            Err(error) => error!(%error, "the watchdog is not stopped"),
            Ok(()) if anew => info!(?timeout, "the watchdog waits for us"),
            Ok(()) if stops => info!("the watchdog is stopped"),
            Ok(()) => warn!(
                ?timeout,
                "the watchdog cannot be stopped: who does not feed it is reset"
            ),
        }
    }

    /// Notes once that the machine was reset by its watchdog.
    fn tell(&self, identity: &Identity) -> Option<JoinHandle<()>> {
        if identity.cause != Some(ResetCause::Watchdog) {
            return None;
        }
        let service = Arc::clone(&self.service);
        let Watch { file, boot, device, .. } = &self.watch;
        let (file, device) = (file.clone(), device.clone());
        let now = Told { boot: boot.clone() };
        Some(blocking(move || {
            let told = std::fs::read(&file).ok();
            let told = told.and_then(|it| serde_json::from_slice(&it).ok());
            let told: Told = told.unwrap_or_default();
            if now.boot.is_some() && told == now {
                return;
            }
            warn!(device, "the machine was reset by its watchdog");
            service.reset_by_watchdog();
            let text = serde_json::to_vec(&now).unwrap_or_default();
            if let Err(error) = replace(&file, &text) {
                warn!(error = %Chain(&error), "this will be told again");
            }
        }))
    }

    fn lost(&self, error: &io::Error) {
        let device = &self.watch.device;
        let reason = match error.kind() {
            io::ErrorKind::ResourceBusy => {
                format!("another process has {device}")
            }
            io::ErrorKind::NotFound => format!("there is no {device}"),
            _ => format!("{device} cannot be had: {error}"),
        };
        self.show(None, None, None);
        self.post(Some(trouble("Watchdog", &reason, Health::Critical)));
    }

    fn post(&self, trouble: Option<Trouble>) {
        let manager = self.model.snapshot().inventory.manager.id.clone();
        let troubles = trouble.into_iter().collect();
        let source = Id::from("watchdog");
        self.model.post_troubles(&Part::Manager(manager), &source, troubles);
    }

    fn show(
        &self,
        identity: Option<&Identity>,
        timeout: Option<Duration>,
        left: Option<Duration>,
    ) {
        self.model.post_watchdog(WatchdogState {
            device: self.watch.device.as_str().into(),
            name: identity.map(|it| it.name.as_str().into()),
            stops: identity.is_some_and(|it| it.stops),
            cause: identity.and_then(|it| it.cause),
            timeout,
            left,
            taken: Instant::now(),
        });
    }
}

/// What a watchdog is that was just opened, and how long it waits from now on:
/// `wanted`, if it can.
fn meet(
    dog: &mut dyn Watchdog,
    wanted: Duration,
) -> io::Result<(Identity, Duration)> {
    let identity = dog.identity()?;
    let timeout = match dog.set_timeout(wanted) {
        Ok(timeout) => timeout,
        Err(error) => {
            // It watches already, and goes on with its own time.
            let own = dog.timeout()?;
            let seconds = own.as_secs();
            warn!(%error, ?wanted, seconds, "watchdog's own time");
            own
        }
    };
    dog.feed()?;
    Ok((identity, timeout))
}

fn trouble(word: &'static str, text: &str, health: Health) -> Trouble {
    Trouble { word, text: text.into(), health, slows: None, over: false }
}

/// Has the kernel do one step, which it may not take for ever with.
async fn step<T: Send + 'static>(
    step: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let done = timeout(PATIENCE, blocking(step)).await.map_err(late)?;
    done.unwrap_or_else(|error| Err(error.into()))
}

/// What was told of already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Told {
    /// The start of the machine, as its kernel calls it.
    boot: Option<String>,
}
