//! Commands: what can be asked of the parts, and how they answer.

use std::{collections::BTreeSet, fmt, io, time::Duration};

use onprem_link::{file::is_full, span::in_words};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    leave::Leave,
    model::{
        BootEnabled, BootSource, ControlMode, Id, Part, PowerRestorePolicy,
        Staged, TimeoutAction, VlanId, VolumeFault, VolumeWish,
    },
    node_agent::NodeAgents,
};

/// How long a part may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How many commands may wait for their owner.
pub(crate) const QUEUE: usize = 16;

/// The ways to change a system's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResetType {
    /// Power on.
    On,
    /// Power off at once.
    ForceOff,
    /// Ask the operating system to shut down, then power off.
    GracefulShutdown,
    /// Ask the operating system to start again.
    GracefulRestart,
    /// Power off at once, then on.
    ForceRestart,
    /// Power on, whatever the state.
    ForceOn,
    /// Press the power button.
    PushPowerButton,
    /// Take the power away for a while.
    PowerCycle,
}

impl ResetType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::On,
        Self::ForceOff,
        Self::GracefulShutdown,
        Self::GracefulRestart,
        Self::ForceRestart,
        Self::ForceOn,
        Self::PushPowerButton,
        Self::PowerCycle,
    ];

    /// The word for it, as Redfish writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::ForceOff => "ForceOff",
            Self::GracefulShutdown => "GracefulShutdown",
            Self::GracefulRestart => "GracefulRestart",
            Self::ForceRestart => "ForceRestart",
            Self::ForceOn => "ForceOn",
            Self::PushPowerButton => "PushPowerButton",
            Self::PowerCycle => "PowerCycle",
        }
    }
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such part.
    #[error("there is no {part}")]
    Unknown {
        /// The part that was asked for.
        part: Part,
    },
    /// The part cannot do that.
    #[error("{part} cannot do `{what}`")]
    Unsupported {
        /// The part.
        part: Part,
        /// What was asked.
        what: &'static str,
    },
    /// The configuration forbids it.
    #[error("`{what}` on {part} is not allowed: `{key}` is not set")]
    Refused {
        /// The part.
        part: Part,
        /// What was asked.
        what: &'static str,
        /// The configuration key that would allow it.
        key: &'static str,
    },
    /// The value cannot be taken.
    #[error("`{value}` is no {what}: {reason}")]
    Invalid {
        /// What was to be set.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No such volume can be made.
    #[error("the volume cannot be made")]
    Volume {
        /// Why.
        #[from]
        fault: VolumeFault,
    },
    /// It is too warm, or nobody knows how warm it is.
    #[error("{part} is left to itself because of sensor `{sensor}`")]
    Alarm {
        /// The part.
        part: Part,
        /// The sensor that says so, or says nothing.
        sensor: Id,
    },
    /// Something that it is interlocked with forbids it.
    #[error("a switch of {part} cannot be on because of {other}")]
    Interlock {
        /// The part.
        part: Part,
        /// Where that is.
        other: String,
    },
    /// It was switched a moment ago.
    #[error("a switch of {part} can be switched in {} s", wait.as_secs())]
    TooSoon {
        /// The part.
        part: Part,
        /// How long until it may be switched.
        wait: Duration,
    },
    /// The disk is full, and it would not last.
    #[error("what is set on {part} cannot be kept: the disk is full")]
    Full {
        /// The part.
        part: Part,
    },
    /// It is off, and what was asked is for what runs.
    #[error("{part} is off")]
    Off {
        /// The part.
        part: Part,
    },
    /// It was started again too often.
    #[error(
        "{part} was started {limit} times within an hour: once more in {}",
        in_words(*wait)
    )]
    TooOften {
        /// The part.
        part: Part,
        /// How often it may be started within an hour.
        limit: usize,
        /// How long until it may be started again.
        wait: Duration,
    },
    /// Too many commands wait already, or another one is under way.
    #[error("{part} is busy")]
    Busy {
        /// The part.
        part: Part,
    },
    /// The part did not answer in time; whether it acted is not known.
    #[error("{part} did not answer in time")]
    Timeout {
        /// The part.
        part: Part,
    },
    /// Another change of the network waits to be confirmed.
    #[error("a change of {part} waits to be confirmed or undone")]
    Unconfirmed {
        /// The part.
        part: Part,
    },
    /// It was tried and did not work.
    #[error("{part} failed: {reason}")]
    Failed {
        /// The part.
        part: Part,
        /// What went wrong.
        reason: String,
    },
}

