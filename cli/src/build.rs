//! The command tree.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction, Command, builder::PossibleValuesParser, value_parser,
};
use onprem_description::{Kind, Operation, PageModel, Property, Resource};

use crate::cmd::{self, COMMANDS};

/// What the help says below all else.
const ENVIRONMENT: &str = "\
What holds for every command may stand in the environment: the global options
and ONPREM_OUTPUT, and in ONPREM_TOKEN an API token for the fleet of ONPREM_URL.
What is said goes before it, and it goes before the context.";

/// The whole tree.
pub(crate) fn tree(model: &'static PageModel) -> Command {
    part(model, None)
}

/// The part of the tree that a command line needs: making all of it takes
/// longer than calling the fleet.
pub(crate) fn tree_for(
    model: &'static PageModel,
    words: &[OsString],
) -> Command {
    let known = |first: &&str| {
        *first == "api" || COMMANDS.iter().any(|entry| entry.name == *first)
    };
    match command_of(words).filter(known) {
        Some(first) => part(model, Some(first)),
        // A mistake is explained, and help given, with all that there is.
        None => root(model, None).subcommand(crate::api::stub()),
    }
}

/// The word that says what to do; global options may stand before it.
pub(crate) fn command_of(words: &[OsString]) -> Option<&str> {
    let mut words = words.iter().skip(1).map(|word| word.to_str());
    while let Some(Some(word)) = words.next() {
        if !word.starts_with('-') {
            return Some(word);
        }
        let takes_a_word = word.starts_with("--")
            && !word.contains('=')
            && !"--help".starts_with(word)
            && !"--version".starts_with(word);
        if takes_a_word {
            words.next();
        }
    }
    None
}

fn part(model: &'static PageModel, only: Option<&str>) -> Command {
    let root = root(model, only);
    if only.is_none_or(|only| only == "api") {
        root.subcommand(crate::api::tree())
    } else {
        root
    }
}

fn root(model: &'static PageModel, only: Option<&str>) -> Command {
    let mut root = Command::new("onprem")
        .about("Manage an on-prem fleet")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(ENVIRONMENT)
        .infer_long_args(true)
        .args(globals());
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    for entry in COMMANDS.iter().filter(|entry| wanted(entry.name)) {
        root = root.subcommand((entry.build)(model));
    }
    if only.is_none() {
        root = cmd::operation::verbs(model, root);
    }
    root
}

fn globals() -> Vec<Arg> {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .help(help)
            .value_parser(value_parser!(PathBuf))
    };
    vec![
        Arg::new("url")
            .long("url")
            .value_name("URL")
            .help("Where the fleet is, if not where the context says"),
        Arg::new("context")
            .long("context")
            .value_name("NAME")
            .help("The context to use, if not the current one"),
        file("config", "The file of the contexts"),
        file("token-file", "A file with the API token; `-` is stdin"),
        file("ca-file", "Certificates to trust beside the system's"),
        Arg::new("timeout")
            .long("timeout")
            .value_name("SECONDS")
            .help("How long to wait for an answer (60)")
            .value_parser(value_parser!(u64).range(1..)),
    ]
    .into_iter()
    .map(|arg| of_environment(arg).global(true).help_heading("Global options"))
    .collect()
}

/// Gives a flag its environment variable: `--ca-file`, `ONPREM_CA_FILE`. Only
/// what means the same in every command has one; a filter that holds unseen
/// would hide things.
pub(crate) fn of_environment(arg: Arg) -> Arg {
    let name = arg.get_long().unwrap_or_default();
    let name = name.to_uppercase().replace('-', "_");
    arg.env(format!("ONPREM_{name}")).hide_env_values(true)
}

/// A switch.
pub(crate) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// `--yes`.
pub(crate) fn yes() -> Arg {
    switch("yes", "Do not ask").short('y')
}

/// A command that takes a kind: `get`.
pub(crate) fn of_kinds(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("KIND")
        .subcommand_help_heading("Kinds")
}

/// The command of a resource under a verb: `get devices`.
pub(crate) fn of_resource(resource: &'static Resource, many: bool) -> Command {
    let (name, other) = if many {
        (&resource.plural, &resource.singular)
    } else {
        (&resource.singular, &resource.plural)
    };
    let mut aliases = vec![other, &resource.name];
    aliases.extend(&resource.aliases);
    aliases.retain(|alias| *alias != name);
    aliases.dedup();
    Command::new(name.as_str())
        .aliases(aliases.into_iter().map(String::as_str))
        .disable_version_flag(true)
}

/// The variables of a path that say in what a thing is: a sensor's device.
pub(crate) fn scope(
    operation: &'static Operation,
    own: bool,
) -> &'static [Property] {
    let all = &operation.path_parameters;
    let count = all.len() - usize::from(own && !all.is_empty());
    all.get(..count).unwrap_or_default()
}

/// What says in what a thing is; it stands before the names of things.
pub(crate) fn scope_places(
    operation: &'static Operation,
    own: bool,
) -> impl Iterator<Item = Arg> {
    scope(operation, own)
        .iter()
        .map(|parameter| path_place(parameter.name.clone(), parameter))
}

/// A place on the command line for a variable of a path.
pub(crate) fn path_place(id: String, parameter: &Property) -> Arg {
    Arg::new(id)
        .value_name(parameter.name.to_uppercase())
        .help(help(parameter))
        .required(true)
}

/// The values of the variables of a path.
pub(crate) fn scope_values<'a>(
    operation: &'static Operation,
    own: bool,
    matches: &'a clap::ArgMatches,
) -> Vec<&'a str> {
    scope(operation, own)
        .iter()
        .filter_map(|p| matches.get_one::<String>(&p.name))
        .map(String::as_str)
        .collect()
}

/// A flag for a field of a query or a body. Its value is read later, when all
/// that is wrong can be said.
pub(crate) fn field_flag(id: String, property: &Property) -> Arg {
    let arg = Arg::new(id)
        .long(property.flag())
        .value_name(placeholder(&property.kind))
        .help(help(property));
    match &property.kind {
        Kind::Enum(words) => {
            arg.value_parser(PossibleValuesParser::new(words)).ignore_case(true)
        }
        Kind::Integer(_) | Kind::Number(_) => arg.allow_negative_numbers(true),
        _ => arg,
    }
}

/// The first sentence of what a field means.
pub(crate) fn help(property: &Property) -> String {
    let text = property.description.as_deref().unwrap_or_default();
    let text = text.replace('\n', " ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    let first = text.get(..end).unwrap_or(&text).trim_end_matches('.');
    if first.is_empty() { property.title.clone() } else { first.to_owned() }
}

fn placeholder(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Any => "TEXT",
        Kind::Boolean => "true|false",
        Kind::Integer(_) | Kind::Number(_) => "NUMBER",
        Kind::DateTime => "TIME",
        Kind::Enum(_) => "WORD",
        Kind::List(_) => "A,B",
        Kind::Map(_) => "NAME=VALUE,…",
        Kind::Struct => "JSON",
    }
}
