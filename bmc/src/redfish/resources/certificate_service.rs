//! `CertificateService` and where certificates are.

use onprem_link::{log::Chain, task::blocking};
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        certificate_locations::{self, Links},
        certificate_service,
    },
};

use super::{
    allowable,
    certificate_request::{self, GENERATE},
    client_certificate::number,
    outbound_certificate,
};
use crate::{
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
    server::{TlsError, TrustError},
};

const REPLACE: &str = "CertificateService.ReplaceCertificate";
/// The forms of certificates there are.
const TYPES: &[&str] = &["PEM", "PEMchain"];

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
        let types = allowable("CertificateType", TYPES);
        Some(
            answer(body)
                .action(REPLACE, types)
                .action(GENERATE, certificate_request::about()),
        )
    }

    fn actions(&self) -> &'static [Action] {
        &[
            (
                REPLACE,
                &["/CertificateString", "/CertificateType", "/CertificateUri"],
            ),
            (GENERATE, certificate_request::PARAMETERS),
        ]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        if action == GENERATE {
            Box::pin(certificate_request::generate(write))
        } else {
            Box::pin(replace(write))
        }
    }
}

/// Puts the certificate in the request in the place of another: of the TLS
/// port's, or of an issuer's.
async fn replace(write: &Write<'_>) -> Result<Acted, Error> {
    let refused = |parameter: &str| {
        let message = base::action_parameter_value_error(parameter, REPLACE);
        Error::bad(vec![message])
    };
    let kind = write.text("/CertificateType").unwrap_or_default();
    if !TYPES.contains(&kind) {
        return Err(refused("CertificateType"));
    }
    let uri = write.values.get("/CertificateUri");
    let uri = uri.and_then(|link| link.get("@odata.id")?.as_str());
    let uri = uri.unwrap_or_default();
    let pem = write.text("/CertificateString").unwrap_or_default().to_owned();
    let snapshot = write.service.model.snapshot();
    let manager = &*snapshot.inventory.manager.id;
    if uri == uri::of(uri::CERTIFICATE, &[manager, "1"]) {
        let identity = write.service.identity().ok_or_else(Error::internal)?;
        let replaced = blocking(move || identity.replace(&pem)).await;
        match replaced.map_err(|_| Error::internal())? {
            Ok(()) => {}
            Err(ref error @ TlsError::Io { ref source, .. }) => {
                tracing::error!(error = %Chain(error), "certificate not kept");
                return Err(Error::unstored(source));
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "certificate refused");
                return Err(refused("CertificateString"));
            }
        }
    } else {
        let id = uri.strip_prefix(uri::CLIENT_CERTIFICATES);
        let id = id.and_then(|id| number(id.strip_prefix('/')?));
        let id = id.ok_or_else(|| refused("CertificateUri"))?;
        write.service.trust().replace(id, &pem).await.map_err(|error| {
            match error {
                TrustError::NoCertificate | TrustError::NoIssuer => {
                    refused("CertificateString")
                }
                TrustError::Unknown(_) => refused("CertificateUri"),
                other => other.into(),
            }
        })?;
    }
    tracing::info!(uri, "certificate replaced");
    write.service.events.resource_changed(uri);
    write.service.certificates_changed.notify_one();
    Ok(Acted::Done)
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

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let all = view.service.certificates().into_iter();
        let all = all.map(|(uri, _)| uri);
        let uris: Vec<_> =
            all.chain(outbound_certificate::places(view)).collect();
        let count = uris.len() as u64;
        let links = Links::new().certificates(uris).certificates_count(count);
        let body = certificate_locations::CertificateLocations::new(
            "",
            "CertificateLocations",
            "Certificate locations",
        )
        .links(links);
        Some(answer(body))
    }
}
