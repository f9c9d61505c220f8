//! Forms that make and change items.

use askama::Template;
use http::{Method, StatusCode};
use onprem_description::{Format, Operation, Property, Resource};
use serde_json::Value;

use super::api::Reply;
use super::cell::{Cell, escape};
use super::error::Refusal;
use super::input::{Fields, Input, body};
use super::made::{Made, Outcome};
use super::page::Frame;
use super::place::Place;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "form.html")]
struct FormPage {
    frame: Frame,
    lede: Option<String>,
    action: String,
    submit: String,
    cancel: String,
    fields: Fields,
}

#[derive(Debug, Template)]
#[template(path = "answer.html")]
struct AnswerPage {
    frame: Frame,
    secrets: Vec<(String, String)>,
    rows: Vec<(String, Cell)>,
    done: String,
}

/// Makes an item.
pub(crate) async fn create(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Outcome, Refusal> {
    let fields = operation.body.as_ref().map_or(&[][..], |body| &body.fields);
    let mut refusal = None;
    if visit.post {
        let sent = body(fields, &visit.form, None);
        let reply = send(visit, place, operation, Some(&sent)).await?;
        if reply.status.is_success() {
            return created(visit, place, operation, &reply).await;
        }
        refusal = Some(asked_again(&reply)?);
    }
    let submit = operation.summary.clone();
    page(visit, place, operation, fields, None, refusal, submit).await
}

/// Changes an item.
pub(crate) async fn update(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Outcome, Refusal> {
    let fields = operation.body.as_ref().map_or(&[][..], |body| &body.fields);
    let current = match &place.resource.view {
        Some(view) => Some(visit.api.get(&place.fill(view)).await?),
        None => None,
    };
    let mut refusal = None;
    if visit.post {
        // A PUT takes all of it, a PATCH what differs.
        let base = current.as_ref().filter(|_| operation.method == "PATCH");
        let sent = body(fields, &visit.form, base);
        let nothing = base.is_some()
            && sent.as_object().is_some_and(serde_json::Map::is_empty);
        if nothing {
            return Ok(Outcome::Go(after(place, None)));
        }
        let reply = send(visit, place, operation, Some(&sent)).await?;
        if reply.status.is_success() {
            return Ok(Outcome::Go(after(place, Some(&reply.json()))));
        }
        refusal = Some(asked_again(&reply)?);
    }
    let submit = "Save".to_owned();
    page(visit, place, operation, fields, current.as_ref(), refusal, submit)
        .await
}

/// Calls the operation.
pub(crate) async fn send(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    body: Option<&Value>,
) -> Result<Reply, Refusal> {
    let method =
        Method::from_bytes(operation.method.as_bytes()).unwrap_or(Method::POST);
    let path = place.fill(operation);
    Ok(visit.api.call(&method, &path, body).await?)
}

/// A refusal that the form can show; others replace it.
pub(crate) fn asked_again(reply: &Reply) -> Result<Refusal, Refusal> {
    let refusal = Refusal::from(reply);
    match refusal.status {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Err(refusal),
        _ => Ok(refusal),
    }
}

/// The page after an item was changed, by the name it has now.
pub(crate) fn after(place: &Place<'_>, item: Option<&Value>) -> String {
    let resource = place.resource;
    let collection = place.collection_page();
    if resource.view.is_none() {
        return collection;
    }
    match item.and_then(|item| resource.name_of(item)) {
        Some(name) => format!("{collection}/{}", escape(name)),
        None => place.item_page(),
    }
}

async fn created(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    reply: &Reply,
) -> Result<Outcome, Refusal> {
    let answer = reply.json();
    let properties = &operation.answer.properties;
    let is_secret = |property: &&Property| property.format == Format::Secret;
    let secrets: Vec<_> = properties
        .iter()
        .filter(is_secret)
        .filter_map(|property| {
            let text = property.value(&answer)?.as_str()?;
            Some((property.title.clone(), text.to_owned()))
        })
        .collect();
    if secrets.is_empty() {
        let page = match place.resource.name_of(&answer) {
            Some(_) => after(place, Some(&answer)),
            None => place.collection_page(),
        };
        return Ok(Outcome::Go(page));
    }
    let cells = visit.cells();
    let rows = properties
        .iter()
        .filter(|property| !is_secret(property) && !property.is_hidden())
        .map(|property| (property.title.clone(), cells.of(property, &answer)))
        .filter(|(_, cell)| !cell.is_nothing())
        .collect();
    let noun = noun(place.resource);
    let frame = visit.frame(&format!("The {noun} is made")).await?;
    let frame = Frame { crumbs: place.crumbs(), ..frame };
    let done = place.collection_page();
    let page = AnswerPage { frame, secrets, rows, done };
    Ok(Outcome::Page(Made::new(&page)?))
}

/// The word for one.
pub(crate) fn noun(resource: &Resource) -> String {
    onprem_description::title(&resource.singular).to_lowercase()
}

/// What a person needs to know before; what an operation answers is for
/// programs.
pub(crate) fn lede(operation: &Operation) -> Option<String> {
    let text = operation.description.as_deref()?;
    let sentences = text.split_inclusive(". ").filter(|sentence| {
        !sentence.starts_with("Answers") && !sentence.trim().is_empty()
    });
    let text: String = sentences.collect();
    (!text.is_empty()).then(|| text.trim_end().to_owned())
}

async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    fields: &[Property],
    current: Option<&Value>,
    refusal: Option<Refusal>,
    submit: String,
) -> Result<Outcome, Refusal> {
    let frame = visit.frame(&operation.summary).await?;
    let mut fields = Fields::new(fields, current);
    if let Some(refusal) = &refusal {
        fields = fields.refused(&visit.form, refusal);
    }
    let is_new = current.is_none() && place.items.is_empty();
    let cancel = if is_new || place.resource.view.is_none() {
        place.collection_page()
    } else {
        place.item_page()
    };
    let commands =
        visit.commands(place.resource, operation, &place.values(), &[]);
    let page = FormPage {
        frame: Frame { crumbs: place.crumbs(), commands, ..frame },
        lede: lede(operation),
        action: visit.path.clone(),
        submit,
        cancel,
        fields,
    };
    let mut made = Made::new(&page)?;
    if let Some(refusal) = refusal {
        made.status = refusal.status;
    }
    Ok(Outcome::Page(made))
}
