//! Reads the page model from a document.

mod operation;
mod resource;

pub(crate) use self::operation::strings;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{Operation, PageModel, Resource};

/// What every resource has, and the rest of the operation's id.
const VERBS: &[&str] = &["list", "view", "create", "update", "delete"];

impl PageModel {
    /// Reads a document, with or without presentation facts.
    #[must_use]
    pub fn from_document(document: &Value) -> Self {
        let mut problems = Vec::new();
        let operations = operation::read_all(document, &mut problems);
        let mut resources: Vec<Resource> = gather(operations)
            .into_iter()
            .map(|(noun, operations)| {
                resource::read(document, &noun, operations, &mut problems)
            })
            .collect();
        let paths: Vec<_> = resources
            .iter()
            .filter(|resource| !resource.is_single())
            .filter_map(|r| {
                Some((r.name.clone(), r.view.as_ref()?.path.clone()))
            })
            .collect();
        for resource in &mut resources {
            resource.parent =
                resource.parent.take().or_else(|| parent(resource, &paths));
        }
        name(&mut resources);
        resources.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        let text = |pointer: &str| {
            let text = document.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let mut model = Self {
            title: text("/info/title"),
            version: text("/info/version"),
            resources,
            problems,
        };
        model.check_references();
        model
    }

    fn check_references(&mut self) {
        let mut problems = Vec::new();
        for resource in &self.resources {
            for property in &resource.properties {
                if let Some(reference) = &property.reference
                    && self.resource(&reference.resource).is_none()
                {
                    problems.push(format!(
                        "{} {}: no resource is called `{}`",
                        resource.name, property.pointer, reference.resource
                    ));
                }
            }
        }
        self.problems.append(&mut problems);
    }
}

/// Puts operations to the nouns they are about: `device_reset` to `device`,
/// because there is a `device_list`.
fn gather(operations: Vec<Operation>) -> BTreeMap<String, Vec<Operation>> {
    let split = |operation: &Operation| {
        let (noun, verb) = operation.id.rsplit_once('_')?;
        VERBS.contains(&verb).then(|| (noun.to_owned(), verb.to_owned()))
    };
    let nouns: BTreeSet<String> =
        operations.iter().filter_map(|o| Some(split(o)?.0)).collect();
    let mut gathered: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for mut operation in operations {
        let (noun, verb) = split(&operation)
            .or_else(|| {
                // The longest noun the id starts with.
                nouns
                    .iter()
                    .filter_map(|noun| {
                        let rest = operation.id.strip_prefix(noun.as_str())?;
                        Some((noun.clone(), rest.strip_prefix('_')?.to_owned()))
                    })
                    .max_by_key(|(noun, _)| noun.len())
            })
            .unwrap_or_else(|| {
                let tag = operation.tags.first();
                let noun = tag.map(|tag| crate::words::one(tag));
                let noun = noun.map(|noun| noun.replace('-', "_"));
                (
                    noun.unwrap_or_else(|| operation.id.clone()),
                    operation.id.clone(),
                )
            });
        operation.name = crate::kebab(&verb);
        if operation.action.label.is_empty() {
            operation.action.label = crate::title(&verb);
        }
        gathered.entry(noun).or_default().push(operation);
    }
    gathered
}

/// The resource whose view is at the start of this one's path.
fn parent(resource: &Resource, views: &[(String, String)]) -> Option<String> {
    let own = resource.view.as_ref().map(|view| view.path.as_str());
    views
        .iter()
        .filter(|(name, path)| {
            *name != resource.name
                && Some(path.as_str()) != own
                && path.ends_with('}')
                && resource
                    .path
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        })
        .max_by_key(|(_, path)| path.len())
        .map(|(name, _)| name.clone())
}

/// Gives each resource the shortest word that is its own.
fn name(resources: &mut [Resource]) {
    let mut taken: BTreeSet<String> = resources
        .iter()
        .filter(|resource| resource.parent.is_none())
        .flat_map(|r| [r.singular.clone(), r.plural.clone()])
        .collect();
    let names: BTreeMap<String, String> = resources
        .iter()
        .map(|r| (r.name.clone(), r.singular.clone()))
        .collect();
    for resource in resources {
        let Some(parent) = &resource.parent else { continue };
        let prefix = names.get(parent).map_or(parent, |word| word);
        let short = |word: &str| {
            let rest = word.strip_prefix(prefix.as_str());
            rest.and_then(|r| r.strip_prefix('-')).unwrap_or(word).to_owned()
        };
        let (singular, plural) =
            (short(&resource.singular), short(&resource.plural));
        let mine = taken.contains(&singular) || taken.contains(&plural);
        if mine {
            resource.singular = format!("{prefix}-{singular}");
            resource.plural = format!("{prefix}-{plural}");
        } else {
            (resource.singular, resource.plural) = (singular, plural);
        }
        taken.insert(resource.singular.clone());
        taken.insert(resource.plural.clone());
    }
}
