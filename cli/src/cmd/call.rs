//! Calls one operation for everything that was named, and says what came of
//! it.

use std::{collections::HashSet, path::PathBuf};

use clap::ArgMatches;
use futures_util::{StreamExt as _, stream};
use onprem_description::{
    Confirm, Danger, Operation, PageModel, Positional, Property, Resource,
    Shape,
};
use serde_json::{Map, Value};

use super::{
    choices,
    get::{self, AT_ONCE, conclude},
    impact,
    operation::{Style, positional},
};
use crate::{
    config,
    failure::{Code, Failure},
    fields,
    fleet::Fleet,
    output,
    run::Run,
    screen::plain,
    task,
};

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
    if operation.reads() && operation.answer.shape == Shape::List {
        return get::list_of(run, resource, operation, matches).await;
    }
    call(run, resource, operation, Style::Verb, matches).await
}

/// Calls the operation for everything that was named.
pub(crate) async fn call(
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
    let what = said(operation, &places, matches);
    let fleet = Fleet::of(matches)?;
    let lists = operation.cli.lists.as_deref();
    if let Some(field) = lists.filter(|field| lacks(body.as_ref(), field)) {
        let form = output::form(matches);
        return choices::list(
            run, &fleet, operation, field, &names, &targets, form,
        )
        .await;
    }
    if asks(run, operation, matches) {
        impact::show(
            run,
            &fleet,
            operation,
            &what,
            body.as_ref(),
            &names,
            &targets,
        )
        .await?;
    }
    if unconfirmed(operation, matches) && !run.screen.interactive {
        // What is not there needs no confirmation.
        exist(&fleet, resource, operation, run.model, &targets).await?;
    }
    confirm(run, operation, &what, &names, matches)?;
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
    report(run, resource, operation, &what, &done, matches)?;
    conclude(run, failed, all)
}

/// Whether the field is left out of the body.
fn lacks(body: Option<&Value>, field: &str) -> bool {
    body.and_then(|body| body.get(field)).is_none()
}

/// What is done, as it was said: `power off`.
fn said(
    operation: &Operation,
    places: &[Positional],
    matches: &ArgMatches,
) -> String {
    let verb = operation.cli.verb.as_ref();
    let verb = verb.unwrap_or(&operation.action.label).to_lowercase();
    let words = places.iter().filter(|place| !place.in_path);
    words
        .filter_map(|place| {
            let id = format!("place.{}", place.name);
            matches.try_get_one::<String>(&id).ok().flatten()
        })
        .fold(verb, |said, word| format!("{said} {word}"))
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
    let mut seen = HashSet::new();
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
        // What is named twice is done once.
        .filter(|target: &Vec<&str>| seen.insert(target.clone()))
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
        let value = if field.is_secret() {
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
            .hint(format!("`--{} FILE`; `-` is stdin", field.flag()))),
    }
}

/// Whether a person will be asked.
fn asks(run: &Run<'_>, operation: &Operation, matches: &ArgMatches) -> bool {
    unconfirmed(operation, matches) && run.screen.interactive
}

/// Whether somebody has to agree who has not yet.
fn unconfirmed(operation: &Operation, matches: &ArgMatches) -> bool {
    operation.action.confirm != Confirm::None && !matches.get_flag("yes")
}

/// Refuses if one of the things that are named is not there.
async fn exist(
    fleet: &Fleet,
    resource: &Resource,
    operation: &Operation,
    model: &PageModel,
    targets: &[Vec<&str>],
) -> Result<(), Failure> {
    let view = resource.view.as_ref().filter(|view| {
        view.path_parameters.len() == operation.path_parameters.len()
    });
    let impact = operation.action.impact.as_deref();
    let look = view.or_else(|| impact.and_then(|id| model.operation(id)));
    let Some(look) = look else { return Ok(()) };
    for target in targets {
        match fleet.call(look, target, &[], None).await {
            Err(failure) if failure.code == Code::NotFound => {
                return Err(failure);
            }
            // Why it cannot be asked for is said when it is asked for.
            _ => {}
        }
    }
    Ok(())
}

/// Asks whether to go on, if the operation can do harm.
fn confirm(
    run: &mut Run<'_>,
    operation: &Operation,
    what: &str,
    names: &[String],
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let needed = operation.action.confirm;
    if needed == Confirm::None || matches.get_flag("yes") {
        return Ok(());
    }
    if !run.screen.interactive {
        return Err(Failure::usage(format!("{what} needs a confirmation"))
            .hint("say `--yes` where nobody can be asked"));
    }
    let harm = match operation.action.danger {
        Danger::Destructive => " This cannot be undone.",
        Danger::None | Danger::Disruptive => "",
    };
    let whom = match names {
        [name] => name.clone(),
        names => format!("{} ({})", names.len(), names.join(", ")),
    };
    let by_name = needed == Confirm::Name || needed == Confirm::SecondPerson;
    let agreed = if let [name] = names
        && by_name
    {
        let question =
            format!("{what}: {whom}.{harm} Type the name to go on: ");
        run.screen.ask(&question)? == *name
    } else {
        let question = format!("{what}: {whom}.{harm} Go on? [y/N] ");
        let answer = run.screen.ask(&question)?.to_lowercase();
        answer == "y" || answer == "yes"
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
    what: &str,
    done: &[(String, Value)],
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let form = output::form(matches);
    if let (Some(print), None) = (&operation.cli.print, form) {
        for (_, item) in done {
            let text = item.get(print).and_then(Value::as_str);
            for line in text.unwrap_or_default().lines() {
                run.screen.print(&plain(line))?;
            }
        }
        return Ok(());
    }
    let items: Vec<Value> = done.iter().map(|(_, item)| item.clone()).collect();
    match form {
        Some(form) => {
            let schema = operation.answer.schema.as_ref();
            let answers = |r: &&'static Resource| {
                let row = r.list.as_ref().or(r.view.as_ref());
                row.is_some_and(|o| o.answer.schema.as_ref() == schema)
            };
            let known = run.model.resources.iter().find(answers);
            let known = known.unwrap_or(resource);
            output::several(run.screen, known, &items, form)
        }
        None if operation.reads() || operation.name == "create" => {
            for item in &items {
                let fields = &operation.answer.properties;
                output::describe(run.screen, fields, &[], item)?;
            }
            Ok(())
        }
        None => {
            let is_task =
                operation.answer.schema.as_deref() == Some(task::SCHEMA);
            let goes_on = is_task && matches.get_flag("no-wait");
            for (name, item) in done {
                let text = |key: &str| item.get(key).and_then(Value::as_str);
                let state = text("state").filter(|_| is_task);
                let mut line =
                    format!("{name}: {what}: {}", state.unwrap_or("done"));
                if let (true, Some(said)) = (state.is_some(), text("result")) {
                    line = format!("{line}: {}", plain(said));
                }
                if let (true, Some(id)) = (goes_on, text("id")) {
                    line = format!("{line}, task {id}");
                }
                run.screen.note(&line);
            }
            if goes_on && let Some(command) = task::command(run.model, &items) {
                run.screen
                    .note(&format!("hint: `{command}` tells how it goes"));
            }
            Ok(())
        }
    }
}
