//! `Certificate`: what the TLS port shows.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use onprem_redfish::schema::certificate::{
    self, CertificateType, CertificateUsageType, Identifier, KeyUsage,
};
use sha2::{Digest as _, Sha256};
use x509_parser::{
    certificate::X509Certificate, pem::parse_x509_pem, time::ASN1Time,
    x509::X509Name,
};

use super::{With as _, certificate_request, enabled};
use crate::{
    model::Health,
    redfish::{
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

/// How long before its end a certificate is to be replaced.
const SOON: TimeDelta = TimeDelta::days(30);

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
        let pem = view.service.identity()?.certificates();
        let usage = CertificateUsageType::Web;
        let body = describe("1", "HTTPS certificate", &pem, usage);
        let about = certificate_request::kinds_of_keys();
        Some(
            answer(body)
                .action(certificate_request::REKEY, about)
                .action(certificate_request::RENEW, serde_json::Map::new()),
        )
    }

    fn actions(&self) -> &'static [Action] {
        certificate_request::OF_CERTIFICATE
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(certificate_request::again(write, action))
    }
}

/// What the first certificate of `pem` says.
pub(super) fn describe(
    id: &str,
    title: &str,
    pem: &str,
    usage: CertificateUsageType,
) -> certificate::Certificate {
    let several = pem.matches("-----BEGIN CERTIFICATE-----").count() > 1;
    let body = certificate::Certificate::new("", id, title)
        .certificate_string(pem)
        .certificate_type(if several {
            CertificateType::PeMchain
        } else {
            CertificateType::Pem
        })
        .certificate_usage_types([usage]);
    let Ok((_, section)) = parse_x509_pem(pem.as_bytes()) else { return body };
    let Ok(parsed) = section.parse_x509() else { return body };
    let validity = parsed.validity();
    body.subject(name(parsed.subject()))
        .issuer(name(parsed.issuer()))
        .serial_number(parsed.raw_serial_as_string())
        .fingerprint(colons(&Sha256::digest(&section.contents)))
        .fingerprint_hash_algorithm("TPM_ALG_SHA256")
        .signature_algorithm(parsed.signature_algorithm.oid().to_id_string())
        .status(enabled(health_of(&parsed)))
        .with(
            time(validity.not_before),
            certificate::Certificate::valid_not_before,
        )
        .with(
            time(validity.not_after),
            certificate::Certificate::valid_not_after,
        )
        .key_usage(usages(&parsed))
}

/// Whether the first certificate of `pem` is in its time, and for how long.
pub(in crate::redfish) fn health(pem: &str) -> Health {
    let Ok((_, section)) = parse_x509_pem(pem.as_bytes()) else {
        return Health::Critical;
    };
    section.parse_x509().map_or(Health::Critical, |it| health_of(&it))
}

fn health_of(certificate: &X509Certificate<'_>) -> Health {
    let now = Utc::now().timestamp();
    let validity = certificate.validity();
    let left = validity.not_after.timestamp().saturating_sub(now);
    if left <= 0 || validity.not_before.timestamp() > now {
        Health::Critical
    } else if left < SOON.num_seconds() {
        Health::Warning
    } else {
        Health::Ok
    }
}

fn usages(of: &X509Certificate<'_>) -> Vec<KeyUsage> {
    let mut usages = Vec::new();
    if let Ok(Some(extension)) = of.key_usage() {
        let it = extension.value;
        let known = [
            (it.digital_signature(), KeyUsage::DigitalSignature),
            (it.non_repudiation(), KeyUsage::NonRepudiation),
            (it.key_encipherment(), KeyUsage::KeyEncipherment),
            (it.data_encipherment(), KeyUsage::DataEncipherment),
            (it.key_agreement(), KeyUsage::KeyAgreement),
            (it.key_cert_sign(), KeyUsage::KeyCertSign),
            (it.crl_sign(), KeyUsage::CrlSigning),
            (it.encipher_only(), KeyUsage::EncipherOnly),
            (it.decipher_only(), KeyUsage::DecipherOnly),
        ];
        let set = known.into_iter().filter(|(set, _)| *set);
        usages.extend(set.map(|(_, usage)| usage));
    }
    if let Ok(Some(extension)) = of.extended_key_usage() {
        let it = extension.value;
        let known = [
            (it.server_auth, KeyUsage::ServerAuthentication),
            (it.client_auth, KeyUsage::ClientAuthentication),
            (it.code_signing, KeyUsage::CodeSigning),
            (it.email_protection, KeyUsage::EmailProtection),
            (it.time_stamping, KeyUsage::Timestamping),
            (it.ocsp_signing, KeyUsage::OcspSigning),
        ];
        let set = known.into_iter().filter(|(set, _)| *set);
        usages.extend(set.map(|(_, usage)| usage));
    }
    usages
}

fn name(of: &X509Name<'_>) -> Identifier {
    use x509_parser::x509::AttributeTypeAndValue as Part;
    fn first<'a>(
        mut parts: impl Iterator<Item = &'a Part<'a>>,
    ) -> Option<&'a str> {
        parts.next()?.as_str().ok()
    }
    Identifier::new()
        .with(first(of.iter_common_name()), Identifier::common_name)
        .with(first(of.iter_organization()), Identifier::organization)
        .with(
            first(of.iter_organizational_unit()),
            Identifier::organizational_unit,
        )
        .with(first(of.iter_locality()), Identifier::city)
        .with(first(of.iter_state_or_province()), Identifier::state)
        .with(first(of.iter_country()), Identifier::country)
        .with(first(of.iter_email()), Identifier::email)
}

fn time(of: ASN1Time) -> Option<String> {
    let at = DateTime::<Utc>::from_timestamp(of.timestamp(), 0)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Bytes as the schema wants them: `0A:1B`.
fn colons(bytes: &[u8]) -> String {
    let bytes = bytes.iter().map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}
