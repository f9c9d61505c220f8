//! The page of any item, with its tabs.

use askama::Template;
use onprem_description::{Danger, Format, Kind, Operation, Property, Resource};
use serde_json::Value;

use super::cell::{Cell, Cells, Shown};
use super::error::Refusal;
use super::list::{self, Listing};
use super::made::{Made, rendered};
use super::page::{Frame, Link, Notice};
use super::place::{Place, REDFISH, related};
use super::table::{Setting, Table};
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "view.html")]
struct ViewPage {
    frame: Frame,
    heading: Heading,
    notices: Vec<Notice>,
    listing: Option<Listing>,
    cards: Cards,
}

/// What stands above all tabs of an item.
#[derive(Debug, Default)]
pub(crate) struct Heading {
    pub(crate) title: String,
    pub(crate) state: String,
    pub(crate) facts: String,
    pub(crate) buttons: Vec<Button>,
    pub(crate) tabs: Vec<Link>,
}

/// Something that is said under a name.
#[derive(Debug, Template)]
#[template(
    source = "<span>{% if let Some(title) = title %}{{ title }} {% endif %}\
              {{ cell|safe }}</span> ",
    ext = "html"
)]
struct Fact {
    title: Option<String>,
    cell: Cell,
}

/// An action that can be taken, or why not.
#[derive(Debug)]
pub(crate) struct Button {
    pub(crate) title: String,
    pub(crate) href: String,
    pub(crate) danger: bool,
    pub(crate) refused: Option<String>,
}

/// The cards of a page.
#[derive(Debug, Default, Template)]
#[template(path = "cards.html")]
pub(crate) struct Cards {
    pub(crate) cards: Vec<Card>,
}

/// A heading with what belongs under it.
#[derive(Debug, Default)]
pub(crate) struct Card {
    pub(crate) title: String,
    pub(crate) href: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) rows: Vec<(String, Cell)>,
    pub(crate) table: Option<String>,
    pub(crate) full: bool,
}

/// Pages of an item that stand on its first tab instead of on their own.
const WITHIN: &[(&str, &str)] = &[("device", "device-system")];

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
    let mut parts = vec![
        ("state", heading.state.clone()),
        ("facts", heading.facts.clone()),
        ("cards", rendered(&cards)?),
    ];
    if let Some(listing) = &body.listing {
        parts.extend(list::parts(listing));
    }
    let page = ViewPage {
        frame,
        heading,
        notices: body.notices,
        listing: body.listing,
        cards,
    };
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

/// What stands above the tabs of the last item on the way.
pub(crate) fn heading(
    visit: &Visit<'_>,
    place: &Place<'_>,
    item: Option<&Value>,
) -> Result<Heading, Refusal> {
    let Some((resource, id)) = place.items.last() else {
        let title = place.resource.title.clone();
        return Ok(Heading { title, ..Heading::default() });
    };
    let page = place.item_page();
    let mut heading = Heading { title: id.clone(), ..Heading::default() };
    heading.tabs = tabs(visit, resource, &page);
    let Some(item) = item else { return Ok(heading) };
    if let Some(name) = resource.name_of(item) {
        name.clone_into(&mut heading.title);
    }
    let cells = visit.cells();
    let mut states: Vec<&Property> = resource
        .columns
        .iter()
        .map(|column| &column.property)
        .filter(|property| !property.states.is_empty())
        .collect();
    states.sort_by_key(|own| (own.name != "state", own.kind == Kind::Boolean));
    let mut states = states.into_iter();
    if let Some(first) = states.next() {
        heading.state = rendered(&cells.of(first, item))?;
    }
    let facts = super::device::FACTS
        .iter()
        .filter(|(owner, _)| *owner == resource.name)
        .filter_map(|(_, pointer)| resource.property(pointer));
    for property in states.chain(facts) {
        let cell = cells.of(property, item);
        if cell.is_nothing() || matches!(cell.shown, Shown::Quiet(_)) {
            continue;
        }
        heading.facts.push_str(&rendered(&Fact {
            title: (!property.states.is_empty()
                && property.kind != Kind::Boolean
                || property.format == Format::Ago)
                .then(|| property.title.clone()),
            cell,
        })?);
    }
    heading.buttons = buttons(resource, item, &page);
    Ok(heading)
}

fn tabs(visit: &Visit<'_>, resource: &Resource, page: &str) -> Vec<Link> {
    let within = |name: &str| WITHIN.iter().any(|(_, inner)| *inner == name);
    let mut tabs = vec![Link::new("Overview", page)];
    for child in visit.model.children(Some(&resource.name)) {
        if !child.hidden && !within(&child.name) {
            let title = short_title(resource, child);
            tabs.push(Link::new(title, format!("{page}/{}", child.segment)));
        }
    }
    for other in related(visit.model, resource).filter(|other| !other.hidden) {
        let href = format!("{page}/{}", other.segment);
        tabs.push(Link::new(&other.title, href));
    }
    if resource.name == "device" {
        tabs.push(Link::new("Redfish", format!("{page}/{REDFISH}")));
    }
    if tabs.len() == 1 {
        return Vec::new();
    }
    let current = visit.path.as_str();
    let best = tabs
        .iter()
        .map(|tab| tab.href.len())
        .zip(tabs.iter())
        .filter(|(_, tab)| {
            decoded(current) == decoded(&tab.href)
                || decoded(current)
                    .starts_with(&format!("{}/", decoded(&tab.href)))
        })
        .map(|(length, _)| length)
        .max();
    for tab in &mut tabs {
        tab.current = Some(tab.href.len()) == best
            && decoded(current).starts_with(&decoded(&tab.href));
    }
    tabs
}

