//! The machine's clock: who may set it, and asking time servers for the time.

mod sntp;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, Timespec, clock_settime};
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::sntp::{Failure, measure};
use crate::{discovery::Networks, model::Model};

/// Where time is asked for.
pub(crate) const NTP_PORT: u16 = 123;
/// From this distance on the clock is set (RFC 5905, `STEPT`).
const STEP: TimeDelta = TimeDelta::milliseconds(128);
/// How often servers are asked at first, and at last (RFC 5905, 7.2).
const OFTEN: Duration = Duration::from_secs(64);
const SELDOM: Duration = Duration::from_secs(1024);
/// How long a name may take to become an address.
const LOOKUP: Duration = Duration::from_secs(5);

/// Why the clock is not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClockError {
    /// The configuration does not allow it.
    #[error("the configuration does not allow to set the clock")]
    NotAllowed,
    /// The kernel does not.
    #[error("the kernel does not let the agent set the clock")]
    Refused(#[source] io::Error),
}

/// Sets a clock.
type Set = dyn Fn(DateTime<Utc>) -> io::Result<()> + Send + Sync;

/// The clock, as far as the agent may set it.
#[derive(Clone)]
pub struct Clock(Option<Arc<Set>>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("allowed", &self.0.is_some()).finish()
    }
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn of_machine(allowed: bool) -> Self {
        Self(allowed.then(|| Arc::new(set) as Arc<Set>))
    }

    /// A clock that `set` sets, however it does.
    pub fn new(
        set: impl Fn(DateTime<Utc>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(set)))
    }

    /// Whether the configuration allows to set it.
    pub(crate) fn may_be_set(&self) -> bool {
        self.0.is_some()
    }

    /// Sets it.
    ///
    /// # Errors
    /// See [`ClockError`]; it is then as it was.
    pub(crate) fn set(&self, to: DateTime<Utc>) -> Result<(), ClockError> {
        let set = self.0.as_ref().ok_or(ClockError::NotAllowed)?;
        set(to).map_err(ClockError::Refused)
    }
}

fn set(to: DateTime<Utc>) -> io::Result<()> {
    let time = Timespec {
        tv_sec: to.timestamp(),
        tv_nsec: to.timestamp_subsec_nanos().into(),
    };
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Asks the time servers of the settings, and sets the clock where it is off,
/// until `stop`.
pub(crate) async fn keep(
    clock: Clock,
    networks: Arc<Networks>,
    model: Model,
    stop: CancellationToken,
) {
    let mut settings = networks.follow();
    loop {
        let now = settings.borrow_and_update().clone();
        let asking = async {
            if now.ntp && clock.may_be_set() {
                ask(&clock, &now.ntp_servers, &model).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = settings.changed() => if changed.is_err() { return },
            () = asking => {}
        }
    }
}

/// Asks `servers` by turns, for as long as there is one that may be asked.
async fn ask(clock: &Clock, servers: &[String], model: &Model) {
    let mut servers: Vec<&str> = servers
        .iter()
        .map(String::as_str)
        .filter(|it| !it.is_empty())
        .collect();
    let mut wait = OFTEN;
    while let Some(server) = servers.first().copied() {
        match once(server).await {
            Ok(offset) => {
                if offset.abs() < STEP || step(clock, server, offset) {
                    model.confirm_clock();
                }
                tracing::debug!(server, %offset, "time asked for");
                wait = (wait * 2).min(SELDOM);
            }
            Err(Failure::Unwanted(code)) => {
                tracing::warn!(server, code, "time server refuses; left out");
                servers.remove(0);
                continue;
            }
            Err(failure) => {
                tracing::warn!(server, error = %failure, "no time");
                if matches!(failure, Failure::TooOften) {
                    wait = SELDOM;
                }
                servers.rotate_left(1);
            }
        }
        sleep(wait).await;
    }
    tracing::warn!("no time server is left to ask");
}

/// Sets the clock; whether that worked.
fn step(clock: &Clock, server: &str, offset: TimeDelta) -> bool {
    let milliseconds = offset.num_milliseconds();
    let set = clock.set(Utc::now() + offset);
    match &set {
        Ok(()) => tracing::info!(server, milliseconds, "clock set"),
        Err(error) => {
            let error = onprem_link::log::Chain(error);
            tracing::warn!(server, milliseconds, %error, "clock not set");
        }
    }
    set.is_ok()
}

/// How far the clock is behind `server`.
async fn once(server: &str) -> Result<TimeDelta, Failure> {
    let addresses = timeout(LOOKUP, lookup_host((server, NTP_PORT))).await;
    let address: Option<SocketAddr> =
        addresses.map_err(|_| Failure::Silent)??.next();
    measure(address.ok_or(Failure::Silent)?).await
}
