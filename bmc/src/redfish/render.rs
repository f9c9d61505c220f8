//! Answers as bytes: made once for as long as they stay true.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
    sync::{Arc, OnceLock, PoisonError, RwLock, atomic::Ordering},
};

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, HeaderValue, Response, header::ALLOW};
use serde_json::{Map, Value};

use super::{
    Body, Service, finish,
    resource::{Action, Answer, Freshness, Resource, View},
    resources::ActionInfo,
    router::{Entry, Route},
    splice::{self, Hole},
};
use crate::model::Snapshot;

/// The `Allow` of what can only be read.
pub(super) const READ_ONLY: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Answers that are kept; beyond it all are made again.
const KEPT: usize = 4096;

/// A resource as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) body: Bytes,
    pub(crate) etag: HeaderValue,
    pub(crate) link: HeaderValue,
    /// How many members a collection has in it.
    pub(crate) members: usize,
    /// The links in the body.
    pub(crate) holes: Vec<Hole>,
    /// Why it can only be read, if that is so.
    pub(crate) closed: Option<&'static str>,
    /// The head of the answer to a GET, once there was one.
    head: OnceLock<HeaderMap>,
}

impl Rendered {
    /// The whole answer to a GET; `entry` is what lies at its path.
    pub(super) fn answer(&self, entry: &Entry) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.clone()));
        let head = self.head.get_or_init(|| {
            let mut whole = Response::new(Body::from(self.body.clone()));
            entry.describe(whole.headers_mut(), &self.etag, &self.link);
            if self.closed.is_some() {
                whole.headers_mut().insert(ALLOW, READ_ONLY);
            }
            finish(&mut whole);
            whole.into_parts().0.headers
        });
        head.clone_into(response.headers_mut());
        response
    }
}

/// What an answer was made from: the same again gives the same answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Version {
    /// Of the model, or of that part of it which counts.
    model: u64,
    /// Of the sensor.
    reading: u64,
    /// How often what is not in the model was touched.
    touched: u64,
    /// By the clock on the wall.
    second: i64,
}

/// The answers that were made, by path, with what they were made from.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    made: RwLock<HashMap<String, (Version, Arc<Rendered>)>>,
}

impl Cache {
    fn get(&self, path: &str, version: Version) -> Option<Arc<Rendered>> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let (of, rendered) = made.get(path)?;
        (*of == version).then(|| Arc::clone(rendered))
    }

    fn put(&self, path: &str, version: Version, rendered: &Arc<Rendered>) {
        let mut made =
            self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(path.to_owned(), (version, Arc::clone(rendered)));
    }
}

impl Service {
    /// The resource at `path`, or `None` where there is none.
    pub(super) fn render(
        &self,
        resource: &dyn Resource,
        path: &str,
        ids: &[&str],
    ) -> Option<Arc<Rendered>> {
        let snapshot = self.model.snapshot();
        let version = self.version(resource.freshness(), &snapshot, path);
        let kept = version.and_then(|version| self.cache.get(path, version));
        if kept.is_some() {
            return kept;
        }
        let book = self.accounts.book();
        let view = View { snapshot: &snapshot, service: self, book: &book };
        let answer = resource.get(&view, ids)?;
        let actions = resource.actions();
        let mut rendered = render(answer, path, actions);
        rendered.closed = resource.closed(&view, ids);
        let rendered = Arc::new(rendered);
        self.exporter.metrics().requests.count_render();
        if let Some(version) = version {
            self.cache.put(path, version, &rendered);
        }
        Some(rendered)
    }

    /// The resource at `path`, if it was made before and is still true.
    pub(super) fn kept(
        &self,
        resource: &dyn Resource,
        path: &str,
    ) -> Option<Arc<Rendered>> {
        let snapshot = self.model.snapshot();
        let version = self.version(resource.freshness(), &snapshot, path)?;
        self.cache.get(path, version)
    }

    /// What an answer that is made now is made from; `None` where that is more
    /// than anyone can tell.
    fn version(
        &self,
        freshness: Freshness,
        snapshot: &Snapshot,
        path: &str,
    ) -> Option<Version> {
        let fixed =
            Version { model: snapshot.fixed_version, ..Version::default() };
        Some(match freshness {
            Freshness::Static => Version::default(),
            Freshness::Fixed => fixed,
            Freshness::Reading => {
                let id = path.rsplit('/').next();
                let reading = id.and_then(|id| snapshot.reading(id));
                Version { reading: reading.map_or(0, |it| it.version), ..fixed }
            }
            Freshness::Live => {
                Version { model: snapshot.version, ..Version::default() }
            }
            Freshness::Second => Version {
                touched: self.touched.load(Ordering::Acquire),
                second: Utc::now().timestamp(),
                ..fixed
            },
            Freshness::Now => return None,
        })
    }

    /// Says that something changed which is in answers, but not in the model.
    pub(super) fn touch(&self) {
        self.touched.fetch_add(1, Ordering::Release);
    }

