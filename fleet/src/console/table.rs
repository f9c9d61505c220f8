//! A list of items as a table.

use std::collections::{HashMap, VecDeque};

use askama::Template;
use onprem_description::{Column, Format, Kind, Operation, Property, Resource};
use serde_json::Value;

use super::cell::{Cell, Cells, Shown, UNIT, escape, is_number};
use super::chart::Spark;
use super::page::Link;

/// The last values of a page's readings, by row and property.
pub(crate) type History = HashMap<(String, String), VecDeque<f64>>;

/// A table.
#[derive(Debug, Clone, Template)]
#[template(path = "table.html")]
pub(crate) struct Table {
    label: String,
    heads: Vec<Head>,
    rows: Vec<Row>,
    has_actions: bool,
}

#[derive(Debug, Clone)]
struct Head {
    title: String,
    href: Option<String>,
    sorted: &'static str,
    number: bool,
    tight: bool,
}

#[derive(Debug, Clone)]
struct Row {
    id: String,
    href: Option<String>,
    cells: Vec<Cell>,
    actions: Vec<Link>,
}

/// How a table is made.
#[derive(Default)]
pub(crate) struct Setting<'a> {
    /// Columns that only a wide table shows, too.
    pub(crate) all: bool,
    /// `name` or `-name`.
    pub(crate) sort: &'a str,
    /// The address of this page, sorted by the key it is given.
    pub(crate) sorted_by: Option<&'a dyn Fn(&str) -> String>,
    /// The page that items are under.
    pub(crate) base: String,
    /// Columns that would say the same in each row.
    pub(crate) without: Vec<String>,
    /// The last readings, where somebody watches.
    pub(crate) history: Option<&'a History>,
}

/// The columns of a page: the name first, then states, then the rest. What is
/// only in a wide table of a terminal is here as well if it is a state or a
/// time; what only machines read stands on the item's own page.
pub(crate) fn columns<'r>(
    resource: &'r Resource,
    setting: &Setting<'_>,
) -> Vec<&'r Column> {
    let name = resource.name_field.as_deref();
    let is_name = |property: &Property| name == Some(property.name.as_str());
    let rank = |column: &&Column| {
        let property = &column.property;
        match property.states.is_empty() {
            _ if is_name(property) => 0,
            false if property.name == "state" => 1,
            false if property.kind != Kind::Boolean => 2,
            false => 3,
            true => 4,
        }
    };
    let for_machines = |property: &Property| {
        name.is_some()
            && !is_name(property)
            && (property.name == resource.id_field
                || property.format == Format::Uuid)
    };
    let is_shown = |column: &&Column| {
        let property = &column.property;
        let is_wide = column.wide
            && property.states.is_empty()
            && property.format != Format::Ago;
        let is_known = setting.without.contains(&property.name);
        let is_unit = property.name == UNIT.1;
        !property.is_hidden()
            && !is_known
            && (setting.all || !is_wide && !for_machines(property) && !is_unit)
    };
    let mut columns: Vec<_> =
        resource.columns.iter().filter(is_shown).collect();
    if name.is_some() {
        columns.sort_by_key(rank);
    }
    columns
}

impl Table {
    pub(crate) fn new(
        cells: Cells<'_>,
        resource: &Resource,
        items: &[Value],
        setting: &Setting<'_>,
    ) -> Self {
        let columns = columns(resource, setting);
        let mut heads = Vec::new();
        for column in &columns {
            heads.push(Head::new(column, setting));
            if column.property.series.is_some() && setting.history.is_some() {
                heads.push(Head::plain("Trend"));
            }
        }
        let rows: Vec<_> = items
            .iter()
            .map(|item| row(cells, resource, &columns, item, setting))
            .collect();
        let has_actions = rows.iter().any(|row| !row.actions.is_empty());
        Self { label: resource.title.clone(), heads, rows, has_actions }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl Head {
    fn new(column: &Column, setting: &Setting<'_>) -> Self {
        let property = &column.property;
        let key = column.sort.as_deref();
        let (up, down) = match (key, setting.sort.strip_prefix('-')) {
            (Some(key), Some(sort)) => (false, key == sort),
            (Some(key), None) => (key == setting.sort, false),
            (None, _) => (false, false),
        };
        let href = key.zip(setting.sorted_by).map(|(key, sorted_by)| {
            sorted_by(&if up { format!("-{key}") } else { key.to_owned() })
        });
        Self {
            title: column.title.clone(),
            href,
            sorted: match (up, down) {
                (true, _) => "ascending",
                (_, true) => "descending",
                _ => "",
            },
            number: is_number(property),
            tight: property.format == Format::Percent
                || property.format == Format::Ago,
        }
    }

    fn plain(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            href: None,
            sorted: "",
            number: false,
            tight: true,
        }
    }
}

/// What tells the rows of a table apart: ids of parts are unique in their
/// chassis only.
pub(crate) fn key(resource: &Resource, item: &Value) -> String {
    let id = resource.id_of(item).unwrap_or_default();
    match item.get("chassis").and_then(Value::as_str) {
        Some(chassis) if resource.parent.is_some() => {
            format!("{chassis}.{id}")
        }
        _ => id.to_owned(),
    }
}

fn row(
    cells: Cells<'_>,
    resource: &Resource,
    columns: &[&Column],
    item: &Value,
    setting: &Setting<'_>,
) -> Row {
    let id = key(resource, item);
    let name = resource.name_of(item).unwrap_or_default();
    let page = format!("{}/{}", setting.base, escape(name));
    let mut out = Vec::new();
    for column in columns {
        let property = &column.property;
        out.push(cells.of(property, item));
        if property.series.is_some()
            && let Some(history) = setting.history
        {
            let key = (id.clone(), property.name.clone());
            let spark = history.get(&key).and_then(Spark::new);
            out.push(spark.map_or(Shown::Nothing, Shown::Spark).into());
        }
    }
    // The first cell is the link to the page; it cannot hold one itself.
    let has_page = resource.view.is_some();
    if has_page
        && let Some(first) = out.first_mut()
        && matches!(first.shown, Shown::Link { .. } | Shown::Nothing)
    {
        first.shown = Shown::Text(name.to_owned());
    }
    let mut actions = Vec::new();
    let in_row = |action: &&Operation| action.action.row && action.is_for(item);
    for action in resource.actions.iter().filter(in_row) {
        let href = format!("{page}/actions/{}", action.name);
        actions.push(Link::new(&action.action.label, href));
    }
    if !has_page && !setting.base.is_empty() {
        // An item without a page is known by its id alone.
        let id = resource.id_of(item).unwrap_or_default();
        let page = format!("{}/{}", setting.base, escape(id));
        if resource.update.is_some() {
            actions.push(Link::new("Edit", format!("{page}/edit")));
        }
        if resource.delete.is_some() {
            actions.push(Link::new("Delete", format!("{page}/delete")));
        }
    }
    let href = has_page.then_some(page);
    Row { id: escape(&id), href, cells: out, actions }
}
