//! Is it the fleet at the other end? Pinned to its CA, without a clock.

use std::{sync::Arc, time::Duration};

use onprem_link::enrol::Fingerprint;
use rustls::{
    CertificateError, RootCertStore,
    client::{
        WebPkiServerVerifier,
        danger::{ServerCertVerified, ServerCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::verifier::{Shown, Verifier, provider};

/// Takes a certificate for the name that was dialled, signed by the CA with
/// the fingerprint, which the fleet sends along.
///
/// Whether it has expired is not looked at: this machine may have been off
/// for years and have no clock, and refusing would lock it out for good. What
/// holds is the CA, which signs nothing but this.
pub(super) fn pinned(ca: Fingerprint) -> Arc<dyn ServerCertVerifier> {
    Verifier::new(provider(), move |shown| judge(ca, shown).map(drop))
}

fn judge(
    ca: Fingerprint,
    Shown { certificate, others, name, .. }: Shown<'_>,
) -> Result<ServerCertVerified, rustls::Error> {
    let ca = others
        .iter()
        .find(|certificate| Fingerprint::of(certificate) == ca)
        .ok_or(CertificateError::UnknownIssuer)?;
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        provider(),
    )
    .build()
    .map_err(|_| CertificateError::UnknownIssuer)?;
    let start = start_of(certificate).ok_or(CertificateError::BadEncoding)?;
    verifier.verify_server_cert(certificate, others, name, &[], start)
}

/// When the certificate begins to be valid.
fn start_of(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let start = certificate.validity().not_before.timestamp();
    let start = Duration::from_secs(u64::try_from(start).ok()?);
    Some(UnixTime::since_unix_epoch(start))
}