impl CommandError {
    /// What was asked of `part` cannot be done or kept because of `error`.
    pub(crate) fn unkept(part: &Part, error: &io::Error) -> Self {
        let part = part.clone();
        if is_full(error) {
            return Self::Full { part };
        }
        Self::Failed { part, reason: error.to_string() }
    }
}

/// A change of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// What the owner's books call the part.
    AssetTag(String),
    /// The host name of the part; its own if there is none.
    HostName(Option<String>),
    /// Whether the part shows somebody in the room where it is.
    LocationIndicator(bool),
    /// What a system does when the power comes back.
    PowerRestorePolicy(PowerRestorePolicy),
    /// For how many starts a system starts from elsewhere.
    BootEnabled(BootEnabled),
    /// Where a system starts from; from its usual place where there is
    /// nothing.
    BootTarget(Option<BootSource>),
    /// Whether a system's watchdog watches.
    WatchdogEnabled(bool),
    /// What a system's watchdog does.
    WatchdogAction(TimeoutAction),
}

/// A change of a control.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlChange {
    /// Which control of the chassis.
    pub control: Id,
    /// Who shall decide, if that changes.
    pub mode: Option<ControlMode>,
    /// What it shall do, in percent, if that changes.
    pub set_point: Option<f64>,
    /// For how long a person has it, if not as long as usual.
    pub lease: Option<Duration>,
}

/// A change of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchChange {
    /// Which switch of the chassis.
    pub switch: Id,
    /// Whether it shall be on.
    pub on: bool,
}

/// A change of the volumes of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeChange {
    /// One is to be made in this storage subsystem.
    Create(Id, VolumeWish),
    /// The one in this storage subsystem is to be removed.
    Delete(Id, Id),
}

impl VolumeChange {
    /// The storage subsystem it is about.
    #[must_use]
    pub fn storage(&self) -> &Id {
        match self {
            Self::Create(storage, _) | Self::Delete(storage, _) => storage,
        }
    }
}

/// A change of what joins the systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkChange {
    /// A port is to be set, until somebody confirms it.
    Port(PortWish),
    /// The change with this id, which waits to be confirmed, shall stay.
    Confirm(Uuid),
    /// It shall be undone now.
    Revert(Uuid),
}

/// How a port of a switch shall be set; what is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortWish {
    /// Who wants it.
    pub by: String,
    /// The switch.
    pub switch: Id,
    /// The port of it.
    pub port: Id,
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// The VLAN that it is in without a tag, if it is in one.
    pub native: Option<Option<VlanId>>,
    /// The VLANs that it is in with a tag.
    pub tagged: Option<BTreeSet<VlanId>>,
    /// A VLAN that it shall be in as well.
    pub join: Option<VlanId>,
    /// A VLAN that it shall not be in.
    pub leave: Option<VlanId>,
}

/// A change that waits to be confirmed. It is undone when nobody waits for
/// its outcome any more.
#[derive(Debug)]
pub struct Stage {
    /// What changed, and until when it waits.
    pub staged: Staged,
    /// What becomes of it.
    pub outcome: oneshot::Receiver<Outcome>,
}

/// What became of a change that waited to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stays.
    Kept,
    /// It was undone: nobody confirmed it in time.
    Expired,
    /// It was undone: somebody wanted that.
    Cancelled,
    /// It was undone: the agent stopped.
    Stopped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "it was confirmed",
            Self::Expired => "nobody confirmed it in time",
            Self::Cancelled => "it was cancelled",
            Self::Stopped => "the agent stopped",
        })
    }
}

