//! An item's properties as cards.

use askama::Template;
use onprem_description::{Property, Resource};
use serde_json::Value;

use super::cell::{Cell, Cells};
use super::made::rendered;
use super::table::{Setting, Table};

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
                cards.push(Card { title, rows: vec![row], ..Card::default() });
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
