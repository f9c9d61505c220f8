//! Resets a device, and waits until it is as it should be.

use std::time::Duration;

use onprem_link::id::Xid;
use tokio::time::{Instant, sleep};

use super::{Progress, device_task};
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
const TASK_PATIENCE: Duration = Duration::from_hours(1);

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
    live.targets(kind, nodes).await?;
    if !nodes.is_empty() {
        description = format!("{description}: {}", nodes.join(", "));
    }
    let task = fleet
        .tasks()
        .begin(caller, "device_reset", description, device, STEPS)
        .await?;
    let progress = Progress::new(fleet.clone(), &task);
    let work = Work {
        live,
        kind,
        nodes: nodes.to_vec(),
        fleet: fleet.clone(),
        device: device.id,
    };
    fleet.spawn(work.run(progress));
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

/// A node that is being reset.
struct Sent {
    target: Target,
    /// The device's task, where it made one of it.
    task: Option<String>,
}

struct Work {
    live: Live,
    kind: ResetType,
    nodes: Vec<String>,
    fleet: Fleet,
    device: Xid,
}

impl Work {
    async fn run(self, mut progress: Progress) {
        let result = self.steps(&mut progress).await;
        progress.end(result).await;
    }

    async fn steps(&self, progress: &mut Progress) -> Result<String, Error> {
        let targets = progress
            .step(async {
                let targets = self.live.targets(self.kind, &self.nodes).await?;
                let said = match &targets[..] {
                    [it] => it.before.map(|state| format!("it is {state}")),
                    several => Some(format!("{} nodes", several.len())),
                };
                Ok((targets, said))
            })
            .await?;
        let (sent, mut refused) = progress
            .step(async {
                let (sent, refused) = self.send(targets).await?;
                let said = (!refused.is_empty()).then(|| refused.join("; "));
                Ok(((sent, refused), said))
            })
            .await?;
        progress
            .step(async {
                let alone = sent.len() == 1 && refused.is_empty();
                let (done, mut failed) = self.follow(sent).await;
                if alone && let Some((_, error)) = failed.pop() {
                    return Err(error);
                }
                let failed = failed.into_iter();
                refused.extend(failed.map(|(id, why)| format!("{id}: {why}")));
                let message = if done.is_empty() {
                    None
                } else {
                    Some(self.wait(&done).await?)
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
            })
            .await
    }

    /// Asks for all resets; those that began, and why others did not.
    async fn send(
        &self,
        targets: Vec<Target>,
    ) -> Result<(Vec<Sent>, Vec<String>), Error> {
        let (mut sent, mut refused) = (Vec::new(), Vec::new());
        let several = targets.len() > 1;
        for target in targets {
            match self.live.reset(&target, self.kind).await {
                Ok(task) => sent.push(Sent { target, task }),
                Err(error) if several => {
                    refused.push(format!("{}: {error}", target.id));
                }
                Err(error) => return Err(error),
            }
        }
        if sent.is_empty() {
            let message = refused.join("; ");
            return Err(Error::Conflict { pointer: None, message });
        }
        Ok((sent, refused))
    }

    /// Waits for the device's own tasks; the nodes that are reset, and why
    /// others are not.
    async fn follow(
        &self,
        sent: Vec<Sent>,
    ) -> (Vec<Target>, Vec<(String, Error)>) {
        let end = Instant::now() + TASK_PATIENCE;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for Sent { target, task } in sent {
            let result = match task {
                Some(task) => {
                    let left = end.saturating_duration_since(Instant::now());
                    let task = device_task::follow(&self.live, &task, left);
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
    async fn wait(&self, targets: &[Target]) -> Result<String, Error> {
        // Those in a rack take turns.
        let turns = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let patience = PATIENCE + TURN.saturating_mul(turns);
        let end = Instant::now() + patience;
        let mut last = None;
        for target in targets {
            let wanted = wanted(self.kind, target.before);
            loop {
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
        self.fleet.heard(self.device, heard).await?;
        let state = last.map_or_else(String::new, |it| it.to_string());
        Ok(match targets {
            [_] => format!("it is {state}"),
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
