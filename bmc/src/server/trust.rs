//! Client certificates: whom they stand for, and who vouches for them.
//!
//! With [`Rules::respond`] the handshake takes any certificate whose key the
//! client has, and each request judges it, so that who comes with a wrong one
//! is told so, and one whose issuer was deleted is refused on connections that
//! are open already. Without it the handshake itself refuses.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use onprem_link::file;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use x509_parser::{
    certificate::X509Certificate, der_parser::oid, extensions::GeneralName,
    prelude::FromDer as _,
};

use super::{csr::sections, provider};
use crate::state::{StateError, load_or_put_aside};

/// How many issuers may be trusted.
const LIMIT: usize = 16;
/// How long a certificate is taken without another look at it.
const JUDGED: Duration = Duration::from_mins(1);

/// What of a certificate names the account.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize,
)]
pub(crate) enum Mapping {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The user principal name among the alternative names, up to its `@`.
    UserPrincipalName,
}

/// How client certificates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rules {
    pub(crate) enabled: bool,
    /// Whether who has none that is right may try a password.
    pub(crate) respond: bool,
    pub(crate) mapping: Mapping,
}

impl Default for Rules {
    fn default() -> Self {
        let mapping = Mapping::default();
        Self { enabled: false, respond: true, mapping }
    }
}

impl Rules {
    /// Is nobody let in without a certificate?
    pub(crate) fn demand(self) -> bool {
        self.enabled && !self.respond
    }
}

/// What survives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    rules: Rules,
    /// The issuers as PEM, by id.
    issuers: BTreeMap<u32, String>,
    /// The last id that was given.
    last: u32,
}

/// Why the issuers and rules were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The text is not one certificate in PEM.
    #[error("there has to be one certificate in PEM")]
    NoCertificate,
    /// It is none that issues others.
    #[error("the certificate is not that of a CA")]
    NoIssuer,
    /// It is trusted already.
    #[error("the certificate is there already, with the id {0}")]
    Known(u32),
    /// There are as many as there may be.
    #[error("there are {LIMIT} certificates already")]
    Full,
    /// Nobody could come in any more.
    #[error("nobody could log in without the certificate {0}")]
    Needed(u32),
    /// There is none with this id.
    #[error("there is no certificate {0}")]
    Unknown(u32),
    /// It cannot be stored.
    #[error("cannot store the certificates in {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// Why a certificate lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Client certificates are not taken.
    #[error("client certificates are not taken")]
    Disabled,
    /// None of the issuers vouches for it, or it is out of its time.
    #[error("the client certificate is not accepted: {0}")]
    Untrusted(String),
    /// It does not say for whom it stands.
    #[error("the client certificate has no user name in the place for it")]
    Nameless,
}

/// The certificates that a client showed, its own first. It has the key.
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judged>>,
}

/// What was found last, and when.
struct Judged {
    generation: u64,
    at: Instant,
    user: Result<String, Refusal>,
}

impl Presented {
    pub(super) fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self { chain, judged: Mutex::default() }
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented")
    }
}

struct State {
    kept: Kept,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Grows with each change.
    generation: u64,
}

impl State {
    fn new(kept: Kept, generation: u64) -> Self {
        let mut roots = RootCertStore::empty();
        for pem in kept.issuers.values() {
            if let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) {
                // What is no anchor was not taken in the first place.
                let _ = roots.add(der);
            }
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider(),
        );
        // Without any issuer there is nothing to verify against.
        let verifier = verifier.build().ok();
        Self { kept, verifier, generation }
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let unknown = CertificateError::UnknownIssuer;
        let verifier = self.verifier.as_ref();
        let verifier = verifier.ok_or(Error::InvalidCertificate(unknown))?;
        verifier.verify_client_cert(own, others, now)
    }
}

/// The issuers of client certificates, kept in `client-certificates.json`.
pub(crate) struct ClientTrust {
    path: PathBuf,
    state: ArcSwap<State>,
    /// Held by whoever changes, until it is stored.
    writer: tokio::sync::Mutex<()>,
    provider: Arc<CryptoProvider>,
}

