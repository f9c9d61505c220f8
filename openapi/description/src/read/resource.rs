//! Reads resources from the operations on them.

use serde_json::Value;

use super::operation::strings;
use crate::{
    model::{Column, Empty, Kind, Operation, Property, Resource, Shape, find},
    schema::Schema,
    words::{many, one, pascal},
};

/// How many columns a table has of which nothing is said.
const COLUMNS: usize = 7;

/// The resource `noun` with its operations.
pub(crate) fn read(
    document: &Value,
    noun: &str,
    operations: Vec<Operation>,
    problems: &mut Vec<String>,
) -> Resource {
    let mut resource =
        Resource { name: crate::kebab(noun), ..Resource::default() };
    for operation in operations {
        resource.take(operation);
    }
    let order = |o: &Operation| (o.action.order, o.id.clone());
    resource.actions.sort_by_key(order);
    let main = resource.list.as_ref().or(resource.view.as_ref());
    let main = main.or_else(|| resource.operations().next());
    let path = main.map_or_else(String::new, |o| o.path.clone());
    resource.live = main.and_then(|o| o.live.clone());
    resource.path = path;
    let literal = resource.path.rsplit('/').find(|s| !s.starts_with('{'));
    resource.segment = literal.map_or_else(String::new, str::to_owned);
    name(&mut resource, noun);
    let tags: Vec<_> =
        resource.operations().flat_map(|o| o.tags.clone()).collect();
    facts(document, &mut resource, &tags);
    properties(document, &mut resource, problems);
    resource
}

impl Resource {
    fn take(&mut self, operation: Operation) {
        let slot = match operation.name.as_str() {
            "list" => &mut self.list,
            "view" => &mut self.view,
            "create" => &mut self.create,
            "update" => &mut self.update,
            "delete" => &mut self.delete,
            _ if operation.reads() => {
                self.extra_views.push(operation);
                return;
            }
            _ => {
                self.actions.push(operation);
                return;
            }
        };
        if slot.is_none() {
            *slot = Some(operation);
        } else if operation.reads() {
            self.extra_views.push(operation);
        } else {
            self.actions.push(operation);
        }
    }
}

fn name(resource: &mut Resource, noun: &str) {
    resource.singular = crate::kebab(noun);
    resource.plural = if resource.list.is_some() {
        // The path knows the plural of the last word; the noun may carry its
        // parent's.
        let words = many(&resource.singular);
        let own = one(&resource.segment);
        match words.rsplit_once('-') {
            _ if own == resource.singular => resource.segment.clone(),
            Some(_) if resource.singular.ends_with(&format!("-{own}")) => {
                let parent = resource.singular.len() - own.len();
                let parent = resource.singular.get(..parent);
                format!("{}{}", parent.unwrap_or_default(), resource.segment)
            }
            _ => words,
        }
    } else {
        resource.singular.clone()
    };
}

/// What is said of the path or of a tag.
fn facts(document: &Value, resource: &mut Resource, tags: &[String]) {
    let item = document.get("paths").and_then(|p| p.get(&resource.path));
    let tag = document.get("tags").and_then(Value::as_array).and_then(|all| {
        all.iter().find(|tag| {
            let name = tag.get("name").and_then(Value::as_str);
            name.is_some_and(|n| {
                n == resource.plural || crate::kebab(n) == resource.singular
            })
        })
    });
    let say = |key: &str| {
        item.and_then(|i| i.get(key)).or_else(|| tag.and_then(|t| t.get(key)))
    };
    let facts = say("x-onprem-resource");
    let fact = |key: &str| facts.and_then(|facts| facts.get(key));
    let text = |key: &str| fact(key)?.as_str().map(str::to_owned);
    if let Some(name) = text("name") {
        resource.singular = name;
    }
    if let Some(plural) = text("plural") {
        resource.plural = plural;
    }
    resource.kind = text("kind").unwrap_or_else(|| pascal(&resource.singular));
    resource.title = text("title").unwrap_or_else(|| {
        let own = one(&resource.segment);
        let many = resource.list.is_some();
        let word = if many { &resource.segment } else { &own };
        crate::title(word)
    });
    resource.aliases = strings(fact("aliases"));
    resource.aliases.extend(text("short"));
    resource.icon = text("icon");
    resource.group =
        text("group").or_else(|| tags.first().map(|tag| crate::title(tag)));
    resource.order = fact("order").and_then(Value::as_i64).unwrap_or(1000);
    resource.hidden = fact("hidden") == Some(&Value::Bool(true));
    resource.parent = text("parent");
    resource.id_field = text("idField").unwrap_or_default();
    resource.name_field = text("nameField");
    resource.empty = say("x-onprem-empty").and_then(|empty| {
        let text = |key: &str| empty.get(key)?.as_str().map(str::to_owned);
        Some(Empty {
            text: empty.as_str().map(str::to_owned).or_else(|| text("text"))?,
            command: text("command"),
        })
    });
    resource.description = tag
        .and_then(|tag| tag.get("description"))
        .and_then(Value::as_str)
        .map(str::to_owned);
}

