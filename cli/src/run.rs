//! Runs one command line.

use std::{ffi::OsString, pin::Pin};

use clap::{
    ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use onprem_description::{PageModel, kebab};

use crate::{
    build,
    cmd::{self, COMMANDS},
    failure::{Code, Failure},
    fields,
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
    if words.len() == 1 {
        // What the environment says for every command is no command.
        words.push("--help".into());
    }
    let mut command = build::tree_for(model, &words);
    let result = match command.try_get_matches_from_mut(&words) {
        Ok(matches) => {
            let mut run = Run { model, screen: &mut *screen };
            dispatch(&mut run, &matches).await
        }
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            words.push("--help".into());
            if let Err(help) = command.try_get_matches_from_mut(&words) {
                screen.note(help.render().to_string().trim_end());
            }
            Err(Failure::usage(""))
        }
        Err(error) => match mistake(model, &command, &words, &error) {
            Some(failure) => Err(failure),
            None => explain(&error, screen),
        },
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

/// What can be said better than clap says it.
fn mistake(
    model: &PageModel,
    command: &Command,
    words: &[OsString],
    error: &clap::Error,
) -> Option<Failure> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let wrong = of(ContextKind::InvalidSubcommand)?;
            let (mut at, mut path) = (command, "onprem".to_owned());
            for word in words.iter().skip(1).take_while(|word| *word != wrong) {
                if let Some(inner) = at.find_subcommand(word) {
                    path = format!("{path} {}", inner.get_name());
                    at = inner;
                }
            }
            let known = at.get_subcommands().filter(|c| !c.is_hide_set());
            let known: Vec<&str> = known.map(Command::get_name).collect();
            let hint = match fields::closest(wrong, &known) {
                Some(near) => format!("did you mean `{path} {near}`?"),
                None => format!("`{path} --help` shows what there is"),
            };
            let message = format!("there is no `{path} {wrong}`");
            Some(Failure::usage(message).hint(hint))
        }
        ErrorKind::UnknownArgument
            if build::command_of(words) == Some("set") =>
        {
            let flag = of(ContextKind::InvalidArg)?;
            let name = flag.strip_prefix("--")?;
            let bodies = model
                .resources
                .iter()
                .filter_map(|resource| resource.update.as_ref()?.body.as_ref());
            let field = bodies
                .flat_map(|body| &body.fields)
                .find(|field| kebab(&field.name) == name)?;
            let message = format!("{flag} is a field, and no flag");
            let hint = format!("say `{}`", cmd::set::example(field));
            Some(Failure::usage(message).hint(hint))
        }
        _ => None,
    }
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
