//! Resets a device, and waits until it is as it should be.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Rest, device_task,
    progress::{Done, Keeper, Progress},
};
use crate::{
    Fleet,
    api::{Device, PowerState, ResetType, Task},
    auth::Caller,
    devices::Heard,
    error::Error,
    live::Live,
    nodes::Target,
};

/// What a reset consists of.
const STEPS: &[&str] =
    &["Check the device", "Send the reset", "Wait for the power state"];

/// How long a device may take to do what it made a task of: it asks the
/// system of a node, which may have much to end.
pub(super) const TASK_PATIENCE: Duration = Duration::from_hours(1);

/// How long a device may take to be as it should be.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much longer each of several may take.
const TURN: Duration = Duration::from_secs(5);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Begins to reset `nodes` of `device`, or all that can be.
pub(crate) async fn reset(
    fleet: &Fleet,
    caller: &Caller,
    device: &Device,
    kind: ResetType,
    nodes: &[String],
) -> Result<Task, Error> {
    // What cannot be done is said at once.
    let live = fleet.live(caller, &device.id.to_string())?;
    live.check()?;
    let mut description = format!("{} {}", describe(kind), device.name);
    let targets = live.targets(kind, nodes).await?;
    if !nodes.is_empty() {
        let ids: Vec<_> = targets.iter().map(|it| it.id.as_str()).collect();
        description = format!("{description}: {}", ids.join(", "));
    }
    let task = fleet
        .tasks()
        .begin(caller, "device_reset", description, device, STEPS)
        .await?;
    let mut progress = Progress::new(fleet.clone(), &task);
    let work = Work { live, fleet: fleet.clone(), patience: TASK_PATIENCE };
    let nodes = nodes.to_vec();
    fleet.spawn(async move {
        let result = work.steps(kind, &nodes, &mut progress).await;
        progress.end(result).await;
    });
    Ok(task)
}

/// A reset in a word or two.
fn describe(kind: ResetType) -> &'static str {
    match kind {
        ResetType::On => "Power on",
        ResetType::ForceOff => "Force off",
        ResetType::GracefulShutdown => "Shut down",
        ResetType::GracefulRestart => "Restart",
        ResetType::ForceRestart => "Force restart of",
        ResetType::PowerCycle => "Power cycle",
        ResetType::PushPowerButton => "Push power button of",
    }
}

/// The power state that a reset ends in, given the one before.
fn wanted(kind: ResetType, before: Option<PowerState>) -> Option<PowerState> {
    match kind {
        ResetType::On
        | ResetType::GracefulRestart
        | ResetType::ForceRestart
        | ResetType::PowerCycle => Some(PowerState::On),
        ResetType::ForceOff | ResetType::GracefulShutdown => {
            Some(PowerState::Off)
        }
        ResetType::PushPowerButton => match before? {
            PowerState::On => Some(PowerState::Off),
            PowerState::Off => Some(PowerState::On),
            _ => None,
        },
    }
}

/// What was asked of a device, and is under way there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    kind: ResetType,
    nodes: Vec<Asked>,
    /// Nodes of which the device would not do it, and why.
    refused: Vec<String>,
    /// Nodes of which the device has not answered yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ahead: Vec<String>,
}

impl Sent {
    /// What is known of it when the server has been restarted: the rest is
    /// left alone. Who waits for it may do otherwise meanwhile.
    fn interrupted(mut self) -> Self {
        let ahead = std::mem::take(&mut self.ahead);
        if !ahead.is_empty() {
            self.refused.push(format!(
                "{}: the fleet server was restarted before the device had \
                 answered or could be asked",
                ahead.join(", ")
            ));
        }
        self
    }

    fn said(&self) -> Option<String> {
        let refused = &self.refused;
        (!refused.is_empty()).then(|| refused.join("; "))
    }
}

/// A node that is being reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Asked {
    target: Target,
    /// The device's task, where it made one of it.
    task: Option<String>,
}

impl From<Sent> for Rest {
    fn from(sent: Sent) -> Self {
        Self::Reset(sent)
    }
}

pub(super) struct Work {
    pub(super) live: Live,
    pub(super) fleet: Fleet,
    /// How long the device's own tasks may take.
    pub(super) patience: Duration,
}

impl Work {
    async fn steps(
        &self,
        kind: ResetType,
        nodes: &[String],
        progress: &mut Progress,
    ) -> Result<String, Error> {
        let targets = progress
            .step(async {
                let targets = self.live.targets(kind, nodes).await?;
                let said = match &targets[..] {
                    [it] => it.before.map(|state| format!("it is {state}")),
                    several => Some(format!("{} nodes", several.len())),
                };
                Ok((targets, said))
            })
            .await?;
        let keeper = progress.keeper();
        let sent = progress
            .hand_over(async {
                let sent = self.send(targets, kind, &keeper).await?;
                let said = sent.said();
                Ok((sent, said))
            })
            .await?;
        progress.step(self.finish(sent, Instant::now() + self.patience)).await
    }

