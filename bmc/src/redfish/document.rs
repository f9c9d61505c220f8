//! Documents that are no resources: versions, `odata`, `$metadata`.

use bytes::Bytes;
use onprem_redfish::document;
use serde_json::json;

/// A document that stays as it is.
pub(crate) struct Document {
    pub(crate) uri: &'static str,
    pub(crate) content_type: &'static str,
    body: Source,
}

/// Where the text of a document comes from.
enum Source {
    Made(fn() -> Bytes),
    Text(&'static str),
}

impl Document {
    /// Its text.
    pub(crate) fn body(&self) -> Bytes {
        match self.body {
            Source::Made(make) => make(),
            Source::Text(text) => Bytes::from_static(text.as_bytes()),
        }
    }

    /// Whether anyone may read it.
    pub(crate) fn is_open(&self) -> bool {
        !self.uri.starts_with(document::STORE)
    }
}

/// The schemas that are ours, as they were written.
pub(crate) fn schemas() -> impl Iterator<Item = Document> {
    document::OWN.iter().map(|(uri, text)| Document {
        uri,
        content_type: if uri.contains("_v1.xml") {
            "application/xml"
        } else {
            "application/json"
        },
        body: Source::Text(text),
    })
}

/// The documents that anyone may read.
pub(crate) static DOCUMENTS: &[Document] = &[
    Document {
        uri: "/redfish",
        content_type: "application/json",
        body: Source::Made(|| {
            json!({ "v1": "/redfish/v1/" }).to_string().into()
        }),
    },
    Document {
        uri: "/redfish/v1/odata",
        content_type: "application/json",
        body: Source::Made(|| document::odata(SERVICES).to_string().into()),
    },
    Document {
        uri: "/redfish/v1/$metadata",
        content_type: "application/xml",
        body: Source::Text(document::METADATA),
    },
];

const SERVICES: &[(&str, &str)] = &[
    ("Service", "/redfish/v1/"),
    ("Systems", "/redfish/v1/Systems"),
    ("Chassis", "/redfish/v1/Chassis"),
    ("Managers", "/redfish/v1/Managers"),
    ("SessionService", "/redfish/v1/SessionService"),
    ("Sessions", "/redfish/v1/SessionService/Sessions"),
    ("AccountService", "/redfish/v1/AccountService"),
    ("EventService", "/redfish/v1/EventService"),
    ("TelemetryService", "/redfish/v1/TelemetryService"),
    ("CertificateService", "/redfish/v1/CertificateService"),
    ("Registries", "/redfish/v1/Registries"),
    ("JsonSchemas", "/redfish/v1/JsonSchemas"),
];
