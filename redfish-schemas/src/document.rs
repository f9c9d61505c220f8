//! Documents about the service, and where DMTF publishes what it refers to.

use crate::{csdl, message};
use serde_json::{Value, json};

/// The `$metadata` document, `application/xml`.
pub const METADATA: &str =
    include_str!(concat!(env!("OUT_DIR"), "/metadata.xml"));

/// Where DMTF publishes the schemas.
pub const PUBLISHED: &str = "http://redfish.dmtf.org/schemas/v1";

/// The protocol version the service keeps to, for `RedfishVersion`.
pub const REDFISH_VERSION: &str = "1.20.0";

const LANGUAGES: [&str; 1] = ["en"];

/// The OData service document: what the service root leads to, by name and URI.
#[must_use]
pub fn odata(entries: &[(&str, &str)]) -> Value {
    let entry = |(name, url): &(&str, &str)| json!({"name": name, "kind": "Singleton", "url": url});
    json!({
        "@odata.context": "/redfish/v1/$metadata",
        "value": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// A published schema or registry, as `JsonSchemaFile` and
/// `MessageRegistryFile` describe one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The id of the file resource, `ComputerSystem` or `Base.1.22.1`.
    pub id: String,
    /// `#ComputerSystem.v1_28_0.ComputerSystem`, or `Base.1.22`.
    pub name: String,
    /// Where DMTF publishes it.
    pub uri: String,
    /// The languages it is published in.
    pub languages: &'static [&'static str],
}

/// The schemas of the served types.
#[must_use]
pub fn schemas() -> Vec<Published> {
    let published = |it: &&csdl::Type| Published {
        id: it.name.to_owned(),
        name: it.odata_type(),
        uri: it.schema_uri(),
        languages: &LANGUAGES,
    };
    csdl::types().iter().map(published).collect()
}

/// The message registries in use.
#[must_use]
pub fn registries() -> Vec<Published> {
    let published = |it: &message::Registry| {
        let short =
            it.version.rsplit_once('.').map_or(it.version, |(it, _)| it);
        Published {
            id: format!("{}.{}", it.name, it.version),
            name: format!("{}.{short}", it.name),
            uri: format!(
                "https://redfish.dmtf.org/registries/{}.{}.json",
                it.name, it.version
            ),
            languages: &LANGUAGES,
        }
    };
    message::REGISTRIES.iter().map(published).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_each_served_schema_and_one_container() {
        for served in csdl::types() {
            let file = format!("/{}_v1.xml", served.name);
            assert!(METADATA.contains(&file), "{file}");
            let (namespace, _) =
                served.qualified_name.rsplit_once('.').unwrap();
            let include = format!("Namespace=\"{namespace}\"");
            assert!(METADATA.contains(&include), "{include}");
        }
        let (_, services) = METADATA.split_once("<edmx:DataServices>").unwrap();
        let (_, schema) = services.split_once("<Schema ").unwrap();
        let (first, _) = schema.split_once("</Schema>").unwrap();
        assert!(first.contains("<EntityContainer "));
    }

    #[test]
    fn registries_are_where_dmtf_publishes_them() {
        let base =
            registries().into_iter().find(|it| it.id.starts_with("Base"));
        let base = base.unwrap();
        assert_eq!(base.name, "Base.1.22");
        let uri = "https://redfish.dmtf.org/registries/Base.1.22.1.json";
        assert_eq!(base.uri, uri);
    }
}
