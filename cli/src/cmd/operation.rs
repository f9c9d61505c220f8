//! The arguments of commands that call one operation which changes something.

use std::path::PathBuf;

use clap::{Arg, Command, builder::PossibleValuesParser, value_parser};
use onprem_description::{
    Confirm, Kind, Operation, PageModel, Positional, Shape,
};

use super::{COMMANDS, get};
use crate::{
    build::{self, field_flag, help, switch},
    output, task,
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
pub(super) fn positional(
    operation: &Operation,
    style: Style,
) -> Vec<Positional> {
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
                let all = resource.operations();
                let text = all.into_iter().find_map(|it| {
                    let verb = it.cli.verb.as_deref()?.split(' ').next()?;
                    it.cli.group.as_deref().filter(|_| verb == first)
                });
                let text = text.or(resource.description.as_deref());
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
    if operation.reads() && operation.answer.shape == Shape::List {
        return get::list_arguments(command, operation).arg(output::argument());
    }
    let places = positional(operation, style);
    let given = |name: &str| places.iter().any(|p| p.name == name);
    let variables =
        operation.path_parameters.iter().filter(|p| !given(&p.name));
    let variables = variables.map(|parameter| {
        build::path_place(format!("path.{}", parameter.name), parameter)
    });
    let fields = operation.body.iter().flat_map(|body| &body.fields);
    let fields = fields
        .filter(|field| !given(&field.name) && !field.read_only)
        .map(|field| {
            let id = format!("body.{}", field.name);
            if field.is_secret() {
                Arg::new(id)
                    .long(field.flag())
                    .value_name("FILE")
                    .help(format!("{}; `-` is stdin", help(field)))
                    .value_parser(value_parser!(PathBuf))
            } else {
                let lists = operation.cli.lists.as_ref() == Some(&field.name);
                field_flag(id, field).required(field.is_needed() && !lists)
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
    let arg = arg
        .help(help(field))
        .required(field.is_needed())
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
