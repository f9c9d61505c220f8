//! The rules of each served type as Rust statics.

use crate::{
    Result,
    csdl::{Csdl, local},
    xml::Element,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Statics for the types, and the objects and enums they need.
pub(crate) fn generate(
    csdl: &mut Csdl,
    roots: &[String],
    oem: &[String],
) -> Result<String> {
    let mut tables = Tables {
        csdl,
        objects: BTreeMap::new(),
        enums: BTreeSet::new(),
        old_values: BTreeMap::new(),
        words: Words::default(),
        limits: Vec::new(),
        links: BTreeSet::new(),
    };
    let mut types = String::new();
    let mut uris = Vec::new();
    let mut source = String::new();
    for root in roots {
        let (row, patterns) = tables.resource(root)?;
        let name = ident("T", root);
        writeln!(source, "static {name}: Type = {row};")?;
        write!(types, "&{name},")?;
        uris.extend(patterns.into_iter().map(|it| (it, name.clone())));
    }
    uris.sort();
    writeln!(source, "static TYPES: &[&Type] = &[{types}];")?;
    write!(source, "static RESOURCES: &[Resource] = &[")?;
    for (pattern, name) in uris {
        write!(source, "Resource {{ pattern: {pattern:?}, of: &{name} }},")?;
    }
    source.push_str("];\n");
    let message = tables.csdl.newest("Message.v1_0_0.Message")?;
    let message = tables.object(&message, None)?;
    writeln!(source, "static MESSAGE: &Object = &{message};")?;
    let mut own = String::new();
    for name in oem {
        write!(own, "&{},", tables.object(name, None)?)?;
    }
    writeln!(source, "static OEM: &[&Object] = &[{own}];")?;
    let mut own = String::new();
    for name in oem {
        let family = name.split('.').next().unwrap_or_default();
        own.push_str(&tables.actions(family)?);
    }
    writeln!(source, "static OEM_ACTIONS: &[Action] = &[{own}];")?;
    for (name, body) in &tables.objects {
        let body = body.as_deref().unwrap_or_default();
        writeln!(source, "static {}: Object = {body};", ident("O", name))?;
    }
    writeln!(source, "static WORDS: &str = {:?};", tables.words.text)?;
    for (index, body) in tables.limits.iter().enumerate() {
        writeln!(source, "static LIMITS_{index}: Limits = {body};")?;
    }
    for name in &tables.links {
        writeln!(source, "static {}: &str = {name:?};", ident("L", name))?;
    }
    for (name, members) in &tables.enums {
        writeln!(source, "static {name}: &[&str] = &{members:?};")?;
    }
    write!(source, "static OLD_VALUES: &[(&[&str], &[&str])] = &[")?;
    for (name, members) in &tables.old_values {
        write!(source, "({name}, &{members:?}),")?;
    }
    source.push_str("];\n");
    Ok(source)
}

struct Tables<'a> {
    csdl: &'a mut Csdl,
    /// By qualified name; no body yet while it is being made.
    objects: BTreeMap<String, Option<String>>,
    enums: BTreeSet<(String, Vec<String>)>,
    /// The members that the schema advises against, by the enum's static.
    old_values: BTreeMap<String, Vec<String>>,
    words: Words,
    /// The bodies of the limits that there are, and who is linked to.
    limits: Vec<String>,
    links: BTreeSet<String>,
}

/// The names of properties, one after the other.
#[derive(Default)]
struct Words {
    text: String,
    places: BTreeMap<String, usize>,
}

impl Words {
    fn put(&mut self, word: &str) -> String {
        let start = *self.places.entry(word.to_owned()).or_insert_with(|| {
            let start = self.text.len();
            self.text.push_str(word);
            start
        });
        format!("Word {{ start: {start}, length: {} }}", word.len())
    }
}

