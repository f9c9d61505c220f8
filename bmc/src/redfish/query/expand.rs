//! `$expand`: what a resource links to, put in place of the link (DSP0266,
//! "The $expand query parameter").

use http::StatusCode;
use onprem_redfish::message::base;
use serde_json::{Map, Value};

use super::{
    Error, Source, format_error,
    page::{EXPANDED_PAGE, Page},
};

/// How deep `$expand` may go.
pub(crate) const MAX_LEVELS: u32 = 6;
/// How many resources one `$expand` may put together.
pub(super) const MAX_EXPANDED: usize = 1024;

/// What to put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expand {
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

impl Expand {
    /// Reads the value of the parameter `name`.
    pub(super) fn parse(value: &str, name: &str) -> Result<Self, Error> {
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
            let message =
                base::query_parameter_out_of_range(value, name, range);
            return Err(Error::bad(vec![message]));
        }
        Ok(Self { what, levels })
    }

    /// How deep it goes.
    pub(crate) fn levels(self) -> u32 {
        self.levels
    }

    /// Is it about links that stand in `Links` (`related`), or elsewhere?
    pub(crate) fn wants(self, related: bool) -> bool {
        match self.what {
            Links::All => true,
            Links::Related => related,
            Links::Subordinate => !related,
        }
    }

    /// Replaces the links in `body` by what they lead to.
    pub(super) fn apply(
        self,
        body: &mut Map<String, Value>,
        source: &dyn Source,
    ) -> Result<(), Error> {
        let mut expansion =
            Expansion { expand: self, source, room: Room::default() };
        expansion.object(body, self.levels, Place::Top)
    }
}

/// How many resources may still be put in.
pub(crate) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MAX_EXPANDED)
    }
}

impl Room {
    /// Takes a place.
    ///
    /// # Errors
    /// There is none: 507.
    pub(crate) fn take(&mut self) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or_else(too_much)?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Inside,
    Links,
}

/// An `$expand` under way.
struct Expansion<'a> {
    expand: Expand,
    source: &'a dyn Source,
    room: Room,
}

impl Expansion<'_> {
    fn object(
        &mut self,
        object: &mut Map<String, Value>,
        levels: u32,
        place: Place,
    ) -> Result<(), Error> {
        for (name, value) in object.iter_mut() {
            // Annotations and actions link to no resource.
            if name.starts_with('@') || name == "Actions" {
                continue;
            }
            let inner = match (name.as_str(), place) {
                ("Links", Place::Top) | (_, Place::Links) => Place::Links,
                _ => Place::Inside,
            };
            self.value(value, levels, inner)?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        value: &mut Value,
        levels: u32,
        place: Place,
    ) -> Result<(), Error> {
        let wanted = self.expand.wants(place == Place::Links);
        if let Some(uri) = link(value) {
            if wanted && let Some(mut found) = self.source.fetch(uri) {
                self.room.take()?;
                let members = found.get("Members").and_then(Value::as_array);
                if members.is_some_and(|it| it.len() > EXPANDED_PAGE) {
                    page(uri).cut(&mut found);
                }
                if levels > 1 {
                    self.object(&mut found, levels - 1, Place::Top)?;
                }
                *value = Value::Object(found);
            }
            return Ok(());
        }
        match value {
            Value::Array(values) => values
                .iter_mut()
                .try_for_each(|value| self.value(value, levels, place)),
            Value::Object(object) => {
                // A member may be in place without having been asked for.
                let whole = object.contains_key("@odata.type")
                    && object.contains_key("@odata.id");
                let place = if whole { Place::Top } else { place };
                self.object(object, levels, place)
            }
            _ => Ok(()),
        }
    }
}

/// As much as is put in place of a collection.
fn page(path: &str) -> Page<'_> {
    Page { skip: 0, top: None, limit: EXPANDED_PAGE, path, others: "" }
}

/// DSP0266: an answer that is too large is 507.
fn too_much() -> Error {
    let message = base::insufficient_storage().resolved_by(format!(
        "Ask for fewer levels: one answer holds up to {MAX_EXPANDED} resources."
    ));
    Error::new(StatusCode::INSUFFICIENT_STORAGE, message)
}

/// The URI, where `value` is a link and nothing but a link.
pub(crate) fn link(value: &Value) -> Option<&str> {
    let object = value.as_object()?;
    if object.len() != 1 {
        return None;
    }
    object.get("@odata.id")?.as_str()
}
