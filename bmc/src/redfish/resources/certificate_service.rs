//! `CertificateService` and where certificates are.

use onprem_redfish::schema::{
    Reference,
    certificate_locations::{self, Links},
    certificate_service,
};

use crate::redfish::{
    resource::{Answer, Resource, View, answer},
    uri,
};

/// `/redfish/v1/CertificateService`
pub(crate) struct CertificateService;

impl Resource for CertificateService {
    fn uri(&self) -> &'static str {
        uri::CERTIFICATE_SERVICE
    }

    fn kind(&self) -> &'static str {
        "CertificateService"
    }

    fn get(&self, _: &View<'_>, _: &[&str]) -> Option<Answer> {
        let body = certificate_service::CertificateService::new(
            "",
            "CertificateService",
            "Certificate service",
        )
        .certificate_locations(Reference::new(uri::CERTIFICATE_LOCATIONS));
        Some(answer(&body))
    }
}

/// `/redfish/v1/CertificateService/CertificateLocations`
pub(crate) struct CertificateLocations;

impl Resource for CertificateLocations {
    fn uri(&self) -> &'static str {
        uri::CERTIFICATE_LOCATIONS
    }

    fn kind(&self) -> &'static str {
        "CertificateLocations"
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let manager = &*view.snapshot.inventory.manager.id;
        let shown = uri::of(uri::CERTIFICATE, &[manager, "1"]);
        let links = Links::new().certificates([shown]).certificates_count(1);
        let body = certificate_locations::CertificateLocations::new(
            "",
            "CertificateLocations",
            "Certificate locations",
        )
        .links(links);
        Some(answer(&body))
    }
}