impl Tables<'_> {
    /// The row of a resource type, and where it lives.
    fn resource(&mut self, root: &str) -> Result<(String, Vec<String>)> {
        let name = self.csdl.newest_resource(root)?;
        let lineage = self.csdl.lineage(&name)?;
        let object = self.object(&name, None)?;
        let mut patterns = Vec::new();
        let mut capabilities = [false; 3];
        for definition in &lineage {
            if let Some(uris) = definition.annotation("Redfish.Uris") {
                let uris = uris.descendants("String");
                patterns = uris.iter().map(|it| it.text.clone()).collect();
            }
            for (kind, may) in
                ["Insert", "Update", "Delete"].iter().zip(&mut capabilities)
            {
                let term = format!("Capabilities.{kind}Restrictions");
                if let Some(restrictions) = definition.annotation(&term) {
                    let values = restrictions.descendants("PropertyValue");
                    *may =
                        values.iter().any(|it| it.get("Bool") == Some("true"));
                }
            }
        }
        let mut deprecated = Vec::new();
        for definition in &lineage {
            if let Some(uris) = definition.annotation("Redfish.DeprecatedUris")
            {
                let uris = uris.descendants("String");
                deprecated.extend(uris.iter().map(|it| it.text.clone()));
            }
        }
        patterns.retain(|pattern| !deprecated.contains(pattern));
        let actions = self.actions(root)?;
        let [insertable, updatable, deletable] = capabilities;
        let row = format!(
            "Type {{ name: {root:?}, qualified_name: {name:?}, object: &{object}, \
             uris: &{patterns:?}, insertable: {insertable}, updatable: {updatable}, \
             deletable: {deletable}, actions: &[{actions}] }}"
        );
        Ok((row, patterns))
    }

    /// The rows of the actions of a schema.
    fn actions(&mut self, family: &str) -> Result<String> {
        let mut actions = String::new();
        for action in self.csdl.actions(family) {
            let label = action.get("Name").unwrap_or_default();
            let mut parameters = String::new();
            // The first parameter is what the action is bound to.
            for parameter in action.all("Parameter").skip(1) {
                parameters.push_str(&self.property(parameter, true)?);
            }
            write!(
                actions,
                "Action {{ name: \"{family}.{label}\", parameters: &[{parameters}] }},"
            )?;
        }
        Ok(actions)
    }

    /// The static of an object type, or of an excerpt of it.
    fn object(&mut self, name: &str, excerpt: Option<&str>) -> Result<String> {
        let key = match excerpt {
            Some(excerpt) => format!("{name}.{excerpt}Excerpt"),
            None => name.to_owned(),
        };
        if !self.objects.contains_key(&key) {
            self.objects.insert(key.clone(), None);
            let body = self.object_body(name, excerpt)?;
            self.objects.insert(key.clone(), Some(body));
        }
        Ok(ident("O", &key))
    }

    fn object_body(
        &mut self,
        name: &str,
        excerpt: Option<&str>,
    ) -> Result<String> {
        let lineage = self.csdl.lineage(name)?;
        let mut open = false;
        let mut pattern = false;
        let mut properties = BTreeMap::new();
        for definition in &lineage {
            if let Some(additional) =
                definition.annotation("OData.AdditionalProperties")
            {
                open = additional.get("Bool") == Some("true");
            }
            pattern |= definition
                .annotation("Redfish.DynamicPropertyPatterns")
                .is_some();
            let own = definition.all("Property");
            for property in own.chain(definition.all("NavigationProperty")) {
                if !selected(property, excerpt) {
                    continue;
                }
                let label = property.get("Name").unwrap_or_default();
                properties
                    .insert(label.to_owned(), self.property(property, false)?);
            }
        }
        let open = open || pattern;
        let properties: String = properties.into_values().collect();
        Ok(format!(
            "Object {{ name: {name:?}, open: {open}, properties: &[{properties}] }}"
        ))
    }

    /// The row of a property or of an action's parameter.
    fn property(
        &mut self,
        property: &Element,
        parameter: bool,
    ) -> Result<String> {
        let name = property.get("Name").unwrap_or_default();
        let declared = property.get("Type").unwrap_or_default();
        let nullable = property.get("Nullable") != Some("false");
        let (declared, collection) = match declared.strip_prefix("Collection(")
        {
            Some(inner) => (inner.trim_end_matches(')'), true),
            None => (declared, false),
        };
        let mut limits = Limits::default();
        limits.read(property);
        let kind = if property.name == "NavigationProperty" {
            self.navigation(property, declared)?
        } else {
            self.kind(declared, &mut limits)?
        };
        let required = if parameter {
            !nullable
        } else {
            property.annotation("Redfish.Required").is_some()
        };
        let on_create =
            property.annotation("Redfish.RequiredOnCreate").is_some();
        let permission = permission(property, &kind, parameter);
        let deprecated = deprecated(property);
        let excerpt = property.annotation("Redfish.Excerpt").is_some();
        let name = self.words.put(name);
        let limits = self.limits(&limits);
        Ok(format!(
            "Property {{ name: {name}, kind: {kind}, collection: {collection}, \
             nullable: {nullable}, required: {required}, required_on_create: {on_create}, \
             permission: Permission::{permission}, limits: {limits}, \
             deprecated: {deprecated}, excerpt: {excerpt} }},\n"
        ))
    }

    /// The static of these limits, if there are any.
    fn limits(&mut self, limits: &Limits) -> String {
        let Limits { minimum, maximum, pattern } = limits;
        if *limits == Limits::default() {
            return "None".to_owned();
        }
        let body = format!(
            "Limits {{ minimum: {minimum:?}, maximum: {maximum:?}, pattern: {pattern:?} }}"
        );
        let known = self.limits.iter().position(|it| *it == body);
        let index = known.unwrap_or_else(|| {
            self.limits.push(body);
            self.limits.len() - 1
        });
        format!("Some(&LIMITS_{index})")
    }

    fn link(&mut self, target: &str) -> String {
        let name = local(target).to_owned();
        let kind = format!("Kind::Link(&{})", ident("L", &name));
        self.links.insert(name);
        kind
    }

    fn navigation(
        &mut self,
        property: &Element,
        target: &str,
    ) -> Result<String> {
        if let Some(excerpt) = property.annotation("Redfish.ExcerptCopy") {
            let name = self.csdl.newest(target)?;
            let key = excerpt.get("String").unwrap_or_default();
            return Ok(format!(
                "Kind::Excerpt(&{})",
                self.object(&name, Some(key))?
            ));
        }
        if property.annotation("OData.AutoExpand").is_some() {
            let name = self.csdl.newest(target)?;
            return Ok(format!("Kind::Object(&{})", self.object(&name, None)?));
        }
        Ok(self.link(target))
    }

    fn kind(&mut self, name: &str, limits: &mut Limits) -> Result<String> {
        if let Some(primitive) = name.strip_prefix("Edm.") {
            return Ok(match primitive {
                "Boolean" => "Kind::Boolean",
                "DateTimeOffset" => "Kind::Time",
                "Decimal" | "Double" | "Single" => "Kind::Number",
                "Duration" => "Kind::Duration",
                "Guid" => "Kind::Uuid",
                "Int16" | "Int32" | "Int64" => "Kind::Integer",
                "String" => "Kind::Text",
                _ => "Kind::Primitive",
            }
            .to_owned());
        }
        let definition = self.csdl.definition(name)?;
        match definition.name.as_str() {
            "EnumType" => {
                let members = definition.all("Member");
                let members = members.filter_map(|it| {
                    Some((it.get("Name")?.to_owned(), deprecated(it)))
                });
                Ok(self.members(name, members.collect()))
            }
            "TypeDefinition" => {
                if let Some(list) = definition.annotation("Redfish.Enumeration")
                {
                    let records = list.descendants("Record");
                    let members = records.iter().filter_map(|record| {
                        let mut values = record.all("PropertyValue");
                        let member = values
                            .find(|it| it.get("Property") == Some("Member"))?;
                        let text = member.get("String")?.to_owned();
                        Some((text, deprecated(record)))
                    });
                    return Ok(self.members(name, members.collect()));
                }
                limits.read(&definition);
                let underlying =
                    definition.get("UnderlyingType").unwrap_or_default();
                self.kind(underlying, limits)
            }
            "EntityType" => Ok(self.link(name)),
            _ => {
                let name = self.csdl.newest(name)?;
                Ok(format!("Kind::Object(&{})", self.object(&name, None)?))
            }
        }
    }

    /// The kind of an enum, by its members and whether each is deprecated.
    fn members(&mut self, name: &str, members: Vec<(String, bool)>) -> String {
        let ident = ident("E", name);
        let kind = format!("Kind::Enum(&{ident})");
        let old = members.iter().filter(|(_, old)| *old);
        let old: Vec<_> = old.map(|(name, _)| name.clone()).collect();
        if !old.is_empty() {
            self.old_values.insert(ident.clone(), old);
        }
        let members = members.into_iter().map(|(name, _)| name).collect();
        self.enums.insert((ident, members));
        kind
    }
}

