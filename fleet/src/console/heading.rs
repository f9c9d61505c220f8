//! What stands above all tabs of an item: its name, its state, what can be
//! done with it.

use askama::Template;
use onprem_description::{Danger, Format, Kind, Operation, Property, Resource};
use serde_json::Value;

use super::cell::{Cell, Shown};
use super::error::Refusal;
use super::made::rendered;
use super::page::Link;
use super::place::{Place, REDFISH, related};
use super::visit::Visit;

/// Pages of an item that stand on its first tab instead of on their own.
pub(crate) const WITHIN: &[(&str, &str)] = &[("device", "device-system")];

/// What stands above all tabs of an item.
#[derive(Debug, Default)]
pub(crate) struct Heading {
    pub(crate) title: String,
    pub(crate) state: String,
    pub(crate) facts: String,
    pub(crate) buttons: String,
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

#[derive(Debug, Template)]
#[template(path = "buttons.html")]
struct Buttons {
    buttons: Vec<Button>,
}

/// An action that can be taken, or why not.
#[derive(Debug)]
struct Button {
    title: String,
    href: String,
    danger: bool,
    refused: Option<String>,
}

impl Heading {
    /// What of it may change.
    pub(crate) fn parts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("state", self.state.clone()),
            ("facts", self.facts.clone()),
            ("buttons", self.buttons.clone()),
        ]
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
    let buttons = buttons(resource, item, &page);
    heading.buttons = rendered(&Buttons { buttons })?;
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
        let is_for = action.is_for(item);
        if shown.hidden || action.method != "POST" || !is_for {
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
