//! The fleet: what every operation works with.

mod device;
mod look;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use onprem_link::id::Xid;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::Device,
    audit::Audit,
    auth::{Auth, Caller, Role},
    console::{Console, Host},
    devices::Devices,
    envelopes::Envelopes,
    error::Error,
    events::Events,
    join_tokens::JoinTokens,
    live::{Abilities, Live},
    store::{Store, StoreError},
    tasks::Tasks,
    tunnel::{Authority, GrantFor, Tunnels},
    wiring::Wiring,
};

/// The fleet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    auth: Auth,
    audit: Audit,
    events: Arc<Events>,
    devices: Arc<Devices>,
    join_tokens: Arc<JoinTokens>,
    tasks: Tasks,
    tunnels: Tunnels,
    abilities: Arc<Abilities>,
    wiring: Wiring,
    envelopes: Envelopes,
    authority: Arc<Authority>,
    console: Console,
    work: TaskTracker,
    audit_work: TaskTracker,
    stop: CancellationToken,
    started: Instant,
    api_address: OnceLock<SocketAddr>,
    devices_url: OnceLock<String>,
}

impl Fleet {
    /// Reads what the store holds.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn open(
        store: Arc<dyn Store>,
        tunnels: Tunnels,
        authority: Arc<Authority>,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let work = TaskTracker::new();
        let audit_work = TaskTracker::new();
        let events = Arc::new(Events::open(Arc::clone(&store)).await?);
        let devices = Devices::open(Arc::clone(&store), tunnels.clone());
        let devices = Arc::new(devices.await?);
        let join_tokens = JoinTokens::open(
            Arc::clone(&store),
            Arc::clone(&devices),
            Arc::clone(&events),
        );
        Ok(Self(Arc::new(Inner {
            auth: Auth::open(&store).await?,
            audit: Audit::open(Arc::clone(&store), &audit_work).await?,
            tasks: Tasks::open(Arc::clone(&store), Arc::clone(&events)).await?,
            join_tokens: Arc::new(join_tokens.await?),
            events,
            devices,
            store,
            tunnels,
            abilities: Arc::default(),
            wiring: Wiring::default(),
            envelopes: Envelopes::default(),
            authority,
            console: Console::new(),
            work,
            audit_work,
            stop,
            started: Instant::now(),
            api_address: OnceLock::new(),
            devices_url: OnceLock::new(),
        })))
    }

    /// The accounts, their tokens and sessions.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.0.devices
    }

    /// What happened.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The tasks that were asked for.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// The connections to the devices.
    #[must_use]
    pub fn tunnels(&self) -> &Tunnels {
        &self.0.tunnels
    }

    /// Who may join, and who belongs.
    #[must_use]
    pub fn join_tokens(&self) -> &Arc<JoinTokens> {
        &self.0.join_tokens
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    pub(crate) fn wiring(&self) -> &Wiring {
        &self.0.wiring
    }

    /// The outlines of recordings.
    pub(crate) fn envelopes(&self) -> &Envelopes {
        &self.0.envelopes
    }

    pub(crate) fn abilities(&self) -> &Abilities {
        &self.0.abilities
    }

    /// Is cancelled when the server ends.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// The work that is to end before the server does.
    #[must_use]
    pub fn work(&self) -> &TaskTracker {
        &self.0.work
    }

    /// Does `work` beside the request; it is broken off when the server ends.
    pub(crate) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.0.stop.clone();
        self.0.work.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Where this process answers the API in plain HTTP, once it does.
    #[must_use]
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.0.api_address.get().copied()
    }

    /// Notes where the listeners are.
    pub(crate) fn bound(&self, api: SocketAddr, devices_url: String) {
        // They are bound once.
        let _ = self.0.api_address.set(api);
        let _ = self.0.devices_url.set(devices_url);
        self.0.console.bound_at(api);
    }

    /// Waits until all work beside requests has ended, but for the audit log.
    pub(crate) async fn stopped(&self) {
        self.0.console.stop().await;
        self.0.work.close();
        self.0.work.wait().await;
    }

    /// Closes the store, once nobody uses it any more.
    pub(crate) async fn close(self) {
        let audit_work = self.0.audit_work.clone();
        audit_work.close();
        // The audit log ends with the fleet.
        drop(self);
        audit_work.wait().await;
    }

    /// What `device` says of itself, asked for by `caller`.
    ///
    /// # Errors
    /// There is no such device.
    pub fn live(&self, caller: &Caller, device: &str) -> Result<Live, Error> {
        let device = self.0.devices.get(device)?;
        Ok(self.asked_by(caller.account(), caller.role(), device))
    }

    /// What `device` says of itself, asked for by the fleet itself.
    #[must_use]
    pub fn live_as(
        &self,
        subject: &str,
        role: Role,
        device: Xid,
    ) -> Option<Live> {
        let device = self.0.devices.find(&device.to_string())?;
        Some(self.asked_by(subject, role, device))
    }

    fn asked_by(&self, subject: &str, role: Role, device: Arc<Device>) -> Live {
        let grant = GrantFor { subject: subject.to_owned(), role: role.into() };
        Live::new(
            self.0.tunnels.clone(),
            Arc::clone(&self.0.abilities),
            Arc::clone(&self.0.devices),
            device,
            grant,
        )
    }
}

impl Host for Fleet {
    fn console(&self) -> &Console {
        &self.0.console
    }
}
