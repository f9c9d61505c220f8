//! `Certificate`: what the TLS port shows.

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::schema::certificate::{
    self, CertificateType, CertificateUsageType, Identifier, KeyUsage,
};
use x509_parser::{pem::parse_x509_pem, time::ASN1Time, x509::X509Name};

use super::With as _;
use crate::redfish::{
    resource::{Answer, Freshness, Resource, View, answer},
    uri,
};

/// `…/NetworkProtocol/HTTPS/Certificates/{CertificateId}`
pub(crate) struct Certificate;

impl Resource for Certificate {
    fn uri(&self) -> &'static str {
        uri::CERTIFICATE
    }

    fn kind(&self) -> &'static str {
        "Certificate"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, "1"] = ids else { return None };
        view.manager(ids)?;
        let text = view.service.identity()?.certificates();
        let body = certificate::Certificate::new("", "1", "HTTPS certificate")
            .certificate_string(&*text)
            .certificate_type(CertificateType::Pem)
            .certificate_usage_types([CertificateUsageType::Web]);
        let Ok((_, pem)) = parse_x509_pem(text.as_bytes()) else {
            return Some(answer(&body));
        };
        let Ok(parsed) = pem.parse_x509() else {
            return Some(answer(&body));
        };
        let validity = parsed.validity();
        let body = body
            .subject(name(parsed.subject()))
            .issuer(name(parsed.issuer()))
            .serial_number(parsed.raw_serial_as_string())
            .with(
                time(validity.not_before),
                certificate::Certificate::valid_not_before,
            )
            .with(
                time(validity.not_after),
                certificate::Certificate::valid_not_after,
            )
            .key_usage([KeyUsage::ServerAuthentication]);
        Some(answer(&body))
    }
}

fn name(of: &X509Name<'_>) -> Identifier {
    let common = of.iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok());
    let organization = of.iter_organization().next();
    let organization = organization.and_then(|name| name.as_str().ok());
    Identifier::new()
        .with(common, Identifier::common_name)
        .with(organization, Identifier::organization)
}

fn time(of: ASN1Time) -> Option<String> {
    let at = DateTime::<Utc>::from_timestamp(of.timestamp(), 0)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}
