//! The list of any resource.

use askama::Template;
use onprem_description::{Kind, Operation, Resource};
use serde_json::Value;

use super::error::Refusal;
use super::input::label;
use super::made::{Made, rendered};
use super::page::{Command, Frame, Link};
use super::place::Place;
use super::table::{Setting, Table, columns, key};
use super::visit::{Visit, with_query};

/// How many rows a page has unless its query says so.
const ROWS: &str = "100";

#[derive(Debug, Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    lede: Option<String>,
    create: Option<Link>,
    listing: Listing,
}

/// A list with its filter and the way to its next page.
#[derive(Debug, Default, Template)]
#[template(path = "listing.html")]
pub(crate) struct Listing {
    action: String,
    filters: Vec<Filter>,
    is_filtered: bool,
    is_empty: bool,
    sort: String,
    pub(crate) table: String,
    pub(crate) count: String,
    columns: Option<Link>,
    first: Option<String>,
    next: Option<String>,
}

impl Listing {
    /// The place of a list that cannot be had now.
    pub(crate) fn missing(path: &str) -> Self {
        Self { action: path.to_owned(), ..Self::default() }
    }
}

/// A word of the query that narrows the list.
#[derive(Debug, Clone)]
struct Filter {
    name: String,
    title: String,
    value: String,
    options: Vec<(String, String)>,
}

/// What an empty list says.
#[derive(Debug, Template)]
#[template(path = "empty.html")]
struct Empty {
    is_filtered: bool,
    action: String,
    title: String,
    text: String,
    command: Option<String>,
}

/// A list that was asked for.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) listing: Listing,
    pub(crate) readings: Vec<((String, String), f64)>,
    pub(crate) commands: Vec<Command>,
}

/// The page of a collection.
pub(crate) async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Made, Refusal> {
    let resource = place.resource;
    let values = place.values();
    let (frame, listed) = futures_util::try_join!(
        visit.frame(&resource.title),
        list(visit, resource, operation, &values, &[]),
    )?;
    let create = resource.create.as_ref().map(|create| {
        let page = format!("{}-new", place.collection_page());
        Link::new(&create.summary, page)
    });
    let frame = Frame {
        crumbs: place.crumbs(),
        live: Some(live(visit)),
        json: Some(json(visit)),
        commands: listed.commands,
        ..frame
    };
    let parts = parts(&listed.listing);
    let lede = resource.description.clone();
    let page = ListPage { frame, lede, create, listing: listed.listing };
    let mut made = Made::new(&page)?.with(parts);
    made.readings = listed.readings;
    Ok(made)
}

/// Where the changes of this page are streamed from.
pub(crate) fn live(visit: &Visit<'_>) -> String {
    with_query("/live", &[("page".to_owned(), visit.here())])
}

/// The address of this page as JSON.
pub(crate) fn json(visit: &Visit<'_>) -> String {
    with_query(&format!("{}.json", visit.path), &visit.query)
}

/// The parts of a list that may change.
pub(crate) fn parts(listing: &Listing) -> Vec<(&'static str, String)> {
    vec![("table", listing.table.clone()), ("count", listing.count.clone())]
}

/// The words of the page's query that the operation takes, and the rows of a
/// page.
pub(crate) fn asked(
    visit: &Visit<'_>,
    operation: &Operation,
    fixed: &[(String, String)],
) -> Vec<(String, String)> {
    let mut query: Vec<_> = visit
        .query
        .iter()
        .filter(|(name, value)| {
            let is_paging = operation.paged
                && matches!(name.as_str(), "limit" | "page_token");
            let is_own = operation.query.iter().any(|own| own.name == *name);
            !value.is_empty()
                && (is_paging || is_own)
                && fixed.iter().all(|(own, _)| own != name)
        })
        .cloned()
        .collect();
    query.extend_from_slice(fixed);
    query
}

