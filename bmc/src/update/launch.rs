//! Which program runs: the installed one, or the one in a slot.
//!
//! The installed program starts first. Where a slot holds a program that has
//! shown that it works, and that is not older, the process becomes that one
//! (`exec`: the pid stays). A slot's program never does so again.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use onprem_link::log;

use super::{
    slots::{Slot, Slots},
    trial, version,
};
use crate::config::Config;

/// Names the slot that the running program is from.
const SLOT: &str = "ONPREM_SLOT";
/// Where the installed program is, which started the one in the slot.
const INSTALLED: &str = "ONPREM_INSTALLED";
/// The process that watches a program on trial.
pub(super) const WATCHED_BY: &str = "ONPREM_WATCHED_BY";

/// The slot that the running program is from; the installed program is from
/// none.
#[must_use]
pub fn slot() -> Option<Slot> {
    Slot::named(&env::var(SLOT).ok()?)
}

/// Is the running program on trial?
#[must_use]
pub fn is_on_trial() -> bool {
    env::var_os(WATCHED_BY).is_some()
}

/// Becomes the program that is to run. It returns where that is this one
/// already, or with the exit code of a trial that was ended from outside.
#[must_use]
pub fn launch(config: &Config) -> Option<ExitCode> {
    if let Ok(watcher) = env::var(WATCHED_BY)
        && !trial::die_with(&watcher)
    {
        return Some(ExitCode::FAILURE);
    }
    if slot().is_some() {
        return None;
    }
    let slots = Slots::new(&config.state_dir);
    let record = slots.record();
    if record.trial.is_some() {
        // What goes wrong is to be seen.
        let _ = log::start(&config.log, config.log_format);
        return match trial::run(config) {
            trial::Ended::Over => {
                let error = restart();
                tracing::error!(error = %log::Chain(&error), "not restarted");
                Some(ExitCode::FAILURE)
            }
            trial::Ended::Stopped => Some(ExitCode::SUCCESS),
            trial::Ended::Taken => None,
        };
    }
    let current = record.current?;
    let installed = record.slot(current)?;
    if version::compare(super::VERSION, &installed.version).is_gt() {
        // Somebody has installed a newer one since.
        return None;
    }
    let error = match slots.check(current) {
        Ok(()) => command(&slots, current).args(arguments()).exec(),
        // `exec` would take a text for a script.
        Err(error) => error,
    };
    let _ = log::start(&config.log, config.log_format);
    tracing::error!(%error, slot = current.name(),
        "the program in the slot cannot be run; the installed one runs");
    // Once around with the slot named: what was logged stays, and the log
    // starts once.
    let error = Command::new(this()).args(arguments()).arg("--no-slots").exec();
    tracing::error!(%error, "cannot start again");
    Some(ExitCode::FAILURE)
}

/// Starts the agent again in this process: first the installed program, which
/// chooses. It returns only where not even this program can be run.
#[must_use]
pub fn restart() -> RestartError {
    if is_on_trial() {
        // Who watches expects this very program.
        return failed(this(), Command::new(this()).args(arguments()).exec());
    }
    let installed = env::var_os(INSTALLED).map(PathBuf::from);
    let mut last = None;
    for program in installed.into_iter().chain([this()]) {
        let error = Command::new(&program)
            .args(arguments())
            .env_remove(SLOT)
            .env_remove(INSTALLED)
            .exec();
        tracing::warn!(%error, program = %program.display(),
            "cannot start again");
        last = Some(failed(program, error));
    }
    last.unwrap_or_else(|| failed(this(), io::ErrorKind::NotFound.into()))
}

/// Why the agent does not come back.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}")]
pub struct RestartError {
    program: PathBuf,
    source: io::Error,
}

fn failed(program: PathBuf, source: io::Error) -> RestartError {
    RestartError { program, source }
}

/// The program in `slot`, told where it comes from.
pub(super) fn command(slots: &Slots, slot: Slot) -> Command {
    let mut command = Command::new(slots.program(slot));
    command.env(SLOT, slot.name());
    if let Ok(installed) = env::current_exe() {
        command.env(INSTALLED, installed);
    }
    command
}

/// This program, even where its file was replaced since.
fn this() -> PathBuf {
    "/proc/self/exe".into()
}

/// What this program was started with.
pub(super) fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os().skip(1)
}
