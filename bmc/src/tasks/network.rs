//! Owns what joins the systems: looks at wires and switches, and changes
//! ports. A change holds for a while, and stays only if somebody confirms it
//! in that time; nobody locks himself out.

use std::{io, path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use onprem_link::{log::Chain, task::blocking};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::{
        Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    commands::{
        Command, CommandError, NetworkChange, Outcome, PortWish, Stage,
    },
    fabric::{PortSettings, Wiring},
    model::{Id, Membership, Model, Part, Staged, SwitchPort},
    state::{StateError, load_or_put_aside},
    writer::Writer,
};

/// How often everything is looked at, and counters are read.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long changes that come in a row are left to come.
const REST: Duration = Duration::from_millis(30);

/// How long a disk may take.
const DISK: Duration = Duration::from_secs(5);

/// What is on disk while a change waits to be confirmed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    back: Option<Back>,
}

/// The way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Back {
    switch: Id,
    port: Id,
    settings: PortSettings,
}

/// A change that waits to be confirmed.
struct Waiting {
    back: Back,
    until: Instant,
    outcome: oneshot::Sender<Outcome>,
}

/// The owner of the wires.
pub(crate) struct Owner {
    wiring: Arc<dyn Wiring>,
    model: Model,
    writer: Writer,
    /// How long a change waits to be confirmed.
    patience: Duration,
    waiting: Option<Waiting>,
    /// What could not be put back yet.
    back: Option<Back>,
}

