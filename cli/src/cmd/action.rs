//! `action`: runs any action of any kind.

use clap::{ArgMatches, Command};
use onprem_description::{PageModel, Resource};

use super::operation;
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
    let kinds = model.resources.iter().filter(|r| !r.actions.is_empty());
    Command::new("action")
        .about("Run an action of a thing")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("KIND")
        .subcommand_help_heading("Kinds")
        .subcommands(kinds.map(of_kind))
}

fn of_kind(resource: &'static Resource) -> Command {
    let actions = resource.actions.iter().map(|operation| {
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
    operation::run(run, resource, operation, style, matches).await
}
