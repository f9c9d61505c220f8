//! Items in the form that was asked for.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, ValueEnum, builder::EnumValueParser};
use onprem_description::{Column, Property, Resource, Tone};
use serde_json::Value;

use crate::{
    build::of_environment,
    failure::Failure,
    screen::{Screen, plain, steers},
    table,
};

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// The columns one wants to see.
    Table,
    /// All columns.
    Wide,
    /// JSON, as the API says it.
    Json,
    /// JSON, each item on a line.
    Jsonl,
    /// YAML.
    Yaml,
    /// All columns, with commas between.
    Csv,
    /// Only the names, one on a line.
    Name,
}

/// The flag that chooses the form.
pub(crate) fn argument() -> Arg {
    let arg = Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FORM")
        .help("The form of the output")
        .value_parser(EnumValueParser::<Form>::new());
    of_environment(arg)
}

/// The form that was asked for.
pub(crate) fn form(matches: &ArgMatches) -> Option<Form> {
    matches.try_get_one::<Form>("output").ok().flatten().copied()
}

/// Prints many items.
pub(crate) fn items(
    screen: &mut Screen,
    resource: &Resource,
    items: &[Value],
    form: Form,
) -> Result<(), Failure> {
    match form {
        Form::Table | Form::Wide => {
            let columns: Vec<&Column> = columns(resource, form).collect();
            screen.print(&table::render(&columns, items, screen.width))
        }
        Form::Name => items.iter().try_for_each(|item| {
            screen.print(&plain(&resource.label_of(item)))
        }),
        Form::Json | Form::Yaml => {
            whole(screen, &Value::Array(items.to_vec()), form)
        }
        Form::Jsonl => items
            .iter()
            .try_for_each(|item| screen.print(&escaped(&item.to_string()))),
        Form::Csv => csv(screen, resource, items),
    }
}

/// The columns that are shown.
fn columns(resource: &Resource, form: Form) -> impl Iterator<Item = &Column> {
    let all = form != Form::Table;
    resource.columns.iter().filter(move |column| all || !column.wide)
}

/// What is seen of an item: two that look the same are not told apart.
pub(crate) fn look(resource: &Resource, item: &Value, form: Form) -> String {
    match form {
        Form::Table | Form::Wide | Form::Csv => columns(resource, form)
            .map(|column| table::seen(&column.property, item))
            .collect::<Vec<_>>()
            .join("\n"),
        Form::Name => plain(&resource.label_of(item)),
        Form::Json | Form::Jsonl | Form::Yaml => item.to_string(),
    }
}

/// Prints one item.
pub(crate) fn item(
    screen: &mut Screen,
    resource: &Resource,
    item: &Value,
    form: Form,
) -> Result<(), Failure> {
    match form {
        Form::Json | Form::Yaml => whole(screen, item, form),
        _ => items(screen, resource, std::slice::from_ref(item), form),
    }
}

/// Prints what was named: one item as it is, several as a list.
pub(crate) fn several(
    screen: &mut Screen,
    resource: &Resource,
    all: &[Value],
    form: Form,
) -> Result<(), Failure> {
    match all {
        [only] => item(screen, resource, only, form),
        _ => items(screen, resource, all, form),
    }
}

/// Prints a value as JSON or YAML.
pub(crate) fn whole(
    screen: &mut Screen,
    value: &Value,
    form: Form,
) -> Result<(), Failure> {
    if form == Form::Yaml {
        let text = serde_norway::to_string(value)
            .map_err(|e| Failure::because("cannot write YAML", &e))?;
        return screen.print(text.trim_end());
    }
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::because("cannot write JSON", &e))?;
    screen.print(&escaped(&text))
}

/// JSON without what would steer a terminal; JSON leaves most of it as it is.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) && c != '\n' {
            // All these have four digits.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

fn csv(
    screen: &mut Screen,
    resource: &Resource,
    items: &[Value],
) -> Result<(), Failure> {
    let columns = || resource.columns.iter().map(|column| &column.property);
    let line = |cells: Vec<String>| {
        let cells = cells.into_iter().map(|cell| {
            if cell.contains([',', '"']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        });
        cells.collect::<Vec<_>>().join(",")
    };
    screen.print(&line(columns().map(table::name).collect()))?;
    for item in items {
        let cell = |property: &Property| match property.value(item) {
            None | Some(Value::Null) => String::new(),
            Some(_) => table::cell(property, item),
        };
        screen.print(&line(columns().map(cell).collect()))?;
    }
    Ok(())
}

/// Prints all that is known of an item, for people.
pub(crate) fn describe(
    screen: &mut Screen,
    properties: &[Property],
    groups: &[String],
    item: &Value,
) -> Result<(), Failure> {
    let shown = || properties.iter().filter(|p| !p.is_hidden());
    let width = shown().map(|p| p.title.chars().count()).max().unwrap_or(0);
    let mut first = true;
    let ungrouped = [None];
    let groups = ungrouped.into_iter().chain(groups.iter().map(Some));
    for group in groups {
        let members: Vec<_> = shown()
            .filter(|property| property.group.as_ref() == group)
            .collect();
        if members.is_empty() {
            continue;
        }
        if let Some(group) = group {
            let line = if first { "" } else { "\n" };
            screen.print(&format!("{line}{}", bold(screen, group)))?;
        }
        first = false;
        for property in members {
            let indent = if group.is_some() { "  " } else { "" };
            let lines = lines(screen, property, item);
            let mut title = format!("{}:", property.title);
            for line in lines {
                let title = std::mem::take(&mut title);
                let text = format!("{indent}{title:<0$} {line}", width + 1);
                screen.print(text.trim_end())?;
            }
        }
    }
    Ok(())
}

/// The value of a property; structures take a line for each part.
fn lines(screen: &Screen, property: &Property, item: &Value) -> Vec<String> {
    let value = property.value(item).unwrap_or(&Value::Null);
    if property.is_past(item) {
        return match property.past(&plain(&property.show(value))) {
            text if text.is_empty() => vec!["–".into()],
            text => vec![text],
        };
    }
    match value {
        Value::Object(_) if !property.properties.is_empty() => property
            .properties
            .iter()
            .filter(|inner| !inner.is_hidden())
            .filter_map(|inner| {
                let value = inner.value(item).filter(|v| !v.is_null())?;
                let value = toned(screen, inner, value);
                Some(format!("{}: {value}", inner.title))
            })
            .collect(),
        Value::Array(items) if !property.properties.is_empty() => {
            if items.is_empty() {
                return vec!["–".into()];
            }
            items
                .iter()
                .map(|item| {
                    let parts: Vec<_> = property
                        .properties
                        .iter()
                        .filter(|inner| !inner.is_hidden())
                        .filter_map(|inner| {
                            let value = inner.value(item)?;
                            let text = toned(screen, inner, value);
                            (!text.is_empty()).then_some(text)
                        })
                        .collect();
                    parts.join(" · ")
                })
                .collect()
        }
        value => vec![match toned(screen, property, value) {
            text if text.is_empty() => "–".into(),
            text => text,
        }],
    }
}

fn toned(screen: &Screen, property: &Property, value: &Value) -> String {
    let text = plain(&property.show(value));
    let state = property.state_of(value);
    let Some(state) = state.filter(|_| screen.colour) else { return text };
    let colour = match state.tone {
        Tone::Ok => 32,
        Tone::Info => 36,
        Tone::Warn => 33,
        Tone::Bad => 31,
        Tone::Off => 2,
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

fn bold(screen: &Screen, text: &str) -> String {
    if screen.colour {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
