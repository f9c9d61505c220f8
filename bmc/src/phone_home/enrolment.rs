//! What the agent keeps of its membership: key, certificate, CA, id.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use onprem_link::{
    enrol::{Fingerprint, JoinToken},
    file,
    id::Xid,
    log::Chain,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _,
};
use serde::{Deserialize, Serialize};
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why what is kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The key cannot be made, or does not sign.
    #[error("cannot use the device's key")]
    Key(#[from] rcgen::Error),
    /// The key is none.
    #[error(
        "cannot understand the device's key {path}: where it is moved away, \
         the device joins anew with a join token"
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// What should name the device does not.
    #[error("cannot understand device.json")]
    Device(#[source] serde_json::Error),
    /// What should be a certificate is none.
    #[error("no certificate where one should be")]
    Certificate,
}

/// The key of this device, made here and never shown.
#[derive(Debug)]
pub(super) struct DeviceKey(KeyPair);

impl DeviceKey {
    /// The key in `folder`, made there at the first time.
    pub(super) fn open(folder: &Path) -> Result<Self, KeepError> {
        let path = folder.join("key.pem");
        if let Some(pem) = read(&path)? {
            let key = KeyPair::from_pem(&pem);
            let bad = |source| KeepError::BadKey { path, source };
            return key.map(Self).map_err(bad);
        }
        let key = KeyPair::generate()?;
        replace(&path, key.serialize_pem().as_bytes())?;
        Ok(Self(key))
    }

    /// A certificate signing request in PEM: proof that the key is here.
    pub(super) fn request(&self) -> Result<String, KeepError> {
        let mut params = CertificateParams::default();
        // The fleet writes the names into the certificate.
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0)?.pem()?)
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }
}

/// What `device.json` says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Device {
    /// The fleet's id of the device.
    device: Xid,
    /// The join token it came with, hashed.
    token: Fingerprint,
}

/// What the two ends of the tunnel know each other by, in PEM.
#[derive(Debug)]
pub struct Papers {
    /// The fleet's CA, which is pinned.
    pub ca: String,
    /// The device's certificate.
    pub certificate: String,
}

/// The membership in a fleet.
#[derive(Clone, Debug)]
pub(super) struct Enrolment {
    pub(super) device: Xid,
    /// The hash of the join token it came from.
    pub(super) token: Fingerprint,
    /// The fingerprint of the fleet's CA.
    pub(super) ca: Fingerprint,
    pub(super) certificate: CertificateDer<'static>,
    /// When the certificate begins and ends, in seconds since 1970.
    pub(super) valid: (u64, u64),
    /// CA and certificate, to be shown.
    pub(super) papers: Arc<Papers>,
}

impl Enrolment {
    /// The membership kept in `folder`, if there is one that can be
    /// understood: with a join token, the device joins anew.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, KeepError> {
        let Some(device) = read(&folder.join("device.json"))? else {
            return Ok(None);
        };
        let certificate = read(&folder.join("cert.pem"))?;
        let ca = read(&folder.join("ca.pem"))?;
        let (Some(certificate), Some(ca)) = (certificate, ca) else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&device)
            .map_err(KeepError::Device)
            .and_then(|device| Self::read(device, &certificate, &ca));
        let damaged = |error: &KeepError| {
            warn!(
                error = %Chain(error), folder = %folder.display(),
                "cannot understand the membership in the fleet"
            );
        };
        Ok(kept.inspect_err(damaged).ok())
    }

    /// Keeps a certificate that the fleet answered with.
    pub(super) fn keep(
        folder: &Path,
        device: Xid,
        token: Fingerprint,
        certificate_pem: &str,
        ca_pem: &str,
    ) -> Result<Self, KeepError> {
        let device = Device { device, token };
        let enrolment = Self::read(device, certificate_pem, ca_pem)?;
        let json = serde_json::to_vec(&device).unwrap_or_default();
        // The file that tells that there is a membership comes last.
        replace(&folder.join("ca.pem"), ca_pem.as_bytes())?;
        replace(&folder.join("cert.pem"), certificate_pem.as_bytes())?;
        replace(&folder.join("device.json"), &json)?;
        Ok(enrolment)
    }

    fn read(
        Device { device, token }: Device,
        certificate_pem: &str,
        ca_pem: &str,
    ) -> Result<Self, KeepError> {
        let der = |pem: &str| {
            CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| KeepError::Certificate)
        };
        let certificate = der(certificate_pem)?;
        let ca = Fingerprint::of(&der(ca_pem)?);
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| KeepError::Certificate)?;
        let seconds = |time: x509_parser::time::ASN1Time| {
            u64::try_from(time.timestamp()).map_err(|_| KeepError::Certificate)
        };
        let validity = parsed.validity();
        let valid =
            (seconds(validity.not_before)?, seconds(validity.not_after)?);
        let papers = Arc::new(Papers {
            ca: ca_pem.to_owned(),
            certificate: certificate_pem.to_owned(),
        });
        Ok(Self { device, token, ca, certificate, valid, papers })
    }

    /// Seconds until the certificate shall be renewed, at `now_s` by the
    /// fleet's clock: at half its life, and at once when it is not yet valid
    /// (the fleet's clock was set back).
    pub(super) fn renew_in_s(&self, now_s: u64) -> u64 {
        let (from, until) = self.valid;
        if now_s < from {
            return 0;
        }
        from.midpoint(until).saturating_sub(now_s)
    }
}

/// The join token in the file at `path`, if there is one.
pub(super) fn join_token(path: &Path) -> Result<Option<JoinToken>, KeepError> {
    let Some(text) = read(path)? else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| KeepError::File {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

fn read(path: &Path) -> Result<Option<String>, KeepError> {
    let failed = |source| KeepError::File { path: path.to_owned(), source };
    let Some(content) = file::read_if_present(path).map_err(failed)? else {
        return Ok(None);
    };
    String::from_utf8(content).map(Some).map_err(|error| {
        failed(io::Error::new(io::ErrorKind::InvalidData, error))
    })
}

fn replace(path: &Path, content: &[u8]) -> Result<(), KeepError> {
    file::replace(path, content)
        .map_err(|source| KeepError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_membership_is_none_and_a_damaged_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        for name in ["cert.pem", "ca.pem", "device.json"] {
            write(name, "{");
        }
        assert!(Enrolment::load(folder.path()).unwrap().is_none());
        write("key.pem", "{");
        let error = DeviceKey::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("key.pem"), "{error}");
    }
}
