//! The command tree is a golden file.

use clap::Command;
use onprem_description::PageModel;

use crate::build::{tree, tree_for};

/// The commands under `command`, each on a line with what it takes.
fn lines(command: &Command, path: &str, lines: &mut Vec<String>) {
    for inner in command.get_subcommands() {
        let path = format!("{path} {}", inner.get_name());
        if inner.has_subcommands() {
            self::lines(inner, &path, lines);
            continue;
        }
        let mut words = vec![path];
        for arg in inner.get_positionals() {
            let name = arg.get_value_names().unwrap_or_default().join(" ");
            let many = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
            let name = if many { format!("{name}…") } else { name };
            words.push(if arg.is_required_set() {
                name
            } else {
                format!("[{name}]")
            });
        }
        let mut flags: Vec<String> = inner
            .get_arguments()
            .filter(|arg| !arg.is_global_set())
            .filter_map(|arg| {
                let flag = format!("--{}", arg.get_long()?);
                Some(if arg.is_required_set() {
                    flag
                } else {
                    format!("[{flag}]")
                })
            })
            .collect();
        flags.sort_by_key(|flag| flag.replace(['[', ']'], ""));
        words.extend(flags);
        lines.push(words.join(" "));
    }
}

#[test]
fn the_command_tree_is_what_was_agreed() {
    let command = tree(PageModel::get());
    let mut all = Vec::new();
    lines(&command, "onprem", &mut all);
    all.push(String::new());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/cli.txt");
    expectorate::assert_contents(file, &all.join("\n"));
}

#[test]
fn a_part_of_the_tree_is_like_the_whole() {
    let whole = tree(PageModel::get());
    for command in whole.get_subcommands() {
        let words = ["onprem", command.get_name()].map(Into::into);
        let part = tree_for(PageModel::get(), &words);
        let part = part.find_subcommand(command.get_name());
        let described = |command: &Command| {
            let mut all = Vec::new();
            lines(command, "", &mut all);
            all
        };
        if command.get_name() != "api" {
            assert_eq!(part.map(described), Some(described(command)));
        }
    }
}

/// What the console offers to copy is a command.
#[test]
fn every_copied_command_is_understood() {
    let model = PageModel::get();
    for resource in &model.resources {
        for operation in resource.operations() {
            let text = model.command(resource, operation, &["a", "b"]);
            let words: Vec<&str> = text
                .split(' ')
                .map(|word| match word.split_once('|') {
                    Some((first, _)) => first,
                    None if word.ends_with("ROLE") => "operator",
                    None if word.ends_with("RESET-TYPE") => "On",
                    None => word,
                })
                .collect();
            let parsed = tree(model).try_get_matches_from(&words);
            if let Err(error) = parsed {
                panic!("{text}: {error}");
            }
        }
    }
}

#[test]
fn the_tree_is_sound() {
    tree(PageModel::get()).debug_assert();
}

/// A filter that holds unseen would hide things.
#[test]
fn only_what_holds_for_every_command_comes_from_the_environment() {
    fn walk(command: &Command) {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let name = long.to_uppercase().replace('-', "_");
            let name = format!("ONPREM_{name}");
            let name =
                (arg.is_global_set() || long == "output").then_some(name);
            let env = arg.get_env().map(|env| env.to_string_lossy());
            assert_eq!(env.as_deref(), name.as_deref(), "{long}");
        }
        command.get_subcommands().for_each(walk);
    }
    walk(&tree(PageModel::get()));
}

#[test]
fn global_options_may_stand_before_the_command() {
    let lines = [
        "onprem --timeout 5 api whoami",
        "onprem --url=http://127.0.0.1:1 --context a api whoami",
        "onprem --context a power off b --yes",
    ];
    for line in lines {
        let words: Vec<_> = line.split(' ').map(Into::into).collect();
        let parsed = tree_for(PageModel::get(), &words);
        if let Err(error) = parsed.try_get_matches_from(words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn every_operation_has_a_command() {
    let command = tree(PageModel::get());
    let api = command.find_subcommand("api").expect("the generated part");
    for operation in PageModel::get().operations() {
        let name = onprem_description::kebab(&operation.id);
        assert!(api.find_subcommand(&name).is_some(), "{name}");
    }
}
