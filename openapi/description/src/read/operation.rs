//! Reads operations.

use serde_json::{Map, Value};

use crate::{
    model::{
        Action, Answer, Body, Cli, Confirm, Danger, Operation, Property, Shape,
    },
    schema::Schema,
};

const METHODS: &[&str] = &["get", "put", "post", "patch", "delete", "head"];

/// All operations of the document, in its order.
pub(crate) fn read_all(
    document: &Value,
    problems: &mut Vec<String>,
) -> Vec<Operation> {
    let Some(paths) = document.get("paths").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut operations = Vec::new();
    for (path, item) in paths {
        for method in METHODS {
            if let Some(node) = item.get(*method) {
                let one = One { document, path, item, method, node };
                operations.push(one.read(problems));
            }
        }
    }
    operations
}

struct One<'a> {
    document: &'a Value,
    path: &'a str,
    item: &'a Value,
    method: &'a str,
    node: &'a Value,
}

impl<'a> One<'a> {
    fn text(&self, key: &str) -> Option<String> {
        self.node.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn read(&self, problems: &mut Vec<String>) -> Operation {
        let id = self.text("operationId").unwrap_or_else(|| {
            crate::kebab(&format!("{} {}", self.method, self.path))
                .replace('-', "_")
        });
        let parameters = self.parameters(problems);
        let place = |place: &str| -> Vec<Property> {
            parameters
                .iter()
                .filter(|(at, _)| at == place)
                .map(|(_, parameter)| parameter.clone())
                .collect()
        };
        let mut path_parameters = place("path");
        path_parameters.sort_by_key(|parameter| {
            self.path.find(&format!("{{{}", parameter.name))
        });
        let mut query = place("query");
        let paged = query.iter().any(|p| p.name == "page_token");
        if paged {
            query.retain(|p| p.name != "page_token" && p.name != "limit");
        }
        let live = |node: &Value| {
            node.get("x-onprem-live").and_then(Value::as_str).map(str::to_owned)
        };
        Operation {
            name: String::new(),
            method: self.method.to_uppercase(),
            path: self.path.to_owned(),
            summary: self.text("summary").unwrap_or_else(|| crate::title(&id)),
            description: self.text("description"),
            tags: strings(self.node.get("tags")),
            path_parameters,
            query,
            paged,
            body: self.body(problems),
            answer: self.answer(problems),
            live: live(self.node).or_else(|| live(self.item)),
            action: action(self.method, &id, self.node, problems),
            cli: cli(self.node.get("x-onprem-cli")),
            id,
        }
    }

    /// The parameters of path and operation, each with where it stands.
    fn parameters(
        &self,
        problems: &mut Vec<String>,
    ) -> Vec<(String, Property)> {
        [self.item, self.node]
            .iter()
            .filter_map(|node| node.get("parameters")?.as_array())
            .flatten()
            .filter_map(|place| {
                let parameter = Schema::at(self.document, place);
                let name = parameter.text("name")?;
                let schema = parameter.get("schema")?;
                let schema = Schema::at(self.document, schema);
                let mut property = schema.property(&name, "", 2, problems);
                property.description =
                    parameter.text("description").or(property.description);
                property.required =
                    parameter.get("required") == Some(&Value::Bool(true));
                Some((parameter.text("in")?, property))
            })
            .collect()
    }

    /// The content of a body or an answer, JSON preferred.
    fn content(&self, node: &Schema<'a>) -> Option<(&'a str, Schema<'a>)> {
        let content: &Map<_, _> = node.get("content")?.as_object()?;
        let kind = "application/json";
        let (kind, media) =
            content.get_key_value(kind).or_else(|| content.iter().next())?;
        let schema = media.get("schema").unwrap_or(&Value::Null);
        Some((kind, Schema::at(self.document, schema)))
    }

    fn body(&self, problems: &mut Vec<String>) -> Option<Body> {
        let node = Schema::at(self.document, self.node.get("requestBody")?);
        let (content_type, schema) = self.content(&node)?;
        Some(Body {
            content_type: content_type.to_owned(),
            schema: schema.name.map(str::to_owned),
            required: node.get("required") == Some(&Value::Bool(true)),
            fields: schema.properties(problems),
        })
    }

    fn answer(&self, problems: &mut Vec<String>) -> Answer {
        let Some(responses) =
            self.node.get("responses").and_then(Value::as_object)
        else {
            return Answer::default();
        };
        let success = responses.iter().find(|(k, _)| k.starts_with('2'));
        let Some((status, node)) =
            success.or_else(|| responses.get_key_value("default"))
        else {
            return Answer::default();
        };
        let status = status.parse().unwrap_or(200);
        let node = Schema::at(self.document, node);
        let Some((content_type, schema)) = self.content(&node) else {
            return Answer { status, ..Answer::default() };
        };
        let pages = schema.field("items").and_then(|items| items.items());
        let (shape, schema) = match (pages, schema.items()) {
            _ if !content_type.ends_with("json") => (Shape::Raw, schema),
            (Some(item), _) | (None, Some(item)) => (Shape::List, item),
            _ => (Shape::Item, schema),
        };
        Answer {
            status,
            shape,
            schema: schema.name.map(str::to_owned),
            properties: schema.properties(problems),
        }
    }
}

fn action(
    method: &str,
    id: &str,
    node: &Value,
    problems: &mut Vec<String>,
) -> Action {
    let facts = node.get("x-onprem-action");
    let fact = |key: &str| facts.and_then(|facts| facts.get(key));
    let text = |key: &str| fact(key).and_then(Value::as_str);
    let flag = |key: &str| fact(key) == Some(&Value::Bool(true));
    let deletes = method == "delete";
    let mut unknown = |key: &str, value: &str| {
        problems.push(format!("{id}: `{value}` is no {key}"));
    };
    let danger = match text("danger") {
        Some("disruptive") => Danger::Disruptive,
        Some("destructive") => Danger::Destructive,
        None if deletes => Danger::Destructive,
        Some("none") | None => Danger::None,
        Some(other) => {
            unknown("danger", other);
            Danger::Destructive
        }
    };
    let confirm = match text("confirm") {
        Some("none") => Confirm::None,
        Some("name") => Confirm::Name,
        Some("second person") => Confirm::SecondPerson,
        None if danger == Danger::None => Confirm::None,
        Some("click") | None => Confirm::Click,
        Some(other) => {
            unknown("confirm", other);
            Confirm::Name
        }
    };
    let field = text("field").unwrap_or("/state");
    let field = format!("/{}", field.trim_start_matches('/'));
    let states = strings(fact("states"));
    Action {
        label: text("label").unwrap_or_default().to_owned(),
        danger,
        confirm,
        bulk: flag("bulk"),
        field: (!states.is_empty()).then_some(field),
        states,
        needs: text("needs").map(str::to_owned),
        impact: text("impact").map(str::to_owned),
        names: text("names").map(str::to_owned),
        draws: text("draws").map(str::to_owned),
        row: flag("row"),
        icon: text("icon").map(str::to_owned),
        order: fact("order").and_then(Value::as_i64).unwrap_or(1000),
        hidden: flag("hidden"),
    }
}

fn cli(facts: Option<&Value>) -> Cli {
    let fact = |key: &str| facts.and_then(|facts| facts.get(key));
    let text = |key: &str| fact(key)?.as_str().map(str::to_owned);
    Cli {
        verb: text("verb"),
        group: text("group"),
        aliases: strings(fact("aliases")),
        positional: strings(fact("positional")),
        words: fact("words")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(word, value)| (word.clone(), value.clone()))
            .collect(),
        print: text("print"),
        lists: text("lists"),
        note: text("note"),
        hidden: fact("hidden") == Some(&Value::Bool(true)),
    }
}

/// The texts in a list.
pub(crate) fn strings(node: Option<&Value>) -> Vec<String> {
    node.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
