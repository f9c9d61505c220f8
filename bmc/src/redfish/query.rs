//! Query parameters: which are understood, and what they make of an answer.

use http::StatusCode;
use onprem_redfish::message::{Message, base};
use serde_json::{Map, Value};

use super::error::Error;

/// How deep `$expand` may go.
pub(crate) const MAX_LEVELS: u32 = 6;
/// How many resources one `$expand` may put together.
const MAX_EXPANDED: usize = 512;

/// The query of a GET.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    select: Option<Vec<Vec<String>>>,
    expand: Option<Expand>,
    only: bool,
    top: Option<usize>,
    skip: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expand {
    what: Links,
    levels: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// `.`: what is not in `Links`.
    Subordinate,
    /// `~`: what is in `Links`.
    Related,
    /// `*`
    All,
}

impl Query {
    /// Reads the query of a URI; what does not start with `$` and is not
    /// known is ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (decode(name), Some(decode(value))),
                None => (decode(pair), None),
            };
            let wrong = || {
                let value = value.as_deref().unwrap_or_default();
                format_error(value, &name)
            };
            let given = value.as_deref();
            match name.as_str() {
                "only" if given.is_none_or(str::is_empty) => query.only = true,
                "only" => return Err(wrong()),
                "$select" => {
                    let list = given.filter(|list| !list.is_empty());
                    let list = list.ok_or_else(wrong)?;
                    let paths = list.split(',').map(|path| {
                        path.trim().split('/').map(str::to_owned).collect()
                    });
                    query.select = Some(paths.collect());
                }
                "$expand" => {
                    let value = given.unwrap_or_default();
                    query.expand = Some(expand(value, &name)?);
                }
                "$top" => query.top = Some(number(given).ok_or_else(wrong)?),
                "$skip" => query.skip = number(given).ok_or_else(wrong)?,
                unknown if unknown.starts_with('$') => {
                    let message = base::query_parameter_unsupported(unknown);
                    let status = StatusCode::NOT_IMPLEMENTED;
                    return Err(Error::new(status, message));
                }
                _ => {}
            }
        }
        let pages = query.top.is_some() || query.skip > 0;
        let shapes = query.expand.is_some() || query.select.is_some();
        if query.only && (shapes || pages) {
            return Err(wrong(base::query_combination_invalid()));
        }
        Ok(query)
    }

    /// Does it leave the answer as it is?
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes of `body`, the resource at `path`, what was asked for; `fetch`
    /// brings other resources as far as the caller may see them.
    pub(crate) fn apply(
        &self,
        path: &str,
        mut body: Map<String, Value>,
        fetch: &Fetch<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let collection = body.contains_key("Members");
        let pages = self.top.is_some() || self.skip > 0;
        if (self.only || pages) && !collection {
            return Err(wrong(base::query_not_supported_on_resource()));
        }
        if self.only
            && let Some([member]) =
                body.get("Members").and_then(Value::as_array).map(Vec::as_slice)
            && let Some(uri) = link(member)
            && let Some(member) = fetch(uri)
        {
            return Ok(member);
        }
        if pages {
            self.page(path, &mut body);
        }
        if let Some(expand) = self.expand {
            let mut expansion =
                Expansion { what: expand.what, fetch, left: MAX_EXPANDED };
            expansion.object(&mut body, expand.levels, Place::Top);
        }
        if let Some(paths) = &self.select {
            let paths: Vec<&[String]> =
                paths.iter().map(Vec::as_slice).collect();
            select(&mut body, &paths);
        }
        Ok(body)
    }

    fn page(&self, path: &str, body: &mut Map<String, Value>) {
        let Some(Value::Array(members)) = body.get_mut("Members") else {
            return;
        };
        let total = members.len();
        members.drain(..self.skip.min(total));
        let Some(top) = self.top else { return };
        members.truncate(top);
        let next = self.skip.saturating_add(top);
        if next < total && top > 0 {
            let link = format!("{path}?$skip={next}&$top={top}");
            body.insert("Members@odata.nextLink".to_owned(), link.into());
        }
    }
}