impl Owner {
    /// The owner of `wiring`, which keeps in `folder` what is to be put back.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn open(
        wiring: Arc<dyn Wiring>,
        model: Model,
        folder: &Path,
        patience: Duration,
    ) -> Result<Self, StateError> {
        let file = folder.join("network-change.json");
        let kept: Kept = load_or_put_aside(&file)?;
        if kept.back.is_some() {
            warn!("a change of the network was not confirmed: it is undone");
        }
        let back = kept.back;
        Ok(Self {
            wiring,
            model,
            writer: Writer::new(file),
            patience,
            waiting: None,
            back,
        })
    }

    /// Carries out changes one after the other until `stop`.
    pub(crate) async fn own(
        mut self,
        mut commands: mpsc::Receiver<Command<NetworkChange, Option<Stage>>>,
        stop: CancellationToken,
    ) {
        self.put_back().await;
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wiring = Arc::clone(&self.wiring);
            tokio::select! {
                () = stop.cancelled() => break,
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                () = wiring.changed() => {
                    sleep(REST).await;
                    self.look().await;
                }
                _ = ticks.tick() => {
                    self.put_back().await;
                    self.look().await;
                }
                reason = expired(&mut self.waiting) => {
                    self.undo(reason).await;
                }
            }
        }
        if self.waiting.is_some() {
            self.undo(Outcome::Stopped).await;
        }
    }

    async fn obey(&mut self, command: Command<NetworkChange, Option<Stage>>) {
        let Command { part, what, answer } = command;
        let result = match what {
            NetworkChange::Port(wish) => {
                self.stage(&part, wish).await.map(Some)
            }
            NetworkChange::Confirm(id) => {
                self.keep(&part, id).await.map(|()| None)
            }
            NetworkChange::Revert(id) if self.waits(&part, id) => {
                self.undo(Outcome::Cancelled).await;
                Ok(None)
            }
            NetworkChange::Revert(_) => {
                Err(CommandError::Unknown { part: part.clone() })
            }
        };
        if let Err(reason) = &result {
            warn!(%part, %reason, "network unchanged");
        }
        // The one who asked may have given up: then the way back is taken, as
        // nobody waits for the outcome.
        let _ = answer.send(result);
    }

    /// Looks what is there.
    async fn look(&self) {
        let wiring = Arc::clone(&self.wiring);
        match blocking(move || wiring.look()).await {
            Ok(Ok(look)) => {
                self.model.post_network(look.network, look.counters);
            }
            Ok(Err(error)) => warn!(%error, "wires not looked at"),
            Err(error) => warn!(%error, "wires not looked at"),
        }
    }

    async fn set(&self, to: Back) -> io::Result<()> {
        let wiring = Arc::clone(&self.wiring);
        let Back { switch, port, settings } = to;
        let setting = blocking(move || wiring.set(&switch, &port, &settings));
        let done = setting
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
        self.look().await;
        done
    }

    /// Changes a port until somebody confirms it.
    async fn stage(
        &mut self,
        on: &Part,
        wish: PortWish,
    ) -> Result<Stage, CommandError> {
        if self.waiting.is_some() || self.back.is_some() {
            return Err(CommandError::Unconfirmed { part: on.clone() });
        }
        // What is so now counts, not what was so a moment ago.
        self.look().await;
        let unknown = || CommandError::Unknown { part: on.clone() };
        let Part::Chassis(fabric) = on else { return Err(unknown()) };
        let snapshot = self.model.snapshot();
        let switch = snapshot.network.switch(fabric, &wish.switch);
        let switch = switch.ok_or_else(unknown)?;
        let mut ports = switch.ports.iter();
        let port = ports.find(|port| port.id == wish.port);
        let port = port.ok_or_else(unknown)?;
        if !switch.changeable {
            return Err(CommandError::Refused {
                part: on.clone(),
                what: "change a port",
                key: "allow_network_changes",
            });
        }
        if !switch.filters && wish.is_about_vlans() {
            return Err(CommandError::Unsupported {
                part: on.clone(),
                what: "keep VLANs apart",
            });
        }
        let before = settings_of(port);
        let settings = wish.applied(&before);
        let address = |settings| Back {
            switch: wish.switch.clone(),
            port: wish.port.clone(),
            settings,
        };
        let back = address(before.clone());
        // On disk before it happens: whatever ends the agent, the next one
        // knows the way back.
        self.note(Some(&back))
            .await
            .map_err(|error| CommandError::unkept(on, &error))?;
        if let Err(error) = self.set(address(settings.clone())).await {
            self.back = Some(back);
            self.put_back().await;
            let reason = error.to_string();
            return Err(CommandError::Failed { part: on.clone(), reason });
        }
        let (outcome, told) = oneshot::channel();
        let until = Instant::now() + self.patience;
        self.waiting = Some(Waiting { back, until, outcome });
        let since = Utc::now();
        let staged = Staged {
            id: Uuid::new_v4(),
            by: wish.by.clone(),
            since,
            fabric: fabric.clone(),
            switch: wish.switch.clone(),
            port: wish.port.clone(),
            until: since + self.patience,
        };
        self.model.post_staged(Some(staged.clone()));
        info!(
            change = %staged.id, by = %staged.by,
            %fabric, switch = %wish.switch, port = %wish.port, ?settings,
            seconds = self.patience.as_secs(),
            "port changed, to be confirmed"
        );
        Ok(Stage { staged, outcome: told })
    }

    /// Whether the change `id` waits in the fabric `part`.
    fn waits(&self, part: &Part, id: Uuid) -> bool {
        let staged = self.model.snapshot().staged.clone();
        let here = staged.is_some_and(|it| {
            let fabric = Part::Chassis(it.fabric.clone());
            it.id == id && fabric == *part
        });
        here && self.waiting.is_some()
    }

    /// Lets the change that waits stay, if it is the one called `id`.
    async fn keep(
        &mut self,
        part: &Part,
        id: Uuid,
    ) -> Result<(), CommandError> {
        if !self.waits(part, id) {
            return Err(CommandError::Unknown { part: part.clone() });
        }
        // As long as the way back is on disk, the next agent takes it.
        self.note(None)
            .await
            .map_err(|error| CommandError::unkept(part, &error))?;
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.outcome.send(Outcome::Kept);
        }
        self.model.post_staged(None);
        info!(%part, change = %id, "port change confirmed");
        Ok(())
    }

    /// Takes the way back, which is told with this reason.
    async fn undo(&mut self, reason: Outcome) {
        let Some(waiting) = self.waiting.take() else { return };
        warn!(%reason, port = %waiting.back.port, "port change undone");
        self.back = Some(waiting.back);
        self.put_back().await;
        self.model.post_staged(None);
        // Whoever cancelled the task does not listen.
        let _ = waiting.outcome.send(reason);
    }

    /// Puts back what is to be put back, now or at the next tick.
    async fn put_back(&mut self) {
        let Some(back) = self.back.clone() else { return };
        match self.set(back.clone()).await {
            Ok(()) => info!(port = %back.port, "port is as it was"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warn!(port = %back.port, "the port is gone");
            }
            // Who may not put it back could not change it either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                warn!(port = %back.port, %error, "the port is not ours");
            }
            Err(error) => {
                error!(%error, port = %back.port, "port not put back yet");
                return;
            }
        }
        self.back = None;
        if let Err(error) = self.note(None).await {
            // It is put back once more by the next agent, which harms nobody.
            warn!(error = %Chain(&error), "it is not kept that it is undone");
        }
    }

    async fn note(&mut self, back: Option<&Back>) -> io::Result<()> {
        let kept = Kept { back: back.cloned() };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(DISK, self.writer.write(text)).await.map_err(late)?
    }
}

