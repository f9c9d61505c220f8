//! The first page: how the fleet is.

use askama::Template;
use onprem_description::{Operation, Resource};
use serde_json::Value;

use super::card::{Card, Cards};
use super::error::Refusal;
use super::list::{self, items};
use super::made::{Made, rendered};
use super::page::{Command, Frame};
use super::table::{Setting, Table};
use super::visit::{Visit, with_query};

#[derive(Debug, Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    tiles: Tiles,
    body: Cards,
}

#[derive(Debug, Template)]
#[template(path = "tiles.html")]
struct Tiles {
    tiles: Vec<Tile>,
}

/// A number, what it counts, and where that is listed.
#[derive(Debug)]
struct Tile {
    count: u64,
    label: &'static str,
    tone: &'static str,
    href: &'static str,
}

/// Property of the overview, label, tone unless zero, list, shown when zero.
type Counted = (&'static str, &'static str, &'static str, &'static str, bool);

const TILES: &[Counted] = &[
    ("devicesOnline", "Online", "ok", "/devices?state=online", true),
    ("devicesOffline", "Offline", "bad", "/devices?state=offline", true),
    (
        "devicesWaiting",
        "Waiting for approval",
        "warn",
        "/devices?state=waiting",
        false,
    ),
    ("devicesCritical", "Critical", "bad", "/devices?health=Critical", false),
    ("devicesWarning", "Warning", "warn", "/devices?health=Warning", true),
    ("devicesTainted", "Tainted", "warn", "/devices?tainted=true", true),
    ("tasksRunning", "Tasks running", "info", "/tasks?state=running", true),
];

/// Lists on the page: title, resource, query, what an empty one says.
type Shown = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
);

const LISTS: &[Shown] = &[
    ("Offline", "device", &[("state", "offline")], None),
    ("Waiting for approval", "device", &[("state", "waiting")], None),
    ("Critical", "device", &[("health", "Critical")], None),
    ("Warning", "device", &[("health", "Warning")], None),
    ("Running tasks", "task", &[("state", "running")], None),
    ("Recent events", "event", &[], Some("Nothing has happened yet.")),
];

/// How many rows of a list the page shows.
const ROWS: &str = "8";

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Result<Made, Refusal> {
    let (frame, overview) = futures_util::try_join!(
        visit.frame("Overview"),
        visit.api.get("/v1/overview")
    )?;
    let count =
        |name: &str| overview.get(name).and_then(Value::as_u64).unwrap_or(0);
    let tiles = TILES
        .iter()
        .map(|(name, label, tone, href, always)| {
            (count(name), *label, *tone, *href, *always)
        })
        .filter(|(count, .., always)| *count > 0 || *always)
        .map(|(count, label, tone, href, _)| Tile {
            count,
            label,
            tone: if count == 0 { "off" } else { tone },
            href,
        })
        .collect();
    let tiles = Tiles { tiles };
    let asked = LISTS.iter().map(|shown| card(visit, shown));
    let mut cards: Vec<Card> = futures_util::future::try_join_all(asked)
        .await?
        .into_iter()
        .flatten()
        .collect();
    if count("devices") == 0 {
        cards.insert(0, first_steps(visit));
    }
    let body = Cards { cards };
    let frame = Frame {
        live: Some(list::live(visit)),
        commands: vec![
            Command { title: "onprem", text: "onprem get devices".to_owned() },
            Command {
                title: "curl",
                text: "curl -H \"Authorization: Bearer $ONPREM_TOKEN\" \
                       \"$ONPREM_URL/v1/overview\""
                    .to_owned(),
            },
        ],
        ..frame
    };
    let parts = vec![("tiles", rendered(&tiles)?), ("cards", rendered(&body)?)];
    Ok(Made::new(&HomePage { frame, tiles, body })?.with(parts))
}

async fn card(
    visit: &Visit<'_>,
    shown: &Shown,
) -> Result<Option<Card>, Refusal> {
    let (title, name, narrowed, otherwise) = *shown;
    let Some(resource) = visit.model.resource(name) else { return Ok(None) };
    let Some(operation) = &resource.list else { return Ok(None) };
    let query: Vec<(String, String)> = narrowed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let found = asked(visit, operation, query.clone()).await?;
    let found = items(&found);
    if found.is_empty() && otherwise.is_none() {
        return Ok(None);
    }
    let href = with_query(&format!("/{}", resource.segment), &query);
    let table = table(visit, resource, found)?;
    Ok(Some(Card {
        title: title.to_owned(),
        href: (!found.is_empty()).then_some(href),
        note: if found.is_empty() {
            otherwise.map(str::to_owned)
        } else {
            None
        },
        table: (!found.is_empty()).then_some(table),
        full: true,
        ..Card::default()
    }))
}

async fn asked(
    visit: &Visit<'_>,
    operation: &Operation,
    mut query: Vec<(String, String)>,
) -> Result<Value, Refusal> {
    if operation.paged {
        query.push(("limit".to_owned(), ROWS.to_owned()));
    }
    visit.api.get(&with_query(&operation.fill(&[]), &query)).await
}

fn table(
    visit: &Visit<'_>,
    resource: &Resource,
    found: &[Value],
) -> Result<String, Refusal> {
    let base = if resource.view.is_some() {
        format!("/{}", resource.segment)
    } else {
        String::new()
    };
    let setting = Setting { base, ..Setting::default() };
    rendered(&Table::new(visit.cells(), resource, found, &setting))
}

/// What a new fleet needs.
fn first_steps(visit: &Visit<'_>) -> Card {
    let empty = visit.model.resource("device").and_then(|d| d.empty.as_ref());
    let command = empty.and_then(|empty| empty.command.clone());
    let rows = command.map(|command| {
        ("Next".to_owned(), super::cell::Shown::Code(command).into())
    });
    Card {
        title: "No devices yet".to_owned(),
        note: empty.map(|empty| empty.text.clone()),
        rows: rows.into_iter().collect(),
        full: true,
        ..Card::default()
    }
}
