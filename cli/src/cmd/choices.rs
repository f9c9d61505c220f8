//! What a field of an operation can be, listed where it is left out.

use onprem_description::{Operation, kebab};
use serde_json::Value;

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
/// It cannot be found out, or the thing does not say it.
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
    for (name, target) in names.iter().zip(targets) {
        let found = fleet.call(impact, target, &[], None).await?;
        let all = found.get("affects").and_then(Value::as_array);
        let all = all.filter(|all| !all.is_empty()).ok_or_else(|| {
            let text = format!("{name} does not say which {field} it has");
            Failure::new(Code::Invalid, text)
                .hint(format!("say one by its number: `--{flag} 1`"))
        })?;
        if let Some(form @ (Form::Json | Form::Yaml)) = form {
            whole(run.screen, &Value::from(all.clone()), form)?;
            continue;
        }
        for it in all {
            let line = line(it, form == Some(Form::Name));
            run.screen.print(&plain(&line))?;
        }
    }
    if form.is_none()
        && let Some(verb) = &operation.cli.verb
        && let [name, ..] = names
    {
        let hint = format!("hint: `onprem {verb} {name} --{flag} NUMBER`");
        run.screen.note(&hint);
    }
    Ok(())
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