fn properties(
    document: &Value,
    resource: &mut Resource,
    problems: &mut Vec<String>,
) {
    let answers = |operation: &&Operation| {
        matches!(operation.answer.shape, Shape::Item | Shape::List)
    };
    // A list may show less of an item than its view.
    let detail = [&resource.view, &resource.list, &resource.create];
    let detail = detail.into_iter().flatten().find(answers);
    resource.properties =
        detail.map(|o| o.answer.properties.clone()).unwrap_or_default();
    let row = [&resource.list, &resource.view];
    let row = row.into_iter().flatten().find(answers);
    let of_row = row.map(|o| o.answer.properties.clone()).unwrap_or_default();
    let schema = |operation: Option<&Operation>| {
        let name = operation?.answer.schema.as_deref()?;
        let schema = document.get("components")?.get("schemas")?.get(name)?;
        Some(Schema::at(document, schema))
    };

    let has = |name: &str| of_row.iter().any(|p| p.name == name);
    if resource.name_field.is_none() && has("name") {
        resource.name_field = Some("name".into());
    }
    if resource.id_field.is_empty() {
        let id = if has("id") { "id" } else { "name" };
        resource.id_field = id.into();
    }

    let declared = schema(row).and_then(|s| s.get("x-onprem-columns"));
    let sorts = row.map_or(&[][..], |operation| &operation.query);
    let sorts = sorts.iter().find(|p| p.name == "sort");
    resource.columns = match declared.and_then(Value::as_array) {
        Some(columns) => columns
            .iter()
            .filter_map(|fact| {
                let column = column(fact, &of_row, sorts);
                if column.is_none() {
                    let name = &resource.name;
                    problems.push(format!("{name}: no column {fact}"));
                }
                column
            })
            .collect(),
        None => default_columns(&of_row, sorts),
    };

    resource.groups = schema(detail)
        .map(|s| strings(s.get("x-onprem-groups")))
        .unwrap_or_default();
    for property in &resource.properties {
        if let Some(group) = &property.group
            && !resource.groups.contains(group)
        {
            resource.groups.push(group.clone());
        }
    }
}

fn column(
    fact: &Value,
    properties: &[Property],
    sorts: Option<&Property>,
) -> Option<Column> {
    let text = |key: &str| fact.get(key)?.as_str();
    let pointer = fact.as_str().or_else(|| text("pointer"))?;
    let pointer = format!("/{}", pointer.trim_start_matches('/'));
    let property = find(properties, &pointer)?;
    let width = fact.get("width").and_then(Value::as_u64);
    Some(Column {
        title: text("title").unwrap_or(&property.title).to_owned(),
        width: width.and_then(|width| usize::try_from(width).ok()),
        wide: fact.get("wide") == Some(&Value::Bool(true))
            || fact.get("default") == Some(&Value::Bool(false)),
        sort: match fact.get("sort") {
            Some(Value::String(key)) => Some(key.clone()),
            Some(_) => None,
            None => sort_key(property, sorts),
        },
        property: property.clone(),
    })
}

fn default_columns(
    properties: &[Property],
    sorts: Option<&Property>,
) -> Vec<Column> {
    let shown = properties.iter().filter(|property| {
        !property.is_hidden()
            && !matches!(property.kind, Kind::Struct | Kind::Any)
    });
    shown
        .enumerate()
        .map(|(index, property)| Column {
            title: property.title.clone(),
            width: None,
            // Whole structures in a cell are not for reading.
            wide: index >= COLUMNS
                || property.kind == Kind::List(Box::new(Kind::Struct)),
            sort: sort_key(property, sorts),
            property: property.clone(),
        })
        .collect()
}

/// The list can be sorted by a property if its `sort` parameter says so.
fn sort_key(property: &Property, sorts: Option<&Property>) -> Option<String> {
    let Kind::Enum(keys) = &sorts?.kind else { return None };
    keys.contains(&property.name).then(|| property.name.clone())
}
