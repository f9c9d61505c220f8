//! `describe`: all that is known of a thing.

use clap::{Arg, ArgMatches, Command};
use onprem_description::{PageModel, Resource};

use super::get::{by_names, conclude};
use crate::{
    build::{self, scope_places, scope_values},
    failure::Failure,
    fleet::Fleet,
    output,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "describe",
    build,
    run: |run, matches| Box::pin(describe(run, matches)),
};

fn build(model: &'static PageModel) -> Command {
    let kinds = model.resources.iter();
    let kinds = kinds.filter(|r| r.view.is_some() || r.list.is_some());
    build::of_kinds("describe", "Show all that is known of a thing")
        .subcommands(kinds.map(of_kind))
}

fn of_kind(resource: &'static Resource) -> Command {
    let command = build::of_resource(resource, false).arg(output::argument());
    let own = resource.view.is_some() && !resource.is_single();
    let main = resource.view.as_ref().or(resource.list.as_ref());
    let command = command
        .about(about(resource))
        .args(main.into_iter().flat_map(|main| scope_places(main, own)));
    if resource.is_single() {
        return command;
    }
    command.arg(
        Arg::new("names")
            .value_name("NAME")
            .num_args(1..)
            .required(true)
            .help("Names or ids"),
    )
}

/// `Show all that is known of a fan of a device`.
fn about(resource: &Resource) -> String {
    let noun = resource.singular.replace('-', " ");
    let noun = match noun.strip_prefix("device ") {
        Some(own) if resource.parent.is_some() => own,
        _ => &noun,
    };
    let article = match (resource.is_single(), noun.chars().next()) {
        (true, _) => "the",
        (false, Some('a' | 'e' | 'i' | 'o' | 'u')) => "an",
        _ => "a",
    };
    let noun = onprem_description::title(&noun.replace(' ', "-"));
    // What begins with capitals only is a name: `API token`.
    let name = noun.chars().nth(1).is_some_and(char::is_uppercase);
    let noun = if name { noun } else { noun.to_lowercase() };
    let of = if resource.parent.is_some() { " of a device" } else { "" };
    format!("Show all that is known of {article} {noun}{of}")
}

async fn describe(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let fleet = Fleet::of(matches)?;
    let form = output::form(matches);
    let found = if let (Some(view), None) = (&resource.view, &resource.list) {
        let variables = scope_values(view, false, matches);
        let item = fleet.call(view, &variables, &[], None).await;
        vec![(resource.singular.clone(), item)]
    } else {
        let own = resource.view.is_some();
        let main = resource.view.as_ref().or(resource.list.as_ref());
        let scope = main.map(|main| scope_values(main, own, matches));
        let names: Vec<&str> = matches
            .get_many::<String>("names")
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        by_names(&fleet, resource, &scope.unwrap_or_default(), &names).await
    };
    let all = found.len();
    let mut failed = Vec::new();
    let mut first = true;
    let mut items = Vec::new();
    for (name, item) in found {
        match (item, form) {
            (Ok(item), None) => {
                if !std::mem::take(&mut first) {
                    run.screen.print("")?;
                }
                output::describe(
                    run.screen,
                    &resource.properties,
                    &resource.groups,
                    &item,
                )?;
            }
            (Ok(item), Some(_)) => items.push(item),
            (Err(failure), _) => failed.push((name, failure)),
        }
    }
    if let Some(form) = form
        && !items.is_empty()
    {
        output::several(run.screen, resource, &items, form)?;
    }
    conclude(run, failed, all)
}
