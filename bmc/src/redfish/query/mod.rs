//! Query parameters: which are understood, and what they make of an answer
//! (DSP0266, "Query parameters").

mod answer;
mod excerpt;
mod expand;
mod filter;
mod page;
mod parameter;
mod select;
#[cfg(test)]
mod tests;

use http::StatusCode;
use onprem_redfish::{
    csdl,
    message::{Message, base},
};
use serde_json::{Map, Value};

pub(crate) use self::{
    expand::{Expand, MAX_LEVELS, Room, link},
    page::{EXPANDED_PAGE, PAGE},
};
use self::{
    filter::{Fault, Filter},
    page::Page,
};
use super::error::Error;

/// How much of a value a message repeats.
const SHOWN: usize = 100;

/// The query of a GET.
#[derive(Debug, Default)]
pub(crate) struct Query {
    select: Option<Vec<Vec<String>>>,
    expand: Option<Expand>,
    filter: Option<(String, Filter)>,
    only: bool,
    excerpt: bool,
    top: Option<usize>,
    skip: Option<usize>,
    /// All but `$skip` and `$top`, as they were written.
    others: String,
}

/// Where resources come from, as far as the caller may see them.
pub(crate) trait Source {
    /// The resource at a URI.
    fn fetch(&self, uri: &str) -> Option<Map<String, Value>>;

    /// The collection that is asked for, with `top` members after the first
    /// `skip`, where it gives itself out in pages.
    fn page(
        &self,
        skip: usize,
        top: Option<usize>,
    ) -> Option<Map<String, Value>> {
        let _ = (skip, top);
        None
    }
}

