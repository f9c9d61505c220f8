//! Lists, and what the fleet is as a whole.

use chrono::{TimeDelta, Utc};
use dropshot::ResultsPage;

use super::Fleet;
use crate::{
    api::{
        AuditRecord, AuditRecordFilter, DeviceState, Event, EventFilter,
        Health, JoinToken, JoinTokenCreate, JoinTokenCreated, JoinTokenFilter,
        Link, Overview, Page, ServerHealth, Task, TaskFilter, TaskState,
    },
    auth::Caller,
    error::Error,
    store::Collection,
};

impl Fleet {
    /// Which ports are joined, or those of one device.
    ///
    /// # Errors
    /// There is no such device.
    pub(crate) fn links(&self, of: Option<&str>) -> Result<Vec<Link>, Error> {
        let of = of.map(|name| self.0.devices.get(name)).transpose()?;
        let devices = self.0.devices.all();
        Ok(self.0.wiring.links(&devices, of.map(|device| device.id)))
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
            // How one is that is away, nobody can tell.
            let is_here = device.state == DeviceState::Online;
            match device.health.filter(|_| is_here) {
                Some(Health::Warning) => overview.devices_warning += 1,
                Some(Health::Critical) => overview.devices_critical += 1,
                Some(Health::Ok) | None => {}
            }
        }
        let yesterday = Utc::now() - TimeDelta::days(1);
        overview.tasks_running = self.0.tasks.count(Task::is_open);
        overview.tasks_failed = self.0.tasks.count(|task| {
            task.state == TaskState::Failed
                && task.finished_at.is_some_and(|at| at >= yesterday)
        });
        overview
    }
}