/// Brings a resource by its URI.
pub(crate) type Fetch<'a> = dyn Fn(&str) -> Option<Map<String, Value>> + 'a;

fn expand(value: &str, name: &str) -> Result<Expand, Error> {
    let wrong = || format_error(value, name);
    let (what, rest) = match value.split_at_checked(1) {
        Some((".", rest)) => (Links::Subordinate, rest),
        Some(("~", rest)) => (Links::Related, rest),
        Some(("*", rest)) => (Links::All, rest),
        _ => return Err(wrong()),
    };
    let levels = if rest.is_empty() {
        1
    } else {
        let text = rest.strip_prefix("($levels=");
        let text = text.and_then(|text| text.strip_suffix(')'));
        text.and_then(|text| text.parse().ok()).ok_or_else(wrong)?
    };
    if !(1..=MAX_LEVELS).contains(&levels) {
        let range = format!("1-{MAX_LEVELS}");
        let message = base::query_parameter_out_of_range(value, name, range);
        return Err(Error::bad(vec![message]));
    }
    Ok(Expand { what, levels })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Inside,
    Links,
}

/// An `$expand` under way.
struct Expansion<'a> {
    what: Links,
    fetch: &'a Fetch<'a>,
    /// How many resources may still be put in.
    left: usize,
}

impl Expansion<'_> {
    /// Replaces the links in `object` by what they lead to.
    fn object(
        &mut self,
        object: &mut Map<String, Value>,
        levels: u32,
        place: Place,
    ) {
        for (name, value) in object.iter_mut() {
            // Annotations and actions link to no resource.
            if name.starts_with('@') || name == "Actions" {
                continue;
            }
            let inner = match (name.as_str(), place) {
                ("Links", Place::Top) | (_, Place::Links) => Place::Links,
                _ => Place::Inside,
            };
            self.value(value, levels, inner);
        }
    }

    fn value(&mut self, value: &mut Value, levels: u32, place: Place) {
        let wanted = match self.what {
            Links::All => true,
            Links::Related => place == Place::Links,
            Links::Subordinate => place != Place::Links,
        };
        if let Some(uri) = link(value) {
            if wanted
                && self.left > 0
                && let Some(mut found) = (self.fetch)(uri)
            {
                self.left -= 1;
                if levels > 1 {
                    self.object(&mut found, levels - 1, Place::Top);
                }
                *value = Value::Object(found);
            }
            return;
        }
        match value {
            Value::Array(values) => {
                for value in values {
                    self.value(value, levels, place);
                }
            }
            Value::Object(object) => self.object(object, levels, place),
            _ => {}
        }
    }
}

/// The URI, where `value` is a link and nothing but a link.
fn link(value: &Value) -> Option<&str> {
    let object = value.as_object()?;
    if object.len() != 1 {
        return None;
    }
    object.get("@odata.id")?.as_str()
}

/// Keeps what one of `paths` leads to, and the annotations.
fn select(object: &mut Map<String, Value>, paths: &[&[String]]) {
    let old = std::mem::take(object);
    for (name, mut value) in old {
        if name.starts_with("@odata.") {
            object.insert(name, value);
            continue;
        }
        let property = name.split('@').next().unwrap_or_default();
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| *first == property)
            .map(|(_, rest)| rest)
            .collect();
        if below.is_empty() {
            continue;
        }
        if below.iter().all(|rest| !rest.is_empty()) {
            match &mut value {
                Value::Object(inner) => select(inner, &below),
                Value::Array(items) => {
                    for item in
                        items.iter_mut().filter_map(Value::as_object_mut)
                    {
                        select(item, &below);
                    }
                }
                _ => continue,
            }
        }
        object.insert(name, value);
    }
}

fn format_error(value: &str, name: &str) -> Error {
    wrong(base::query_parameter_value_format_error(value, name))
}

