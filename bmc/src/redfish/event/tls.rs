//! TLS to a subscriber.

use std::sync::Arc;

use onprem_link::task::blocking;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{subscription::Trusted, wire::Failure};
use crate::verifier::{Shown, Verifier, provider};

/// How to talk TLS to a subscriber. Where its certificate is to be checked,
/// it is one of `trusted` or signed by one of them; without any of these, by
/// an authority that this machine trusts.
pub(super) async fn client(
    verify: bool,
    trusted: &[Trusted],
) -> Result<Arc<ClientConfig>, Failure> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous();
    if !verify {
        let anybody = Verifier::new(provider, |_| Ok(()));
        let config = builder.with_custom_certificate_verifier(anybody);
        return Ok(Arc::new(config.with_no_client_auth()));
    }
    let mut pinned = Vec::new();
    for it in trusted {
        pinned.push(CertificateDer::from_pem_slice(it.pem.as_bytes())?);
    }
    let mut roots = RootCertStore::empty();
    if pinned.is_empty() {
        let found = blocking(rustls_native_certs::load_native_certs);
        roots.add_parsable_certificates(found.await?.certs);
    } else {
        roots.add_parsable_certificates(pinned.iter().cloned());
    }
    let authorities = WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .map_err(|_| "this machine trusts no certificate authority")?;
    let judge = move |shown: Shown<'_>| {
        if pinned.iter().any(|it| it == shown.certificate) {
            return Ok(());
        }
        let Shown { certificate, others, name, now } = shown;
        authorities
            .verify_server_cert(certificate, others, name, &[], now)
            .map(drop)
    };
    let verifier = Verifier::new(provider, judge);
    let config = builder.with_custom_certificate_verifier(verifier);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Checks that `pem` is one certificate.
pub(crate) fn is_certificate(pem: &str) -> Result<(), rustls::Error> {
    let wrong = || rustls::Error::from(CertificateError::BadEncoding);
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
    let first = found.next().ok_or_else(wrong)?.map_err(|_| wrong())?;
    if found.next().is_some() {
        return Err(wrong());
    }
    RootCertStore::empty().add(first)
}