    /// Goes on with what was asked before the server was restarted.
    pub(super) async fn go_on(
        self,
        task: Task,
        sent: Sent,
        mut progress: Progress,
    ) {
        let end = Instant::now() + self.patience;
        let sent = sent.interrupted();
        if progress.ahead(&task) > 1 {
            // Nothing more is asked for.
            let said = sent.said();
            let asked = progress.step(async { Ok(((), said)) }).await;
            debug_assert!(asked.is_ok(), "nothing was done");
        }
        let finish = async {
            device_task::connected(&self.live, end).await?;
            self.finish(sent, end).await
        };
        let result = progress.step(finish).await;
        progress.end(result).await;
    }

    /// Waits until the nodes are as they should be.
    async fn finish(&self, sent: Sent, end: Instant) -> Done<String> {
        let Sent { kind, nodes, mut refused, .. } = sent;
        let alone = nodes.len() == 1 && refused.is_empty();
        let (done, mut failed) = self.follow(nodes, end).await;
        if alone && let Some((_, error)) = failed.pop() {
            return Err(error);
        }
        let failed = failed.into_iter();
        refused.extend(failed.map(|(id, why)| format!("{id}: {why}")));
        let message = if done.is_empty() {
            None
        } else {
            Some(self.wait(kind, &done).await?)
        };
        if refused.is_empty() {
            let message = message.unwrap_or_default();
            return Ok((message.clone(), Some(message)));
        }
        let refused = refused.join("; ");
        let message = match message {
            Some(message) => format!("{message}; not done: {refused}"),
            None => refused,
        };
        Err(Error::Conflict { pointer: None, message })
    }

    /// Asks for all resets; those that began, and why others did not. What the
    /// device has answered is kept at once: those nodes are on their way.
    async fn send(
        &self,
        targets: Vec<Target>,
        kind: ResetType,
        keeper: &Keeper,
    ) -> Result<Sent, Error> {
        let ahead = targets.iter().map(|target| target.id.clone()).collect();
        let (nodes, refused) = (Vec::new(), Vec::new());
        let mut sent = Sent { kind, nodes, refused, ahead };
        let several = targets.len() > 1;
        for target in targets {
            let answer = self.live.reset(&target, kind).await;
            sent.ahead.retain(|id| *id != target.id);
            match answer {
                Ok(task) => sent.nodes.push(Asked { target, task }),
                Err(error) if several => {
                    sent.refused.push(format!("{}: {error}", target.id));
                }
                Err(error) => return Err(error),
            }
            // The last answer is kept with the end of the step.
            if !sent.ahead.is_empty() {
                keeper.keep(sent.clone().into()).await;
            }
        }
        if sent.nodes.is_empty() {
            let message = sent.refused.join("; ");
            return Err(Error::Conflict { pointer: None, message });
        }
        Ok(sent)
    }

    /// Waits for the device's own tasks; the nodes that are reset, and why
    /// others are not.
    async fn follow(
        &self,
        nodes: Vec<Asked>,
        end: Instant,
    ) -> (Vec<Target>, Vec<(String, Error)>) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for Asked { target, task } in nodes {
            let result = match task {
                Some(task) => {
                    let task = device_task::follow(&self.live, &task, end);
                    task.await.map(drop)
                }
                None => Ok(()),
            };
            match result {
                Ok(()) => done.push(target),
                Err(error) => failed.push((target.id, error)),
            }
        }
        (done, failed)
    }

    /// Asks until all targets are in the power state that is wanted.
    async fn wait(
        &self,
        kind: ResetType,
        targets: &[Target],
    ) -> Result<String, Error> {
        // Those in a rack take turns.
        let turns = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let patience = PATIENCE + TURN.saturating_mul(turns);
        let end = Instant::now() + patience;
        let mut last = None;
        for target in targets {
            let wanted = wanted(kind, target.before);
            loop {
                self.live.exists()?;
                // A device that resets itself is away for a while.
                let state = self.live.power_of(target).await;
                if let Ok(Some(state)) = state
                    && wanted.is_none_or(|wanted| wanted == state)
                {
                    last = Some(state);
                    break;
                }
                if Instant::now() >= end {
                    state?;
                    let message = format!(
                        "`{}` is not in the wanted power state after {} s",
                        target.id,
                        patience.as_secs()
                    );
                    return Err(Error::Conflict { pointer: None, message });
                }
                sleep(ASK_EVERY).await;
            }
        }
        let power_state = self.live.power_state().await.unwrap_or(last);
        let heard = Heard { power_state, ..Heard::default() };
        self.fleet.heard(self.live.device_id(), heard).await?;
        let state = last.map_or_else(String::new, |it| it.to_string());
        Ok(match targets {
            [one] => {
                let left = self.live.starts_left(one, kind).await;
                let left = left.map(|left| format!("; {left}"));
                format!("it is {state}{}", left.unwrap_or_default())
            }
            several => format!("{} nodes are {state}", several.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_to_wait_for() {
        use PowerState::{Off, On, Paused};
        use ResetType::{ForceOff, GracefulRestart, PushPowerButton};
        assert_eq!(wanted(ForceOff, Some(On)), Some(Off));
        assert_eq!(wanted(GracefulRestart, None), Some(On));
        assert_eq!(wanted(PushPowerButton, Some(Off)), Some(On));
        assert_eq!(wanted(PushPowerButton, Some(On)), Some(Off));
        assert_eq!(wanted(PushPowerButton, Some(Paused)), None);
    }
}
