//! What each served type may contain, as the newest CSDL has it.

/// A resource type.
#[derive(Debug)]
pub struct Type {
    /// The name of the schema, `ComputerSystem`.
    pub name: &'static str,
    /// With its version, `ComputerSystem.v1_28_0.ComputerSystem`.
    pub qualified_name: &'static str,
    /// The properties.
    pub object: &'static Object,
    /// Where resources of the type may live, `{…}` for an id.
    pub uris: &'static [&'static str],
    /// Whether the schema allows a POST that makes a member.
    pub insertable: bool,
    /// Whether the schema allows PATCH.
    pub updatable: bool,
    /// Whether the schema allows DELETE.
    pub deletable: bool,
    /// The actions the schema knows.
    pub actions: &'static [Action],
}

/// A resource, or an object within one.
#[derive(Debug)]
pub struct Object {
    /// The qualified name of its type.
    pub name: &'static str,
    /// Whether properties beside those listed are allowed.
    pub open: bool,
    /// The properties, by name.
    pub properties: &'static [Property],
}

/// A property, or a parameter of an action.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the schema, each with its CSDL name"
)]
pub struct Property {
    pub(crate) name: Word,
    /// What a value, or each element of a collection, is.
    pub kind: Kind,
    /// Whether the value is an array.
    pub collection: bool,
    /// Whether a value may be null.
    pub nullable: bool,
    /// Whether an answer must have it; of a parameter, whether a request must.
    pub required: bool,
    /// Whether a POST that makes the resource must have it.
    pub required_on_create: bool,
    pub permission: Permission,
    pub(crate) limits: Option<&'static Limits>,
    /// Whether the schema advises against it.
    pub deprecated: bool,
    /// Whether it belongs to some excerpt of its resource.
    pub excerpt: bool,
}

/// What few values are limited by.
#[derive(Debug)]
pub(crate) struct Limits {
    minimum: Option<f64>,
    maximum: Option<f64>,
    pattern: Option<&'static str>,
}

/// A word, by its place among all of them: there are thousands, and each
/// reference would be one more to relocate when the program starts.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    start: u16,
    length: u8,
}

impl Word {
    fn text(self) -> &'static str {
        let start = usize::from(self.start);
        let end = start + usize::from(self.length);
        WORDS.get(start..end).unwrap_or_default()
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text().fmt(f)
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    /// RFC 3339 with a zone.
    Time,
    /// ISO 8601.
    Duration,
    Uuid,
    /// Text, a number or a boolean.
    Primitive,
    /// One of these texts.
    Enum(&'static &'static [&'static str]),
    /// An object in place.
    Object(&'static Object),
    /// A copy of the main properties of another resource.
    Excerpt(&'static Object),
    /// An `@odata.id` to a resource of this type.
    Link(&'static &'static str),
}

/// What a client may do with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Read,
    ReadWrite,
    /// Answers show it as null.
    Write,
}

/// An action of a type.
#[derive(Debug)]
pub struct Action {
    /// `ComputerSystem.Reset`.
    pub name: &'static str,
    pub parameters: &'static [Property],
}

/// A place where resources of a type live.
#[derive(Debug)]
pub struct Resource {
    /// `/redfish/v1/Systems/{ComputerSystemId}`.
    pub pattern: &'static str,
    /// The type of the resources that live here.
    pub of: &'static Type,
}

include!(concat!(env!("OUT_DIR"), "/csdl.rs"));

/// All served types, by name.
#[must_use]
pub fn types() -> &'static [&'static Type] {
    TYPES
}

/// The types of our own that objects under `Oem` have.
#[must_use]
pub fn oem_types() -> &'static [&'static Object] {
    OEM
}

/// The served type with this name.
#[must_use]
pub fn type_named(name: &str) -> Option<&'static Type> {
    TYPES.iter().copied().find(|it| it.name == name)
}

/// All places where served types may live, by pattern.
#[must_use]
pub fn resources() -> &'static [Resource] {
    RESOURCES
}

/// The place whose pattern fits a path, without its query.
#[must_use]
pub fn resource_at(path: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|it| fits(it.pattern, path))
}

/// The `@odata.type` of a member of `@Message.ExtendedInfo`.
pub(crate) fn message_type() -> String {
    format!("#{}", MESSAGE.name)
}

/// The place with exactly this pattern, whatever its ids are called.
pub(crate) fn place(pattern: &str) -> Option<&'static Resource> {
    let exact = RESOURCES.iter().find(|it| it.pattern == pattern);
    exact.or_else(|| resource_at(pattern))
}

