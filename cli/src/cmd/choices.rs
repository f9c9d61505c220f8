//! What a field of an operation can be, listed where it is left out.

use futures_util::{StreamExt as _, stream};
use onprem_description::{Operation, kebab};
use serde_json::{Value, json};

use super::get::{AT_ONCE, conclude};
use crate::{
    failure::{Code, Failure},
    fleet::Fleet,
    output::{Form, whole},
    run::Run,
    screen::plain,
};

/// Lists what `field` of `operation` can be, as the operation's impact says.
///
/// # Errors
/// It cannot be found out of one of the things, or that does not say it.
pub(super) async fn list(
    run: &mut Run<'_>,
    fleet: &Fleet,
    operation: &Operation,
    field: &str,
    names: &[String],
    targets: &[Vec<&str>],
    form: Option<Form>,
) -> Result<(), Failure> {
    let impact = operation.action.impact.as_deref();
    let impact = impact.and_then(|id| run.model.operation(id));
    let flag = kebab(field);
    let needed = || Failure::usage(format!("--{flag} is needed"));
    let impact = impact.ok_or_else(needed)?;
    let answers: Vec<_> = stream::iter(targets)
        .map(
            |target| async move { fleet.call(impact, target, &[], None).await },
        )
        .buffered(AT_ONCE)
        .collect()
        .await;

    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (name, answer) in names.iter().zip(answers) {
        let choices = answer.and_then(|found| {
            let choices = choices(&found, field);
            if choices.is_empty() {
                let text = format!("{name} names no {field} that it has");
                let hint = format!(
                    "it may have none; one that it has and does not name is \
                     asked for by its number, as in `--{flag} 1`"
                );
                return Err(Failure::new(Code::Invalid, text).hint(hint));
            }
            Ok(choices)
        });
        match choices {
            Ok(choices) => done.push((name, choices)),
            Err(failure) => failed.push((name.clone(), failure)),
        }
    }
    match form {
        Some(form @ (Form::Json | Form::Yaml)) => match &done[..] {
            [] => {}
            [(_, choices)] if names.len() == 1 => {
                whole(run.screen, &Value::from(choices.clone()), form)?;
            }
            several => {
                let each = several.iter().map(|(name, choices)| {
                    json!({ "target": name, "choices": choices })
                });
                whole(run.screen, &each.collect(), form)?;
            }
        },
        _ => {
            for (name, choices) in &done {
                let whose = if names.len() > 1 {
                    format!("{name}: ")
                } else {
                    String::new()
                };
                for it in choices {
                    let line = line(it, form == Some(Form::Name));
                    run.screen.print(&plain(&format!("{whose}{line}")))?;
                }
            }
        }
    }
    if form.is_none()
        && let Some(verb) = &operation.cli.verb
        && let Some((name, _)) = done.first()
    {
        let hint = format!("hint: `onprem {verb} {name} --{flag} NUMBER`");
        run.screen.note(&hint);
    }
    conclude(run, failed, names.len())
}

/// What `field` can be, each with what is known of the thing of that name.
fn choices(found: &Value, field: &str) -> Vec<Value> {
    let list = |all: Option<&Value>| {
        all.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let affects = list(found.get("affects"));
    let choices = found.get("choices").and_then(|all| all.get(field));
    let known = |choice: Value| {
        let of = |it: &&Value| it.get("name") == Some(&choice);
        let known = affects.iter().find(of).cloned();
        known.unwrap_or_else(|| json!({ "name": choice }))
    };
    list(choices).into_iter().map(known).collect()
}

/// One of them, with what is known of it unless only the name is asked for.
fn line(it: &Value, bare: bool) -> String {
    let text = |key: &str| it.get(key).and_then(Value::as_str);
    let mut line = text("name").unwrap_or_default().to_owned();
    if bare {
        return line;
    }
    if let Some(state) = text("state") {
        line = format!("{line:<4}{state}");
    }
    if let Some(note) = text("note") {
        line = format!("{line}: {note}");
    }
    line
}