impl ClientTrust {
    /// Loads what is kept in `state_dir`.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StateError> {
        let path = state_dir.join("client-certificates.json");
        let kept = load_or_put_aside(&path)?;
        Ok(Self {
            path,
            state: ArcSwap::from_pointee(State::new(kept, 0)),
            writer: tokio::sync::Mutex::default(),
            provider: provider(),
        })
    }

    pub(crate) fn rules(&self) -> Rules {
        self.state.load().kept.rules
    }

    /// The ids of the issuers, with their PEM.
    pub(crate) fn issuers(&self) -> BTreeMap<u32, String> {
        self.state.load().kept.issuers.clone()
    }

    pub(crate) async fn set_rules(
        &self,
        rules: Rules,
    ) -> Result<(), TrustError> {
        self.store(|kept| {
            kept.rules = rules;
            Ok(())
        })
        .await
    }

    /// Trusts the CA in `pem` from now on; its id.
    pub(crate) async fn add(&self, pem: &str) -> Result<u32, TrustError> {
        let pem = issuer(pem)?;
        let mut id = 0;
        self.store(|kept| {
            unknown(kept, &pem)?;
            if kept.issuers.len() >= LIMIT {
                return Err(TrustError::Full);
            }
            kept.last += 1;
            id = kept.last;
            kept.issuers.insert(id, pem);
            Ok(())
        })
        .await?;
        Ok(id)
    }

    /// Puts the CA in `pem` in the place of another.
    pub(crate) async fn replace(
        &self,
        id: u32,
        pem: &str,
    ) -> Result<(), TrustError> {
        let pem = issuer(pem)?;
        self.store(|kept| {
            unknown(kept, &pem)?;
            let place = kept.issuers.get_mut(&id);
            *place.ok_or(TrustError::Unknown(id))? = pem;
            Ok(())
        })
        .await
    }

    /// Trusts a CA no more: what it issued is refused at once.
    pub(crate) async fn remove(&self, id: u32) -> Result<(), TrustError> {
        self.store(|kept| {
            let known = kept.issuers.remove(&id);
            known.ok_or(TrustError::Unknown(id))?;
            if kept.rules.demand() && kept.issuers.is_empty() {
                return Err(TrustError::Needed(id));
            }
            Ok(())
        })
        .await
    }

    /// The name of the account that these certificates stand for.
    pub(crate) fn user(&self, shown: &Presented) -> Result<String, Refusal> {
        let state = self.state.load();
        let mut judged =
            shown.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*judged
            && last.generation == state.generation
            && last.at.elapsed() < JUDGED
        {
            return last.user.clone();
        }
        let user = judge(&state, &shown.chain);
        *judged = Some(Judged {
            generation: state.generation,
            at: Instant::now(),
            user: user.clone(),
        });
        user
    }

    async fn store(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<(), TrustError>,
    ) -> Result<(), TrustError> {
        let _writer = self.writer.lock().await;
        let before = self.state.load_full();
        let mut kept = before.kept.clone();
        change(&mut kept)?;
        let bytes = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        let stored = file::store(&self.path, bytes).await;
        stored.map_err(|source| {
            let path = self.path.clone();
            TrustError::Store { path, source }
        })?;
        let state = State::new(kept, before.generation + 1);
        self.state.store(Arc::new(state));
        Ok(())
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientTrust {
    fn offer_client_auth(&self) -> bool {
        self.rules().enabled
    }

    fn client_auth_mandatory(&self) -> bool {
        self.rules().demand()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let state = self.state.load();
        if state.kept.rules.demand() {
            return state.verify(own, others, now);
        }
        // Each request is judged.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn judge(
    state: &State,
    chain: &[CertificateDer<'static>],
) -> Result<String, Refusal> {
    if !state.kept.rules.enabled {
        return Err(Refusal::Disabled);
    }
    let (own, others) = chain.split_first().ok_or(Refusal::Nameless)?;
    state
        .verify(own, others, UnixTime::now())
        .map_err(|error| Refusal::Untrusted(error.to_string()))?;
    let (_, parsed) =
        X509Certificate::from_der(own).map_err(|_| Refusal::Nameless)?;
    let name = match state.kept.rules.mapping {
        Mapping::CommonName => common_name(&parsed),
        Mapping::UserPrincipalName => principal(&parsed),
    };
    name.ok_or(Refusal::Nameless)
}

/// The common name, if there is exactly one.
fn common_name(of: &X509Certificate<'_>) -> Option<String> {
    let mut names = of.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}

/// The user of the user principal name, if there is exactly one.
fn principal(of: &X509Certificate<'_>) -> Option<String> {
    // id-ms-san-upn
    let upn = oid!(1.3.6.1.4.1.311.20.2.3);
    let names = of.subject_alternative_name().ok()??;
    let names = names.value.general_names.iter();
    let mut found = names.filter_map(|name| match name {
        GeneralName::OtherName(oid, value) if *oid == upn => Some(*value),
        _ => None,
    });
    let text = utf8_in(found.next()?)?;
    if found.next().is_some() {
        return None;
    }
    let (user, realm) = text.split_once('@')?;
    (!realm.is_empty()).then(|| user.to_owned())
}

/// The text of a `UTF8String`, in the explicit tag of an `otherName` or not.
fn utf8_in(der: &[u8]) -> Option<&str> {
    const EXPLICIT: u8 = 0xa0;
    const UTF8_STRING: u8 = 0x0c;
    match der {
        [EXPLICIT, length, inner @ ..]
            if usize::from(*length) == inner.len() && *length < 0x80 =>
        {
            utf8_in(inner)
        }
        [UTF8_STRING, length, text @ ..]
            if usize::from(*length) == text.len() && *length < 0x80 =>
        {
            std::str::from_utf8(text).ok()
        }
        _ => None,
    }
}

/// The one certificate of a CA in `pem`.
fn issuer(pem: &str) -> Result<String, TrustError> {
    let mut all = sections(pem, "CERTIFICATE");
    let (Some(one), None) = (all.next(), all.next()) else {
        return Err(TrustError::NoCertificate);
    };
    let none = |_| TrustError::NoCertificate;
    let der = CertificateDer::from_pem_slice(one.as_bytes()).map_err(none)?;
    let (rest, parsed) = X509Certificate::from_der(&der)
        .map_err(|_| TrustError::NoCertificate)?;
    let anchor = RootCertStore::empty().add(der.clone());
    if !rest.is_empty() || anchor.is_err() {
        return Err(TrustError::NoCertificate);
    }
    if !parsed.is_ca() {
        return Err(TrustError::NoIssuer);
    }
    Ok(one)
}

fn unknown(kept: &Kept, pem: &str) -> Result<(), TrustError> {
    let known = kept.issuers.iter().find(|(_, it)| *it == pem);
    known.map_or(Ok(()), |(id, _)| Err(TrustError::Known(*id)))
}
