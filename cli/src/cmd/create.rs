//! `create`: makes a thing.

use clap::{ArgMatches, Command};
use onprem_description::{PageModel, Resource};

use super::{call::call, operation};
use crate::{
    build,
    failure::Failure,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "create",
    build,
    run: |run, matches| Box::pin(create(run, matches)),
};

fn build(model: &'static PageModel) -> Command {
    build::of_kinds("create", "Make a thing")
        .subcommands(model.resources.iter().filter_map(of_kind))
}

fn of_kind(resource: &'static Resource) -> Option<Command> {
    let operation = resource.create.as_ref()?;
    let command = build::of_resource(resource, false);
    Some(operation::arguments(command, operation, operation::Style::New))
}

async fn create(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let Some(operation) = &resource.create else { return Ok(()) };
    let style = operation::Style::New;
    call(run, resource, operation, style, matches).await
}