    /// Whether the resource at `path` is there; nothing where a log entry
    /// cannot be about it: a collection is no `Resource.Item`, and entries
    /// could be about each other.
    pub(super) fn has(&self, view: &View<'_>, path: &str) -> Option<bool> {
        let Some((Route::Resource(entry), ids)) = self.routes.find(path) else {
            return Some(false);
        };
        let kind = entry.resource.kind();
        if kind == "LogEntry" || kind.ends_with("Collection") {
            return None;
        }
        Some(entry.resource.get(view, &ids).is_some())
    }

    /// The resource at `path` as an object, with its `@odata.id` and
    /// `@odata.etag`.
    pub(super) fn object(
        &self,
        resource: &dyn Resource,
        path: &str,
        ids: &[&str],
    ) -> Option<(Map<String, Value>, HeaderValue, HeaderValue)> {
        let rendered = self.render(resource, path, ids)?;
        match serde_json::from_slice(&rendered.body) {
            Ok(Value::Object(body)) => {
                Some((body, rendered.etag.clone(), rendered.link.clone()))
            }
            _ => None,
        }
    }
}

fn render(answer: Answer, path: &str, described: &[Action]) -> Rendered {
    let Answer { mut body, volatile, actions } = answer;
    body.insert("@odata.id".to_owned(), path.into());
    if !actions.is_empty() {
        let target = |(name, mut about): (&str, Map<String, Value>)| {
            let target = format!("{path}/Actions/{name}");
            about.insert("target".to_owned(), target.into());
            let action = described.iter().find(|it| it.0 == name);
            if let Some(id) = action.and_then(ActionInfo::id) {
                let info = format!("{path}/{id}");
                about.insert("@Redfish.ActionInfo".to_owned(), info.into());
            }
            let name = name.strip_prefix("Oem/").unwrap_or(name);
            (format!("#{name}"), Value::Object(about))
        };
        let (own, standard): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|it| it.0.starts_with("Oem/"));
        let mut actions: Map<_, _> = standard.into_iter().map(target).collect();
        if !own.is_empty() {
            let own: Map<_, _> = own.into_iter().map(target).collect();
            actions.insert("Oem".to_owned(), own.into());
        }
        body.insert("Actions".to_owned(), actions.into());
    }
    let link = describedby(&body);
    let members = body.get("Members").and_then(Value::as_array);
    let members = members.map_or(0, Vec::len);
    let mut hash = DefaultHasher::new();
    if volatile.is_empty() {
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        hash.write(&bytes);
    } else {
        for (name, value) in &body {
            if !volatile.contains(&name.as_str()) {
                hash.write(name.as_bytes());
                hash.write(value.to_string().as_bytes());
            }
        }
    }
    // A weak tag says: the same but for what changes by itself.
    let weak = if volatile.is_empty() { "" } else { "W/" };
    let etag = format!("{weak}\"{:016x}\"", hash.finish());
    body.insert("@odata.etag".to_owned(), etag.clone().into());
    let (bytes, holes) = splice::write(&body);
    Rendered {
        body: bytes.into(),
        etag: header(&etag),
        link: header(&link),
        members,
        holes,
        closed: None,
        head: OnceLock::new(),
    }
}

/// The `Link` to the schema that describes the resource.
fn describedby(body: &Map<String, Value>) -> String {
    let of = body.get("@odata.type").and_then(Value::as_str);
    let of = of.unwrap_or_default().trim_start_matches('#');
    let schema = of.rsplit_once('.').map_or(of, |(schema, _)| schema);
    format!(
        "<http://redfish.dmtf.org/schemas/v1/{schema}.json>; rel=describedby"
    )
}

pub(super) fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Does `header`, a list of entity tags, name `etag`? Weak tags count: what
/// they leave out cannot be written.
pub(super) fn names(header: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(list), Ok(etag)) = (header.to_str(), etag.to_str()) else {
        return false;
    };
    let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let etag = strong(etag);
    list.split(',').map(str::trim).any(|tag| tag == "*" || strong(tag) == etag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(clock: &str, volatile: &'static [&'static str]) -> Rendered {
        let body = json!({"@odata.type": "#Manager.v1_2_3.Manager",
            "DateTime": clock});
        let Value::Object(body) = body else { unreachable!() };
        render(Answer { body, volatile, actions: Vec::new() }, "/m", &[])
    }

    #[test]
    fn what_changes_by_itself_does_not_change_the_tag() {
        let (a, b) =
            (rendered("1", &["DateTime"]), rendered("2", &["DateTime"]));
        assert_eq!(a.etag, b.etag);
        assert!(a.etag.to_str().unwrap().starts_with("W/\""));
        assert_ne!(rendered("1", &[]).etag, rendered("2", &[]).etag);
        let body: Value = serde_json::from_slice(&a.body).unwrap();
        assert_eq!(body["@odata.etag"], a.etag.to_str().unwrap());
        assert!(a.link.to_str().unwrap().contains("/Manager.v1_2_3.json>"));
    }

    #[test]
    fn a_list_of_tags_names_each() {
        let tag = HeaderValue::from_static("\"b\"");
        let named =
            |list: &'static str| names(&HeaderValue::from_static(list), &tag);
        assert!(named("\"b\"") && named("*") && named("\"a\", W/\"b\""));
        assert!(!named("\"a\"") && !named("b") && !named(""));
    }
}
