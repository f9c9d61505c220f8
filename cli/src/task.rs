//! Waits for tasks to end.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use onprem_description::{PageModel, Resource, Tone};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    cmd::get::AT_ONCE,
    failure::{Code, Failure},
    fleet::Fleet,
    screen::Screen,
};

/// How often a task is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// How long the fleet may be away meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the schema of tasks.
pub(crate) const SCHEMA: &str = "Task";

/// The resource of tasks.
fn resource(model: &PageModel) -> Option<&Resource> {
    model.resources.iter().find(|resource| {
        let view = resource.view.as_ref();
        view.is_some_and(|v| v.answer.schema.as_deref() == Some(SCHEMA))
    })
}

/// The command that tells how it is with `tasks`.
pub(crate) fn command(model: &PageModel, tasks: &[Value]) -> Option<String> {
    let resource = resource(model)?;
    match tasks {
        [] => None,
        [task] => {
            let id = resource.id_of(task)?;
            Some(format!("onprem get {} {id}", resource.singular))
        }
        _ => Some(format!("onprem get {}", resource.plural)),
    }
}

/// How it is with `task`: its word for it, and how good that is.
fn state<'a>(tasks: &Resource, task: &'a Value) -> (&'a str, Tone) {
    let state = task.get("state").and_then(Value::as_str);
    let state = state.unwrap_or_default();
    let property = tasks.property("/state");
    let known = property.and_then(|property| property.state(state));
    (state, known.map_or(Tone::Off, |known| known.tone))
}

/// Whether nothing more comes of `task`. One that is not begun has not ended.
fn has_ended(tasks: &Resource, task: &Value) -> bool {
    matches!(state(tasks, task).1, Tone::Ok | Tone::Bad)
        || task.get("finishedAt").is_some_and(|time| !time.is_null())
}

/// A task that is waited for.
struct Awaited {
    /// The thing it is done to.
    name: String,
    task: Value,
    /// Since when the fleet does not answer.
    silent: Option<Instant>,
    /// Why nothing more will be known of it.
    lost: Option<Failure>,
}

/// Waits until each of `tasks`, of the things named beside them, has ended;
/// answers how they ended, in their order.
pub(crate) async fn wait(
    fleet: &Fleet,
    model: &PageModel,
    screen: &mut Screen,
    tasks: Vec<(String, Value)>,
) -> Vec<(String, Result<Value, Failure>)> {
    let Some((resource, view)) =
        resource(model).and_then(|r| Some((r, r.view.as_ref()?)))
    else {
        return tasks.into_iter().map(|(n, task)| (n, Ok(task))).collect();
    };
    let awaited =
        |(name, task)| Awaited { name, task, silent: None, lost: None };
    let mut all: Vec<Awaited> = tasks.into_iter().map(awaited).collect();
    loop {
        show(screen, resource, &all);
        let open: Vec<&mut Awaited> = all
            .iter_mut()
            .filter(|a| a.lost.is_none() && !has_ended(resource, &a.task))
            .collect();
        if open.is_empty() {
            break;
        }
        sleep(PERIOD).await;
        stream::iter(open)
            .for_each_concurrent(AT_ONCE, |awaited| async move {
                let id = resource.id_of(&awaited.task).unwrap_or_default();
                let now = fleet.call(view, &[id], &[], None).await;
                awaited.learn(now);
            })
            .await;
    }
    let end = |awaited: Awaited| match (awaited.lost, &awaited.task) {
        (Some(failure), _) => (awaited.name, Err(failure)),
        (None, task) => match state(resource, task) {
            (_, Tone::Ok) => (awaited.name, Ok(awaited.task)),
            (word, _) => (awaited.name, Err(failed(word, task))),
        },
    };
    all.into_iter().map(end).collect()
}

impl Awaited {
    /// Takes in what the fleet said. Tasks outlive the fleet's process: that it
    /// is away for a while is no reason to stop.
    fn learn(&mut self, now: Result<Value, Failure>) {
        match now {
            Ok(task) => {
                self.task = task;
                self.silent = None;
            }
            Err(failure) => {
                let since = *self.silent.get_or_insert_with(Instant::now);
                if failure.code != Code::Offline || since.elapsed() > PATIENCE {
                    self.lost = Some(failure);
                }
            }
        }
    }
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

fn show(screen: &mut Screen, resource: &Resource, all: &[Awaited]) {
    let [Awaited { name, task, .. }] = all else {
        let ended = all.iter().filter(|a| has_ended(resource, &a.task));
        screen.progress(&format!("{} of {} ended", ended.count(), all.len()));
        return;
    };
    let steps = task.get("steps").and_then(Value::as_array);
    let mut steps = steps.into_iter().flatten();
    let step = steps.find(|step| state(resource, step).1 == Tone::Info);
    let mut line = format!("{name}: {}", state(resource, task).0);
    if let Some(progress) = task.get("progress").and_then(Value::as_u64) {
        line = format!("{line} {progress} %");
    }
    if let Some(step) = step.and_then(|step| step.get("name")?.as_str()) {
        line = format!("{line}, {step}");
    }
    screen.progress(&line);
}
