//! The fleet's own certificate authority for devices.

use std::{io, path::Path, time::Duration};

use onprem_link::{enrol::Fingerprint, file, id::Xid};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _,
};

const DAY_S: u64 = 24 * 3600;

/// How long the CA itself is valid.
const CA_LIFE_S: u64 = 20 * 365 * DAY_S;
/// How long the listener's certificate is valid.
pub(super) const SERVER_LIFE_S: u64 = 90 * DAY_S;
/// How long a device's certificate is valid.
pub(super) const DEVICE_LIFE_S: u64 = 7 * DAY_S;
/// How much earlier than now a certificate begins.
const BACKDATED_S: u64 = 3600;

/// Why the CA cannot be used, or does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot open the fleet's CA")]
    File(#[from] io::Error),
    /// What is in the file is no certificate.
    #[error("the file of the fleet's CA holds no certificate")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// The key or the certificate is unusable, or cannot be made.
    #[error("the fleet's CA cannot sign")]
    Certificate(#[from] rcgen::Error),
    /// There is a certificate without its key.
    #[error(
        "ca/cert.pem is there without ca/key.pem: bring the key back from a \
         backup, or remove the certificate and let all devices join again"
    )]
    Incomplete,
}

/// Signs the certificates of the devices, and of the listener they call.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate signing request cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate signing request cannot be used")]
pub(super) struct BadRequest(#[from] rcgen::Error);

/// A key that somebody has proved to hold.
pub(super) struct ProvedKey(CertificateSigningRequestParams);

impl ProvedKey {
    /// Reads a request, and checks that it is signed with the key in it.
    pub(super) fn read(request_pem: &str) -> Result<Self, BadRequest> {
        Ok(Self(CertificateSigningRequestParams::from_pem(request_pem)?))
    }

    /// The fingerprint of the key.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.public_key.subject_public_key_info())
    }
}

impl Authority {
    /// The CA in `state_dir`, made there at the first start; `now_s` is the
    /// time in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn open(state_dir: &Path, now_s: u64) -> Result<Self, AuthorityError> {
        let folder = state_dir.join("ca");
        let (key_path, pem_path) =
            (folder.join("key.pem"), folder.join("cert.pem"));
        let key = file::read_if_present(&key_path)?;
        let pem = file::read_if_present(&pem_path)?;
        let key = match (key, &pem) {
            (Some(key), _) => {
                KeyPair::from_pem(&String::from_utf8_lossy(&key))?
            }
            (None, None) => {
                let key = KeyPair::generate()?;
                file::replace(&key_path, key.serialize_pem().as_bytes())?;
                key
            }
            (None, Some(_)) => return Err(AuthorityError::Incomplete),
        };
        let pem = if let Some(pem) = pem {
            String::from_utf8_lossy(&pem).into_owned()
        } else {
            // Devices trust the key and the name: a certificate that was lost
            // is made again, and they notice nothing.
            let pem = ca_params(now_s).self_signed(&key)?.pem();
            file::replace(&pem_path, pem.as_bytes())?;
            pem
        };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, pem })
    }

    /// The fingerprint of the CA certificate, which join tokens carry.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The CA certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for a device, in PEM.
    pub(super) fn sign_device(
        &self,
        device: Xid,
        key: &ProvedKey,
        now_s: u64,
    ) -> Result<String, AuthorityError> {
        let mut params = leaf_params(&device.to_string(), now_s, DEVICE_LIFE_S);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(&key.0.public_key, &self.issuer)?.pem())
    }

    /// A key and a certificate for the listener that devices call by `names`.
    pub(crate) fn sign_server(
        &self,
        names: &[String],
        now_s: u64,
    ) -> Result<
        (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        AuthorityError,
    > {
        let key = KeyPair::generate()?;
        let mut params = leaf_params("on-prem fleet", now_s, SERVER_LIFE_S);
        let alternatives = CertificateParams::new(names)?;
        params.subject_alt_names = alternatives.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok((
            vec![leaf.der().clone(), self.certificate.clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        ))
    }
}

fn ca_params(now_s: u64) -> CertificateParams {
    let mut params = leaf_params("on-prem fleet CA", now_s, CA_LIFE_S);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(name: &str, now_s: u64, life_s: u64) -> CertificateParams {
    let at = |seconds| {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number =
        Some(SerialNumber::from_slice(&rand::random::<[u8; 16]>()));
    params.not_before = at(now_s.saturating_sub(BACKDATED_S)).into();
    params.not_after = at(now_s.saturating_add(life_s)).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lost_certificate_is_made_again_with_the_key_that_devices_trust() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let key = |a: &Authority| a.issuer.key().public_key_raw().to_vec();
        let first = Authority::open(path, 1_800_000_000).unwrap();
        fs::remove_file(path.join("ca/cert.pem")).unwrap();
        let again = Authority::open(path, 1_800_000_000).unwrap();
        assert_eq!(key(&first), key(&again));
        fs::remove_file(path.join("ca/key.pem")).unwrap();
        let error = Authority::open(path, 1_800_000_000).unwrap_err();
        assert!(matches!(error, AuthorityError::Incomplete));
    }
}
