//! Owns the power of the systems.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use onprem_link::task::blocking;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    cycles::Cycles,
    power_plans::{Plan, Plans},
};
use crate::{
    boards::Power,
    commands::{Command, CommandError, ResetType, Switching},
    model::{Health, Id, Model, Part, PowerState, Snapshot, Trouble},
};

/// How long a start waits for the disk that it is noted on.
const DISK: Duration = Duration::from_secs(2);

/// How often it is looked whether what was begun has ended.
const LOOK: Duration = Duration::from_millis(500);
/// Who says that something is under way from before.
const SOURCE: &str = "power";

/// What owns the power.
pub(crate) struct Owner {
    pub(crate) power: Arc<dyn Power>,
    pub(crate) model: Model,
    /// How often systems were started.
    pub(crate) cycles: Cycles,
    /// What has not ended.
    pub(crate) plans: Plans,
}

impl Owner {
    /// Carries out power commands one after the other until `stop`.
    pub(crate) async fn own(
        mut self,
        mut commands: mpsc::Receiver<Command<Switching>>,
        stop: CancellationToken,
    ) {
        self.resume();
        self.tell();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => command,
                _ = looks.tick() => {
                    let looking = self.look();
                    if stop.run_until_cancelled(looking).await.is_none() {
                        return;
                    }
                    continue;
                }
            };
            let Some(Command { part, what, answer }) = command else {
                return;
            };
            let word = what.as_str();
            let only =
                matches!(what, Switching::Reset { only_at: Some(_), .. });
            if only && answer.is_closed() {
                // Whoever asked has told by now that it was not done.
                continue;
            }
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = self.change(&part, what) => result,
            };
            self.tell();
            match &result {
                Ok(()) => info!(%part, kind = word, "power changed"),
                Err(reason) => {
                    warn!(%part, kind = word, %reason, "power unchanged");
                }
            }
            // The one who asked may have given up.
            let _ = answer.send(result);
        }
    }

    /// Tells what an agent before this one has begun; the board goes on with
    /// it since it was built.
    fn resume(&self) {
        for (system, plan) in self.plans.all() {
            let (kind, since) = (plan.kind.as_str(), plan.since);
            warn!(%system, kind, %since, "what was begun before goes on");
            let word = if plan.on { "on" } else { "off" };
            let trouble = Trouble {
                word: "PowerChangeResumed",
                text: format!(
                    "{kind} was under way when the agent ended; the system is \
                     brought {word}"
                )
                .into(),
                health: Health::Warning,
                slows: None,
                over: false,
            };
            let part = Part::System(system);
            self.model.post_troubles(&part, &SOURCE.into(), vec![trouble]);
        }
    }

    /// Tells how often systems may still be started.
    fn tell(&self) {
        for system in &self.model.snapshot().inventory.systems {
            if let Some(limit) = system.cycles_per_hour {
                let left = self.cycles.left(&system.id, limit);
                self.model.post_starts(&system.id, left);
            }
        }
    }

    /// Looks what has ended of what was begun.
    async fn look(&mut self) {
        self.tell();
        let mut ended = Vec::new();
        for (system, plan) in self.plans.all() {
            if self.power.is_moving(&system) {
                continue;
            }
            if self.plans.is_resumed(&system) {
                let state = self.model.snapshot().seen_power(&system);
                if state.is_none() {
                    // Nobody has seen it yet.
                    continue;
                }
                let kind = plan.kind.as_str();
                info!(%system, kind, ?state, "what was begun before has ended");
            }
            let part = Part::System(system.clone());
            self.model.post_troubles(&part, &SOURCE.into(), Vec::new());
            ended.push(system);
        }
        if !ended.is_empty()
            && timeout(DISK, self.plans.end(&ended)).await.is_err()
        {
            warn!("the disk hangs: it is not noted what has ended");
        }
    }

    async fn change(
        &mut self,
        part: &Part,
        what: Switching,
    ) -> Result<(), CommandError> {
        let Part::System(id) = part else {
            return Err(CommandError::Unknown { part: part.clone() });
        };
        match what {
            Switching::Reset { kind, only_at } => {
                self.reset(part, id, kind, only_at).await
            }
            Switching::Withdraw => self.withdraw(part, id).await,
        }
    }

    /// Leaves the power of the system `id` on.
    ///
    /// # Errors
    /// It may have been cut.
    async fn withdraw(
        &mut self,
        part: &Part,
        id: &Id,
    ) -> Result<(), CommandError> {
        let power = Arc::clone(&self.power);
        let asked = id.clone();
        let kept = blocking(move || power.withdraw(&asked)).await;
        if !kept.unwrap_or(false) {
            let reason = "it was told to go off already".to_owned();
            return Err(CommandError::Failed { part: part.clone(), reason });
        }
        // An agent that ends now must not go on with it when it is back.
        if timeout(DISK, self.plans.put(id, None)).await.is_err() {
            warn!(%part, "the disk hangs: a plan is not taken back");
        }
        Ok(())
    }

    async fn reset(
        &mut self,
        part: &Part,
        id: &Id,
        kind: ResetType,
        only_at: Option<u64>,
    ) -> Result<(), CommandError> {
        let snapshot = self.model.snapshot();
        let Some(system) = snapshot.system(id) else {
            return Err(CommandError::Unknown { part: part.clone() });
        };
        if !system.reset_types.contains(&kind) {
            let what = kind.as_str();
            return Err(CommandError::Unsupported { part: part.clone(), what });
        }
        let state = snapshot.seen_power(id);
        if kind == ResetType::GracefulRestart && state == Some(PowerState::Off)
        {
            return Err(CommandError::Off { part: part.clone() });
        }
        let limit = system.cycles_per_hour;
        let limit = limit.filter(|_| starts(&snapshot, id, kind));
        if let Some(limit) = limit
            && let Some(wait) = self.cycles.wait(id, limit)
        {
            return Err(CommandError::TooOften {
                part: part.clone(),
                limit,
                wait,
            });
        }
        let counts = limit.is_some();
        if counts {
            // Before it is done: an agent that dies over it knows of it.
            if timeout(DISK, self.cycles.note(id)).await.is_err() {
                warn!(%part, "the disk hangs: a start is not noted yet");
            }
        }
        let mut before = None;
        let plans = system.restores_power;
        if plans {
            let on = ends_on(kind);
            let plan = Plan { kind, on, since: Utc::now() };
            let noted = self.plans.put(id, Some(plan));
            if let Ok(earlier) = timeout(DISK, noted).await {
                before = earlier;
            } else {
                warn!(%part, "the disk hangs: a plan is not noted");
            }
        }
        let failed =
            |reason| Err(CommandError::Failed { part: part.clone(), reason });
        let turns = self.model.snapshot().turns(id);
        let done = if only_at.is_some_and(|at| at != turns) {
            failed("somebody switched it meanwhile".to_owned())
        } else {
            self.model.post_switched(id);
            let (power, asked) = (Arc::clone(&self.power), id.clone());
            let done = blocking(move || power.reset(&asked, kind)).await;
            done.unwrap_or_else(|error| failed(error.to_string()))
        };
        if done.is_err() && counts {
            // It is forgotten in memory, whatever the disk does.
            let _ = timeout(DISK, self.cycles.forget(id)).await;
        }
        if done.is_err() && plans {
            // What was under way before still is.
            let _ = timeout(DISK, self.plans.put(id, before)).await;
        }
        // Whoever asked sees the change in the next answer.
        if let Some(state) = done? {
            self.model.post_power(id, state);
        }
        Ok(())
    }
}

/// Whether a system is on at the end of `kind`.
fn ends_on(kind: ResetType) -> bool {
    !matches!(kind, ResetType::ForceOff | ResetType::GracefulShutdown)
}

/// Whether `kind` takes the system `id` through a start of its power.
fn starts(snapshot: &Snapshot, id: &Id, kind: ResetType) -> bool {
    let state = snapshot.seen_power(id);
    let is_off =
        matches!(state, Some(PowerState::Off | PowerState::PoweringOff));
    match kind {
        ResetType::ForceRestart | ResetType::PowerCycle => true,
        ResetType::On | ResetType::ForceOn | ResetType::PushPowerButton => {
            is_off
        }
        ResetType::ForceOff
        | ResetType::GracefulShutdown
        | ResetType::GracefulRestart => false,
    }
}
