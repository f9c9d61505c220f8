//! Waits for tasks to end.

use std::time::Duration;

use onprem_description::{PageModel, Resource, Tone};
use serde_json::Value;

use crate::{
    failure::{Code, Failure},
    fleet::Fleet,
    screen::Screen,
};

/// How often a task is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// The name of the schema of tasks.
pub(crate) const SCHEMA: &str = "Task";

/// The resource of tasks.
fn resource(model: &PageModel) -> Option<&Resource> {
    model.resources.iter().find(|resource| {
        let view = resource.view.as_ref();
        view.is_some_and(|v| v.answer.schema.as_deref() == Some(SCHEMA))
    })
}

/// How it is with `task`: its word for it, and how good that is.
fn state<'a>(tasks: &Resource, task: &'a Value) -> (&'a str, Tone) {
    let state = task.get("state").and_then(Value::as_str);
    let state = state.unwrap_or_default();
    let property = tasks.property("/state");
    let known = property.and_then(|property| property.state(state));
    (state, known.map_or(Tone::Off, |known| known.tone))
}

/// Waits until each of `tasks`, of the things named beside them, has ended;
/// answers how they ended, in their order.
pub(crate) async fn wait(
    fleet: &Fleet,
    model: &PageModel,
    screen: &mut Screen,
    mut tasks: Vec<(String, Value)>,
) -> Vec<(String, Result<Value, Failure>)> {
    let Some((resource, view)) =
        resource(model).and_then(|r| Some((r, r.view.as_ref()?)))
    else {
        return tasks.into_iter().map(|(n, task)| (n, Ok(task))).collect();
    };
    let runs = |task: &Value| {
        matches!(state(resource, task).1, Tone::Info | Tone::Warn)
    };
    let mut lost: Vec<(usize, Failure)> = Vec::new();
    loop {
        show(screen, resource, &tasks);
        let waiting = |(index, (_, task)): &(usize, &(String, Value))| {
            runs(task) && !lost.iter().any(|(i, _)| i == index)
        };
        if !tasks.iter().enumerate().any(|entry| waiting(&entry)) {
            break;
        }
        tokio::time::sleep(PERIOD).await;
        for (index, (_, task)) in tasks.iter_mut().enumerate() {
            if !runs(task) || lost.iter().any(|(i, _)| *i == index) {
                continue;
            }
            let id = resource.id_of(task).unwrap_or_default().to_owned();
            match fleet.call(view, &[&id], &[], None).await {
                Ok(now) => *task = now,
                Err(failure) => lost.push((index, failure)),
            }
        }
    }
    let mut ended: Vec<_> = tasks
        .into_iter()
        .map(|(name, task)| {
            let result = match state(resource, &task) {
                (word, Tone::Bad) => Err(failed(word, &task)),
                _ => Ok(task),
            };
            (name, result)
        })
        .collect();
    for (index, failure) in lost {
        if let Some((_, result)) = ended.get_mut(index) {
            *result = Err(failure);
        }
    }
    ended
}

fn failed(word: &str, task: &Value) -> Failure {
    let text = |key: &str| task.get(key)?.as_str().map(str::to_owned);
    let step = task.get("steps").and_then(Value::as_array);
    let step = step.and_then(|steps| {
        steps.iter().rev().find_map(|step| step.get("message")?.as_str())
    });
    let why = text("result").or_else(|| step.map(str::to_owned));
    let message = match why {
        Some(why) => format!("{word}: {why}"),
        None => word.to_owned(),
    };
    Failure::new(Code::Other, message)
}

fn show(screen: &mut Screen, resource: &Resource, tasks: &[(String, Value)]) {
    if let [(name, task)] = tasks {
        let progress = task.get("progress").and_then(Value::as_u64);
        let steps = task.get("steps").and_then(Value::as_array);
        let step = steps.into_iter().flatten().find(|step| {
            matches!(state(resource, step).1, Tone::Info | Tone::Warn)
        });
        let step = step.and_then(|step| step.get("name")?.as_str());
        let mut line = format!("{name}: {}", state(resource, task).0);
        if let Some(progress) = progress {
            line = format!("{line} {progress} %");
        }
        if let Some(step) = step {
            line = format!("{line}, {step}");
        }
        screen.progress(&line);
    } else {
        let ended = tasks.iter().filter(|(_, task)| {
            !matches!(state(resource, task).1, Tone::Info | Tone::Warn)
        });
        screen.progress(&format!("{} of {} ended", ended.count(), tasks.len()));
    }
}
