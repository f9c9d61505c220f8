//! Runs one command line.

use std::{ffi::OsString, pin::Pin};

use clap::{ArgMatches, Command, error::ErrorKind};
use onprem_description::PageModel;

use crate::{
    build,
    cmd::{self, COMMANDS},
    failure::{Code, Failure},
    screen::Screen,
};

/// A command made by hand.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Its place in the command tree.
    pub(crate) build: fn(&'static PageModel) -> Command,
    pub(crate) run: for<'a> fn(&'a mut Run<'_>, &'a ArgMatches) -> Work<'a>,
}

/// What a command does.
pub(crate) type Work<'a> =
    Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// What commands work with.
pub(crate) struct Run<'s> {
    pub(crate) model: &'static PageModel,
    pub(crate) screen: &'s mut Screen,
}

/// Runs a command line and answers the exit code.
pub(crate) async fn run(
    model: &'static PageModel,
    words: impl IntoIterator<Item = OsString>,
    screen: &mut Screen,
) -> u8 {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if build::command_of(&words) == Some("help") {
        // `help get devices` is what many try first.
        words.retain(|word| word != "help");
        words.push("--help".into());
    }
    let command = build::tree_for(model, &words);
    let result = match command.try_get_matches_from(words) {
        Ok(matches) => {
            let mut run = Run { model, screen: &mut *screen };
            dispatch(&mut run, &matches).await
        }
        Err(error) => explain(&error, screen),
    };
    let result = result.and_then(|()| screen.flush());
    match result {
        Ok(()) => 0,
        Err(failure) => {
            let _ = screen.flush();
            if failure.code != Code::Quiet && !failure.message.is_empty() {
                screen.failure(&failure);
            }
            failure.code as u8
        }
    }
}

async fn dispatch(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((name, inner)) = matches.subcommand() else {
        return Err(Failure::usage("say what to do: `onprem --help`"));
    };
    if let Some(entry) = COMMANDS.iter().find(|entry| entry.name == name) {
        return (entry.run)(run, inner).await;
    }
    if name == "api" {
        return crate::api::run(run, inner).await;
    }
    // A command of the description: one word or two.
    let (verb, inner) = match inner.subcommand() {
        Some((second, inner)) => (format!("{name} {second}"), inner),
        None => (name.to_owned(), inner),
    };
    cmd::call::run_verb(run, &verb, inner).await
}

/// Help goes to stdout, mistakes to stderr.
fn explain(error: &clap::Error, screen: &mut Screen) -> Result<(), Failure> {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = if screen.colour {
                text.ansi().to_string()
            } else {
                text.to_string()
            };
            screen.print(text.trim_end())
        }
        _ => {
            screen.note(text.to_string().trim_end());
            Err(Failure::usage(""))
        }
    }
}
