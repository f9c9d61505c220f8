//! The certificate of the TLS port, made at the first start.

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use onprem_link::file;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

use super::{
    csr::{Algorithm, Wanted, sections},
    provider,
    trust::ClientTrust,
};

/// Keys that wait for their certificates; beyond it the oldest is forgotten.
const WAITING: usize = 4;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// No certificate can be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The files hold no certificate or no key.
    #[error("cannot understand the certificate or the key in {path}")]
    Parse {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and the key do not serve.
    #[error("cannot use the certificate in {path}")]
    Use {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// What the TLS port shows; what replaces it is shown from the next connection
/// on.
pub(crate) struct Identity {
    folder: PathBuf,
    shown: ArcSwap<Shown>,
    /// Held by whoever changes files.
    writing: Mutex<()>,
}

struct Shown {
    certified: Arc<CertifiedKey>,
    /// As PEM.
    certificates: String,
    key: String,
}

impl Identity {
    /// Loads `cert.pem` and `key.pem` from `folder`; makes them for `names`
    /// and `addresses` where there are none.
    pub(super) fn load(
        folder: &Path,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Self, TlsError> {
        let (certificate_file, key_file) =
            (folder.join("cert.pem"), folder.join("key.pem"));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Io { path, source }
        };
        let read = |path: &Path| file::read_if_present(path).map_err(at(path));
        let stored = read(&certificate_file)?.zip(read(&key_file)?);
        let (certificate, key) = if let Some((certificate, key)) = stored {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into();
            (text(certificate), text(key))
        } else {
            let (certificate, key) = make(names, addresses)?;
            // The key first: a certificate without its key is of no use.
            file::replace(&key_file, key.as_bytes()).map_err(at(&key_file))?;
            file::replace(&certificate_file, certificate.as_bytes())
                .map_err(at(&certificate_file))?;
            (certificate, key)
        };
        let shown = Shown::new(&certificate, &key, folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            shown: ArcSwap::from_pointee(shown),
            writing: Mutex::default(),
        })
    }

    /// The configuration of a server that shows it, and asks clients for
    /// theirs if `trust` says so.
    pub(super) fn server(
        self: &Arc<Self>,
        trust: Arc<ClientTrust>,
    ) -> Result<ServerConfig, TlsError> {
        let path = self.folder.clone();
        // TLS 1.2 and 1.3 are all that rustls knows.
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Use { path, source })?
            .with_client_cert_verifier(trust)
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificates as PEM, the port's own first.
    pub(crate) fn certificates(&self) -> String {
        self.shown.load().certificates.clone()
    }

    /// A request for a certificate as PEM. Its key is a new one, which waits
    /// here for the certificate, or the one there is. It waits for the disk.
    ///
    /// # Errors
    /// If no key can be made or kept.
    pub(crate) fn request(
        &self,
        wanted: &Wanted,
        key: Option<Algorithm>,
    ) -> Result<String, TlsError> {
        let _writing = self.writing();
        let Some(algorithm) = key else {
            let key = KeyPair::from_pem(&self.shown.load().key)?;
            return Ok(wanted.sign(&key)?);
        };
        let key = algorithm.generate()?;
        let request = wanted.sign(&key)?;
        let mut waiting = self.waiting()?;
        waiting.push(key.serialize_pem());
        let oldest = waiting.len().saturating_sub(WAITING);
        self.keep_waiting(waiting.get(oldest..).unwrap_or_default())?;
        Ok(request)
    }

    /// What the certificate says, to be said by another.
    pub(crate) fn wanted_again(&self) -> Option<Wanted> {
        Wanted::again(&self.certificates())
    }

    /// Shows other certificates. Their key is in `pem` as well, or it is the
    /// one there was, or one that waits. It waits for the disk.
    ///
    /// # Errors
    /// If they are no certificates, do not go with any key, or cannot be kept;
    /// then all stays as it was.
    pub(crate) fn replace(&self, pem: &str) -> Result<(), TlsError> {
        let _writing = self.writing();
        let waiting = self.waiting()?;
        let mut fitting = Shown::new(pem, &self.shown.load().key, &self.folder);
        let mut used = None;
        for key in &waiting {
            if fitting.is_ok() {
                break;
            }
            if let Ok(shown) = Shown::new(pem, key, &self.folder) {
                fitting = Ok(shown);
                used = Some(key);
            }
        }
        let shown = fitting?;
        // In one file, so that no loss of power parts them.
        let text = format!("{}{}", shown.certificates, shown.key);
        self.write("cert.pem", &text)?;
        self.shown.store(Arc::new(shown));
        if used.is_some() {
            let others = waiting.iter().filter(|key| Some(*key) != used);
            let others: Vec<_> = others.cloned().collect();
            self.keep_waiting(&others)?;
        }
        Ok(())
    }

    /// The keys that wait for their certificates.
    fn waiting(&self) -> Result<Vec<String>, TlsError> {
        let path = self.folder.join("waiting-keys.pem");
        match file::read_if_present(&path) {
            Ok(kept) => {
                let text = kept.unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                Ok(sections(&text, "KEY").collect())
            }
            Err(source) => Err(TlsError::Io { path, source }),
        }
    }

    fn keep_waiting(&self, keys: &[String]) -> Result<(), TlsError> {
        self.write("waiting-keys.pem", &keys.concat())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TlsError> {
        let path = self.folder.join(name);
        file::replace(&path, text.as_bytes())
            .map_err(|source| TlsError::Io { path, source })
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    /// The certificates in `pem` with the key beside them, else with `key`.
    fn new(pem: &str, key: &str, folder: &Path) -> Result<Self, TlsError> {
        let path = folder.to_owned();
        let key = sections(pem, "KEY").next().unwrap_or_else(|| key.to_owned());
        let certificates: String = sections(pem, "CERTIFICATE").collect();
        let parse = |source| TlsError::Parse { path: path.clone(), source };
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(parse)?;
        if chain.is_empty() {
            return Err(parse(pem::Error::NoItemsFound));
        }
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes());
        let private = private.map_err(parse)?;
        let certified = CertifiedKey::from_der(chain, private, &provider())
            .map_err(|source| TlsError::Use { path, source })?;
        Ok(Self { certified: Arc::new(certified), certificates, key })
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.load().certified))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn make(
    names: &[String],
    addresses: &[IpAddr],
) -> Result<(String, String), rcgen::Error> {
    let mut subjects: Vec<String> = names.to_vec();
    subjects.push("localhost".to_owned());
    subjects.extend(addresses.iter().map(IpAddr::to_string));
    subjects.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    subjects.sort();
    subjects.dedup();
    let mut params = CertificateParams::new(subjects)?;
    let mut name = DistinguishedName::new();
    let common = names.first().map_or("localhost", String::as_str);
    name.push(DnType::CommonName, common);
    name.push(DnType::OrganizationName, "on-prem");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // The clock may be years behind at the first start.
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2050, 1, 1);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    fn blade(folder: &Path) -> Identity {
        let addresses = ["192.0.2.7".parse().unwrap()];
        Identity::load(folder, &["blade-7".to_owned()], &addresses).unwrap()
    }

    fn other() -> (String, String) {
        make(&["blade-8".to_owned()], &[]).unwrap()
    }

    #[test]
    fn the_certificate_names_the_host_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = blade(folder.path()).certificates();
        let again = Identity::load(folder.path(), &[], &[]).unwrap();
        assert_eq!(first, again.certificates());
        let (_, pem) = parse_x509_pem(first.as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        let subjects = parsed.subject_alternative_name().unwrap().unwrap();
        let text = format!("{:?}", subjects.value.general_names);
        assert!(text.contains("blade-7") && text.contains("localhost"));
    }

    #[test]
    fn a_replacement_survives_a_restart_and_hides_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let identity = blade(folder.path());
        let (certificate, key) = other();
        identity.replace(&format!("{key}{certificate}")).unwrap();
        assert_eq!(identity.certificates().trim(), certificate.trim());
        let again = blade(folder.path());
        assert_eq!(again.certificates(), identity.certificates());
        assert!(!again.certificates().contains("KEY"));
        // And it can be renewed with the key it has.
        again.replace(&certificate).unwrap();
    }

    #[test]
    fn what_cannot_be_shown_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let identity = blade(folder.path());
        let before = identity.certificates();
        let (certificate, _) = other();
        let (_, key) = other();
        let wrong = format!("{certificate}{key}");
        for pem in ["", "certificate", &*certificate, &*wrong] {
            identity.replace(pem).unwrap_err();
        }
        assert_eq!(identity.certificates(), before);
        assert_eq!(blade(folder.path()).certificates(), before);
    }
}