impl Query {
    /// Reads the query of a URI; what does not start with `$` and is not
    /// known is ignored.
    ///
    /// # Errors
    /// 501 for a `$parameter` that is not known; 400 for a value that is
    /// wrong, or for parameters that do not go together.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (written, name, value) in parameter::parameters(text) {
            let known = query.read(&name, value.as_deref())?;
            if !matches!(name.as_str(), "$skip" | "$top") {
                let amp = if query.others.is_empty() { "" } else { "&" };
                query.others.push_str(amp);
                query.others.push_str(written);
            }
            if known && seen.contains(&name) {
                return Err(wrong(base::query_combination_invalid()));
            }
            seen.push(name);
        }
        let pages = query.top.is_some() || query.skip.is_some();
        let shapes = query.expand.is_some() || query.select.is_some();
        let narrows = query.filter.is_some() || query.excerpt;
        if query.only && (shapes || pages || narrows) {
            return Err(wrong(base::query_combination_invalid()));
        }
        Ok(query)
    }

    /// Takes a parameter in; false if it is none of those it knows.
    fn read(&mut self, name: &str, value: Option<&str>) -> Result<bool, Error> {
        let wrong = || format_error(value.unwrap_or_default(), name);
        let bare = value.is_none_or(str::is_empty);
        match name {
            "only" if bare => self.only = true,
            "excerpt" if bare => self.excerpt = true,
            "only" | "excerpt" => return Err(wrong()),
            "$select" => {
                let paths = value.and_then(select::parse);
                self.select = Some(paths.ok_or_else(wrong)?);
            }
            "$expand" => {
                let value = value.unwrap_or_default();
                self.expand = Some(Expand::parse(value, name)?);
            }
            "$filter" => {
                let text = value.unwrap_or_default();
                let filter = Filter::parse(text);
                let filter = filter.map_err(|fault| misread(text, &fault))?;
                self.filter = Some((text.to_owned(), filter));
            }
            "$top" => self.top = Some(number(value).ok_or_else(wrong)?),
            "$skip" => self.skip = Some(number(value).ok_or_else(wrong)?),
            unknown if unknown.starts_with('$') => {
                let message = base::query_parameter_unsupported(unknown);
                let status = StatusCode::NOT_IMPLEMENTED;
                return Err(Error::new(status, message));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Does it leave the answer as it is?
    pub(crate) fn is_empty(&self) -> bool {
        self.expand.is_none() && !self.has_more_than_expand()
    }

    fn has_more_than_expand(&self) -> bool {
        self.select.is_some()
            || self.filter.is_some()
            || self.only
            || self.excerpt
            || self.top.is_some()
            || self.skip.is_some()
    }

    /// The `$expand`, where it is all that is asked for.
    fn expand_alone(&self) -> Option<Expand> {
        self.expand.filter(|_| !self.has_more_than_expand())
    }

    /// Refuses the query of a write: DSP0266 has queries on GET only.
    ///
    /// # Errors
    /// It has a parameter that a GET would heed.
    pub(crate) fn refuse(text: &str) -> Result<(), Error> {
        if Self::parse(text)?.is_empty() {
            return Ok(());
        }
        Err(wrong(base::query_not_supported_on_operation()))
    }

    /// Makes of `body`, a resource of `kind` at `path`, what was asked for.
    ///
    /// In the order of DSP0266: `$filter`, `$skip`, `$top`, then `$expand`,
    /// `excerpt`, `$select`.
    fn apply(
        &self,
        kind: &str,
        path: &str,
        mut body: Map<String, Value>,
        source: &dyn Source,
    ) -> Result<Map<String, Value>, Error> {
        let member = kind.strip_suffix("Collection");
        if let Some(member) = member {
            body = self.members(member, path, body, source)?;
        } else if self.for_collections() {
            return Err(wrong(base::query_not_supported_on_resource()));
        }
        if let Some(expand) = self.expand {
            expand.apply(&mut body, source)?;
        }
        if self.excerpt {
            excerpt::reduce(&mut body);
        }
        if let Some(paths) = &self.select {
            // Members of some collections are always in place.
            let members = body.get("Members").and_then(Value::as_array);
            let first = members.and_then(|it| it.first());
            let whole = first.is_some_and(|it| expand::link(it).is_none());
            let expanded = member.is_some() && (self.expand.is_some() || whole);
            select::select(&mut body, paths, expanded);
        }
        Ok(body)
    }

    /// Does it ask for something that only collections have?
    fn for_collections(&self) -> bool {
        let pages = self.top.is_some() || self.skip.is_some();
        self.only || self.filter.is_some() || pages
    }

    /// The collection with those members that were asked for.
    fn members(
        &self,
        kind: &str,
        path: &str,
        mut body: Map<String, Value>,
        source: &dyn Source,
    ) -> Result<Map<String, Value>, Error> {
        let expanded = self.expand.is_some();
        let page = Page {
            skip: self.skip.unwrap_or_default(),
            top: self.top,
            limit: if expanded { EXPANDED_PAGE } else { PAGE },
            path,
            others: &self.others,
        };
        let Some((text, filter)) = &self.filter else {
            let top = self.top.map(|_| page.size());
            let Some(mut own) = source.page(page.skip, top) else {
                page.cut(&mut body);
                return Ok(body);
            };
            let shown = own.get("Members").and_then(Value::as_array);
            let shown = shown.map_or(0, Vec::len);
            let total = own.get("Members@odata.count").and_then(Value::as_u64);
            let total = total.and_then(|it| usize::try_from(it).ok());
            page.lead_on(&mut own, shown, total.unwrap_or_default());
            return Ok(own);
        };
        let filter = filter.clone().of_members(csdl::type_named(kind));
        let filter = filter.map_err(|fault| misread(text, &fault))?;
        if let Some(whole) = source.page(0, Some(usize::MAX)) {
            body = whole;
        }
        if let Some(Value::Array(members)) = body.get_mut("Members") {
            members.retain(|member| match expand::link(member) {
                Some(uri) => {
                    source.fetch(uri).is_some_and(|it| filter.admits(&it))
                }
                None => member.as_object().is_some_and(|it| filter.admits(it)),
            });
            let count = members.len();
            body.insert("Members@odata.count".to_owned(), count.into());
        }
        page.cut(&mut body);
        Ok(body)
    }
}

fn misread(text: &str, fault: &Fault) -> Error {
    let Fault { at, text: what } = fault;
    let advice = format!("At character {at} of $filter: {what}.");
    let text = shown(text);
    let message = base::query_parameter_value_format_error(text, "$filter");
    wrong(message.resolved_by(advice))
}

fn format_error(value: &str, name: &str) -> Error {
    wrong(base::query_parameter_value_format_error(shown(value), name))
}

fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

fn wrong(message: Message) -> Error {
    Error::bad(vec![message])
}

fn number(text: Option<&str>) -> Option<usize> {
    text?.parse().ok()
}
