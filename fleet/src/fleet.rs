//! The fleet: what every operation works with.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use chrono::{TimeDelta, Utc};
use dropshot::ResultsPage;
use onprem_link::id::Xid;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{
        AuditRecord, AuditRecordFilter, CaptureCreate, Device, DeviceState,
        DeviceUpdate, Event, EventFilter, EventKind, Health, JoinToken,
        JoinTokenCreate, JoinTokenCreated, JoinTokenFilter, Overview, Page,
        ResetType, ServerHealth, Severity, Task, TaskFilter, TaskState,
    },
    audit::Audit,
    auth::{Auth, Caller, Role},
    console::{Console, Host},
    devices::{Devices, Heard},
    error::Error,
    events::{self, Events},
    join_tokens::JoinTokens,
    live::{Abilities, Live},
    store::{Collection, Store, StoreError},
    tasks::{self, Tasks},
    tunnel::{Authority, GrantFor, Tunnels},
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
            device,
            grant,
        )
    }

    /// Changes a device.
    ///
    /// # Errors
    /// There is no such device; the name is taken; it is not connected.
    pub async fn device_update(
        &self,
        caller: &Caller,
        device: &str,
        change: DeviceUpdate,
    ) -> Result<Device, Error> {
        let known = self.0.devices.get(device)?;
        change.check()?;
        let id = known.id.to_string();
        if let Some(name) = &change.name
            && let Some(holder) = self.0.devices.find(name.as_str())
            && holder.id != known.id
        {
            return Err(name_taken(name.as_str()));
        }
        // The device may refuse; then nothing is changed.
        if let Some(tag) = &change.asset_tag {
            self.live(caller, &id)?.set_asset_tag(tag).await?;
        }
        let updated = self
            .0
            .devices
            .table
            .update(&id, |device| {
                if let Some(name) = &change.name {
                    device.name = name.clone();
                }
                if let Some(tags) = &change.tags {
                    device.tags.clone_from(tags);
                }
                if let Some(tag) = &change.asset_tag {
                    let tag = Some(tag.clone());
                    device.asset_tag = tag.filter(|tag| !tag.is_empty());
                }
                Ok::<_, StoreError>(())
            })
            .await;
        let updated = match updated {
            Err(StoreError::Taken { value, .. }) => {
                return Err(name_taken(&value));
            }
            updated => updated?,
        };
        let updated =
            updated.ok_or_else(|| Error::not_found("device", device))?;
        let message = changes(&known, &change, caller);
        self.tell(&updated, EventKind::DeviceChanged, message).await;
        Ok(self.0.devices.now(&updated))
    }

    /// Deletes a device and cuts its connection.
    ///
    /// # Errors
    /// There is no such device.
    pub async fn device_delete(
        &self,
        caller: &Caller,
        device: &str,
    ) -> Result<(), Error> {
        let device = self.0.devices.get(device)?;
        self.0.join_tokens.delete_device(&device).await?;
        self.0.tunnels.cut(device.id);
        self.0.abilities.forget(device.id);
        let by = caller.account();
        let message = format!("{} was deleted by {by}", device.name);
        self.tell(&device, EventKind::DeviceDeleted, message).await;
        Ok(())
    }

    /// Puts the new key of a device in the place of the old one.
    ///
    /// # Errors
    /// There is no such device; it has no new key.
    pub async fn device_approve(
        &self,
        caller: &Caller,
        device: &str,
    ) -> Result<Device, Error> {
        let id = self.0.devices.get(device)?.id;
        let approved = self
            .0
            .devices
            .table
            .update(&id.to_string(), |device| {
                let Some(key) = device.pending_key.take() else {
                    return Err(Error::Conflict {
                        pointer: None,
                        message: format!(
                            "device `{}` has no new key",
                            device.name
                        ),
                    });
                };
                device.key_fingerprint = Some(key.fingerprint);
                Ok(())
            })
            .await?;
        let approved =
            approved.ok_or_else(|| Error::not_found("device", device))?;
        // Whoever holds the old key is not the device any more.
        self.0.tunnels.cut(id);
        let by = caller.account();
        let message = format!("{}: {by} approved its new key", approved.name);
        self.tell(&approved, EventKind::DeviceChanged, message).await;
        Ok(self.0.devices.now(&approved))
    }

    /// Begins to reset a device.
    ///
    /// # Errors
    /// There is no such device; it is not connected.
    pub async fn device_reset(
        &self,
        caller: &Caller,
        device: &str,
        kind: ResetType,
        nodes: &[String],
    ) -> Result<Task, Error> {
        let device = self.0.devices.get(device)?;
        tasks::reset(self, caller, &device, kind, nodes).await
    }

    /// Begins to record with an instrument of a device.
    ///
    /// # Errors
    /// There is no such device; it is not connected.
    pub async fn device_capture(
        &self,
        caller: &Caller,
        device: &str,
        wanted: &CaptureCreate,
    ) -> Result<Task, Error> {
        let device = self.0.devices.get(device)?;
        tasks::capture(self, caller, &device, wanted).await
    }

    /// Switches the locator light of a device.
    ///
    /// # Errors
    /// There is no such device; it cannot be asked.
    pub async fn device_identify(
        &self,
        caller: &Caller,
        device: &str,
        on: bool,
    ) -> Result<(), Error> {
        self.live(caller, device)?.set_locator(on).await
    }

    async fn tell(&self, device: &Device, kind: EventKind, message: String) {
        let event = events::about(device, kind, Severity::Info, message);
        self.0.events.tell(event).await;
    }

    pub(crate) fn tasks_list(
        &self,
        page: &Page<TaskFilter>,
    ) -> Result<ResultsPage<Task>, Error> {
        let device = page.filter.device.as_deref();
        let device = device.and_then(|name| self.0.devices.find(name));
        self.0.tasks.list(page, device.map(|device| device.id))
    }

    pub(crate) fn join_tokens_list(
        &self,
        page: &Page<JoinTokenFilter>,
    ) -> Result<ResultsPage<JoinToken>, Error> {
        self.0.join_tokens.list(page)
    }

    pub(crate) async fn join_token_create(
        &self,
        caller: &Caller,
        request: JoinTokenCreate,
    ) -> Result<JoinTokenCreated, Error> {
        let ca = self.0.authority.fingerprint();
        let (token, secret) =
            self.0.join_tokens.create(caller, request, ca).await?;
        let url = self.0.devices_url.get();
        Ok(JoinTokenCreated {
            id: token.id,
            token: secret.reveal(),
            fleet_url: url.cloned().unwrap_or_default(),
            uses_left: token.uses_left,
            expires_at: token.expires_at,
        })
    }

    /// A page of the events, the newest first.
    pub(crate) async fn events_list(
        &self,
        page: &Page<EventFilter>,
    ) -> Result<ResultsPage<Event>, Error> {
        let device = page.filter.device.as_deref();
        let device = device.and_then(|name| self.0.devices.find(name));
        self.0.events.page(page, device.map(|device| device.id)).await
    }

    /// A page of the audit log, the newest first.
    pub(crate) async fn audit_records(
        &self,
        page: &Page<AuditRecordFilter>,
    ) -> Result<ResultsPage<AuditRecord>, Error> {
        let name = page.filter.device.as_deref();
        let device = name.and_then(|name| self.0.devices.find(name));
        // A device that was deleted is still known by its id.
        let device = device
            .map(|device| device.id)
            .or_else(|| name.and_then(|id| id.parse().ok()));
        self.0.audit.page(page, device).await
    }

    /// How the server is.
    pub(crate) async fn health(&self) -> Result<ServerHealth, Error> {
        self.0.store.get(Collection::Accounts, "").await?;
        Ok(ServerHealth {
            health: Health::Ok,
            uptime_seconds: self.0.started.elapsed().as_secs(),
        })
    }

    /// How the fleet is, in numbers.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let mut overview = Overview::default();
        for device in self.0.devices.all() {
            overview.devices += 1;
            *match device.state {
                DeviceState::Online => &mut overview.devices_online,
                DeviceState::Offline => &mut overview.devices_offline,
                DeviceState::Waiting => &mut overview.devices_waiting,
            } += 1;
            overview.devices_tainted += u64::from(device.tainted);
            match device.health {
                Some(Health::Warning) => overview.devices_warning += 1,
                Some(Health::Critical) => overview.devices_critical += 1,
                Some(Health::Ok) | None => {}
            }
        }
        let yesterday = Utc::now() - TimeDelta::days(1);
        for task in self.0.tasks.all() {
            let failed = task.state == TaskState::Failed
                && task.finished_at.is_some_and(|at| at >= yesterday);
            overview.tasks_running += u64::from(task.is_open());
            overview.tasks_failed += u64::from(failed);
        }
        overview
    }

    /// Keeps what a device said of itself, and tells what is news.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn heard(&self, device: Xid, heard: Heard) -> Result<(), Error> {
        let known = || self.devices().find(&device.to_string());
        let before = known();
        self.0.devices.heard(device, heard).await?;
        if let (Some(before), Some(now)) = (before, known())
            && let Some((severity, message)) =
                tasks::inventory::news(&before, &now)
        {
            let kind = EventKind::DeviceChanged;
            let event = events::about(&now, kind, severity, message);
            self.0.events.tell(event).await;
        }
        Ok(())
    }
}

impl Host for Fleet {
    fn console(&self) -> &Console {
        &self.0.console
    }
}

/// What somebody changed in a device, in words.
fn changes(known: &Device, change: &DeviceUpdate, who: &Caller) -> String {
    let mut what = Vec::new();
    if let Some(name) = &change.name {
        what.push(format!("name `{}`", name.as_str()));
    }
    if let Some(tag) = &change.asset_tag {
        what.push(format!("asset tag `{tag}`"));
    }
    if change.tags.is_some() {
        what.push("tags".into());
    }
    format!("{} was given {} by {}", known.name, what.join(", "), who.account())
}

fn name_taken(name: &str) -> Error {
    Error::conflict("/name", format!("the name `{name}` is taken"))
}
