//! Actions, and what stands between them and a person: the impact, a
//! confirmation, the name to be typed.

use std::fmt::Write as _;

use askama::Template;
use http::StatusCode;
use onprem_description::{Confirm, Danger, Kind, Operation, Property};
use serde_json::{Value, json};

use super::cell::{Cell, escape};
use super::error::{self, Refusal};
use super::form::{after, asked_again, lede, noun, send};
use super::heading::refused;
use super::input::{Fields, Input, body};
use super::made::{Made, Outcome};
use super::page::{Command, Frame};
use super::place::Place;
use super::table::{Setting, columns};
use super::visit::{Visit, quoted};

#[derive(Debug, Template)]
#[template(path = "action.html")]
struct ActionPage {
    frame: Frame,
    lede: Option<String>,
    action: String,
    submit: String,
    cancel: String,
    fields: Fields,
    impact: Vec<(String, Cell)>,
    touches: Vec<Touched>,
    warnings: Vec<String>,
    danger: bool,
    destructive: bool,
    refused: Option<String>,
    confirm_name: Option<String>,
    wrong_name: bool,
}

/// Runs an action on an item, or deletes it, after it was confirmed.
pub(crate) async fn run(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Outcome, Refusal> {
    let fields = operation.body.as_ref().map_or(&[][..], |body| &body.fields);
    let item = match &place.resource.view {
        Some(view) => Some(visit.api.get(&place.fill(view)).await?),
        None => None,
    };
    let id = place.items.last().map_or("", |(_, id)| id.as_str());
    let name = item
        .as_ref()
        .and_then(|item| place.resource.name_of(item))
        .unwrap_or(id)
        .to_owned();
    let needs_name = confirm(operation) == Confirm::Name;
    let wrong_name =
        visit.post && needs_name && visit.filled("confirm") != name;
    let mut refusal = None;
    if wrong_name {
        let said = Refusal::new(StatusCode::BAD_REQUEST, "");
        refusal = Some(said);
    } else if visit.post {
        let sent =
            operation.body.is_some().then(|| body(fields, &visit.form, None));
        let reply = send(visit, place, operation, sent.as_ref()).await?;
        if reply.status.is_success() {
            let answer = reply.json();
            if let Some(drawn) = drawn(operation, &answer) {
                return drawing(visit, place, operation, drawn).await;
            }
            return Ok(Outcome::Go(next(visit, place, operation, &answer)));
        }
        refusal = Some(asked_again(&reply)?);
    }

    let found = preview(visit, place, operation).await;
    let told = warned(found.as_ref());
    let (mut touches, narrowed, unknown) = weighed(operation, fields, found);
    // The card above says how it is.
    touches.retain(|touched| touched.things.len() > 1 || !touched.is(&name));
    let mut shown = begun(operation, &narrowed, item.as_ref());
    if let Some(said) = &refusal {
        shown = shown.refused(&visit.form, said);
        if wrong_name {
            shown.error = None;
        }
    }
    let noun = noun(place.resource);
    let title = match label(operation) {
        "" => operation.summary.clone(),
        label if label.contains(' ') => format!("{label}: {name}"),
        label => format!("{label} {name}"),
    };
    let frame = visit.frame(&title).await?;
    let commands = commands(visit, place, operation, item.as_ref());
    let destructive = operation.action.danger == Danger::Destructive
        || operation.method == "DELETE";
    let danger = destructive || operation.action.danger != Danger::None;
    let pointed = |item: &Value| {
        let field = operation.action.field.as_deref()?;
        item.pointer(field).cloned()
    };
    let page = ActionPage {
        frame: Frame { crumbs: place.crumbs(), commands, ..frame },
        lede: lede(operation),
        action: visit.path.clone(),
        submit: match label(operation) {
            "" => "Continue".to_owned(),
            label => label.to_owned(),
        },
        cancel: if place.resource.view.is_some() {
            place.item_page()
        } else {
            place.collection_page()
        },
        fields: shown,
        impact: impact(visit, place, item.as_ref()),
        touches,
        warnings: if destructive {
            vec![format!("This cannot be undone. The {noun} is {name}.")]
        } else {
            let usual = format!("This interrupts what {name} is doing now.");
            told.unwrap_or_else(|| {
                danger.then_some(usual).into_iter().collect()
            })
        },
        danger,
        destructive,
        refused: item
            .as_ref()
            .and_then(|item| {
                refused(place.resource, operation, pointed(item).as_ref())
            })
            .or(unknown),
        confirm_name: needs_name.then_some(name),
        wrong_name,
    };
    let mut made = Made::new(&page)?;
    if let Some(refusal) = refusal {
        made.status = refusal.status;
    }
    Ok(Outcome::Page(made))
}

#[derive(Debug, Template)]
#[template(path = "drawing.html")]
struct DrawingPage {
    frame: Frame,
    lede: Option<String>,
    drawing: String,
    again: String,
    done: String,
}

/// What an action draws instead of changing anything.
fn drawn<'a>(operation: &Operation, answer: &'a Value) -> Option<&'a str> {
    let field = operation.action.draws.as_deref()?;
    answer.get(field)?.as_str()
}

