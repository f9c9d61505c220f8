//! A device's own Redfish service, to walk through.

use askama::Template;
use serde_json::Value;

use super::cell::escape;
use super::error::Refusal;
use super::heading::{Heading, heading};
use super::list;
use super::made::Made;
use super::page::{Command, Frame, Link, Notice, Notices};
use super::place::Place;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "redfish.html")]
struct RedfishPage {
    frame: Frame,
    heading: Heading,
    steps: Vec<Link>,
    notices: Notices,
    pieces: Vec<Piece>,
}

/// A piece of the JSON text; those that name a resource are links.
#[derive(Debug, PartialEq)]
struct Piece {
    text: String,
    href: Option<String>,
}

/// The resource at `rest` under the service's root.
pub(crate) async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    rest: &[String],
) -> Result<Made, Refusal> {
    let Some((resource, device)) = place.items.last() else {
        return Err(Refusal::not_found());
    };
    let Some(view) = &resource.view else { return Err(Refusal::not_found()) };
    let owner = place.fill(view);
    let (frame, item) =
        futures_util::try_join!(visit.frame("Redfish"), visit.api.get(&owner))?;
    let rest: Vec<_> = rest.iter().map(|segment| escape(segment)).collect();
    let here = rest.join("/");
    let path = format!("{owner}/redfish/v1/{here}");
    let base = format!("{}/redfish", place.item_page());
    let (pieces, notices) = match visit.api.get(&path).await {
        Ok(answer) => (pieces(&answer, &base), Vec::new()),
        Err(refusal) if refusal.asks_for_login() => return Err(refusal),
        Err(refusal) => (Vec::new(), vec![Notice::missing(&refusal)]),
    };
    let mut steps = vec![Link::new("/redfish/v1", base.clone())];
    let mut so_far = base;
    for segment in &rest {
        so_far = format!("{so_far}/{segment}");
        steps.push(Link::new(segment, so_far.clone()));
    }
    let heading = heading(visit, place, Some(&item))?;
    let notices = Notices { notices };
    let frame = Frame {
        title: heading.title.clone(),
        crumbs: place.crumbs(),
        json: Some(list::json(visit)),
        commands: vec![
            Command {
                title: "onprem",
                text: format!("onprem curl {device} /redfish/v1/{here}"),
            },
            Command {
                title: "curl",
                text: format!(
                    "curl -H \"Authorization: Bearer $ONPREM_TOKEN\" \
                     \"$ONPREM_URL{path}\""
                ),
            },
        ],
        ..frame
    };
    Made::new(&RedfishPage { frame, heading, steps, notices, pieces })
}

/// The same resource as the device says it.
pub(crate) async fn json(
    visit: &Visit<'_>,
    place: &Place<'_>,
    rest: &[String],
) -> Result<Value, Refusal> {
    let (resource, _) = place.items.last().ok_or_else(Refusal::not_found)?;
    let view = resource.view.as_ref().ok_or_else(Refusal::not_found)?;
    let rest: Vec<_> = rest.iter().map(|segment| escape(segment)).collect();
    let owner = place.fill(view);
    let path = format!("{owner}/redfish/v1/{}", rest.join("/"));
    visit.api.get(&path).await
}

/// Pretty JSON, cut where its links are.
fn pieces(answer: &Value, base: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    for line in super::cell::pretty(answer).lines() {
        match link(line, base) {
            Some((before, target, after, href)) => {
                text.push_str(before);
                pieces.push(Piece {
                    text: std::mem::take(&mut text),
                    href: None,
                });
                pieces
                    .push(Piece { text: target.to_owned(), href: Some(href) });
                text.push_str(after);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    pieces.push(Piece { text, href: None });
    pieces
}

/// `"@odata.id": "/redfish/v1/…"`, with the quotes left outside.
fn link<'a>(
    line: &'a str,
    base: &str,
) -> Option<(&'a str, &'a str, &'a str, String)> {
    let at = line.find("\"/redfish/v1")? + 1;
    let (before, rest) = line.split_at_checked(at)?;
    let end = rest.find('"')?;
    let (target, after) = rest.split_at_checked(end)?;
    let inner = target.strip_prefix("/redfish/v1")?;
    let inner = inner.split(['#', '?']).next()?.trim_matches('/');
    // The device names its own paths; only plain ones become links.
    let is_plain = inner.bytes().all(|byte| {
        byte.is_ascii_alphanumeric() || b"-_./%~$@()'=,:+".contains(&byte)
    });
    let href = format!("{base}/{inner}");
    is_plain.then(|| {
        let href = href.trim_end_matches('/').to_owned();
        (before, target, after, href)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_of_the_service_lead_through_the_console() {
        let answer = json!({"Systems": {"@odata.id": "/redfish/v1/Systems"}});
        let pieces = pieces(&answer, "/devices/a/redfish");
        let link = pieces.iter().find(|piece| piece.href.is_some()).unwrap();
        assert_eq!(link.text, "/redfish/v1/Systems");
        assert_eq!(link.href.as_deref(), Some("/devices/a/redfish/Systems"));
        let text: String = pieces.into_iter().map(|piece| piece.text).collect();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), answer);
    }
}
