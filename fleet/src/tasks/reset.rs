//! Resets a device, and waits until it is as it should be.

use std::time::Duration;

use onprem_link::id::Xid;
use tokio::time::{Instant, sleep};

use super::Progress;
use crate::{
    Fleet,
    api::{Device, PowerState, ResetType, Task},
    auth::Caller,
    error::Error,
    live::Live,
};

/// What a reset consists of.
const STEPS: &[&str] =
    &["Check the device", "Send the reset", "Wait for the power state"];

/// How long a device may take to be as it should be.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Begins to reset `device`.
pub(crate) async fn reset(
    fleet: &Fleet,
    caller: &Caller,
    device: &Device,
    kind: ResetType,
) -> Result<Task, Error> {
    // What cannot be done is said at once.
    let live = fleet.live(caller, &device.id.to_string())?;
    live.check()?;
    let description = format!("{} {}", describe(kind), device.name);
    let task = fleet
        .tasks()
        .begin(caller, "device_reset", description, device, STEPS)
        .await?;
    let progress = Progress::new(fleet.clone(), &task);
    let patience = Patience { fleet: fleet.clone(), device: device.id };
    fleet.spawn(async move {
        run(live, kind, progress, patience).await;
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

async fn run(
    live: Live,
    kind: ResetType,
    mut progress: Progress,
    patience: Patience,
) {
    let result = steps(&live, kind, &mut progress, &patience).await;
    progress.end(result).await;
}

async fn steps(
    live: &Live,
    kind: ResetType,
    progress: &mut Progress,
    patience: &Patience,
) -> Result<String, Error> {
    let before = progress
        .step(async {
            let state = live.power_state().await?;
            Ok((state, state.map(|state| format!("it is {state}"))))
        })
        .await?;
    progress
        .step(async {
            live.reset(kind).await?;
            Ok(((), None))
        })
        .await?;
    let wanted = wanted(kind, before);
    progress
        .step(async {
            let state = patience.wait(live, wanted).await?;
            let message = format!("it is {state}");
            Ok((message.clone(), Some(message)))
        })
        .await
}

struct Patience {
    fleet: Fleet,
    device: Xid,
}

impl Patience {
    /// Asks until the device is in the power state that is wanted.
    async fn wait(
        &self,
        live: &Live,
        wanted: Option<PowerState>,
    ) -> Result<PowerState, Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            // A device that resets itself is away for a while.
            let state = live.power_state().await;
            if let Ok(Some(state)) = state
                && wanted.is_none_or(|wanted| wanted == state)
            {
                let heard = crate::devices::Heard {
                    power_state: Some(state),
                    ..Default::default()
                };
                self.fleet.devices().heard(self.device, heard).await?;
                return Ok(state);
            }
            if Instant::now() >= end {
                state?;
                let seconds = PATIENCE.as_secs();
                let message = format!(
                    "it is not in the wanted power state after {seconds} s"
                );
                return Err(Error::Conflict { pointer: None, message });
            }
            sleep(ASK_EVERY).await;
        }
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
