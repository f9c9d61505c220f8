//! Which client certificates the device listener takes.

use std::{sync::Arc, time::Duration};

use onprem_link::{enrol::Fingerprint, id::Xid};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long after its end a certificate may still be renewed: a device that
/// was off for a season comes back by itself.
pub(super) const GRACE_S: u64 = 90 * 24 * 3600;

/// Takes certificates of our own CA, and none at all (a device that joins has
/// none). Whether a certificate has expired is left to the endpoint, which
/// can say so in words and lets it be renewed.
#[derive(Debug)]
pub(super) struct Verifier(Arc<dyn ClientCertVerifier>);

impl Verifier {
    pub(super) fn new(
        ca: CertificateDer<'static>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(|_| VerifierBuilderError::NoRootAnchors)?;
        WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            super::provider(),
        )
        .allow_unauthenticated()
        .build()
        .map(Self)
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let wrong = rustls::CertificateError::BadEncoding;
        let shown = Shown::read(end_entity).ok_or(wrong)?;
        let start = UnixTime::since_unix_epoch(Duration::from_secs(shown.from));
        self.0.verify_client_cert(end_entity, intermediates, start)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What the certificate that a device showed says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// The fleet's id of the device.
    pub(super) device: Xid,
    /// The fingerprint of its key.
    pub(super) key: Fingerprint,
    /// When the certificate begins, in seconds since 1970.
    pub(super) from: u64,
    /// When it ends, in seconds since 1970.
    pub(super) until: u64,
}

impl Shown {
    /// Reads a certificate that this fleet signed.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let name = parsed.subject().iter_common_name().next()?;
        let validity = parsed.validity();
        let seconds = |time: x509_parser::time::ASN1Time| {
            u64::try_from(time.timestamp()).ok()
        };
        Some(Self {
            device: name.as_str().ok()?.parse().ok()?,
            key: Fingerprint::of(parsed.public_key().raw),
            from: seconds(validity.not_before)?,
            until: seconds(validity.not_after)?,
        })
    }
}
