//! The page of any item, with its tabs.

use askama::Template;
use onprem_description::{Operation, Resource};
use serde_json::Value;

use super::card::{Card, Cards, cards};
use super::error::Refusal;
use super::heading::{Heading, WITHIN, heading};
use super::list::{self, Listing};
use super::made::{Made, rendered};
use super::page::{Frame, Notice, Notices};
use super::place::Place;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "view.html")]
struct ViewPage {
    frame: Frame,
    heading: Heading,
    notices: Notices,
    listing: Option<Listing>,
    cards: Cards,
}

/// The page of an item, or of the one thing an item has.
pub(crate) async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Made, Refusal> {
    let resource = place.resource;
    let path = place.fill(operation);
    if resource.name == "task" {
        return super::task::page(visit, place, operation).await;
    }
    if resource.name == "device-console" {
        return super::terminal::page(visit, place, operation).await;
    }
    if resource.is_single() && !place.items.is_empty() {
        return part(visit, place, operation, &path).await;
    }
    let (frame, item) = futures_util::try_join!(
        visit.frame(&resource.title),
        visit.api.get(&path)
    )?;
    let mut cards = cards(visit.cells(), resource, &item, None);
    let mut readings = Vec::new();
    for (_, name) in WITHIN.iter().filter(|(of, _)| *of == resource.name) {
        if let Some(part) = visit.model.resource(name) {
            cards.extend(within(visit, place, part, &item).await?);
        }
    }
    if resource.name == "device" {
        let own = super::device::cards(visit, place, &mut readings).await?;
        cards.extend(own);
    }
    if resource.name == "device-capture"
        && let Some(card) = super::plot::card(visit, place, &item).await?
    {
        cards.insert(0, card);
    }
    let mut made = build(
        visit,
        place,
        Some(&item),
        Body { frame, operation, cards, ..Body::empty(operation) },
    )?;
    made.readings = readings;
    Ok(made)
}

/// What of a page differs between its tabs.
struct Body<'a> {
    frame: Frame,
    operation: &'a Operation,
    notices: Vec<Notice>,
    listing: Option<Listing>,
    cards: Vec<Card>,
}

impl<'a> Body<'a> {
    fn empty(operation: &'a Operation) -> Self {
        Self {
            frame: Frame::default(),
            operation,
            notices: Vec::new(),
            listing: None,
            cards: Vec::new(),
        }
    }
}

fn build(
    visit: &Visit<'_>,
    place: &Place<'_>,
    item: Option<&Value>,
    body: Body<'_>,
) -> Result<Made, Refusal> {
    let heading = heading(visit, place, item)?;
    let cards = Cards { cards: body.cards };
    let commands =
        visit.commands(place.resource, body.operation, &place.values(), &[]);
    let frame = Frame {
        title: heading.title.clone(),
        crumbs: place.crumbs(),
        live: Some(list::live(visit)),
        json: Some(list::json(visit)),
        commands,
        ..body.frame
    };
    let notices = Notices { notices: body.notices };
    let mut parts = heading.parts();
    parts.push(("notices", rendered(&notices)?));
    parts.push(("cards", rendered(&cards)?));
    if let Some(listing) = &body.listing {
        parts.extend(list::parts(listing));
    }
    let page =
        ViewPage { frame, heading, notices, listing: body.listing, cards };
    Ok(Made::new(&page)?.with(parts))
}

/// The item that a tab belongs to, as far as it can be had.
async fn owner(
    visit: &Visit<'_>,
    place: &Place<'_>,
) -> Result<Option<Value>, Refusal> {
    let Some((resource, _)) = place.items.last() else { return Ok(None) };
    let Some(view) = &resource.view else { return Ok(None) };
    visit.api.get(&place.fill(view)).await.map(Some)
}

/// The one thing of its kind that an item has: a device's power.
async fn part(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
    path: &str,
) -> Result<Made, Refusal> {
    let (frame, item) = futures_util::try_join!(
        visit.frame(&place.resource.title),
        owner(visit, place)
    )?;
    let (cards, notices) = match visit.api.get(path).await {
        Ok(part) => {
            let cards = cards(visit.cells(), place.resource, &part, None);
            (cards, Vec::new())
        }
        Err(refusal) if refusal.is_passing() => {
            (Vec::new(), vec![Notice::missing(&refusal)])
        }
        Err(refusal) => return Err(refusal),
    };
    let body = Body { frame, notices, cards, ..Body::empty(operation) };
    build(visit, place, item.as_ref(), body)
}

/// A list that belongs to an item: a device's sensors, its events.
pub(crate) async fn listing(
    visit: &Visit<'_>,
    place: &Place<'_>,
    resource: &Resource,
    operation: &Operation,
) -> Result<Made, Refusal> {
    let is_child = resource.parent.is_some();
    let values = if is_child { place.values() } else { Vec::new() };
    let fixed = match place.items.last() {
        Some((owner, id)) if !is_child => {
            vec![(owner.name.clone(), id.clone())]
        }
        _ => Vec::new(),
    };
    let (frame, item) = futures_util::try_join!(
        visit.frame(&resource.title),
        owner(visit, place)
    )?;
    let mut body = Body { frame, ..Body::empty(operation) };
    let mut readings = Vec::new();
    match list::list(visit, resource, operation, &values, &fixed).await {
        Ok(listed) => {
            readings = listed.readings;
            body.listing = Some(listed.listing);
        }
        Err(refusal) if refusal.is_passing() => {
            body.notices.push(Notice::missing(&refusal));
            // It fills as soon as the device is there again.
            body.listing = Some(Listing::missing(&visit.path));
        }
        Err(refusal) => return Err(refusal),
    }
    let mut made = build(visit, place, item.as_ref(), body)?;
    made.readings = readings;
    Ok(made)
}

/// Cards of a part that stands on the first tab; a passing refusal is a note.
async fn within(
    visit: &Visit<'_>,
    place: &Place<'_>,
    part: &Resource,
    owner: &Value,
) -> Result<Vec<Card>, Refusal> {
    let Some(operation) = &part.view else { return Ok(Vec::new()) };
    match visit.api.get(&place.fill(operation)).await {
        Ok(item) => {
            // What the owner's own cards say is not said again.
            let mut part = part.clone();
            part.properties.retain(|own| {
                let (one, other) = (own.value(&item), own.value(owner));
                own.name != part.id_field
                    && Some(&own.name) != part.name_field.as_ref()
                    && (one != other || other.is_none())
            });
            Ok(cards(visit.cells(), &part, &item, Some(&part.title)))
        }
        Err(refusal) if refusal.is_passing() => Ok(vec![Card {
            title: part.title.clone(),
            note: Some(refusal.sentence()),
            ..Card::default()
        }]),
        Err(refusal) => Err(refusal),
    }
}
