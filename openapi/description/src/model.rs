//! What pages and commands are made from.

use serde_json::Value;

use crate::Format;

/// All that the document describes, in the order in which it is shown.
#[derive(Debug, Clone, Default)]
pub struct PageModel {
    /// The API's name.
    pub title: String,
    /// The API's version.
    pub version: String,
    /// What can be listed, viewed or acted upon.
    pub resources: Vec<Resource>,
    /// What the presentation facts say that cannot be understood.
    pub problems: Vec<String>,
}

/// A thing of the API: devices, a device's sensors, tasks.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// Its name among the resources: `device`, `device-sensor`.
    pub name: String,
    /// The word for one: `device`, `sensor`; unlike all other resources'.
    pub singular: String,
    /// The word for many: `devices`, `join-tokens`; unlike all other
    /// resources'.
    pub plural: String,
    /// Its segment of the path: `sensors`.
    pub segment: String,
    /// The kind in files: `Device`, `JoinToken`.
    pub kind: String,
    /// The heading: `Devices`.
    pub title: String,
    /// Shorter words and other words that people use.
    pub aliases: Vec<String>,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Where in the navigation it stands; children stand under their parent.
    pub group: Option<String>,
    /// Its place among its neighbours; lower comes first.
    pub order: i64,
    /// Not in the navigation.
    pub hidden: bool,
    /// The resource it belongs to (a device's sensors: `device`).
    pub parent: Option<String>,
    /// The property that identifies one.
    pub id_field: String,
    /// The property people call it by, where it has one.
    pub name_field: Option<String>,
    /// The path of the collection, or of the one view:
    /// `/v1/devices/{device}/sensors`.
    pub path: String,
    /// Lists them.
    pub list: Option<Operation>,
    /// Views one; without a list, the only one there is.
    pub view: Option<Operation>,
    /// Creates one.
    pub create: Option<Operation>,
    /// Changes one.
    pub update: Option<Operation>,
    /// Deletes one.
    pub delete: Option<Operation>,
    /// All other operations on it that change something.
    pub actions: Vec<Operation>,
    /// All other operations on it that only read.
    pub extra_views: Vec<Operation>,
    /// The columns of its table, those that only a wide table shows included.
    pub columns: Vec<Column>,
    /// The properties of one, in the order of the detail page.
    pub properties: Vec<Property>,
    /// Headings of the detail page, in their order.
    pub groups: Vec<String>,
    /// The topic that tells of changes.
    pub live: Option<String>,
    /// What an empty list says.
    pub empty: Option<Empty>,
    /// What it is, in a sentence or more.
    pub description: Option<String>,
}

/// What an empty list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Empty {
    /// What this list is for.
    pub text: String,
    /// The command that makes the first entry.
    pub command: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// The heading of a page.
    pub title: String,
    /// Most characters on a page.
    pub width: Option<usize>,
    /// Shown only in wide tables.
    pub wide: bool,
    /// The key for `sort=`, where the list can be sorted by it.
    pub sort: Option<String>,
    /// What is in it.
    pub property: Property,
}

/// A property of an item or a field of a body.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a schema says each of these of its own"
)]
pub struct Property {
    /// Where it is in the item, as a JSON pointer: `/status/health`.
    pub pointer: String,
    /// Its own name: `health`.
    pub name: String,
    /// For people: `Health`.
    pub title: String,
    /// What it means.
    pub description: Option<String>,
    /// Its type.
    pub kind: Kind,
    /// How its values are shown.
    pub format: Format,
    /// The unit of its numbers, where the format does not say it.
    pub unit: Option<String>,
    /// What each value means, if it is a state.
    pub states: Vec<State>,
    /// The resource it points at.
    pub reference: Option<Reference>,
    /// The card or form section it stands in.
    pub group: Option<String>,
    /// Its place within the group; lower comes first.
    pub order: i64,
    /// The metric with its history.
    pub series: Option<Series>,
    /// Always there, or to be given.
    pub required: bool,
    /// May be null.
    pub nullable: bool,
    /// Only answered, never sent.
    pub read_only: bool,
    /// Only sent, never answered: a secret.
    pub write_only: bool,
    /// What it is when not given.
    pub default: Option<Value>,
    /// An example.
    pub example: Option<Value>,
    /// Bounds of a number or of a text's length.
    pub minimum: Option<f64>,
    /// See `minimum`.
    pub maximum: Option<f64>,
    /// The regular expression a text matches.
    pub pattern: Option<String>,
    /// What is in it, if it is a structure.
    pub properties: Vec<Property>,
}

/// The type of a property.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Kind {
    /// Text.
    #[default]
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number; the text is its type: `i64`, `u16`.
    Integer(String),
    /// A number; the text is its type: `f64`.
    Number(String),
    /// A point in time, RFC 3339.
    DateTime,
    /// One of these texts.
    Enum(Vec<String>),
    /// Many of one type.
    List(Box<Kind>),
    /// Named values of one type.
    Map(Box<Kind>),
    /// Named properties.
    Struct,
    /// Anything.
    Any,
}

/// The meaning of one value of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// As the API says it.
    pub value: String,
    /// As people read it.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
}

/// How good a state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// Under way.
    Info,
    /// To be looked at.
    Warn,
    /// Broken.
    Bad,
    /// Not in use, or not known.
    #[default]
    Off,
}

