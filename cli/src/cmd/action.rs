//! `action`: runs any action of any kind.

use clap::{ArgMatches, Command};
use onprem_description::{Operation, PageModel, Resource};

use super::{call::call, operation};
use crate::{
    build,
    failure::Failure,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "action",
    build,
    run: |run, matches| Box::pin(action(run, matches)),
};

fn build(model: &'static PageModel) -> Command {
    let kinds = model.resources.iter();
    let kinds = kinds.filter(|resource| actions(resource).next().is_some());
    build::of_kinds("action", "Run an action of a thing")
        .subcommands(kinds.map(of_kind))
}

/// The actions of a kind that are offered.
fn actions(
    resource: &'static Resource,
) -> impl Iterator<Item = &'static Operation> {
    resource.actions.iter().filter(|operation| !operation.cli.hidden)
}

fn of_kind(resource: &'static Resource) -> Command {
    let actions = actions(resource).map(|operation| {
        let command = Command::new(operation.name.as_str());
        operation::arguments(command, operation, operation::Style::Kind)
    });
    build::of_resource(resource, false)
        .about(format!("Run an action of a {}", resource.singular))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("ACTION")
        .subcommand_help_heading("Actions")
        .subcommands(actions)
}

async fn action(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(operation) = resource.action(name) else { return Ok(()) };
    let style = operation::Style::Kind;
    call(run, resource, operation, style, matches).await
}