/// The page of what an action drew.
async fn drawing(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    drawn: &str,
) -> Result<Outcome, Refusal> {
    let frame = visit.frame(label(operation)).await?;
    let commands =
        visit.commands(place.resource, operation, &place.values(), &[]);
    Ok(Outcome::Page(Made::new(&DrawingPage {
        frame: Frame { crumbs: place.crumbs(), commands, ..frame },
        lede: lede(operation),
        drawing: drawn.to_owned(),
        again: visit.path.clone(),
        done: place.item_page(),
    })?))
}

/// Things that the action touches, or leaves alone.
#[derive(Debug)]
struct Touched {
    title: String,
    things: Vec<String>,
}

impl Touched {
    /// Whether it is only what is called `name`.
    fn is(&self, name: &str) -> bool {
        let first = self.things.first();
        let own = first.and_then(|it| it.strip_prefix(name));
        own.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// So many things are named; the rest is counted.
const NAMED: usize = 60;

/// What the operation would do, where the description knows how to find that
/// out, or why that cannot be found out.
async fn preview(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Option<Result<Value, String>> {
    let impact = operation.action.impact.as_deref()?;
    let impact = visit.model.operation(impact)?;
    let found = visit.api.get(&place.fill(impact)).await;
    Some(found.map_err(|refusal| refusal.sentence()))
}

/// What a person has to know before, where the operation can tell.
fn warned(found: Option<&Result<Value, String>>) -> Option<Vec<String>> {
    let Some(Ok(found)) = found else { return None };
    let said = found.get("warnings")?.as_array()?.iter();
    Some(said.filter_map(|it| it.as_str().map(error::quoted)).collect())
}

/// What is said of the things around, the fields with the choices that there
/// are, and why that cannot be found out.
fn weighed(
    operation: &Operation,
    fields: &[Property],
    found: Option<Result<Value, String>>,
) -> (Vec<Touched>, Vec<Property>, Option<String>) {
    match found {
        Some(Ok(found)) => {
            (touched(operation, &found), narrow(fields, &found), None)
        }
        Some(Err(why)) => (Vec::new(), fields.to_vec(), Some(why)),
        None => (Vec::new(), fields.to_vec(), None),
    }
}

/// What a preview says of the things around.
fn touched(operation: &Operation, preview: &Value) -> Vec<Touched> {
    let text = |it: &Value, key: &str| {
        it.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    let list = |key: &str, title: &str| {
        let all = preview.get(key).and_then(Value::as_array)?;
        let said = all.iter().map(|it| {
            let name = text(it, "name").unwrap_or_default();
            let more = [text(it, "state"), text(it, "note")];
            let more: Vec<String> = more.into_iter().flatten().collect();
            if more.is_empty() {
                return name;
            }
            error::quoted(&format!("{name}: {}", more.join(", ")))
        });
        let mut things: Vec<String> = said.take(NAMED).collect();
        if let Some(more @ 1..) = all.len().checked_sub(NAMED) {
            things.push(format!("and {more} more"));
        }
        let title = format!("{title} ({})", all.len());
        (!things.is_empty()).then_some(Touched { title, things })
    };
    // What is drawn is looked at only.
    let drawn = operation.action.draws.is_some();
    let affects = if drawn { "What there is" } else { "Can be touched" };
    let affects = list("affects", affects);
    affects.into_iter().chain(list("spares", "Left alone")).collect()
}

/// The fields with the choices that there are; one without a choice is no
/// question.
fn narrow(fields: &[Property], preview: &Value) -> Vec<Property> {
    let choices = |name: &str| {
        let all = preview.get("choices")?.get(name)?.as_array()?;
        let all = all.iter().filter_map(Value::as_str);
        Some(all.map(str::to_owned).collect::<Vec<String>>())
    };
    let fields = fields.iter().filter_map(|field| {
        let mut field = field.clone();
        let Some(able) = choices(&field.name) else { return Some(field) };
        match &mut field.kind {
            Kind::Enum(values) => {
                values.retain(|value| able.contains(value));
                Some(field)
            }
            // The only one is the one that is meant.
            Kind::Text if !able.is_empty() => {
                field.required = able.len() == 1;
                field.kind = Kind::Enum(able);
                Some(field)
            }
            Kind::Integer(_) if !able.is_empty() => {
                field.kind = Kind::Enum(able);
                Some(field)
            }
            Kind::List(_) if able.len() < 2 => None,
            _ => Some(field),
        }
    });
    fields.collect()
}

/// What names the thing that the person saw: the field of the body, and what
/// that is.
fn seen<'a>(
    operation: &'a Operation,
    item: Option<&'a Value>,
) -> Option<(&'a str, &'a str)> {
    let field = operation.action.names.as_deref()?;
    Some((field, item?.get(field)?.as_str()?))
}

/// The fields as they are before somebody fills them in.
fn begun(
    operation: &Operation,
    fields: &[Property],
    item: Option<&Value>,
) -> Fields {
    let seen = seen(operation, item);
    let seen = seen.map(|(field, value)| json!({ field: value }));
    Fields::new(fields, seen.as_ref())
}

/// The same as commands.
fn commands(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    item: Option<&Value>,
) -> Vec<Command> {
    let mut commands =
        visit.commands(place.resource, operation, &place.values(), &[]);
    if let Some((field, value)) = seen(operation, item)
        && let Some(onprem) = commands.first_mut()
    {
        let flag = onprem_description::kebab(field);
        // Writing into a text cannot fail.
        let _ = write!(onprem.text, " --{flag} {}", quoted(value));
    }
    commands
}

/// On the button.
fn label(operation: &Operation) -> &str {
    if operation.method == "DELETE" && operation.action.label.is_empty() {
        "Delete"
    } else {
        &operation.action.label
    }
}

/// What a person must do first; a button alone never deletes.
fn confirm(operation: &Operation) -> Confirm {
    operation.action.confirm
}

/// What the item is, as its list tells it.
fn impact(
    visit: &Visit<'_>,
    place: &Place<'_>,
    item: Option<&Value>,
) -> Vec<(String, Cell)> {
    let Some(item) = item else { return Vec::new() };
    let cells = visit.cells();
    columns(place.resource, &Setting::default())
        .into_iter()
        .map(|column| (column.title.clone(), cells.of(&column.property, item)))
        .filter(|(_, cell)| !cell.is_nothing())
        .take(6)
        .collect()
}

/// Where to go after it ran: to its task, if it has become one.
fn next(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    answer: &Value,
) -> String {
    if operation.method == "DELETE" {
        return place.collection_page();
    }
    let schema = operation.answer.schema.as_deref();
    let task = visit.model.resource("task").filter(|task| {
        schema.is_some()
            && task
                .view
                .as_ref()
                .is_some_and(|view| view.answer.schema.as_deref() == schema)
    });
    if let Some(task) = task
        && let Some(id) = task.id_of(answer)
    {
        return format!("/{}/{}", task.segment, escape(id));
    }
    after(place, None)
}