/// A command to the owner of a part, with the way for the answer.
#[derive(Debug)]
pub(crate) struct Command<C, A = ()> {
    pub(crate) part: Part,
    pub(crate) what: C,
    pub(crate) answer: oneshot::Sender<Result<A, CommandError>>,
}

/// A change of power.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Switching {
    Reset {
        kind: ResetType,
        /// It is done only as long as somebody waits for it, and the model
        /// counts so many turns of the system: nobody else switched it.
        only_at: Option<u64>,
    },
    /// Leaves on what was about to be cut, if it still is on.
    Withdraw,
}

impl Switching {
    /// What it is called in a log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reset { kind, .. } => kind.as_str(),
            Self::Withdraw => "Withdraw",
        }
    }
}

impl From<ResetType> for Switching {
    fn from(kind: ResetType) -> Self {
        Self::Reset { kind, only_at: None }
    }
}

/// Where commands go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commands {
    pub(crate) power: mpsc::Sender<Command<Switching>>,
    pub(crate) settings: mpsc::Sender<Command<Vec<Setting>>>,
    pub(crate) leave: mpsc::Sender<Command<Leave>>,
    pub(crate) control: mpsc::Sender<Command<ControlChange>>,
    pub(crate) volumes: mpsc::Sender<Command<VolumeChange, Id>>,
    pub(crate) switch: mpsc::Sender<Command<SwitchChange>>,
    pub(crate) network: mpsc::Sender<Command<NetworkChange, Option<Stage>>>,
    pub(crate) nodes: NodeAgents,
}

impl Commands {
    /// Changes the power of `system`. Returns when the change has begun; the
    /// model's power state follows it.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn reset(
        &self,
        system: &str,
        kind: ResetType,
    ) -> Result<(), CommandError> {
        if self.is_graceful(system, kind) {
            // It goes on by itself.
            return self.nodes.ask(system, kind, None).await.map(drop);
        }
        let part = Part::System(Id::from(system));
        send(&self.power, part, kind.into()).await
    }

    /// Whether `kind` is done by the agent of the node `system` itself, which
    /// takes its time.
    pub(crate) fn is_graceful(&self, system: &str, kind: ResetType) -> bool {
        let graceful =
            [ResetType::GracefulShutdown, ResetType::GracefulRestart];
        graceful.contains(&kind) && self.nodes.has(system)
    }

    /// Changes settings of `part`: all of them, or none.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn set(
        &self,
        part: Part,
        settings: Vec<Setting>,
    ) -> Result<(), CommandError> {
        send(&self.settings, part, settings).await
    }

    /// Changes what a control of the chassis `part` does.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn control(
        &self,
        part: Part,
        change: ControlChange,
    ) -> Result<(), CommandError> {
        send(&self.control, part, change).await
    }

    /// Switches a switch of the chassis `part`.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn switch(
        &self,
        part: Part,
        change: SwitchChange,
    ) -> Result<(), CommandError> {
        send(&self.switch, part, change).await
    }

    /// Changes the volumes of `system`, and says which one it was about.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn volume(
        &self,
        system: &str,
        change: VolumeChange,
    ) -> Result<Id, CommandError> {
        send(&self.volumes, Part::System(system.into()), change).await
    }

    /// Sets a port of a switch in `fabric`, until it is confirmed.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn stage(
        &self,
        fabric: &str,
        wish: PortWish,
    ) -> Result<Stage, CommandError> {
        let part = Part::Chassis(fabric.into());
        let change = NetworkChange::Port(wish);
        let staged = send(&self.network, part.clone(), change).await?;
        staged.ok_or(CommandError::Unknown { part })
    }

    /// Lets the change `id` stay, which waits in `fabric`.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn confirm(
        &self,
        fabric: &str,
        id: Uuid,
    ) -> Result<(), CommandError> {
        let part = Part::Chassis(fabric.into());
        let change = NetworkChange::Confirm(id);
        send(&self.network, part, change).await.map(drop)
    }

    /// Undoes the change `id` now, which waits in `fabric`.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn revert(
        &self,
        fabric: &str,
        id: Uuid,
    ) -> Result<(), CommandError> {
        let part = Part::Chassis(fabric.into());
        let change = NetworkChange::Revert(id);
        send(&self.network, part, change).await.map(drop)
    }

    /// Ends the agent, which is the manager `manager`, and starts it anew.
    /// Returns when that is certain, a moment before it happens.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn leave(
        &self,
        manager: &str,
        leave: Leave,
    ) -> Result<(), CommandError> {
        send(&self.leave, Part::Manager(manager.into()), leave).await
    }
}

