//! Commands that call one operation which changes something, for one thing or
//! many.

use std::path::PathBuf;

use clap::{
    Arg, ArgMatches, Command, builder::PossibleValuesParser, value_parser,
};
use futures_util::{StreamExt as _, stream};
use onprem_description::{
    Confirm, Danger, Format, Kind, Operation, PageModel, Positional, Property,
    Resource, Shape,
};
use serde_json::{Map, Value};

use super::{
    COMMANDS,
    get::{self, AT_ONCE, conclude},
};
use crate::{
    build::{self, field_flag, flag, help, switch},
    config,
    failure::{Code, Failure},
    fields,
    output::{self, Form},
    run::Run,
    task,
};

/// How an operation is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// By its own verb: `power off DEVICE…`.
    Verb,
    /// On things of a kind: `delete device NAME…`.
    Kind,
    /// To make a thing of a kind: `create account --name NAME`.
    New,
}

/// What is given without a flag.
fn positional(operation: &Operation, style: Style) -> Vec<Positional> {
    match style {
        Style::Verb => operation.positional(),
        Style::New => Vec::new(),
        Style::Kind => operation
            .path_parameters
            .last()
            .map(|last| Positional {
                name: last.name.clone(),
                in_path: true,
                many: true,
            })
            .into_iter()
            .collect(),
    }
}

fn is_secret(field: &Property) -> bool {
    field.write_only || field.format == Format::Secret
}

/// Adds the commands that the description names to the tree.
pub(crate) fn verbs(model: &'static PageModel, mut root: Command) -> Command {
    for resource in &model.resources {
        for operation in resource.operations() {
            let Some(verb) = &operation.cli.verb else { continue };
            let mut words = verb.split(' ');
            let (Some(first), second) = (words.next(), words.next()) else {
                continue;
            };
            if COMMANDS.iter().any(|entry| entry.name == first) {
                continue;
            }
            let command = Command::new(second.unwrap_or(first))
                .aliases(operation.cli.aliases.iter().map(String::as_str))
                .hide(operation.cli.hidden);
            let command = arguments(command, operation, Style::Verb);
            if second.is_none() {
                root = root.subcommand(command);
            } else if root.find_subcommand(first).is_some() {
                root = root
                    .mut_subcommand(first, |group| group.subcommand(command));
            } else {
                let text = resource.description.as_deref();
                let text = text.unwrap_or(&resource.title);
                let group = Command::new(first)
                    .about(text.trim_end_matches('.'))
                    .subcommand_required(true)
                    .arg_required_else_help(true)
                    .subcommand(command);
                root = root.subcommand(group);
            }
        }
    }
    root
}

/// Adds what an operation needs to its command.
pub(crate) fn arguments(
    command: Command,
    operation: &'static Operation,
    style: Style,
) -> Command {
    let command = command
        .about(operation.summary.as_str())
        .long_about(operation.description.as_ref().map_or_else(
            || operation.summary.clone(),
            |more| format!("{}\n\n{more}", operation.summary),
        ))
        .disable_version_flag(true);
    if operation.reads() {
        return get::list_arguments(command, operation)
            .arg(output::argument())
            .about(operation.summary.as_str());
    }
    let places = positional(operation, style);
    let given = |name: &str| places.iter().any(|p| p.name == name);
    let variables =
        operation.path_parameters.iter().filter(|p| !given(&p.name));
    let variables = variables.map(|parameter| {
        Arg::new(format!("path.{}", parameter.name))
            .long(flag(parameter))
            .value_name(parameter.name.to_uppercase())
            .help(help(parameter))
            .required(true)
    });
    let fields = operation.body.iter().flat_map(|body| &body.fields);
    let fields = fields
        .filter(|field| !given(&field.name) && !field.read_only)
        .map(|field| {
            let id = format!("body.{}", field.name);
            if is_secret(field) {
                Arg::new(id)
                    .long(format!("{}-file", flag(field)))
                    .value_name("FILE")
                    .help(format!("{}; `-` is stdin", help(field)))
                    .value_parser(value_parser!(PathBuf))
            } else {
                let needed = field.required && field.default.is_none();
                field_flag(id, field).required(needed)
            }
        });
    let mut command = command.args(variables).args(fields);
    for place in &places {
        command = command.arg(place_argument(operation, place));
    }
    if operation.action.confirm != Confirm::None {
        command = command.arg(build::yes());
    }
    if operation.answer.schema.as_deref() == Some(task::SCHEMA) {
        command =
            command.arg(switch("no-wait", "Do not wait until it is done"));
    }
    if operation.answer.shape != Shape::Empty {
        command = command.arg(output::argument());
    }
    command
}

