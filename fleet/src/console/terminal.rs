//! A serial console in the browser: what came last, and with scripts what
//! comes, and a way to type.

use askama::Template;
use onprem_description::Operation;
use serde_json::Value;

use super::error::Refusal;
use super::heading::{Heading, heading};
use super::list;
use super::made::Made;
use super::page::{Command, Frame};
use super::place::Place;
use super::visit::Visit;

#[derive(Debug, Template)]
#[template(path = "terminal.html")]
struct TerminalPage {
    frame: Frame,
    heading: Heading,
    /// Where the console is.
    stream: String,
    /// What came last.
    output: String,
    /// Nothing comes: it has no power.
    off: bool,
}

/// The console's page.
pub(crate) async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    operation: &Operation,
) -> Result<Made, Refusal> {
    let path = place.fill(operation);
    let (frame, item) = futures_util::try_join!(
        visit.frame(&place.resource.title),
        visit.api.get(&path)
    )?;
    let heading = heading(visit, place, Some(&item))?;
    let output = item.get("output").and_then(Value::as_str);
    let mut commands =
        visit.commands(place.resource, operation, &place.values(), &[]);
    if let Some(command) = commands.first_mut() {
        *command = Command {
            title: "onprem",
            text: format!("onprem console {}", place.values().join(" ")),
        };
    }
    let frame = Frame {
        title: heading.title.clone(),
        crumbs: place.crumbs(),
        json: Some(list::json(visit)),
        commands,
        ..frame
    };
    let stream = format!("{path}/stream");
    let output = plain(output.unwrap_or_default());
    let power = item.get("powerState").and_then(Value::as_str);
    let off = power == Some("Off");
    Made::new(&TerminalPage { frame, heading, stream, output, off })
}

/// What a terminal would do with it, as far as text shows it: lines, without
/// what moves the cursor about.
fn plain(output: &str) -> String {
    let mut plain = String::with_capacity(output.len());
    let mut rest = output.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                let begins = rest.next();
                if begins == Some('[') {
                    // A control sequence (ECMA-48) ends with such a letter.
                    rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\u{8}' => {
                if !plain.ends_with('\n') {
                    plain.pop();
                }
            }
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_text_and_nothing_that_moves_a_cursor() {
        let output = "\u{1b}[1;32mok\u{1b}[0m\r\nloginn\u{8}: \u{7}<b>";
        assert_eq!(plain(output), "ok\nlogin: <b>");
    }
}