/// `Device sensors` under a device is `Sensors`.
fn short_title(parent: &Resource, child: &Resource) -> String {
    let prefix = format!("{} ", parent.singular).to_lowercase();
    let title = child.title.to_lowercase();
    match title.strip_prefix(&prefix) {
        Some(rest) => onprem_description::title(&rest.replace(' ', "-")),
        None => child.title.clone(),
    }
}

fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn buttons(resource: &Resource, item: &Value, page: &str) -> Vec<Button> {
    let mut buttons = Vec::new();
    for action in &resource.actions {
        let shown = &action.action;
        let pointed = shown.field.as_deref().and_then(|at| item.pointer(at));
        if shown.hidden || action.method != "POST" {
            continue;
        }
        buttons.push(Button {
            title: shown.label.clone(),
            href: format!("{page}/actions/{}", action.name),
            danger: shown.danger == Danger::Destructive,
            refused: refused(resource, action, pointed),
        });
    }
    if resource.update.is_some() {
        buttons.push(Button {
            title: "Edit".into(),
            href: format!("{page}/edit"),
            danger: false,
            refused: None,
        });
    }
    if resource.delete.is_some() {
        buttons.push(Button {
            title: "Delete".into(),
            href: format!("{page}/delete"),
            danger: true,
            refused: None,
        });
    }
    buttons
}

/// Why an action cannot be taken in the state that `value` says.
pub(crate) fn refused(
    resource: &Resource,
    action: &Operation,
    value: Option<&Value>,
) -> Option<String> {
    let shown = &action.action;
    let (field, value) = (shown.field.as_deref()?, value?.as_str()?);
    if shown.states.is_empty() || shown.states.iter().any(|own| own == value) {
        return None;
    }
    let property = resource.property(field);
    let word = |value: &str| match property {
        Some(property) => super::input::label(property, value).to_lowercase(),
        None => value.to_owned(),
    };
    let allowed: Vec<_> =
        shown.states.iter().map(|state| word(state)).collect();
    let noun = resource.singular.replace('-', " ");
    Some(format!(
        "The {noun} is {}; this needs it {}.",
        word(value),
        allowed.join(" or ")
    ))
}

/// An item's properties as cards, one a group; lists of structures get a
/// table of their own.
pub(crate) fn cards(
    cells: Cells<'_>,
    resource: &Resource,
    item: &Value,
    only: Option<&str>,
) -> Vec<Card> {
    let mut cards: Vec<Card> = Vec::new();
    let mut tables = Vec::new();
    let mut blocks = Vec::new();
    for property in resource.properties.iter().filter(|own| !own.is_hidden()) {
        if is_table(property, item) {
            tables.extend(inner_table(cells, property, item));
            continue;
        }
        // The name beside an id is the better link.
        let named = item.get(format!("{}Name", property.name));
        if property.reference.is_some() && named.is_some_and(Value::is_string) {
            continue;
        }
        let cell = cells.of(property, item);
        if cell.is_wide() {
            let rows = vec![(String::new(), cell)];
            let title = property.title.clone();
            blocks.push(Card { title, rows, full: true, ..Card::default() });
            continue;
        }
        if cell.is_nothing() {
            continue;
        }
        let title =
            only.or(property.group.as_deref()).unwrap_or("Details").to_owned();
        let row = (property.title.clone(), cell);
        match cards.iter_mut().find(|card| card.title == title) {
            Some(card) => card.rows.push(row),
            None => {
                cards.push(Card { title, rows: vec![row], ..Card::default() })
            }
        }
    }
    let rank = |card: &Card| {
        let at = resource.groups.iter().position(|own| *own == card.title);
        at.unwrap_or(usize::MAX)
    };
    cards.sort_by_key(rank);
    cards.extend(tables);
    cards.extend(blocks);
    cards
}

fn is_table(property: &Property, item: &Value) -> bool {
    !property.properties.is_empty()
        && property.value(item).is_some_and(Value::is_array)
}

fn inner_table(
    cells: Cells<'_>,
    property: &Property,
    item: &Value,
) -> Option<Card> {
    let items = property.value(item).and_then(Value::as_array)?;
    if items.is_empty() {
        return None;
    }
    // The properties of a list's entries, seen from an entry.
    let columns = property.properties.iter().map(|own| {
        let mut own = own.clone();
        own.pointer = format!("/{}", own.name);
        onprem_description::Column {
            title: own.title.clone(),
            width: None,
            wide: false,
            sort: None,
            property: own,
        }
    });
    let resource = Resource {
        title: property.title.clone(),
        columns: columns.collect(),
        id_field: "id".to_owned(),
        ..Resource::default()
    };
    let table = Table::new(cells, &resource, items, &Setting::default());
    Some(Card {
        title: property.title.clone(),
        table: rendered(&table).ok(),
        full: true,
        ..Card::default()
    })
}
