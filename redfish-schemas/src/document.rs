//! Documents about the service, and where DMTF publishes what it refers to.

use crate::{csdl, message};
use serde_json::{Value, json};

/// The `$metadata` document, `application/xml`.
pub const METADATA: &str =
    include_str!(concat!(env!("OUT_DIR"), "/metadata.xml"));

/// Where DMTF publishes the schemas.
pub const PUBLISHED: &str = "http://redfish.dmtf.org/schemas/v1";

/// Where the service serves the schemas that are ours.
pub const STORE: &str = "/redfish/v1/SchemaStore";

macro_rules! own {
    ($($file:literal)*) => {
        /// The schemas that are ours, by URI.
        pub const OWN: &[(&str, &str)] = &[$((
            concat!("/redfish/v1/SchemaStore/", $file),
            include_str!(concat!("../oem/", $file)),
        ),)*];
    };
}

own! {
    "OnPremChassis_v1.xml"
    "OnPremChassis.v1_0_0.json"
    "OnPremComputerSystem_v1.xml"
    "OnPremComputerSystem.v1_0_0.json"
    "OnPremControl_v1.xml"
    "OnPremControl.v1_0_0.json"
    "OnPremFabric_v1.xml"
    "OnPremFabric.v1_0_0.json"
    "OnPremManager_v1.xml"
    "OnPremManager.v1_0_0.json"
    "OnPremNetworkAdapter_v1.xml"
    "OnPremNetworkAdapter.v1_0_0.json"
    "OnPremPort_v1.xml"
    "OnPremPort.v1_0_0.json"
    "OnPremTelemetryData_v1.xml"
    "OnPremTelemetryData.v1_0_0.json"
}

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
    /// Where it is published: by DMTF, or by the service itself.
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
    let own = csdl::oem_types().iter().map(|it| {
        let (namespace, _) = it.name.rsplit_once('.').unwrap_or_default();
        let (id, _) = namespace.split_once('.').unwrap_or_default();
        Published {
            id: id.to_owned(),
            name: format!("#{}", it.name),
            uri: format!("{STORE}/{namespace}.json"),
            languages: &LANGUAGES,
        }
    });
    csdl::types().iter().map(published).chain(own).collect()
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
    fn our_schemas_say_the_same_in_both_languages_and_are_referred_to() {
        for of in csdl::oem_types() {
            let (namespace, name) = of.name.rsplit_once('.').unwrap();
            let (family, _) = namespace.split_once('.').unwrap();
            let at = |end: &str| {
                let uri = format!("{STORE}/{end}");
                let found = OWN.iter().find(|(own, _)| *own == uri);
                found.unwrap_or_else(|| panic!("no {uri}")).1
            };
            let xml = format!("{family}_v1.xml");
            assert!(at(&xml).contains(&format!("Namespace=\"{namespace}\"")));
            assert!(METADATA.contains(&format!("Uri=\"{STORE}/{xml}\"")));
            let json: Value =
                serde_json::from_str(at(&format!("{namespace}.json"))).unwrap();
            let mut ahead = vec![(name.to_owned(), *of)];
            while let Some((name, object)) = ahead.pop() {
                let listed = &json["definitions"][&name]["properties"];
                let listed = listed.as_object().unwrap();
                for property in object.properties {
                    assert!(listed.contains_key(property.name()), "{name}");
                    if let csdl::Kind::Object(inner) = property.kind {
                        let local = inner.name.rsplit('.').next().unwrap();
                        ahead.push((local.to_owned(), inner));
                    }
                }
                assert_eq!(listed.len(), object.properties.len(), "{name}");
            }
        }
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
