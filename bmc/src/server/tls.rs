//! The certificate of the TLS port, made at the first start.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use onprem_link::file;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

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

/// What TLS needs.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// The certificate as PEM.
    pub(super) certificate: String,
}

/// Loads `cert.pem` and `key.pem` from `folder`; makes them for `names` and
/// `addresses` where there are none.
pub(super) fn load(
    folder: &Path,
    names: &[String],
    addresses: &[IpAddr],
) -> Result<Tls, TlsError> {
    let (certificate_file, key_file) =
        (folder.join("cert.pem"), folder.join("key.pem"));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Io { path, source }
    };
    let read = |path: &Path| file::read_if_present(path).map_err(at(path));
    let stored = read(&certificate_file)?.zip(read(&key_file)?);
    let (certificate, key) = if let Some(stored) = stored {
        stored
    } else {
        let (certificate, key) = make(names, addresses)?;
        // The key first: a certificate without its key is of no use.
        file::replace(&key_file, key.as_bytes()).map_err(at(&key_file))?;
        file::replace(&certificate_file, certificate.as_bytes())
            .map_err(at(&certificate_file))?;
        (certificate.into_bytes(), key.into_bytes())
    };
    let path = folder.to_owned();
    let parse = |source| TlsError::Parse { path: path.clone(), source };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&certificate).collect();
    let chain = chain.map_err(parse)?;
    let private = PrivateKeyDer::from_pem_slice(&key).map_err(parse)?;
    let using = |source| TlsError::Use { path: folder.to_owned(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // TLS 1.2 and 1.3 are all that rustls knows.
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(using)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(using)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let certificate = String::from_utf8_lossy(&certificate).into_owned();
    Ok(Tls { config: Arc::new(config), certificate })
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

    #[test]
    fn the_certificate_names_the_host_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["blade-7".to_owned()];
        let addresses = ["192.0.2.7".parse().unwrap()];
        let first = load(folder.path(), &names, &addresses).unwrap();
        let again = load(folder.path(), &[], &[]).unwrap();
        assert_eq!(first.certificate, again.certificate);
        let (_, pem) = parse_x509_pem(first.certificate.as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        let subjects = parsed.subject_alternative_name().unwrap().unwrap();
        let text = format!("{:?}", subjects.value.general_names);
        assert!(text.contains("blade-7") && text.contains("localhost"));
    }
}
