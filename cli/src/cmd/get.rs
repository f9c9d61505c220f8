//! `get`: lists things, or shows some of them by name.

use std::{collections::HashSet, time::Duration};

use clap::{
    Arg, ArgMatches, Command, builder::PossibleValuesParser, value_parser,
};
use futures_util::{StreamExt as _, stream};
use onprem_description::{Kind, Operation, PageModel, Resource};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    build::{self, field_flag, scope_places, scope_values, switch},
    failure::{Code, Failure},
    fields,
    fleet::Fleet,
    output::{self, Form},
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "get",
    build,
    run: |run, matches| Box::pin(get(run, matches)),
};

/// How many items are listed unless more are asked for.
const LIMIT: usize = 500;

/// How often a list that is watched is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// How many things are asked for at the same time.
pub(crate) const AT_ONCE: usize = 16;

fn build(model: &'static PageModel) -> Command {
    let kinds = model
        .resources
        .iter()
        .filter(|resource| resource.list.is_some() || resource.is_single());
    build::of_kinds("get", "List things, or show some by name")
        .visible_alias("list")
        .subcommands(kinds.map(of_kind))
}

/// `get devices`.
fn of_kind(resource: &'static Resource) -> Command {
    let command = build::of_resource(resource, true).arg(output::argument());
    match (&resource.list, &resource.view) {
        (Some(list), _) => list_arguments(command, list),
        (None, Some(view)) => {
            command.about(view.summary.as_str()).args(scope_places(view, false))
        }
        (None, None) => command,
    }
}

/// What a list can be asked.
pub(crate) fn list_arguments(
    command: Command,
    list: &'static Operation,
) -> Command {
    let sort = list.query.iter().find(|q| q.name == "sort");
    let sort = sort.map(|sort| {
        let arg = Arg::new("sort")
            .long("sort")
            .value_name("KEY")
            .allow_hyphen_values(true)
            .help(build::help(sort));
        match &sort.kind {
            Kind::Enum(keys) => arg
                .value_parser(PossibleValuesParser::new(keys))
                .hide_possible_values(true)
                .long_help(format!(
                    "{}\n\n[keys: {}]",
                    build::help(sort),
                    up(keys)
                )),
            _ => arg,
        }
    });
    let query = list.query.iter().filter(|query| query.name != "sort");
    let narrows = query
        .clone()
        .map(|query| format!("query.{}", query.name))
        .chain(sort.iter().map(|_| "sort".to_owned()))
        .chain(["limit", "all"].map(str::to_owned));
    let narrows: Vec<String> = narrows.collect();
    command
        .about(list.summary.as_str())
        .long_about(list.description.as_ref().map_or_else(
            || list.summary.clone(),
            |more| format!("{}\n\n{more}", list.summary),
        ))
        .args(scope_places(list, false))
        .arg(
            Arg::new("names")
                .value_name("NAME")
                .num_args(0..)
                .help("Only those of these names or ids")
                .conflicts_with_all(narrows),
        )
        .args(query.map(|q| field_flag(format!("query.{}", q.name), q)))
        .args(sort)
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("NUMBER")
                .help("How many at most (500)")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(switch("all", "All, however many").conflicts_with("limit"))
        .arg(switch("watch", "Go on, and show what changes").short('w'))
}

/// The keys without those that sort downwards.
fn up(keys: &[String]) -> String {
    let keys = keys.iter().map(String::as_str);
    keys.filter(|key| !key.starts_with('-')).collect::<Vec<_>>().join(", ")
}

