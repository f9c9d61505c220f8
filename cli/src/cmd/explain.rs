//! `explain`: what a kind consists of, from the description.

use clap::{Arg, ArgMatches, Command};
use onprem_description::{Kind, PageModel, Property, Resource};

use crate::{
    failure::{Code, Failure},
    fields::closest,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "explain",
    build,
    run: |run, matches| Box::pin(async move { explain(run, matches) }),
};

fn build(_: &'static PageModel) -> Command {
    Command::new("explain").about("Explain a kind or one of its fields").arg(
        Arg::new("path")
            .value_name("KIND[.FIELD]")
            .required(true)
            .help("Such as `device` or `device.tags`"),
    )
}

fn explain(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let path = matches.get_one::<String>("path").map_or("", |path| path);
    let mut words = path.split('.');
    let kind = words.next().unwrap_or_default();
    let resource = run.model.resource(kind).ok_or_else(|| {
        let known: Vec<_> =
            run.model.resources.iter().map(|r| r.singular.as_str()).collect();
        let text = format!("there is no kind `{kind}`");
        let failure = Failure::new(Code::NotFound, text);
        match closest(kind, &known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("there are {}", known.join(", "))),
        }
    })?;
    let mut found: Option<&Property> = None;
    for word in words {
        let inside = found.map_or(&resource.properties, |p| &p.properties);
        let next = inside.iter().find(|p| p.name == word);
        found = Some(next.ok_or_else(|| {
            let text = format!("a {kind} has no field `{word}`");
            let known: Vec<_> =
                inside.iter().map(|p| p.name.as_str()).collect();
            Failure::new(Code::NotFound, text)
                .hint(format!("there are {}", known.join(", ")))
        })?);
    }
    match found {
        Some(property) => field(run, property),
        None => whole(run, resource),
    }
}

fn whole(run: &mut Run<'_>, resource: &Resource) -> Result<(), Failure> {
    run.screen.print(&format!("kind: {}", resource.kind))?;
    if let Some(text) = &resource.description {
        run.screen.print(text)?;
    }
    list(run, &resource.properties)?;
    run.screen.print("\noperations:")?;
    for operation in resource.operations() {
        let line = format!("  {:<6} {}", operation.method, operation.path);
        run.screen.print(&format!("{line}  {}", operation.summary))?;
    }
    Ok(())
}

fn list(run: &mut Run<'_>, fields: &[Property]) -> Result<(), Failure> {
    run.screen.print("\nfields:")?;
    let width = fields.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for field in fields {
        let text = field.description.as_deref().unwrap_or_default();
        let text = text.replace('\n', " ");
        let kind = kind(field);
        let line = format!("  {:<width$}  {kind:<12}  {text}", field.name);
        run.screen.print(line.trim_end())?;
    }
    Ok(())
}

fn field(run: &mut Run<'_>, field: &Property) -> Result<(), Failure> {
    run.screen.print(&format!("field: {}", field.name))?;
    run.screen.print(&format!("type: {}", kind(field)))?;
    let facts = [
        ("values", words(&field.kind)),
        ("shown as", Some(field.format.name().to_owned())),
        ("unit", field.unit.clone()),
        ("pattern", field.pattern.clone()),
        ("minimum", field.minimum.map(|n| n.to_string())),
        ("maximum", field.maximum.map(|n| n.to_string())),
        ("default", field.default.as_ref().map(ToString::to_string)),
        ("example", field.example.as_ref().map(ToString::to_string)),
        ("names a", field.reference.as_ref().map(|r| r.resource.clone())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            run.screen.print(&format!("{name}: {value}"))?;
        }
    }
    if let Some(text) = &field.description {
        run.screen.print(&format!("\n{text}"))?;
    }
    if !field.properties.is_empty() {
        list(run, &field.properties)?;
    }
    Ok(())
}

fn kind(field: &Property) -> String {
    let kind = field.kind.dtype();
    if field.nullable { format!("{kind}?") } else { kind }
}

fn words(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Enum(words) => Some(words.join(", ")),
        Kind::List(inner) => words(inner),
        _ => None,
    }
}
