//! What pages and commands are made from.

mod operation;
mod property;

use serde_json::Value;

pub use operation::*;
pub use property::*;

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
