//! `CertificateService` and where certificates are.

use onprem_link::log::Chain;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        certificate_locations::{self, Links},
        certificate_service,
    },
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::allowable;
use crate::{
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Pending, Resource, View, Write, answer,
        },
        uri,
    },
    server::TlsError,
};

const REPLACE: &str = "CertificateService.ReplaceCertificate";
/// The one form of certificate there is.
const PEM: &str = "PEM";

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
        let types = allowable("CertificateType", &[PEM]);
        Some(answer(&body).action(REPLACE, types))
    }

    fn actions(&self) -> &'static [Action] {
        &[(
            REPLACE,
            &["/CertificateString", "/CertificateType", "/CertificateUri"],
        )]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        _: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(replace(write))
    }
}

/// Puts the certificate in the request in the place of the TLS port's.
async fn replace(write: &Write<'_>) -> Result<Acted, Error> {
    let refused = |parameter| {
        let message = base::action_parameter_value_error(parameter, REPLACE);
        Error::bad(vec![message])
    };
    if write.text("/CertificateType") != Some(PEM) {
        return Err(refused("CertificateType"));
    }
    let snapshot = write.service.model.snapshot();
    let served = json!({"@odata.id": shown(&snapshot.inventory.manager.id)});
    if write.values.get("/CertificateUri") != Some(&served) {
        return Err(refused("CertificateUri"));
    }
    let identity = write.service.identity().ok_or_else(Error::internal)?;
    let pem = write.text("/CertificateString").unwrap_or_default().to_owned();
    let replaced = spawn_blocking(move || identity.replace(&pem)).await;
    match replaced.map_err(|_| Error::internal())? {
        Ok(()) => {
            tracing::info!("certificate of the TLS port replaced");
            Ok(Acted::Done)
        }
        Err(error @ TlsError::Io { .. }) => {
            tracing::error!(error = %Chain(&error), "certificate not kept");
            Err(Error::internal())
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "certificate refused");
            Err(refused("CertificateString"))
        }
    }
}

/// Where the certificate of the TLS port is.
fn shown(manager: &str) -> String {
    uri::of(uri::CERTIFICATE, &[manager, "1"])
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
        let links =
            Links::new().certificates([shown(manager)]).certificates_count(1);
        let body = certificate_locations::CertificateLocations::new(
            "",
            "CertificateLocations",
            "Certificate locations",
        )
        .links(links);
        Some(answer(&body))
    }
}
