//! The table that every list is printed as.

use comfy_table::{Cell, Row, Table, presets};
use onprem_description::{Column, Kind, Property};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::screen::plain;

/// The narrowest a column is cut to.
const NARROW: usize = 4;

/// Rows under a header of names and types. Cells are cut to `width`.
pub(crate) fn render(
    columns: &[&Column],
    items: &[Value],
    width: Option<usize>,
) -> String {
    let heads: Vec<[String; 2]> = columns
        .iter()
        .map(|column| [name(&column.property), column.property.kind.dtype()])
        .collect();
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let cell = |column: &&Column| seen(&column.property, item);
            columns.iter().map(cell).collect()
        })
        .collect();

    let mut widths: Vec<usize> = heads
        .iter()
        .map(|head| head.iter().map(|h| long(h)).max().unwrap_or(0).max(3))
        .collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(long(cell));
        }
    }
    if let Some(width) = width {
        let whole: Vec<bool> =
            columns.iter().map(|column| is_name(column)).collect();
        shrink(&mut widths, &whole, width);
    }

    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let header = heads.iter().zip(&widths).map(|([name, kind], width)| {
        let (name, kind) = (cut(name, *width), cut(kind, *width));
        Cell::new(format!("{name}\n---\n{kind}"))
    });
    table.set_header(Row::from(header.collect::<Vec<_>>()));
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> =
            cells.map(|(cell, width)| Cell::new(cut(cell, *width))).collect();
        table.add_row(Row::from(cells));
    }
    table.to_string()
}

/// What stands over a column.
pub(crate) fn name(property: &Property) -> String {
    property.pointer.trim_start_matches('/').replace('/', ".")
}

/// What people see in a cell: what was last known of something says so.
pub(crate) fn seen(property: &Property, item: &Value) -> String {
    let text = cell(property, item);
    if property.is_past(item) { property.past(&text) } else { text }
}

/// What stands in a cell: values as they are, on one line.
pub(crate) fn cell(property: &Property, item: &Value) -> String {
    let text = match property.value(item) {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) if property.kind == Kind::DateTime => {
            to_the_second(text)
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() => short(float),
            _ => number.to_string(),
        },
        Some(value @ (Value::Array(_) | Value::Object(_))) => {
            match &property.kind {
                Kind::List(inner) if **inner == Kind::Struct => {
                    value.to_string()
                }
                Kind::List(_) | Kind::Map(_) => property.show(value),
                _ => value.to_string(),
            }
        }
        Some(value) => value.to_string(),
    };
    plain(&text)
}

/// A time without fractions of a second, still one that programs read.
fn to_the_second(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let zone =
                fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{seconds}{zone}")
        }
        None => text.to_owned(),
    }
}