impl Type {
    /// `#ComputerSystem.v1_28_0.ComputerSystem`.
    #[must_use]
    pub fn odata_type(&self) -> String {
        format!("#{}", self.qualified_name)
    }

    /// `v1_28_0`; collections have none.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        let mut parts = self.qualified_name.split('.');
        parts.nth(1).filter(|it| it.starts_with('v'))
    }

    /// The JSON schema of exactly this version, for `Link: rel=describedby`.
    #[must_use]
    pub fn schema_uri(&self) -> String {
        let name = self.name;
        match self.version() {
            Some(it) => {
                format!("{}/{name}.{it}.json", crate::document::PUBLISHED)
            }
            None => format!("{}/{name}.json", crate::document::PUBLISHED),
        }
    }

    /// The top-level property with this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        self.object.property(name)
    }

    /// The action with this name, `ComputerSystem.Reset`, or one of our own,
    /// `Oem/OnPremChassis.Capture`.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&'static Action> {
        let Some(own) = name.strip_prefix("Oem/") else {
            return self.actions.iter().find(|it| it.name == name);
        };
        let (family, _) = own.strip_prefix("OnPrem")?.split_once('.')?;
        let mut all = OEM_ACTIONS.iter().filter(|_| family == self.name);
        all.find(|it| it.name == own)
    }
}

impl Object {
    /// The property with this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|it| it.name() == name)
    }
}

impl Property {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name.text()
    }

    /// The least that a number may be.
    #[must_use]
    pub fn minimum(&self) -> Option<f64> {
        self.limits?.minimum
    }

    /// The most that a number may be.
    #[must_use]
    pub fn maximum(&self) -> Option<f64> {
        self.limits?.maximum
    }

    /// A regular expression for the text.
    #[must_use]
    pub fn pattern(&self) -> Option<&'static str> {
        self.limits?.pattern
    }

    /// A property of the object that is this property's value.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        match self.kind {
            Kind::Object(object) | Kind::Excerpt(object) => {
                object.property(name)
            }
            _ => None,
        }
    }

    /// Whether the schema advises against one of the listed values.
    #[must_use]
    pub fn is_deprecated(&self, value: &str) -> bool {
        let members = self.members();
        let old = OLD_VALUES.iter().find(|(of, _)| *of == members);
        old.is_some_and(|(_, old)| old.contains(&value))
    }

    /// The values it can take, where the schema lists them.
    #[must_use]
    pub fn members(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Enum(members) => members,
            _ => &[],
        }
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut segments = path.trim_end_matches('/').split('/');
    let all = pattern.trim_end_matches('/').split('/').all(|expected| {
        segments.next().is_some_and(|found| {
            expected == found || expected.starts_with('{') && !found.is_empty()
        })
    });
    all && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_lives_at_a_path() {
        let at = |path| resource_at(path).map(|it| it.of.name);
        assert_eq!(at("/redfish/v1/"), Some("ServiceRoot"));
        assert_eq!(at("/redfish/v1/Systems/node/"), Some("ComputerSystem"));
        let fan = "/redfish/v1/Chassis/c/ThermalSubsystem/Fans/0";
        assert_eq!(at(fan), Some("Fan"));
        assert_eq!(at("/redfish/v1/Systems//Memory"), None);
        assert_eq!(at("/redfish/v1/Unheard"), None);
    }

    #[test]
    fn names_the_schema_of_exactly_its_version() {
        let fan = type_named("Fan").unwrap();
        let version = fan.version().unwrap();
        assert_eq!(fan.odata_type(), format!("#Fan.{version}.Fan"));
        assert!(fan.schema_uri().ends_with(&format!("/Fan.{version}.json")));
        let fans = type_named("FanCollection").unwrap();
        assert_eq!(fans.odata_type(), "#FanCollection.FanCollection");
        assert!(fans.schema_uri().ends_with("/FanCollection.json"));
    }

    #[test]
    fn an_excerpt_has_the_main_properties_alone() {
        let fan = type_named("Fan").unwrap();
        let speed = fan.property("SpeedPercent").unwrap();
        assert!(speed.property("Reading").is_some());
        assert!(speed.property("SpeedRPM").is_some());
        assert!(speed.property("Thresholds").is_none());
        assert!(speed.property("CrestFactor").is_none());
    }
}