/// Sends a command to its owner, and waits for the answer.
pub(crate) async fn send<C, A>(
    queue: &mpsc::Sender<Command<C, A>>,
    part: Part,
    what: C,
) -> Result<A, CommandError> {
    let (answer, answered) = oneshot::channel();
    let command = Command { part: part.clone(), what, answer };
    queue.try_send(command).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            CommandError::Busy { part: part.clone() }
        }
        mpsc::error::TrySendError::Closed(_) => stopped(&part),
    })?;
    match timeout(DEADLINE, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(stopped(&part)),
        Err(_) => Err(CommandError::Timeout { part }),
    }
}

/// The same for somebody who waits for his turn in the queue; it all takes
/// `patience` at most.
pub(crate) async fn send_patiently<C, A>(
    queue: &mpsc::Sender<Command<C, A>>,
    part: Part,
    what: C,
    patience: Duration,
) -> Result<A, CommandError> {
    let (answer, answered) = oneshot::channel();
    let command = Command { part: part.clone(), what, answer };
    let sending = async {
        let gone = || stopped(&part);
        queue.send(command).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    };
    let done = timeout(patience, sending).await;
    done.unwrap_or_else(|_| Err(CommandError::Timeout { part: part.clone() }))
}

fn stopped(part: &Part) -> CommandError {
    let reason = "the agent is stopping".to_owned();
    CommandError::Failed { part: part.clone(), reason }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Commands, and the queue of those about power, with one place.
    pub(crate) fn commands() -> (Commands, mpsc::Receiver<Command<Switching>>) {
        let (power, powers) = mpsc::channel(1);
        let (settings, _) = mpsc::channel(1);
        let (leave, _) = mpsc::channel(1);
        let (control, _) = mpsc::channel(1);
        let (volumes, _) = mpsc::channel(1);
        let (switch, _) = mpsc::channel(1);
        let (network, _) = mpsc::channel(1);
        let all = Commands {
            power,
            settings,
            leave,
            control,
            volumes,
            switch,
            network,
            nodes: NodeAgents::default(),
        };
        (all, powers)
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_does_not_answer_is_named_in_time() {
        let (commands, _powers) = commands();
        let part = Part::System("node".into());
        let waiting = commands.reset("node", ResetType::On);
        let refused = async {
            tokio::task::yield_now().await;
            commands.reset("node", ResetType::On).await
        };
        let (first, second) = tokio::join!(waiting, refused);
        assert_eq!(first, Err(CommandError::Timeout { part: part.clone() }));
        assert_eq!(second, Err(CommandError::Busy { part }));
    }

    #[tokio::test]
    async fn an_owner_that_is_gone_is_a_failure() {
        let (commands, powers) = commands();
        drop(powers);
        let error = commands.reset("node", ResetType::On).await.unwrap_err();
        assert!(matches!(error, CommandError::Failed { .. }), "{error}");
        let part = Part::Manager("bmc".into());
        let error = commands.set(part, Vec::new()).await.unwrap_err();
        assert!(matches!(error, CommandError::Failed { .. }), "{error}");
    }
}
