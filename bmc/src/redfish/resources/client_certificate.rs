//! Who vouches for clients that show a certificate, and how it names them.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        account_service::{self, CertificateMappingAttribute},
        certificate::CertificateUsageType,
        certificate_collection::CertificateCollection,
    },
};

use super::certificate::describe;
use crate::{
    redfish::{
        error::Error,
        resource::{
            Answer, Created, Freshness, Pending, Resource, View, Write, answer,
        },
        uri,
    },
    server::{Mapping, Rules},
};

pub(super) const ENABLED: &str = "/MultiFactorAuth/ClientCertificate/Enabled";
pub(super) const RESPOND: &str =
    "/MultiFactorAuth/ClientCertificate/RespondToUnauthenticatedClients";
pub(super) const MAPPING: &str =
    "/MultiFactorAuth/ClientCertificate/CertificateMappingAttribute";

/// The rules, as the account service shows them.
pub(super) fn typed(rules: Rules) -> account_service::ClientCertificate {
    let mapping = match rules.mapping {
        Mapping::CommonName => CertificateMappingAttribute::CommonName,
        Mapping::UserPrincipalName => {
            CertificateMappingAttribute::UserPrincipalName
        }
    };
    account_service::ClientCertificate::new()
        .enabled(rules.enabled)
        .respond_to_unauthenticated_clients(rules.respond)
        .certificate_mapping_attribute(mapping)
        .certificates(Reference::new(uri::CLIENT_CERTIFICATES))
}

/// The rules that a request sets, if it does.
///
/// # Errors
/// A mapping that there is not, and rules that would shut everybody out.
pub(super) fn rules(write: &Write<'_>) -> Result<Option<Rules>, Error> {
    let before = write.service.trust().rules();
    let mut rules = before;
    rules.enabled = write.flag(ENABLED).unwrap_or(rules.enabled);
    rules.respond = write.flag(RESPOND).unwrap_or(rules.respond);
    match write.text(MAPPING) {
        None => {}
        Some("CommonName") => rules.mapping = Mapping::CommonName,
        Some("UserPrincipalName") => {
            rules.mapping = Mapping::UserPrincipalName;
        }
        Some(other) => {
            let name = MAPPING.rsplit('/').next().unwrap_or_default();
            let message = base::property_value_not_in_list(other, name);
            return Err(Error::bad(vec![message.about(MAPPING)]));
        }
    }
    // Whoever comes with a certificate, or from the fleet, can come again.
    let safe = write.caller.is_some_and(|it| it.certificate || !it.account);
    let mapped_anew = before.demand() && rules.mapping != before.mapping;
    if rules.demand() && (!before.demand() || mapped_anew) && !safe {
        let name = RESPOND.rsplit('/').next().unwrap_or_default();
        let message = base::property_value_conflict(name, "Enabled");
        let message = message.resolved_by(
            "Enable client certificates first, and send this with one that \
             is accepted.",
        );
        return Err(Error::bad(vec![message.about(RESPOND)]));
    }
    Ok((rules != before).then_some(rules))
}

/// `…/MultiFactorAuth/ClientCertificate/Certificates`
pub(crate) struct ClientCertificates;

impl Resource for ClientCertificates {
    fn uri(&self) -> &'static str {
        uri::CLIENT_CERTIFICATES
    }

    fn kind(&self) -> &'static str {
        "CertificateCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let issuers = view.service.trust().issuers();
        let uris = issuers
            .keys()
            .map(|id| uri::of(uri::CLIENT_CERTIFICATE, &[id.to_string()]));
        let name = "Issuers of client certificates";
        let body = CertificateCollection::new("", name, uris);
        Some(answer(body.members_count(issuers.len() as u64)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&["/CertificateString", "/CertificateType"])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let kind = write.text("/CertificateType").unwrap_or_default();
            if kind != "PEM" {
                let message =
                    base::property_value_not_in_list(kind, "CertificateType");
                let message = message.about("/CertificateType");
                return Err(Error::bad(vec![message]));
            }
            let pem = write.text("/CertificateString").unwrap_or_default();
            let id = write.service.trust().add(pem).await?;
            write.service.certificates_changed.notify_one();
            tracing::info!(id, "issuer of client certificates taken");
            Ok(uri::of(uri::CLIENT_CERTIFICATE, &[id.to_string()]).into())
        })
    }
}

/// `…/MultiFactorAuth/ClientCertificate/Certificates/{CertificateId}`
pub(crate) struct ClientCertificate;

impl Resource for ClientCertificate {
    fn uri(&self) -> &'static str {
        uri::CLIENT_CERTIFICATE
    }

    fn kind(&self) -> &'static str {
        "Certificate"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let id = number(ids.first()?)?;
        let issuers = view.service.trust().issuers();
        let title = "Issuer of client certificates";
        let usage = CertificateUsageType::User;
        let pem = issuers.get(&id)?;
        Some(answer(describe(&id.to_string(), title, pem, usage)))
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let id = number(write.id(0)).unwrap_or_default();
            write.service.trust().remove(id).await?;
            tracing::info!(id, "issuer of client certificates removed");
            Ok(())
        })
    }
}

/// The id in its one form.
pub(super) fn number(id: &str) -> Option<u32> {
    let number: u32 = id.parse().ok()?;
    (number.to_string() == id).then_some(number)
}