/// Where a property points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Name of the resource.
    pub resource: String,
    /// The property of the target that the value equals; else its id or name.
    pub field: Option<String>,
}

/// The history of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Name of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: Option<String>,
    /// How far a chart looks back at first: `1h`.
    pub range: Option<String>,
}

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
    /// Other words for the verb.
    pub aliases: Vec<String>,
    /// What is given without a flag, in order: path variables and body fields;
    /// one of them may take many (`device...`).
    pub positional: Vec<String>,
    /// Words for the values of the positional field: `off` for `ForceOff`.
    pub words: Vec<(String, Value)>,
    /// The one property to print: a secret that was made.
    pub print: Option<String>,
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

impl PageModel {
    /// The resource with this word: its name, singular, plural, kind or one of
    /// its aliases, whatever the case.
    #[must_use]
    pub fn resource(&self, word: &str) -> Option<&Resource> {
        let by = |test: &dyn Fn(&Resource) -> bool| {
            self.resources.iter().find(|r| test(r))
        };
        by(&|r| r.name == word || r.plural == word || r.singular == word)
            .or_else(|| by(&|r| r.is_called(word)))
    }

    /// The operation with this id.
    #[must_use]
    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations().find(|operation| operation.id == id)
    }

    /// All operations.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.resources.iter().flat_map(Resource::operations)
    }

    /// The resources that belong to `parent`, or to none.
    pub fn children<'a>(
        &'a self,
        parent: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Resource> {
        self.resources
            .iter()
            .filter(move |resource| resource.parent.as_deref() == parent)
    }
}

impl Resource {
    /// Whether `word` means this resource.
    #[must_use]
    pub fn is_called(&self, word: &str) -> bool {
        [&self.name, &self.singular, &self.plural, &self.kind]
            .into_iter()
            .chain(&self.aliases)
            .any(|own| own.eq_ignore_ascii_case(word))
    }

    /// All its operations.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        [&self.list, &self.view, &self.create, &self.update, &self.delete]
            .into_iter()
            .flatten()
            .chain(&self.actions)
            .chain(&self.extra_views)
    }

    /// The action of this name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&Operation> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// There is one of it (a device's power), not many.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.list.is_none() && self.view.is_some()
    }

    /// The property at a JSON pointer.
    #[must_use]
    pub fn property(&self, pointer: &str) -> Option<&Property> {
        find(&self.properties, pointer)
    }

    /// What people call `item`: its name, else its id.
    #[must_use]
    pub fn name_of<'a>(&self, item: &'a Value) -> Option<&'a str> {
        self.name_field
            .as_deref()
            .and_then(|field| item.get(field))
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .or_else(|| self.id_of(item))
    }

    /// What people call `item`, or what identifies it, even if that is a
    /// number.
    #[must_use]
    pub fn label_of(&self, item: &Value) -> String {
        let id = || match item.get(&self.id_field) {
            Some(Value::Number(id)) => id.to_string(),
            _ => String::new(),
        };
        self.name_of(item).map_or_else(id, str::to_owned)
    }

    /// What identifies `item`.
    #[must_use]
    pub fn id_of<'a>(&self, item: &'a Value) -> Option<&'a str> {
        item.get(&self.id_field).and_then(Value::as_str)
    }
}

pub(crate) fn find<'a>(
    properties: &'a [Property],
    pointer: &str,
) -> Option<&'a Property> {
    properties.iter().find_map(|property| {
        if property.pointer == pointer {
            Some(property)
        } else if pointer.starts_with(&format!("{}/", property.pointer)) {
            find(&property.properties, pointer)
        } else {
            None
        }
    })
}

impl Property {
    /// Its value in `item`.
    #[must_use]
    pub fn value<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        item.pointer(&self.pointer)
    }

    /// What `value` means, if this is a state.
    #[must_use]
    pub fn state(&self, value: &str) -> Option<&State> {
        self.states.iter().find(|state| state.value == value)
    }

    /// What a value means, if this is a state; a boolean may be one.
    #[must_use]
    pub fn state_of(&self, value: &Value) -> Option<&State> {
        match value {
            Value::String(text) => self.state(text),
            Value::Bool(yes) => self.state(if *yes { "true" } else { "false" }),
            _ => None,
        }
    }

    /// Shown nowhere.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.format == Format::Hidden
    }

    /// `value` as people read it.
    #[must_use]
    pub fn show(&self, value: &Value) -> String {
        if let Some(state) = self.state_of(value) {
            return state.label.clone();
        }
        let text = self.format.show(value);
        match (&self.unit, value) {
            (Some(unit), Value::Number(_)) => format!("{text} {unit}"),
            _ => text,
        }
    }
}

impl Kind {
    /// The type as tables say it: `str`, `bool`, `i64`, `f64`, `datetime`,
    /// `list[str]`, `struct`.
    #[must_use]
    pub fn dtype(&self) -> String {
        match self {
            Self::Text | Self::Enum(_) => "str".into(),
            Self::Boolean => "bool".into(),
            Self::Integer(name) | Self::Number(name) => name.clone(),
            Self::DateTime => "datetime".into(),
            Self::List(inner) => format!("list[{}]", inner.dtype()),
            Self::Map(_) | Self::Struct => "struct".into(),
            Self::Any => "object".into(),
        }
    }
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
