//! What can be called.

use serde_json::Value;

use super::Property;

/// One operation of the API.
#[derive(Debug, Clone, Default)]
pub struct Operation {
    /// `device_list`.
    pub id: String,
    /// What it does to its resource: `list`, `create`, `reset`.
    pub name: String,
    /// `GET`, `POST`…
    pub method: String,
    /// `/v1/devices/{device}`.
    pub path: String,
    /// One line for people: `List devices`.
    pub summary: String,
    /// What a caller needs to know.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The variables of its path, in their order.
    pub path_parameters: Vec<Property>,
    /// What its query may say, without the paging (`limit`, `page_token`).
    pub query: Vec<Property>,
    /// It answers `{items, next_page}` and takes `limit` and `page_token`.
    pub paged: bool,
    /// What is sent.
    pub body: Option<Body>,
    /// What comes back.
    pub answer: Answer,
    /// The topic that tells of changes.
    pub live: Option<String>,
    /// How it is offered.
    pub action: Action,
    /// How the command line calls it.
    pub cli: Cli,
}

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// `application/json`, if it can be made from fields.
    pub content_type: String,
    /// Name of its schema.
    pub schema: Option<String>,
    /// It must be sent.
    pub required: bool,
    /// Its fields.
    pub fields: Vec<Property>,
}

/// What an operation answers when it succeeds.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status: 200, 201, 204.
    pub status: u16,
    /// What is in it.
    pub shape: Shape,
    /// Name of the schema of the item.
    pub schema: Option<String>,
    /// The properties of the item.
    pub properties: Vec<Property>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// No body.
    #[default]
    Empty,
    /// One item.
    Item,
    /// Many items, bare or as `{items, next_page}`.
    List,
    /// Bytes whose form the document does not say.
    Raw,
}

/// How an operation is offered to a person.
#[derive(Debug, Clone, Default)]
pub struct Action {
    /// On its button: `Reset`.
    pub label: String,
    /// What can go wrong.
    pub danger: Danger,
    /// What the person must do first.
    pub confirm: Confirm,
    /// It may be run on many at once.
    pub bulk: bool,
    /// The property that says whether it may run, as a pointer: `/state`.
    pub field: Option<String>,
    /// Values of `field` in which it may run; none: in all.
    pub states: Vec<String>,
    /// What an item's `abilities` must list for it to be offered at all; as a
    /// pointer (`/resetTypes`), the list that must not be empty.
    pub needs: Option<String>,
    /// The operation that says what it would touch: it has the same path
    /// variables, and takes what is in the body as its query.
    pub impact: Option<String>,
    /// The field of its body that says what the person saw: it begins as the
    /// item's property of the same name.
    pub names: Option<String>,
    /// What it answers: the property with a drawing of what there is. It
    /// looks, and changes nothing.
    pub draws: Option<String>,
    /// Offered in the rows of a list as well.
    pub row: bool,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Its place among the actions; lower comes first.
    pub order: i64,
    /// Not shown as a button.
    pub hidden: bool,
}

/// How much harm an action can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Danger {
    /// None.
    #[default]
    None,
    /// It interrupts something.
    Disruptive,
    /// It destroys something.
    Destructive,
}

/// What a person must do before an action runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Nothing.
    #[default]
    None,
    /// Say yes.
    Click,
    /// Type the name of the thing.
    Name,
    /// Ask a second person.
    SecondPerson,
}

/// How the command line calls an operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cli {
    /// Its own command, of one word or two: `power`, `token create`.
    pub verb: Option<String>,
    /// What the commands are for that begin with the first of its two words.
    pub group: Option<String>,
    /// Other words for the verb.
    pub aliases: Vec<String>,
    /// What is given without a flag, in order: path variables and body fields;
    /// one of them may take many (`device...`).
    pub positional: Vec<String>,
    /// Words for the values of the positional field: `off` for `ForceOff`.
    pub words: Vec<(String, Value)>,
    /// The one property to print: a secret that was made, or a drawing.
    pub print: Option<String>,
    /// The field of the body without which the command only lists what there
    /// is, as the `impact` of the operation says.
    pub lists: Option<String>,
    /// What else to tell when it is done: a text in which `{name}` stands for a
    /// property of the answer, or for a variable of the path. Where one of
    /// them is not known, nothing is told.
    pub note: Option<String>,
    /// Not offered.
    pub hidden: bool,
}

/// Something given to a command without a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positional {
    /// Of the path's variable or the body's field.
    pub name: String,
    /// It is a variable of the path.
    pub in_path: bool,
    /// It may be given more than once.
    pub many: bool,
}

impl Operation {
    /// It only reads.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.method == "GET" || self.method == "HEAD"
    }

    /// What is given without a flag: the path's variables, unless the
    /// overlay says it.
    #[must_use]
    pub fn positional(&self) -> Vec<Positional> {
        let declared = &self.cli.positional;
        let mut names: Vec<(String, bool)> = declared
            .iter()
            .map(|name| match name.strip_suffix("...") {
                Some(name) => (name.to_owned(), true),
                None => (name.clone(), false),
            })
            .collect();
        let variables = self.path_parameters.iter().map(|p| &p.name);
        for name in variables {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name.clone(), false));
            }
        }
        let path =
            |name: &str| self.path_parameters.iter().any(|p| p.name == name);
        names
            .into_iter()
            .map(|(name, many)| Positional { in_path: path(&name), name, many })
            .collect()
    }

    /// Whether it can be offered for `item`, by what that can do.
    #[must_use]
    pub fn is_for(&self, item: &Value) -> bool {
        let Some(needed) = self.action.needs.as_deref() else { return true };
        if needed.starts_with('/') {
            let list = item.pointer(needed).and_then(Value::as_array);
            return list.is_none_or(|list| !list.is_empty());
        }
        let able = item.get("abilities").and_then(Value::as_array);
        able.is_none_or(|able| able.iter().any(|it| it == needed))
    }

    /// What else is told of `answer`, which came for these values of the
    /// path's variables.
    #[must_use]
    pub fn note(&self, values: &[&str], answer: &Value) -> Option<String> {
        let mut rest = self.cli.note.as_deref()?;
        let mut said = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            let mut variables = self.path_parameters.iter().zip(values);
            let variable = variables.find(|(it, _)| it.name == name);
            said.push_str(before);
            match (answer.get(name), variable) {
                (Some(Value::String(text)), _) => said.push_str(text),
                (Some(number @ Value::Number(_)), _) => {
                    said.push_str(&number.to_string());
                }
                (_, Some((_, value))) => said.push_str(value),
                _ => return None,
            }
            rest = after;
        }
        said.push_str(rest);
        Some(said)
    }

    /// Its path with the variables replaced, in their order, and each escaped.
    #[must_use]
    pub fn fill(&self, values: &[&str]) -> String {
        let mut values = values.iter();
        let mut out = String::new();
        for segment in self.path.split('/').skip(1) {
            out.push('/');
            if segment.starts_with('{') {
                out.push_str(&crate::words::escape(
                    values.next().copied().unwrap_or_default(),
                ));
            } else {
                out.push_str(segment);
            }
        }
        out
    }
}
