//! `set`: changes fields of a thing.

use std::{borrow::Cow, path::Path};

use clap::{Arg, ArgMatches, Command};
use onprem_description::{Kind, PageModel, Property, Resource};
use serde_json::{Map, Value};

use crate::{
    build::{self, scope_places, scope_values},
    config,
    failure::Failure,
    fields,
    fleet::Fleet,
    output,
    run::{Entry, Run},
    screen::plain,
};

pub(crate) const ENTRY: Entry = Entry {
    name: "set",
    build,
    run: |run, matches| Box::pin(set(run, matches)),
};

fn build(model: &'static PageModel) -> Command {
    build::of_kinds("set", "Change fields of a thing")
        .subcommands(model.resources.iter().filter_map(of_kind))
}

fn of_kind(resource: &'static Resource) -> Option<Command> {
    let update = resource.update.as_ref()?;
    let fields: Vec<String> = update
        .body
        .iter()
        .flat_map(|body| &body.fields)
        .map(|field| match field.kind {
            Kind::Map(_) => format!("{}.NAME", field.name),
            _ => field.name.clone(),
        })
        .collect();
    let entries = if fields.iter().any(|field| field.contains('.')) {
        "; an entry of no value is removed"
    } else {
        ""
    };
    Some(
        build::of_resource(resource, false)
            .about(update.summary.as_str())
            .args(scope_places(update, true))
            .arg(
                Arg::new("name")
                    .value_name("NAME")
                    .required(true)
                    .help("Its name or id"),
            )
            .arg(
                Arg::new("fields")
                    .value_name("FIELD=VALUE")
                    .required(true)
                    .num_args(1..)
                    .help(format!(
                        "What to change, of {}{entries}",
                        fields.join(", ")
                    )),
            )
            .arg(output::argument()),
    )
}

/// How `field` is set.
pub(crate) fn example(field: &Property) -> String {
    let name = &field.name;
    match field.kind {
        _ if field.is_secret() => format!("{name}=@FILE"),
        Kind::Map(_) => format!("{name}.NAME=VALUE"),
        _ => format!("{name}=VALUE"),
    }
}

/// An assignment with the secret in place of the file that it is in.
fn revealed<'a>(
    fields: &[Property],
    assignment: &'a str,
) -> Result<Cow<'a, str>, Failure> {
    let (name, text) = assignment.split_once('=').unwrap_or((assignment, ""));
    let field = fields.iter().find(|field| field.name == name);
    if !field.is_some_and(Property::is_secret) {
        return Ok(assignment.into());
    }
    let path = text.strip_prefix('@').ok_or_else(|| {
        // Arguments are seen by everybody on the machine.
        Failure::usage(format!("{name} is never an argument"))
            .hint(format!("`{name}=@FILE`; `@-` is stdin"))
    })?;
    let secret = config::secret_of(Path::new(path))?;
    Ok(format!("{name}={secret}").into())
}

async fn set(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let Some(update) = &resource.update else { return Ok(()) };
    let fleet = Fleet::of(matches)?;
    let mut variables = scope_values(update, true, matches);
    let name = matches.get_one::<String>("name");
    variables.extend(name.map(String::as_str));
    let assignments =
        || matches.get_many::<String>("fields").into_iter().flatten();

    // One entry of a map is set beside those that are there.
    let enters = assignments()
        .any(|a| a.split_once('=').is_some_and(|(path, _)| path.contains('.')));
    let current = match &resource.view {
        Some(view) if enters => fleet.call(view, &variables, &[], None).await?,
        _ => Value::Null,
    };
    let known = update.body.as_ref().map(|body| body.fields.as_slice());
    let mut body = Map::new();
    for assignment in assignments() {
        let known = known.unwrap_or_default();
        let assignment = revealed(known, assignment)?;
        fields::assign(&mut body, known, &assignment, &current)?;
    }
    let body = Value::Object(body);
    let item = fleet.call(update, &variables, &[], Some(&body)).await?;
    if let Some(note) = update.note(&variables, &item) {
        run.screen.note(&plain(&format!("note: {note}")));
    }
    if let Some(form) = output::form(matches) {
        return output::item(run.screen, resource, &item, form);
    }
    let name = resource.name_of(&item).or(variables.last().copied());
    run.screen.note(&format!("{}: changed", name.unwrap_or_default()));
    Ok(())
}
