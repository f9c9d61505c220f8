//! What a device's first tab has beside its own properties.

use onprem_description::{Operation, Resource};

use super::card::Card;
use super::error::Refusal;
use super::list::{items, readings};
use super::made::rendered;
use super::place::Place;
use super::table::{Setting, Table};
use super::visit::{Visit, with_query};

/// What stands under a device's name.
pub(crate) const FACTS: &[(&str, &str)] = &[
    ("device", "/manufacturer"),
    ("device", "/model"),
    ("device", "/lastIpAddr"),
    ("device", "/lastSeen"),
];

/// Columns that a card has no room for, or that say the same in each row.
const WITHOUT: &[&str] =
    &["device", "deviceName", "readingTime", "readingType", "status"];

/// How many rows of a list a card shows.
const ROWS: usize = 6;

/// Its first sensors, live, and what last happened to it.
pub(crate) async fn cards(
    visit: &Visit<'_>,
    place: &Place<'_>,
    seen: &mut Vec<((String, String), f64)>,
) -> Result<Vec<Card>, Refusal> {
    let mut cards = Vec::new();
    let model = visit.model;
    let device = place.items.last().map_or("", |(_, id)| id.as_str());
    if let Some(sensors) = model.resource("device-sensor")
        && let Some(list) = &sensors.list
    {
        let path = place.fill(list);
        cards.extend(card(visit, place, sensors, list, &path, seen).await?);
    }
    if let Some(events) = model.resource("event")
        && let Some(list) = &events.list
    {
        let query = [("device".to_owned(), device.to_owned())];
        let path = with_query(&list.fill(&[]), &query);
        cards.extend(card(visit, place, events, list, &path, seen).await?);
    }
    Ok(cards)
}

async fn card(
    visit: &Visit<'_>,
    place: &Place<'_>,
    resource: &Resource,
    list: &Operation,
    path: &str,
    seen: &mut Vec<((String, String), f64)>,
) -> Result<Option<Card>, Refusal> {
    let path = if list.paged {
        let limit = ("limit".to_owned(), ROWS.to_string());
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let more = with_query("", &[limit]);
        let more = more.trim_start_matches('?');
        format!(
            "{path}?{query}{}{more}",
            if query.is_empty() { "" } else { "&" }
        )
    } else {
        path.to_owned()
    };
    let answer = match visit.api.get(&path).await {
        Ok(answer) => answer,
        // The card of the computer has said why.
        Err(refusal) if refusal.is_passing() => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let items = items(&answer);
    let items = items.get(..ROWS.min(items.len())).unwrap_or_default();
    if items.is_empty() {
        return Ok(None);
    }
    seen.extend(readings(resource, items));
    let history = visit.console.history(&visit.here());
    let setting = Setting {
        without: WITHOUT.iter().map(|&name| name.to_owned()).collect(),
        history: history.as_ref(),
        ..Setting::default()
    };
    let table = Table::new(visit.cells(), resource, items, &setting);
    Ok(Some(Card {
        title: resource.title.clone(),
        href: Some(format!("{}/{}", place.item_page(), resource.segment)),
        table: Some(rendered(&table)?),
        full: true,
        ..Card::default()
    }))
}