/// Asks for a list and makes its table; `fixed` are words of the query that
/// the page stands for.
pub(crate) async fn list(
    visit: &Visit<'_>,
    resource: &Resource,
    operation: &Operation,
    values: &[&str],
    fixed: &[(String, String)],
) -> Result<Listed, Refusal> {
    let mut query = asked(visit, operation, fixed);
    let commands = visit.commands(resource, operation, values, &query);
    if operation.paged && query.iter().all(|(name, _)| name != "limit") {
        query.push(("limit".to_owned(), ROWS.to_owned()));
    }
    let path = with_query(&operation.fill(values), &query);
    let answer = visit.api.get(&path).await?;
    let items = items(&answer);
    let next = answer.get("next_page").and_then(Value::as_str);

    let history = visit.console.history(&visit.here());
    let sorts = operation.query.iter().any(|query| query.name == "sort");
    let sorted_by =
        |key: &str| visit.here_with(&[("sort", key), ("page_token", "")]);
    let own = match resource.parent {
        None => format!("/{}", resource.segment),
        Some(_) => visit.path.clone(),
    };
    let table = Table::new(
        visit.cells(),
        resource,
        items,
        &Setting {
            all: visit.asked("cols") == "all",
            sort: visit.asked("sort"),
            sorted_by: sorts.then_some(&sorted_by),
            base: own,
            without: fixed
                .iter()
                .flat_map(|(own, _)| [own.clone(), format!("{own}Name")])
                .collect(),
            history: history.as_ref(),
        },
    );
    let is_filtered = operation.query.iter().any(|query| {
        query.name != "sort"
            && fixed.iter().all(|(own, _)| *own != query.name)
            && !visit.asked(&query.name).is_empty()
    });
    let (words, rows) = (resource.plural.replace('-', " "), table.len());
    let listing = Listing {
        action: visit.path.clone(),
        filters: filters(visit, resource, operation, fixed),
        is_filtered,
        is_empty: items.is_empty(),
        sort: visit.asked("sort").to_owned(),
        table: if items.is_empty() {
            rendered(&empty(resource, is_filtered, &visit.path))?
        } else {
            rendered(&table)?
        },
        count: match (rows, next) {
            (0, _) => String::new(),
            (1, None) => format!("1 {}", resource.singular.replace('-', " ")),
            (_, None) => format!("{rows} {words}"),
            (_, Some(_)) => format!("{rows} {words} on this page"),
        },
        columns: columns_link(visit, resource),
        first: (!visit.asked("page_token").is_empty())
            .then(|| visit.here_with(&[("page_token", "")])),
        next: next.map(|token| visit.here_with(&[("page_token", token)])),
    };
    let readings = readings(resource, items);
    Ok(Listed { listing, readings, commands })
}

/// The items of a list's answer, bare or in a page.
pub(crate) fn items(answer: &Value) -> &[Value] {
    answer.get("items").unwrap_or(answer).as_array().map_or(&[], Vec::as_slice)
}

/// The numbers that have a history.
pub(crate) fn readings(
    resource: &Resource,
    items: &[Value],
) -> Vec<((String, String), f64)> {
    let mut out = Vec::new();
    for column in
        resource.columns.iter().filter(|c| c.property.series.is_some())
    {
        for item in items {
            let value = column.property.value(item).and_then(Value::as_f64);
            if let Some(value) = value {
                let name = column.property.name.clone();
                out.push(((key(resource, item), name), value));
            }
        }
    }
    out
}

fn filters(
    visit: &Visit<'_>,
    resource: &Resource,
    operation: &Operation,
    fixed: &[(String, String)],
) -> Vec<Filter> {
    let searches = operation.query.iter().any(|query| query.name == "q");
    let mut filters: Vec<Filter> = operation
        .query
        .iter()
        .filter(|query| query.name != "sort")
        .filter(|query| fixed.iter().all(|(own, _)| *own != query.name))
        .filter_map(|query| {
            let value = visit.asked(&query.name).to_owned();
            let options: Vec<(String, String)> = match &query.kind {
                Kind::Enum(values) => {
                    let pointer = format!("/{}", query.name);
                    let property = resource.property(&pointer).unwrap_or(query);
                    let option = |value: &String| {
                        (value.clone(), label(property, value))
                    };
                    values.iter().map(option).collect()
                }
                Kind::Boolean => vec![
                    ("true".into(), "Yes".into()),
                    ("false".into(), "No".into()),
                ],
                // With one box for all words the others stay in the query.
                _ if searches && query.name != "q" && value.is_empty() => {
                    return None;
                }
                _ => Vec::new(),
            };
            let title = match query.name.as_str() {
                "q" => format!("Search {}", resource.title.to_lowercase()),
                _ => query.title.clone(),
            };
            Some(Filter { name: query.name.clone(), title, value, options })
        })
        .collect();
    filters.sort_by_key(|filter| !filter.options.is_empty());
    filters
}

/// To all columns or back, where some are not shown.
fn columns_link(visit: &Visit<'_>, resource: &Resource) -> Option<Link> {
    let all = Setting { all: true, ..Setting::default() };
    let few = columns(resource, &Setting::default()).len();
    if visit.asked("cols") == "all" {
        let href = visit.here_with(&[("cols", "")]);
        return Some(Link::new("Fewer columns", href));
    }
    (columns(resource, &all).len() > few).then(|| {
        let href = visit.here_with(&[("cols", "all")]);
        Link::new("All columns", href)
    })
}

fn empty(resource: &Resource, is_filtered: bool, path: &str) -> Empty {
    let says = resource.empty.as_ref();
    Empty {
        is_filtered,
        action: path.to_owned(),
        title: format!("No {} yet", resource.plural.replace('-', " ")),
        text: says
            .map(|says| says.text.clone())
            .or_else(|| resource.description.clone())
            .unwrap_or_default(),
        command: says.and_then(|says| says.command.clone()),
    }
}
