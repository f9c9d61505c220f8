//! Documents that are no resources: versions, `odata`, `$metadata`.

use bytes::Bytes;
use onprem_redfish::document;
use serde_json::json;

/// A document that stays as it is.
pub(crate) struct Document {
    pub(crate) uri: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: fn() -> Bytes,
}

/// All documents; anyone may read them.
pub(crate) static DOCUMENTS: &[Document] = &[
    Document {
        uri: "/redfish",
        content_type: "application/json",
        body: || json!({ "v1": "/redfish/v1/" }).to_string().into(),
    },
    Document {
        uri: "/redfish/v1/odata",
        content_type: "application/json",
        body: || document::odata(SERVICES).to_string().into(),
    },
    Document {
        uri: "/redfish/v1/$metadata",
        content_type: "application/xml",
        body: || Bytes::from_static(document::METADATA.as_bytes()),
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