/// At most six digits after the point, and at least one.
fn short(number: f64) -> String {
    let text = format!("{number:.6}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// How many columns of a terminal it takes.
fn long(text: &str) -> usize {
    text.width()
}

fn cut(text: &str, width: usize) -> String {
    if long(text) <= width {
        return text.to_owned();
    }
    let mut left = width.max(1) - 1;
    let fits = |c: &char| {
        let rest = left.checked_sub(c.width().unwrap_or(0));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

/// Half an id is worth nothing.
fn is_name(column: &Column) -> bool {
    matches!(column.property.name.as_str(), "id" | "name")
}

/// Takes from the widest columns until the table fits; from those that are to
/// stay `whole` at the very last.
fn shrink(widths: &mut [usize], whole: &[bool], total: usize) {
    // Each cell has a space on both sides and a line before it.
    let frame = widths.len() * 3 + 1;
    let mut spare = true;
    while widths.iter().sum::<usize>() + frame > total {
        let widest = widths
            .iter_mut()
            .zip(whole)
            .filter(|(_, whole)| !(spare && **whole))
            .map(|(width, _)| width)
            .max();
        match widest {
            Some(widest) if *widest > NARROW => *widest -= 1,
            _ if spare => spare = false,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use onprem_description::PageModel;
    use serde_json::json;

    use super::*;

    fn model() -> PageModel {
        PageModel::from_document(&json!({
            "paths": {"/v1/parts": {"get": {
                "operationId": "part_list",
                "responses": {"200": {"content": {"application/json": {
                    "schema": {"type": "array", "items": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "string"},
                            "name": {"type": "string"},
                            "watts": {"type": "number"},
                            "fine": {"type": "boolean"},
                            "tags": {"type": "object",
                                "additionalProperties": {"type": "string"}},
                        },
                    }},
                }}}},
            }}},
        }))
    }

    fn printed(items: &[Value], width: Option<usize>) -> String {
        let model = model();
        let part = model.resource("parts").unwrap();
        let columns: Vec<_> = part.columns.iter().collect();
        render(&columns, items, width)
    }

    #[test]
    fn prints_names_types_and_values() {
        let items = [json!({
            "id": "cfv5v3h32ckl0mq6al70", "name": "c001-b8-n01",
            "watts": 7.5, "fine": true, "tags": {"row": "a"},
        })];
        let expected = "\
┌──────────────────────┬─────────────┬──────┬───────┬────────┐
│ id                   ┆ name        ┆ fine ┆ watts ┆ tags   │
│ ---                  ┆ ---         ┆ ---  ┆ ---   ┆ ---    │
│ str                  ┆ str         ┆ bool ┆ f64   ┆ struct │
╞══════════════════════╪═════════════╪══════╪═══════╪════════╡
│ cfv5v3h32ckl0mq6al70 ┆ c001-b8-n01 ┆ true ┆ 7.5   ┆ row=a  │
└──────────────────────┴─────────────┴──────┴───────┴────────┘";
        let printed = printed(&items, None);
        assert_eq!(sorted(&printed), sorted(expected));
        assert!(printed.starts_with("┌──────────────────────┬──"));
    }

    /// The words of each line; the order of columns of which nothing is said
    /// is the schema's.
    fn sorted(table: &str) -> Vec<Vec<&str>> {
        table
            .lines()
            .map(|line| {
                let mut words: Vec<_> =
                    line.split(['│', '┆', '┬', '╪', '┴']).collect();
                words.sort_unstable();
                words
            })
            .collect()
    }

    #[test]
    fn prints_the_header_alone_when_there_is_nothing() {
        let text = printed(&[], None);
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("╞"), "{text}");
    }

    #[test]
    fn cuts_the_widest_cells_to_the_terminal() {
        let items = [json!({"id": "x".repeat(80), "name": "y".repeat(60)})];
        let text = printed(&items, Some(70));
        for line in text.lines() {
            assert_eq!(line.chars().count(), 70, "{line}");
        }
        assert!(text.contains("x…") && text.contains("y…"));
        assert!(!printed(&items, None).contains('…'));
        let items = [json!({
            "id": "x".repeat(20), "tags": {"note": "y".repeat(30)},
        })];
        let text = printed(&items, Some(70));
        assert!(text.contains(&"x".repeat(20)), "{text}");
    }

    #[test]
    fn cuts_wide_letters_by_the_columns_they_take() {
        let items = [json!({"id": "機".repeat(40), "name": "n"})];
        for line in printed(&items, Some(70)).lines() {
            assert!((69..=70).contains(&line.width()), "{line}");
        }
        let text = printed(&[json!({"id": "機架", "name": "n"})], None);
        let widths: HashSet<_> = text.lines().map(str::width).collect();
        assert_eq!(widths.len(), 1, "{text}");
    }

    #[test]
    fn shortens_times_and_fractions() {
        assert_eq!(
            to_the_second("2026-11-22T15:53:47.021239608Z"),
            "2026-11-22T15:53:47Z"
        );
        assert_eq!(
            to_the_second("2026-11-22T15:53:47.5+01:00"),
            "2026-11-22T15:53:47+01:00"
        );
        assert_eq!(short(20.784_313_725), "20.784314");
        assert_eq!(short(600_000_000.0), "600000000.0");
        assert_eq!(short(-0.5), "-0.5");
    }

    #[test]
    fn lets_nothing_steer_the_terminal() {
        let item = json!({"id": "a\u{1b}[2Jb\nc\u{9b}d\u{202e}e"});
        let text = printed(&[item], None);
        assert!(text.contains("a [2Jb c d e"), "{text}");
    }
}
