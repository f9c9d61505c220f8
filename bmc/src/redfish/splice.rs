//! `$expand` alone: the bytes of resources put together, with no tree made of
//! them. The answer is the one that `query` gives.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value};

use super::{
    error::Error,
    exchange::Exchange,
    query::{EXPANDED_PAGE, Expand, Room, link},
    render::Rendered,
    router::{Entry, Route},
};

/// A link in the bytes of a resource.
pub(crate) struct Hole {
    /// Where it begins and ends.
    at: usize,
    end: usize,
    /// It stands in `Links`.
    related: bool,
    /// What lies there, once somebody looked.
    entry: OnceLock<Option<&'static Entry>>,
}

impl fmt::Debug for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hole({}..{})", self.at, self.end)
    }
}

/// What comes before and after the URI in the bytes of a link.
const BEFORE: &str = "{\"@odata.id\":\"";
const AFTER: &str = "\"}";

impl Hole {
    /// The URI it links to.
    fn uri<'b>(&self, body: &'b [u8]) -> Option<&'b str> {
        let uri = body.get(self.at + BEFORE.len()..self.end - AFTER.len())?;
        std::str::from_utf8(uri).ok()
    }
}

impl Exchange<'_> {
    /// The resource with what `expand` puts in place of its links; `None`
    /// where that takes more than putting bytes together.
    pub(super) fn spliced(
        &self,
        expand: Expand,
        rendered: &Arc<Rendered>,
    ) -> Result<Option<Vec<u8>>, Error> {
        if rendered.members > EXPANDED_PAGE {
            return Ok(None);
        }
        let mut splice = Splice {
            exchange: self,
            expand,
            room: Room::default(),
            sources: Vec::new(),
            pieces: Vec::new(),
        };
        let whole = splice.put(rendered, expand.levels())?;
        Ok(whole.then(|| splice.bytes()))
    }
}

/// An `$expand` under way.
struct Splice<'a> {
    exchange: &'a Exchange<'a>,
    expand: Expand,
    room: Room,
    sources: Vec<Arc<Rendered>>,
    /// What goes out, as places in the bodies of the sources.
    pieces: Vec<(usize, Range<usize>)>,
}

impl Splice<'_> {
    /// Puts a resource in, with `levels` of what it links to; false where a
    /// collection does not fit in whole.
    fn put(&mut self, it: &Arc<Rendered>, levels: u32) -> Result<bool, Error> {
        let source = self.sources.len();
        self.sources.push(Arc::clone(it));
        let body = &*it.body;
        let mut from = 0;
        if levels > 0 {
            for hole in &it.holes {
                let Some(found) = self.found(hole, body) else { continue };
                if found.members > EXPANDED_PAGE {
                    return Ok(false);
                }
                self.room.take()?;
                self.pieces.push((source, from..hole.at));
                if !self.put(&found, levels - 1)? {
                    return Ok(false);
                }
                from = hole.end;
            }
        }
        self.pieces.push((source, from..body.len()));
        Ok(true)
    }

    /// What belongs into `hole`, if it is asked for and may be seen.
    fn found(&self, hole: &Hole, body: &[u8]) -> Option<Arc<Rendered>> {
        if !self.expand.wants(hole.related) {
            return None;
        }
        let uri = hole.uri(body)?;
        let entry = hole.entry.get_or_init(|| {
            let path = uri.strip_suffix('/').unwrap_or(uri);
            match self.exchange.service.routes.find(path)? {
                (Route::Resource(entry), _) => Some(entry),
                _ => None,
            }
        });
        self.exchange.seen_again((*entry)?, uri)
    }

    /// All pieces, put together.
    fn bytes(&self) -> Vec<u8> {
        let length = self.pieces.iter().map(|(_, range)| range.len()).sum();
        let mut bytes = Vec::with_capacity(length);
        for (source, range) in &self.pieces {
            let source = self.sources.get(*source);
            let piece = source.and_then(|it| it.body.get(range.clone()));
            bytes.extend_from_slice(piece.unwrap_or_default());
        }
        bytes
    }
}

/// The bytes of `body`, and the links in them.
pub(super) fn write(body: &Map<String, Value>) -> (Vec<u8>, Vec<Hole>) {
    let mut writer = Writer::default();
    writer.object(body, Place::Top);
    (writer.bytes, writer.holes)
}

/// Where a value stands, as `$expand` sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In an annotation or in actions, which link to no resource.
    Outside,
    Top,
    Inside,
    Links,
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
}

impl Writer {
    fn object(&mut self, object: &Map<String, Value>, place: Place) {
        self.bytes.push(b'{');
        for (index, (name, value)) in object.iter().enumerate() {
            if index > 0 {
                self.bytes.push(b',');
            }
            self.leaf(name);
            self.bytes.push(b':');
            let inner = match (name.as_str(), place) {
                (_, Place::Outside) | ("Actions", _) => Place::Outside,
                (name, _) if name.starts_with('@') => Place::Outside,
                ("Links", Place::Top) | (_, Place::Links) => Place::Links,
                _ => Place::Inside,
            };
            self.value(value, inner);
        }
        self.bytes.push(b'}');
    }

    fn value(&mut self, value: &Value, place: Place) {
        match value {
            Value::Array(values) => {
                self.bytes.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        self.bytes.push(b',');
                    }
                    self.value(value, place);
                }
                self.bytes.push(b']');
            }
            Value::Object(object) => {
                let at = self.bytes.len();
                // A member may be in place without having been asked for.
                let whole = object.contains_key("@odata.type")
                    && object.contains_key("@odata.id");
                let top = whole && place != Place::Outside;
                self.object(object, if top { Place::Top } else { place });
                if place != Place::Outside && link(value).is_some() {
                    let end = self.bytes.len();
                    let related = place == Place::Links;
                    let entry = OnceLock::new();
                    self.holes.push(Hole { at, end, related, entry });
                }
            }
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&mut self, leaf: &(impl serde::Serialize + ?Sized)) {
        // Memory takes everything.
        let _ = serde_json::to_writer(&mut self.bytes, leaf);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_object_and_the_links_are_found() {
        let body = json!({
            "@odata.id": "/a",
            "Name": "\u{10ffff} \"quoted\" {\"@odata.id\":\"/no\"}",
            "Number": 0.1, "Null": null, "Empty": {}, "None": [],
            "@Redfish.Settings": {"SettingsObject": {"@odata.id": "/no"}},
            "Actions": {"#A.B": {"target": "/a", "Oem": {"@odata.id": "/no"}}},
            "Sub": {"@odata.id": "/b"},
            "Links": {"Other": [{"@odata.id": "/o"}], "Text": "/no"},
            "Deep": {"Links": {"@odata.id": "/d"}},
        });
        let Value::Object(body) = body else { unreachable!() };
        let (bytes, holes) = write(&body);
        assert_eq!(bytes, serde_json::to_vec(&body).unwrap());
        let found: Vec<_> = holes
            .iter()
            .map(|hole| (hole.uri(&bytes).unwrap(), hole.related))
            .collect();
        assert_eq!(found, [("/b", false), ("/o", true), ("/d", false)]);
    }
}
