//! Asks a driver again and again, and posts what it says.

use std::time::Duration;

use onprem_link::task::blocking;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::pulse::Pulse;
use crate::{
    commands::{Commands, ResetType},
    drivers::{Batch, Driver, Wish},
    model::{Health, Id, Model, Part, PowerState, Snapshot, Trouble},
};

/// How much longer than its interval a driver may take before the log says
/// so.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a part may take with what is done at the end.
const FAREWELL: Duration = Duration::from_millis(1500);

/// A system that stays on for so long was not switched.
const STAYS: Duration = Duration::from_mins(10);

/// Polls `driver` until `stop`. A driver that hangs keeps only its own thread:
/// its readings go stale, and it is asked again when it has come back.
pub(crate) async fn poll(
    driver: Box<dyn Driver>,
    model: Model,
    commands: Commands,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let (name, farewell) = (driver.name().to_owned(), driver.farewell());
    ask(driver, model, commands, pulse, stop).await;
    if let Some(farewell) = farewell
        && timeout(FAREWELL, blocking(farewell)).await.is_err()
    {
        warn!(driver = name, "part left as it is");
    }
}

async fn ask(
    mut driver: Box<dyn Driver>,
    model: Model,
    commands: Commands,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let name = driver.name().to_owned();
    let patience = driver.interval() + PATIENCE;
    let mut ticks = interval(driver.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut acted: Option<Acted> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let known = model.snapshot();
        if let Some(it) = acted.take_if(|it| it.is_over(&known)) {
            model.post_troubles(&it.part(), &it.source, Vec::new());
        }
        let asked = blocking(move || {
            driver.see(&known);
            drop(known);
            let batch = driver.poll();
            (driver, batch)
        });
        let answer = tokio::select! {
            // Dropping the handle leaves a hung thread to itself.
            () = stop.cancelled() => return,
            answer = patiently(&name, asked, patience) => answer,
        };
        let Some((back, batch)) = answer else { return };
        driver = back;
        pulse.beat();
        let wishes = post(&model, batch);
        for wish in wishes {
            tokio::select! {
                () = stop.cancelled() => return,
                granted = fulfil(&name, &commands, &wish) => {
                    driver.heard(&wish, granted);
                    if granted && wish.kind != ResetType::On {
                        acted = Some(Acted::tell(&model, &name, wish));
                    }
                }
            }
        }
    }
}

/// What a part has done with a system, which is told until that is on again.
struct Acted {
    source: Id,
    system: Id,
    since: Instant,
    /// It was seen not to be on.
    went: bool,
}

impl Acted {
    /// Tells why `system` is not on.
    fn tell(model: &Model, name: &str, wish: Wish) -> Self {
        let Wish { system, kind, reason } = wish;
        let text = format!("{} by `{name}`: {reason}", kind.as_str()).into();
        let (word, health) = ("SwitchedByPart", Health::Warning);
        let trouble = Trouble { word, text, health, slows: None, over: false };
        let (source, since) = (name.into(), Instant::now());
        let acted = Self { source, system, since, went: false };
        model.post_troubles(&acted.part(), &acted.source, vec![trouble]);
        acted
    }

    fn part(&self) -> Part {
        Part::System(self.system.clone())
    }

    fn is_over(&mut self, known: &Snapshot) -> bool {
        let on = known.power_state(&self.system) == PowerState::On;
        self.went |= !on;
        on && (self.went || self.since.elapsed() > STAYS)
    }
}

/// Has done what a part wants, and says whether it is. The log says why not.
async fn fulfil(name: &str, commands: &Commands, wish: &Wish) -> bool {
    let Wish { system, kind, reason } = wish;
    let kind_word = kind.as_str();
    warn!(driver = name, %system, kind = kind_word, reason, "a part acts");
    let done = commands.reset(system, *kind).await;
    if let Err(error) = &done {
        warn!(driver = name, %system, %error, "a part could not act");
    }
    done.is_ok()
}

/// Posts what was found out; what shall be done is left.
fn post(model: &Model, batch: Batch) -> Vec<Wish> {
    model.post(batch.samples);
    model.post_inputs(batch.inputs);
    model.post_contacts(batch.contacts);
    model.post_modems(batch.modems);
    for (system, models) in batch.power_models {
        model.post_power_models(&system, models);
    }
    for (system, vitals) in batch.vitals {
        model.post_vitals(&system, vitals);
    }
    for (system, started) in batch.boots {
        model.post_boot(&system, started);
    }
    for (system, state) in batch.power {
        model.post_power(&system, state);
    }
    for (part, source, troubles) in batch.troubles {
        model.post_troubles(&part, &source, troubles);
    }
    for (chassis, supply, fed) in batch.supplies {
        model.post_supply(&chassis, &supply, fed);
    }
    batch.wishes
}

async fn patiently<T>(
    name: &str,
    mut asked: JoinHandle<T>,
    patience: Duration,
) -> Option<T> {
    let mut late = false;
    loop {
        let answer = tokio::select! {
            answer = &mut asked => answer,
            () = sleep(patience), if !late => {
                late = true;
                warn!(driver = name, "driver does not answer");
                continue;
            }
        };
        if late {
            info!(driver = name, "driver answers again");
        }
        return answer
            .inspect_err(|error| {
                // What is cancelled ends with the agent.
                if error.is_panic() {
                    error!(driver = name, %error, "driver lost");
                }
            })
            .ok();
    }
}
