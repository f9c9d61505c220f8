//! The page of a task: how far it is, step by step.

use askama::Template;
use onprem_description::{Operation, Property};
use serde_json::Value;

use super::card::{Cards, cards};
use super::cell::{Cell, Cells};
use super::error::{Refusal, sentence};
use super::heading::{Heading, heading};
use super::list;
use super::made::{Made, rendered};
use super::page::Frame;
use super::place::Place;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "task.html")]
struct TaskPage {
    frame: Frame,
    heading: Heading,
    progress: Progress,
    cards: Cards,
}

/// How far a task is.
#[derive(Debug, Template)]
#[template(path = "progress.html")]
struct Progress {
    percent: u64,
    tone: String,
    result: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    tone: String,
    name: String,
    state: Cell,
    message: Option<String>,
    time: Option<String>,
}

/// What the page shows above its cards.
const ABOVE: &[&str] = &["steps", "progress", "result", "state"];

/// The page of a task.
pub(crate) async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Made, Refusal> {
    let resource = place.resource;
    let path = place.fill(operation);
    let (frame, item) = futures_util::try_join!(
        visit.frame(&resource.title),
        visit.api.get(&path)
    )?;
    let cells = visit.cells();
    let mut heading = heading(visit, place, Some(&item))?;
    if let Some(text) = item.get("description").and_then(Value::as_str) {
        text.clone_into(&mut heading.title);
    }
    let mut rest = resource.clone();
    rest.properties.retain(|own| !ABOVE.contains(&own.name.as_str()));
    let cards = Cards { cards: cards(cells, &rest, &item, None) };
    let state = resource.property("/state");
    let progress = Progress {
        percent: item.get("progress").and_then(Value::as_u64).unwrap_or(0),
        tone: tone(state, &item),
        result: told(&item, "result"),
        steps: steps(cells, resource.property("/steps"), &item),
    };
    let mut parts = heading.parts();
    parts.push(("progress", rendered(&progress)?));
    parts.push(("cards", rendered(&cards)?));
    let frame = Frame {
        title: heading.title.clone(),
        crumbs: place.crumbs(),
        live: Some(list::live(visit)),
        json: Some(list::json(visit)),
        commands: visit.commands(resource, operation, &place.values(), &[]),
        ..frame
    };
    let page = TaskPage { frame, heading, progress, cards };
    Ok(Made::new(&page)?.with(parts))
}

fn told(item: &Value, name: &str) -> Option<String> {
    let text = item.get(name)?.as_str()?;
    (!text.is_empty()).then(|| sentence(text))
}

fn tone(state: Option<&Property>, item: &Value) -> String {
    let value = item.get("state").and_then(Value::as_str).unwrap_or_default();
    let state = state.and_then(|property| property.state(value));
    super::cell::tone(state.map(|state| state.tone).unwrap_or_default())
        .to_owned()
}

fn steps(
    cells: Cells<'_>,
    property: Option<&Property>,
    item: &Value,
) -> Vec<Step> {
    let inner = property.map_or(&[][..], |steps| &steps.properties);
    let state = inner.iter().find(|own| own.name == "state").map(|own| {
        let pointer = "/state".to_owned();
        Property { pointer, ..own.clone() }
    });
    let items = item.get("steps").and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .map(|step| Step {
            tone: tone(state.as_ref(), step),
            name: step
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            state: match &state {
                Some(state) => cells.of(state, step),
                None => super::cell::Shown::Nothing.into(),
            },
            message: told(step, "message"),
            time: took(step),
        })
        .collect()
}

/// How long a step took.
fn took(step: &Value) -> Option<String> {
    let at = |name| {
        let text = step.get(name)?.as_str()?;
        chrono::DateTime::parse_from_rfc3339(text).ok()
    };
    let length = at("finishedAt")? - at("startedAt")?;
    let millis = length.num_milliseconds().max(0);
    Some(if millis < 1000 {
        format!("{millis} ms")
    } else {
        format!("{}.{} s", millis / 1000, millis % 1000 / 100)
    })
}
