//! `delete`: deletes things.

use clap::{ArgMatches, Command};
use onprem_description::{PageModel, Resource};

use super::{call::call, operation};
use crate::{
    build,
    failure::Failure,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "delete",
    build,
    run: |run, matches| Box::pin(delete(run, matches)),
};

fn build(model: &'static PageModel) -> Command {
    build::of_kinds("delete", "Delete things")
        .subcommands(model.resources.iter().filter_map(of_kind))
}

fn of_kind(resource: &'static Resource) -> Option<Command> {
    let operation = resource.delete.as_ref()?;
    let command = build::of_resource(resource, false);
    Some(operation::arguments(command, operation, operation::Style::Kind))
}

async fn delete(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let Some(operation) = &resource.delete else { return Ok(()) };
    let style = operation::Style::Kind;
    call(run, resource, operation, style, matches).await
}