fn place_argument(operation: &'static Operation, place: &Positional) -> Arg {
    let arg = Arg::new(format!("place.{}", place.name))
        .value_name(place.name.to_uppercase())
        .required(true)
        .num_args(if place.many { 1..=usize::MAX } else { 1..=1 });
    if place.in_path {
        let parameters = &operation.path_parameters;
        let parameter = parameters.iter().find(|p| p.name == place.name);
        return arg.help(parameter.map(help).unwrap_or_default());
    }
    let fields = operation.body.iter().flat_map(|body| &body.fields);
    let Some(field) = fields.into_iter().find(|f| f.name == place.name) else {
        return arg;
    };
    let needed = field.required && field.default.is_none();
    let arg = arg
        .help(help(field))
        .required(needed)
        .value_name(onprem_description::kebab(&place.name).to_uppercase());
    let mut words: Vec<&str> =
        operation.cli.words.iter().map(|(word, _)| word.as_str()).collect();
    if let Kind::Enum(values) = &field.kind {
        words.extend(values.iter().map(String::as_str));
    }
    if words.is_empty() {
        arg
    } else {
        arg.value_parser(PossibleValuesParser::new(words)).ignore_case(true)
    }
}

/// Runs the command of the description called `verb`.
pub(crate) async fn run_verb(
    run: &mut Run<'_>,
    verb: &str,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let model = run.model;
    let found = model.resources.iter().find_map(|resource| {
        let operation = resource
            .operations()
            .find(|o| o.cli.verb.as_deref() == Some(verb))?;
        Some((resource, operation))
    });
    let Some((resource, operation)) = found else {
        return Err(Failure::usage(format!("there is no command `{verb}`")));
    };
    if operation.reads() {
        return get::list_of(run, resource, operation, matches).await;
    }
    self::run(run, resource, operation, Style::Verb, matches).await
}

/// Calls the operation for everything that was named.
pub(crate) async fn run(
    run: &mut Run<'_>,
    resource: &'static Resource,
    operation: &'static Operation,
    style: Style,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let places = positional(operation, style);
    let body = body(run, operation, &places, matches)?;
    let targets = targets(operation, &places, matches);
    let names: Vec<String> = targets
        .iter()
        .map(|target| {
            let own = target.last().map(|name| (*name).to_owned());
            own.unwrap_or_else(|| resource.singular.clone())
        })
        .collect();
    confirm(run, operation, &names, matches)?;
    let fleet = run.fleet(matches)?;
    let (shared, all) = (&fleet, targets.len());
    let answers: Vec<_> = stream::iter(targets)
        .map(|target| {
            let body = body.as_ref();
            async move { shared.call(operation, &target, &[], body).await }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;

    let mut failed = Vec::new();
    let mut done = Vec::new();
    for (name, answer) in names.into_iter().zip(answers) {
        match answer {
            Ok(item) => done.push((name, item)),
            Err(failure) => failed.push((name, failure)),
        }
    }
    let waits = operation.answer.schema.as_deref() == Some(task::SCHEMA)
        && !matches.get_flag("no-wait");
    if waits {
        let ended = task::wait(&fleet, run.model, run.screen, done).await;
        done = Vec::new();
        for (name, result) in ended {
            match result {
                Ok(task) => done.push((name, task)),
                Err(failure) => failed.push((name, failure)),
            }
        }
    }
    report(run, resource, operation, &done, matches)?;
    conclude(run, failed, all)
}

/// The values of the path's variables, for each thing that was named.
fn targets<'a>(
    operation: &Operation,
    places: &[Positional],
    matches: &'a ArgMatches,
) -> Vec<Vec<&'a str>> {
    let many = places.iter().find(|place| place.many && place.in_path);
    let of = |id: &str| -> Vec<&'a str> {
        let values = matches.try_get_many::<String>(id).ok().flatten();
        values.into_iter().flatten().map(String::as_str).collect()
    };
    let values = |name: &str| {
        let mut values = of(&format!("place.{name}"));
        values.extend(of(&format!("path.{name}")));
        values
    };
    let count = many.map_or(1, |many| values(&many.name).len());
    (0..count)
        .map(|index| {
            operation
                .path_parameters
                .iter()
                .filter_map(|parameter| {
                    let varies =
                        many.is_some_and(|many| many.name == parameter.name);
                    let index = if varies { index } else { 0 };
                    values(&parameter.name).get(index).copied()
                })
                .collect()
        })
        .collect()
}

