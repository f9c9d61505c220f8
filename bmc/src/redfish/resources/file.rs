//! `MessageRegistryFile` and `JsonSchemaFile`: where DMTF publishes them.

use onprem_redfish::{
    document::{self, Published},
    schema::{
        json_schema_file::{self, JsonSchemaFile, JsonSchemaFileRequired},
        message_registry_file::{
            self, MessageRegistryFile, MessageRegistryFileRequired,
        },
    },
};

use crate::redfish::{
    resource::{Answer, Freshness, Resource, View, answer},
    uri,
};

/// `/redfish/v1/Registries/{MessageRegistryFileId}`
pub(crate) struct Registry;

impl Resource for Registry {
    fn uri(&self) -> &'static str {
        uri::REGISTRY
    }

    fn kind(&self) -> &'static str {
        "MessageRegistryFile"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Static
    }

    fn get(&self, _: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = named(document::registries(), ids)?;
        let location = it.languages.iter().map(|language| {
            message_registry_file::Location::new()
                .language(*language)
                .publication_uri(&*it.uri)
        });
        let body = MessageRegistryFile::new(MessageRegistryFileRequired {
            odata_id: String::new(),
            id: it.id.clone(),
            name: format!("{} message registry", it.name),
            languages: languages(&it),
            registry: it.name.clone(),
            location: location.collect(),
        });
        Some(answer(body))
    }
}

/// `/redfish/v1/JsonSchemas/{JsonSchemaFileId}`
pub(crate) struct Schema;

impl Resource for Schema {
    fn uri(&self) -> &'static str {
        uri::SCHEMA
    }

    fn kind(&self) -> &'static str {
        "JsonSchemaFile"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Static
    }

    fn get(&self, _: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = named(document::schemas(), ids)?;
        let location = it.languages.iter().map(|language| {
            let at = json_schema_file::Location::new().language(*language);
            if it.uri.starts_with(document::STORE) {
                at.uri(&*it.uri)
            } else {
                at.publication_uri(&*it.uri)
            }
        });
        let body = JsonSchemaFile::new(JsonSchemaFileRequired {
            odata_id: String::new(),
            id: it.id.clone(),
            name: format!("{} schema", it.id),
            languages: languages(&it),
            schema: it.name.clone(),
            location: location.collect(),
        });
        Some(answer(body))
    }
}

fn named(all: Vec<Published>, ids: &[&str]) -> Option<Published> {
    let id = ids.first()?;
    all.into_iter().find(|published| published.id == *id)
}

fn languages(of: &Published) -> Vec<String> {
    of.languages.iter().map(|&language| language.to_owned()).collect()
}
