//! The trial of a new program: it runs under the eyes of the one that is
//! known to work, until it has answered for long enough.

use std::{
    fs,
    process::{Child, ExitStatus},
    time::Duration,
};

use rustix::process::{
    Pid, Signal, getppid, kill_process, set_parent_process_death_signal,
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    launch, probe,
    slots::{Slots, Trial},
};
use crate::{config::Config, state::StateDir};

/// Looks that may fail, one after the other, once it has answered.
const MISSED: u32 = 2;
/// How often one looks whether the program still runs.
const TICK: Duration = Duration::from_millis(50);
/// How long one waits for the state directory of a process that ends.
const TAKEN: Duration = Duration::from_secs(10);

/// How a trial came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was decided, one way or the other.
    Over,
    /// A signal ended it; it goes on at the next start.
    Stopped,
    /// Another agent has the state directory.
    Taken,
}

/// Ends this process when the one that watches it ends; `false` where that
/// has happened already.
pub(super) fn die_with(watcher: &str) -> bool {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let parent = getppid().map(Pid::as_raw_nonzero);
    parent.is_some_and(|it| it.to_string() == watcher)
}

/// Runs the trial that the record asks for, and writes down what it led to.
pub(super) fn run(config: &Config) -> Ended {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(decide(config)),
        Err(error) => {
            error!(%error, "a trial cannot be watched");
            let slots = Slots::new(&config.state_dir);
            conclude(&slots, Some("it could not be watched".to_owned()));
            Ended::Over
        }
    }
}

async fn decide(config: &Config) -> Ended {
    // Two that watch one trial would use its attempts up.
    let end = Instant::now() + TAKEN;
    let lock = loop {
        match StateDir::open(&config.state_dir) {
            Ok(lock) => break lock,
            Err(_) if Instant::now() < end => sleep(TICK).await,
            Err(_) => return Ended::Taken,
        }
    };
    let slots = &Slots::new(&config.state_dir);
    let mut record = slots.record();
    let Some(trial) = &mut record.trial else { return Ended::Over };
    if trial.attempts == 0 {
        let reason = "the process or the power was lost in each attempt";
        conclude(slots, Some(reason.to_owned()));
        return Ended::Over;
    }
    trial.attempts -= 1;
    let trial = trial.clone();
    if let Err(error) = slots.keep(&record) {
        // An attempt that is not counted could be begun for ever.
        error!(%error, "a trial cannot be begun");
        conclude(slots, Some(format!("it could not be begun: {error}")));
        return Ended::Over;
    }
    let _ = fs::remove_file(config.state_dir.join("addresses.json"));
    drop(lock);
    info!(slot = trial.slot.name(), "trying a new version");
    let verdict = watch(config, slots, &trial).await;
    match verdict {
        Verdict::Good => {
            info!(slot = trial.slot.name(), "the new version works");
            conclude(slots, None);
            Ended::Over
        }
        Verdict::Bad(reason) => {
            warn!(
                slot = trial.slot.name(),
                reason, "the new version does not work; back to the one before"
            );
            conclude(slots, Some(reason));
            Ended::Over
        }
        Verdict::Stopped => Ended::Stopped,
    }
}

enum Verdict {
    Good,
    Bad(String),
    Stopped,
}

async fn watch(config: &Config, slots: &Slots, trial: &Trial) -> Verdict {
    if let Err(error) = slots.check(trial.slot) {
        return Verdict::Bad(format!("it cannot be started: {error}"));
    }
    let watcher = std::process::id().to_string();
    let child = launch::command(slots, trial.slot)
        .args(launch::arguments())
        .env(launch::WATCHED_BY, watcher)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            return Verdict::Bad(format!("it cannot be started: {error}"));
        }
    };
    let (terminate, interrupt) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        end(&mut child, Duration::ZERO).await;
        return Verdict::Bad("it could not be watched".to_owned());
    };
    let verdict = tokio::select! {
        verdict = judge(config, &mut child) => verdict,
        _ = terminate.recv() => Verdict::Stopped,
        _ = interrupt.recv() => Verdict::Stopped,
    };
    // Once more than it gives itself.
    let grace = Duration::from_secs(config.grace_seconds.saturating_add(1));
    end(&mut child, grace).await;
    verdict
}

/// Waits until the program answers, and goes on to answer for long enough.
async fn judge(config: &Config, child: &mut Child) -> Verdict {
    let update = &config.update;
    let start = Instant::now();
    let deadline = start + Duration::from_secs(update.trial_deadline_seconds);
    let stable = Duration::from_secs(update.trial_stable_seconds);
    let mut healthy_since = None;
    let mut missed = 0;
    let mut complaint = String::from("it does not listen");
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Verdict::Bad(ended(status)),
            Err(error) => return Verdict::Bad(error.to_string()),
        }
        match probe::look(&config.state_dir).await {
            Ok(()) => {
                missed = 0;
                let since = *healthy_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= stable {
                    return Verdict::Good;
                }
            }
            Err(error) => {
                missed += 1;
                if healthy_since.is_some() && missed > MISSED {
                    let text = format!("it stopped answering: {error}");
                    return Verdict::Bad(text);
                }
                complaint = error.to_string();
            }
        }
        if healthy_since.is_none() && Instant::now() >= deadline {
            let seconds = update.trial_deadline_seconds;
            return Verdict::Bad(format!(
                "it did not answer within {seconds} s: {complaint}"
            ));
        }
        let looked = healthy_since.map_or(TICK, |_| TICK * 10);
        sleep(looked).await;
    }
}

fn ended(status: ExitStatus) -> String {
    format!("it ended by itself with {status}")
}

/// Asks the program to end, and ends it where it does not.
async fn end(child: &mut Child, grace: Duration) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        sleep(TICK).await;
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn conclude(slots: &Slots, failure: Option<String>) {
    let mut record = slots.record();
    record.conclude(failure);
    if let Err(error) = slots.keep(&record) {
        error!(%error, "the end of a trial is not kept");
    }
}