/// When the change that waits is to be undone, and why.
async fn expired(waiting: &mut Option<Waiting>) -> Outcome {
    let Some(waiting) = waiting else { return std::future::pending().await };
    tokio::select! {
        () = sleep_until(waiting.until) => Outcome::Expired,
        () = waiting.outcome.closed() => Outcome::Cancelled,
    }
}

fn settings_of(port: &SwitchPort) -> PortSettings {
    let enabled = port.wire.enabled;
    PortSettings { enabled, vlans: port.vlans.clone() }
}

impl PortWish {
    fn is_about_vlans(&self) -> bool {
        let Self { native, tagged, join, leave, .. } = self;
        native.is_some()
            || tagged.is_some()
            || join.is_some()
            || leave.is_some()
    }

    /// How a port is set that was set as in `before`.
    fn applied(&self, before: &PortSettings) -> PortSettings {
        let mut after = before.clone();
        after.enabled = self.enabled.unwrap_or(before.enabled);
        let native = Membership { untagged: true, native: true };
        let carried = Membership { untagged: false, native: false };
        if let Some(tagged) = &self.tagged {
            after.vlans.retain(|_, how| how.untagged);
            for vlan in tagged {
                after.vlans.entry(*vlan).or_insert(carried);
            }
        }
        if let Some(wanted) = self.native {
            after.vlans.retain(|_, how| !how.untagged);
            if let Some(vlan) = wanted {
                after.vlans.insert(vlan, native);
            }
        }
        if let Some(vlan) = self.join {
            let has_native = after.vlans.values().any(|how| how.native);
            let how = if has_native { carried } else { native };
            after.vlans.entry(vlan).or_insert(how);
        }
        if let Some(vlan) = self.leave {
            after.vlans.remove(&vlan);
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Memberships, VlanId};

    fn vlan(number: u64) -> VlanId {
        VlanId::new(number).unwrap()
    }

    fn settings(untagged: Option<u64>, tagged: &[u64]) -> PortSettings {
        let how = |native| Membership { untagged: native, native };
        let tagged = tagged.iter().map(|it| (vlan(*it), how(false)));
        let mut vlans: Memberships = tagged.collect();
        vlans.extend(untagged.map(|it| (vlan(it), how(true))));
        PortSettings { enabled: true, vlans }
    }

    #[test]
    fn a_port_has_one_vlan_without_a_tag() {
        let before = settings(Some(1), &[20, 30]);
        let native = Some(Some(vlan(10)));
        let wish = PortWish { native, ..PortWish::default() };
        assert_eq!(wish.applied(&before), settings(Some(10), &[20, 30]));
        // One that it was in with a tag changes how it is in it.
        let native = Some(Some(vlan(20)));
        let wish = PortWish { native, ..PortWish::default() };
        assert_eq!(wish.applied(&before), settings(Some(20), &[30]));
        let wish = PortWish { native: Some(None), ..PortWish::default() };
        assert_eq!(wish.applied(&before), settings(None, &[20, 30]));
        let tagged = Some([vlan(40)].into());
        let wish = PortWish { tagged, ..PortWish::default() };
        assert_eq!(wish.applied(&before), settings(Some(1), &[40]));
    }

    #[test]
    fn joining_a_vlan_takes_no_other_away() {
        let join = Some(vlan(10));
        let wish = PortWish { join, ..PortWish::default() };
        let after = wish.applied(&settings(Some(1), &[]));
        assert_eq!(after, settings(Some(1), &[10]));
        assert_eq!(wish.applied(&settings(None, &[])), settings(Some(10), &[]));
        let leave = Some(vlan(1));
        let wish = PortWish { leave, ..PortWish::default() };
        let after = wish.applied(&settings(Some(1), &[10]));
        assert_eq!(after, settings(None, &[10]));
    }
}
