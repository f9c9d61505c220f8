//! `context`: the fleets one works with.

use clap::{Arg, ArgMatches, Command};
use onprem_description::PageModel;

use crate::{
    config::{self, Context, Contexts},
    failure::{Code, Failure},
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "context",
    build,
    run: |run, matches| Box::pin(async move { context(run, matches) }),
};

fn build(_: &'static PageModel) -> Command {
    let name = |required| {
        Arg::new("name").value_name("NAME").required(required).help(
            if required { "Its name" } else { "Its name; the current one's" },
        )
    };
    Command::new("context")
        .about("Choose which fleet to work with")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            Command::new("list").about("List the contexts"),
            Command::new("use")
                .about("Work with this context from now on")
                .long_about(
                    "Work with this context from now on\n\n\
                     With `--url` it is made if there is none.",
                )
                .arg(name(true)),
            Command::new("show")
                .about("Show a context, without its token")
                .arg(name(false)),
            Command::new("delete")
                .about("Forget a context and its token")
                .arg(name(true)),
        ])
}

fn context(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let path = config::path(matches)?;
    let mut contexts = config::read(&path)?;
    let name = matches.try_get_one::<String>("name").ok().flatten();
    match verb {
        "list" => list(run, &contexts),
        "show" => {
            let current = contexts.current.clone();
            let name = name.or(current.as_ref());
            show(run, &contexts, name.map_or("", |name| name))
        }
        "use" => {
            let Some(name) = name else { return Ok(()) };
            // The address of the environment is for no context.
            let url = matches.get_one::<String>("url");
            let url = url.filter(|_| config::is_said(matches, "url"));
            if let Some(url) = url {
                let url = config::address(url)?;
                let context =
                    contexts.contexts.entry(name.clone()).or_default();
                if context.url != url {
                    *context = Context { url, ..Context::default() };
                }
            } else if !contexts.contexts.contains_key(name) {
                return Err(none(name).hint("`--url URL` makes one"));
            }
            contexts.current = Some(name.clone());
            config::write(&path, &contexts)?;
            run.screen.note(&format!("working with {name}"));
            Ok(())
        }
        _ => {
            let Some(name) = name else { return Ok(()) };
            if contexts.contexts.remove(name).is_none() {
                return Err(none(name));
            }
            contexts.current = contexts.current.filter(|c| c != name);
            config::write(&path, &contexts)
        }
    }
}

fn none(name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("no context named `{name}`"))
}

fn list(run: &mut Run<'_>, contexts: &Contexts) -> Result<(), Failure> {
    if contexts.contexts.is_empty() {
        run.screen.note("note: there are none; `onprem login` makes one");
    }
    let width = contexts.contexts.keys().map(String::len).max().unwrap_or(0);
    for (name, context) in &contexts.contexts {
        let mark =
            if contexts.current.as_ref() == Some(name) { "*" } else { " " };
        run.screen.print(&format!("{mark} {name:<width$}  {}", context.url))?;
    }
    Ok(())
}

fn show(
    run: &mut Run<'_>,
    contexts: &Contexts,
    name: &str,
) -> Result<(), Failure> {
    let Some(context) = contexts.contexts.get(name) else {
        return Err(if name.is_empty() {
            Failure::new(Code::NotFound, "no context is in use")
                .hint("`onprem login` makes one")
        } else {
            none(name).hint("`onprem context list` shows those there are")
        });
    };
    run.screen.print(&format!("name: {name}"))?;
    run.screen.print(&format!("url: {}", context.url))?;
    if let Some(account) = &context.account {
        run.screen.print(&format!("account: {account}"))?;
    }
    let known = if context.token.is_some() { "yes" } else { "no" };
    run.screen.print(&format!("logged in: {known}"))
}