#[derive(Debug, Default, PartialEq)]
struct Limits {
    minimum: Option<f64>,
    maximum: Option<f64>,
    pattern: Option<String>,
}

impl Limits {
    fn read(&mut self, annotated: &Element) {
        let number = |term| {
            let annotation: &Element = annotated.annotation(term)?;
            annotation.get("Int").or(annotation.get("Decimal"))?.parse().ok()
        };
        self.minimum = self.minimum.or_else(|| number("Validation.Minimum"));
        self.maximum = self.maximum.or_else(|| number("Validation.Maximum"));
        if let Some(pattern) = annotated.annotation("Validation.Pattern") {
            self.pattern = pattern.get("String").map(str::to_owned);
        }
    }
}

/// Whether a property is part of the resource, or of the named excerpt of it.
fn selected(property: &Element, excerpt: Option<&str>) -> bool {
    let only = property.annotation("Redfish.ExcerptCopyOnly").is_some();
    let Some(excerpt) = excerpt else { return !only };
    let Some(annotation) = property.annotation("Redfish.Excerpt") else {
        return only;
    };
    match annotation.get("String") {
        None => true,
        Some(keys) => keys.split(',').any(|key| key.trim() == excerpt),
    }
}

/// An object without a permission of its own leaves it to what is inside.
fn permission(property: &Element, kind: &str, parameter: bool) -> &'static str {
    let annotation = property.annotation("OData.Permissions");
    match annotation.and_then(|it| it.get("EnumMember")) {
        _ if parameter => "ReadWrite",
        Some("OData.Permission/ReadWrite") => "ReadWrite",
        Some("OData.Permission/Write") => "Write",
        None if kind.starts_with("Kind::Object") => "ReadWrite",
        _ => "Read",
    }
}

fn deprecated(property: &Element) -> bool {
    let Some(revisions) = property.annotation("Redfish.Revisions") else {
        return false;
    };
    let kinds = revisions.descendants("PropertyValue");
    kinds.iter().any(|it| {
        it.get("EnumMember") == Some("Redfish.RevisionKind/Deprecated")
    })
}

/// The name of a static.
fn ident(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.replace('.', "_").to_uppercase())
}