async fn get(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((kind, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(resource) = run.model.resource(kind) else { return Ok(()) };
    let form = output::form(matches).unwrap_or(Form::Table);
    if let Some(list) = &resource.list {
        return list_of(run, resource, list, matches).await;
    }
    let Some(view) = &resource.view else { return Ok(()) };
    let fleet = Fleet::of(matches)?;
    let variables = scope_values(view, false, matches);
    let item = fleet.call(view, &variables, &[], None).await?;
    output::item(run.screen, resource, &item, form)
}

/// Lists with what `matches` say.
pub(crate) async fn list_of(
    run: &mut Run<'_>,
    resource: &'static Resource,
    list: &'static Operation,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let form = output::form(matches).unwrap_or(Form::Table);
    let fleet = Fleet::of(matches)?;
    let names: Vec<&str> = matches
        .get_many::<String>("names")
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let mut query = Vec::new();
    for property in list.query.iter().filter(|q| q.name != "sort") {
        let id = format!("query.{}", property.name);
        if let Some(text) = matches.get_one::<String>(&id) {
            let text = match fields::value(property, text)? {
                Value::String(text) => text,
                Value::Array(_) | Value::Object(_) => text.clone(),
                other => other.to_string(),
            };
            query.push((property.name.clone(), text));
        }
    }
    if let Ok(Some(key)) = matches.try_get_one::<String>("sort") {
        query.push(("sort".to_owned(), key.clone()));
    }
    let scope = scope_values(list, false, matches);
    if !names.is_empty() && matches.get_flag("watch") {
        let again = || async {
            let found = by_names(&fleet, resource, &scope, &names).await;
            let found = found.into_iter().map(|(_, result)| result);
            Ok((found.collect::<Result<Vec<Value>, Failure>>()?, false))
        };
        let (items, _) = again().await?;
        return watch(run, resource, form, items, again).await;
    }
    if !names.is_empty() {
        let found = by_names(&fleet, resource, &scope, &names).await;
        return some(run, resource, found, form);
    }
    let limit = if matches.get_flag("all") {
        usize::MAX
    } else {
        let limit = matches.get_one::<u32>("limit");
        limit.map_or(LIMIT, |n| usize::try_from(*n).unwrap_or(LIMIT))
    };
    let list = || fleet.list(list, &scope, &query, limit);
    let (items, more) = list().await?;
    if matches.get_flag("watch") {
        return watch(run, resource, form, items, list).await;
    }
    output::items(run.screen, resource, &items, form)?;
    if more && matches.get_one::<u32>("limit").is_none() {
        run.screen.note(&format!(
            "note: these are the first {}; `--all` lists all",
            items.len()
        ));
    }
    Ok(())
}

/// Shows `items`, and then what `list` finds that is new: on a terminal all in
/// place of what stands there, else what has changed.
async fn watch<F>(
    run: &mut Run<'_>,
    resource: &'static Resource,
    form: Form,
    mut items: Vec<Value>,
    list: impl Fn() -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(Vec<Value>, bool), Failure>>,
{
    let mut shown = HashSet::new();
    loop {
        if run.screen.width.is_some() {
            run.screen.write(b"\x1b[H\x1b[2J\x1b[3J")?;
            output::items(run.screen, resource, &items, form)?;
        } else {
            let look = |item: &Value| output::look(resource, item, form);
            let now: HashSet<String> = items.iter().map(look).collect();
            items.retain(|item| !shown.contains(&look(item)));
            if shown.is_empty() || !items.is_empty() {
                output::items(run.screen, resource, &items, form)?;
            }
            shown = now;
        }
        run.screen.flush()?;
        items = loop {
            sleep(PERIOD).await;
            match list().await {
                Ok((items, _)) => break items,
                // It comes back; that is what one watches for.
                Err(failure) if failure.code == Code::Offline => {
                    run.screen.note(&format!("note: {failure}"));
                }
                Err(failure) => return Err(failure),
            }
        };
    }
}

/// Prints those that were found and names the others.
fn some(
    run: &mut Run<'_>,
    resource: &'static Resource,
    found: Vec<(String, Result<Value, Failure>)>,
    form: Form,
) -> Result<(), Failure> {
    let all = found.len();
    let mut items = Vec::new();
    let mut failed = Vec::new();
    for (name, result) in found {
        match result {
            Ok(item) => items.push(item),
            Err(failure) => failed.push((name, failure)),
        }
    }
    match (items.as_slice(), all) {
        ([item], 1) => output::item(run.screen, resource, item, form)?,
        ([], _) => {}
        _ => output::items(run.screen, resource, &items, form)?,
    }
    conclude(run, failed, all)
}

/// Tells what failed: the one failure as it is, several each with its name.
pub(crate) fn conclude(
    run: &mut Run<'_>,
    mut failed: Vec<(String, Failure)>,
    all: usize,
) -> Result<(), Failure> {
    if failed.is_empty() {
        return Ok(());
    }
    if all == 1
        && let Some((_, failure)) = failed.pop()
    {
        return Err(failure);
    }
    for (name, failure) in &failed {
        run.screen.note(&format!("{name}: {failure}"));
    }
    Err(Failure::of_many(&failed, all))
}

/// The things of these names, in their order.
pub(crate) async fn by_names(
    fleet: &Fleet,
    resource: &'static Resource,
    scope: &[&str],
    names: &[&str],
) -> Vec<(String, Result<Value, Failure>)> {
    if let Some(view) = &resource.view {
        return stream::iter(names)
            .map(|name| async move {
                let mut variables = scope.to_vec();
                variables.push(name);
                let item = fleet.call(view, &variables, &[], None).await;
                ((*name).to_owned(), item)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
    }
    // There is no view of one: it is among the others.
    let all = match &resource.list {
        Some(list) => fleet.list(list, scope, &[], usize::MAX).await,
        None => Ok((Vec::new(), false)),
    };
    let find = |name: &str| match &all {
        Ok((items, _)) => items
            .iter()
            .find(|item| {
                resource.id_of(item) == Some(name)
                    || resource.name_of(item) == Some(name)
            })
            .cloned()
            .ok_or_else(|| {
                let kind = &resource.singular;
                let text = format!("no {kind} named `{name}`");
                Failure::new(Code::NotFound, text)
            }),
        Err(failure) => Err(Failure {
            code: failure.code,
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            request_id: failure.request_id.clone(),
        }),
    };
    names.iter().map(|name| ((*name).to_owned(), find(name))).collect()
}