fn wrong(message: Message) -> Error {
    Error::bad(vec![message])
}

fn number(text: Option<&str>) -> Option<usize> {
    text?.parse().ok()
}

/// Undoes percent encoding; what is no UTF-8 stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                digit(high).zip(digit(low)).and_then(|(high, low)| {
                    rest = after;
                    u8::try_from(high * 16 + low).ok()
                })
            }
            (b'+', _) => Some(b' '),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(text: &str) -> Option<u16> {
        Query::parse(text).err().map(|error| error.status.as_u16())
    }

    fn apply(text: &str, body: Value) -> Value {
        let Value::Object(body) = body else { panic!("an object") };
        let fetch = |uri: &str| {
            json!({"@odata.id": uri, "Next": {"@odata.id": "/deeper"}})
                .as_object()
                .cloned()
        };
        let query = Query::parse(text).unwrap();
        Value::Object(query.apply("/c", body, &fetch).unwrap())
    }

    #[test]
    fn refuses_what_it_does_not_understand_and_ignores_what_it_may() {
        assert_eq!(status("$whatever"), Some(501));
        assert_eq!(status("$filter=a eq 1"), Some(501));
        assert_eq!(status("only=foo"), Some(400));
        assert_eq!(status("$expand=foo"), Some(400));
        assert_eq!(status("$expand=.($levels=99)"), Some(400));
        assert_eq!(status("$select="), Some(400));
        assert_eq!(status("$top=-1"), Some(400));
        assert_eq!(status("only&$select=Name"), Some(400));
        assert_eq!(status("whatever=1&only"), None);
        assert_eq!(status("%24expand=*(%24levels=2)"), None);
    }

    #[test]
    fn selects_the_named_properties_and_the_annotations() {
        let body = json!({
            "@odata.id": "/a", "Name": "a", "Id": "1",
            "Status": {"State": "Enabled", "Health": "OK"},
        });
        let selected = apply("$select=Name,Status/Health", body);
        let expected = json!({
            "@odata.id": "/a", "Name": "a", "Status": {"Health": "OK"},
        });
        assert_eq!(selected, expected);
    }

    #[test]
    fn expands_as_deep_as_asked() {
        let body = || {
            json!({
                "@odata.id": "/a", "Sub": {"@odata.id": "/b"},
                "Links": {"Other": [{"@odata.id": "/o"}]},
                "ExpandQuery": {"Links": true},
            })
        };
        let near = apply("$expand=.", body());
        assert_eq!(near["Sub"]["Next"], json!({"@odata.id": "/deeper"}));
        assert_eq!(near["Links"]["Other"][0], json!({"@odata.id": "/o"}));
        assert_eq!(near["ExpandQuery"]["Links"], json!(true));
        let deep = apply("$expand=.($levels=2)", body());
        assert_eq!(deep["Sub"]["Next"]["@odata.id"], json!("/deeper"));
        assert!(deep["Sub"]["Next"]["Next"].is_object());
        let related = apply("$expand=~", body());
        assert_eq!(related["Sub"], json!({"@odata.id": "/b"}));
        assert!(related["Links"]["Other"][0]["Next"].is_object());
    }

    #[test]
    fn pages_point_to_the_next_one() {
        let members = json!([{"@odata.id": "/1"}, {"@odata.id": "/2"}]);
        let body = || json!({"Members@odata.count": 2, "Members": members});
        let first = apply("$top=1", body());
        assert_eq!(first["Members"], json!([{"@odata.id": "/1"}]));
        assert_eq!(first["Members@odata.count"], 2);
        assert_eq!(first["Members@odata.nextLink"], "/c?$skip=1&$top=1");
        let last = apply("$skip=1&$top=1", body());
        assert_eq!(last["Members"], json!([{"@odata.id": "/2"}]));
        assert_eq!(last.get("Members@odata.nextLink"), None);
    }
}
