//! What is done to a device, and what is heard of it.

use onprem_link::id::Xid;

use super::Fleet;
use crate::{
    api::{
        CaptureCreate, Device, DeviceUpdate, EventKind, ResetType, Severity,
        Task,
    },
    auth::Caller,
    devices::Heard,
    error::Error,
    events,
    store::StoreError,
    tasks,
};

impl Fleet {
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
        self.0.wiring.forget(device.id);
        let by = caller.account();
        let message = format!("{} was deleted by {by}", device.name);
        self.tell(&device, EventKind::DeviceDeleted, message).await;
        Ok(())
    }

    /// Puts the new key of a device in the place of the old one: whichever
    /// waits, or that of this fingerprint.
    ///
    /// # Errors
    /// There is no such device; it has no new key, or another.
    pub async fn device_approve(
        &self,
        caller: &Caller,
        device: &str,
        fingerprint: Option<&str>,
    ) -> Result<Device, Error> {
        let id = self.0.devices.get(device)?.id;
        let approved = self
            .0
            .devices
            .table
            .update(&id.to_string(), |device| {
                let name = &device.name;
                let Some(key) = device.pending_key.take() else {
                    let message = format!("device `{name}` has no new key");
                    return Err(Error::Conflict { pointer: None, message });
                };
                let meant =
                    |it: &str| it.eq_ignore_ascii_case(&key.fingerprint);
                if !fingerprint.is_none_or(meant) {
                    let message = format!(
                        "another key waits now: `{}` since {}",
                        key.fingerprint,
                        key.since.to_rfc3339()
                    );
                    return Err(Error::conflict("/fingerprint", message));
                }
                device.key_fingerprint = Some(key.fingerprint);
                Ok(())
            })
            .await?;
        let approved =
            approved.ok_or_else(|| Error::not_found("device", device))?;
        // Whoever holds the old key is not the device any more.
        self.0.tunnels.cut(id);
        let by = caller.account();
        let key = approved.key_fingerprint.as_deref().unwrap_or_default();
        let name = &approved.name;
        let message = format!("{name}: {by} approved its new key `{key}`");
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