/// The body that flags and words make.
fn body(
    run: &mut Run<'_>,
    operation: &Operation,
    places: &[Positional],
    matches: &ArgMatches,
) -> Result<Option<Value>, Failure> {
    let Some(body) = &operation.body else { return Ok(None) };
    let mut made = Map::new();
    for field in body.fields.iter().filter(|field| !field.read_only) {
        let id = if places.iter().any(|p| p.name == field.name) {
            format!("place.{}", field.name)
        } else {
            format!("body.{}", field.name)
        };
        let value = if is_secret(field) {
            let path = matches.get_one::<PathBuf>(&id);
            secret(run, field, path)?.map(Value::String)
        } else {
            let text = matches.get_one::<String>(&id);
            text.map(|text| word(operation, field, text)).transpose()?
        };
        if let Some(value) = value {
            made.insert(field.name.clone(), value);
        }
    }
    Ok(Some(Value::Object(made)))
}

fn word(
    operation: &Operation,
    field: &Property,
    text: &str,
) -> Result<Value, Failure> {
    let words = &operation.cli.words;
    let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    match known {
        Some((_, value)) if operation.cli.positional.contains(&field.name) => {
            Ok(value.clone())
        }
        _ => fields::value(field, text),
    }
}

/// A secret comes from a file or is asked for; it is never an argument.
fn secret(
    run: &mut Run<'_>,
    field: &Property,
    path: Option<&PathBuf>,
) -> Result<Option<String>, Failure> {
    match path {
        Some(path) => Ok(Some(config::secret_of(path)?)),
        None if !field.required => Ok(None),
        None if run.screen.interactive => {
            run.screen.ask_secret(&format!("{}: ", field.title)).map(Some)
        }
        None => Err(Failure::usage(format!("{} is needed", field.name))
            .hint(format!("`--{}-file FILE`; `-` is stdin", flag(field)))),
    }
}

/// Asks whether to go on, if the operation can do harm.
pub(crate) fn confirm(
    run: &mut Run<'_>,
    operation: &Operation,
    names: &[String],
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let needed = operation.action.confirm;
    if needed == Confirm::None || matches.get_flag("yes") {
        return Ok(());
    }
    if !run.screen.interactive {
        return Err(Failure::usage(format!(
            "{} needs a confirmation",
            operation.action.label.to_lowercase()
        ))
        .hint("say `--yes` where nobody can be asked"));
    }
    let label = &operation.action.label;
    let harm = match operation.action.danger {
        Danger::Destructive => " This cannot be undone.",
        Danger::None | Danger::Disruptive => "",
    };
    let what = match names {
        [name] => name.clone(),
        names => format!("{} ({})", names.len(), names.join(", ")),
    };
    let agreed = match (needed, names) {
        (Confirm::Name | Confirm::SecondPerson, [name]) => {
            let question =
                format!("{label}: {what}.{harm} Type the name to go on: ");
            run.screen.ask(&question)? == *name
        }
        _ => {
            let question = format!("{label}: {what}.{harm} Go on? [y/N] ");
            let answer = run.screen.ask(&question)?.to_lowercase();
            answer == "y" || answer == "yes"
        }
    };
    if agreed {
        Ok(())
    } else {
        Err(Failure::new(Code::Other, "nothing was done"))
    }
}

/// Says what came of it: data if there is some, else a note.
fn report(
    run: &mut Run<'_>,
    resource: &'static Resource,
    operation: &Operation,
    done: &[(String, Value)],
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let form = output::form(matches);
    if let (Some(print), None) = (&operation.cli.print, form) {
        for (_, item) in done {
            let text = item.get(print).and_then(Value::as_str);
            run.screen.print(text.unwrap_or_default())?;
        }
        return Ok(());
    }
    let items: Vec<Value> = done.iter().map(|(_, item)| item.clone()).collect();
    match form {
        Some(form @ (Form::Json | Form::Yaml)) => {
            let value = match items.as_slice() {
                [only] => only.clone(),
                _ => Value::Array(items),
            };
            output::whole(run.screen, &value, form)
        }
        Some(form) => {
            let schema = operation.answer.schema.as_ref();
            let answers = |r: &&'static Resource| {
                let row = r.list.as_ref().or(r.view.as_ref());
                row.is_some_and(|o| o.answer.schema.as_ref() == schema)
            };
            let known = run.model.resources.iter().find(answers);
            let known = known.unwrap_or(resource);
            output::items(run.screen, known, &items, form)
        }
        None if operation.name == "create" => {
            for item in &items {
                let fields = &operation.answer.properties;
                output::describe(run.screen, fields, &[], item)?;
            }
            Ok(())
        }
        None => {
            for (name, item) in done {
                let state = item.get("state").and_then(Value::as_str);
                let is_task =
                    operation.answer.schema.as_deref() == Some(task::SCHEMA);
                let end = state.filter(|_| is_task).unwrap_or("done");
                let label = operation.action.label.to_lowercase();
                run.screen.note(&format!("{name}: {label}: {end}"));
            }
            Ok(())
        }
    }
}
