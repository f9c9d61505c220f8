//! Which part of the page model an address means.

use onprem_description::{Operation, PageModel, Resource};

use super::cell::escape;
use super::page::Link;

/// The segment of a device's own Redfish service.
pub(crate) const REDFISH: &str = "redfish";

/// A resource, and what of it.
#[derive(Debug, Clone)]
pub(crate) struct Place<'m> {
    /// The items on the way, with their resources; the last is the item itself
    /// unless the place is a collection.
    pub(crate) items: Vec<(&'m Resource, String)>,
    pub(crate) resource: &'m Resource,
    pub(crate) target: Target<'m>,
}

/// What of a resource.
#[derive(Debug, Clone)]
pub(crate) enum Target<'m> {
    List,
    New,
    View,
    Edit,
    Delete,
    Action(&'m Operation),
    /// Another resource's list, of what concerns the item.
    Related(&'m Resource),
    /// The device's own Redfish service, and the path in it.
    Redfish(Vec<String>),
}

impl<'m> Place<'m> {
    /// What `segments` mean.
    pub(crate) fn find(
        model: &'m PageModel,
        segments: &[String],
    ) -> Option<Self> {
        let mut items = Vec::new();
        let mut parent = None;
        let mut rest = segments.iter().map(String::as_str);
        loop {
            let word = rest.next()?;
            let (resource, is_new) = collection(model, parent, word)?;
            let here = |items, target| Some(Self { items, resource, target });
            if is_new {
                return rest
                    .next()
                    .is_none()
                    .then(|| here(items, Target::New))?;
            }
            if resource.is_single() {
                return rest
                    .next()
                    .is_none()
                    .then(|| here(items, Target::View))?;
            }
            let Some(id) = rest.next() else {
                return here(items, Target::List);
            };
            items.push((resource, id.to_owned()));
            let mut ahead = rest.clone();
            let Some(word) = ahead.next() else {
                return here(items, Target::View);
            };
            if collection(model, Some(&resource.name), word).is_some() {
                parent = Some(resource.name.as_str());
                continue;
            }
            let rest: Vec<&str> = ahead.collect();
            let target = Self::of_item(model, resource, word, &rest)?;
            return here(items, target);
        }
    }

    fn of_item(
        model: &'m PageModel,
        resource: &'m Resource,
        word: &str,
        rest: &[&str],
    ) -> Option<Target<'m>> {
        if word == REDFISH && resource.name == "device" {
            let rest = rest.iter().map(|&word| word.to_owned()).collect();
            return Some(Target::Redfish(rest));
        }
        match (word, rest) {
            ("edit", []) if resource.update.is_some() => Some(Target::Edit),
            ("delete", []) if resource.delete.is_some() => Some(Target::Delete),
            ("actions", [action]) => {
                let action = resource.action(action)?;
                (action.method == "POST").then_some(Target::Action(action))
            }
            (word, []) => related(model, resource)
                .find(|other| other.segment == word)
                .map(Target::Related),
            _ => None,
        }
    }

    /// The ids on the way, for the operation's path.
    pub(crate) fn values(&self) -> Vec<&str> {
        self.items.iter().map(|(_, id)| id.as_str()).collect()
    }

    /// The operation's path, filled with the ids on the way.
    pub(crate) fn fill(&self, operation: &Operation) -> String {
        operation.fill(&self.values())
    }

    /// The page of the last item on the way.
    pub(crate) fn item_page(&self) -> String {
        page_of(&self.items)
    }

    /// The page of the collection.
    pub(crate) fn collection_page(&self) -> String {
        let is_item = self
            .items
            .last()
            .is_some_and(|(resource, _)| resource.name == self.resource.name);
        let above = self.items.len().saturating_sub(usize::from(is_item));
        let above = self.items.get(..above).unwrap_or_default();
        format!("{}/{}", page_of(above), self.resource.segment)
    }

    /// The way here.
    pub(crate) fn crumbs(&self) -> Vec<Link> {
        let mut crumbs = Vec::new();
        for (index, (resource, id)) in self.items.iter().enumerate() {
            let above = self.items.get(..index).unwrap_or_default();
            let collection = format!("{}/{}", page_of(above), resource.segment);
            let is_last = index + 1 == self.items.len();
            crumbs.push(Link::new(&resource.title, &collection));
            let is_here = is_last
                && matches!(self.target, Target::View)
                && resource.name == self.resource.name;
            if !is_here && resource.view.is_some() {
                let page = format!("{collection}/{}", escape(id));
                crumbs.push(Link::new(id, page));
            }
        }
        if matches!(self.target, Target::New) {
            let page = self.collection_page();
            crumbs.push(Link::new(&self.resource.title, page));
        }
        crumbs
    }
}

fn page_of(items: &[(&Resource, String)]) -> String {
    let mut page = String::new();
    for (resource, id) in items {
        page.push('/');
        page.push_str(&resource.segment);
        page.push('/');
        page.push_str(&escape(id));
    }
    page
}

/// The resource of this segment, or of its page for a new one.
fn collection<'m>(
    model: &'m PageModel,
    parent: Option<&str>,
    word: &str,
) -> Option<(&'m Resource, bool)> {
    let under = |segment: &str| {
        model.resources.iter().find(|resource| {
            resource.parent.as_deref() == parent && resource.segment == segment
        })
    };
    if let Some(resource) = under(word) {
        return Some((resource, false));
    }
    let resource = under(word.strip_suffix("-new")?)?;
    resource.create.is_some().then_some((resource, true))
}

/// Resources whose list can be narrowed to an item of `resource`.
pub(crate) fn related<'m>(
    model: &'m PageModel,
    resource: &'m Resource,
) -> impl Iterator<Item = &'m Resource> {
    model.children(None).filter(move |other| {
        let narrows = |list: &Operation| {
            list.query.iter().any(|query| query.name == resource.name)
        };
        other.name != resource.name && other.list.as_ref().is_some_and(narrows)
    })
}
