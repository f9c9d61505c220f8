//! Grants: who asks through the tunnel, with which role, until when; signed by
//! the fleet, checked by the agent.
//!
//! A grant is `<claims as JSON>.<signature>`, both in base64url, the signature
//! ECDSA P-256 with SHA-256. The signing and the checking are done by the
//! rustls provider of the process.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use rustls::{
    SignatureScheme,
    crypto::CryptoProvider,
    sign::{Signer, SigningKey},
};
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::FleetClock, id::Xid};

/// How long a grant may be valid, in seconds.
pub const MAX_LIFE_S: u64 = 120;

/// Grants for writing that an agent remembers as used.
const MAX_USED: usize = 4096;
/// Grants for reading whose signature an agent does not check again.
const MAX_CHECKED: usize = 256;

/// What the signature covers before the claims, so that the key's signatures
/// mean nothing elsewhere.
const CONTEXT: &[u8] = b"onprem-grant-1\n";

/// The Redfish role of the person who asks.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
pub enum Role {
    /// May look.
    ReadOnly,
    /// May also switch power and change settings of systems.
    Operator,
    /// May do all.
    Administrator,
}

impl Role {
    /// The name of the role in Redfish.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "ReadOnly",
            Self::Operator => "Operator",
            Self::Administrator => "Administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which methods a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodClass {
    /// `GET`, `HEAD`, `OPTIONS`; the grant may be used until it expires.
    Read,
    /// Any other method; the grant may be used once.
    Write,
}

impl MethodClass {
    /// The class that `method` needs.
    #[must_use]
    pub fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Read,
            _ => Self::Write,
        }
    }
}

/// What a grant says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The account of the person or program that asks.
    pub subject: String,
    /// Its role.
    pub role: Role,
    /// The methods it is for.
    pub class: MethodClass,
    /// The machine it is for.
    pub device: Uuid,
    /// When it was signed, in seconds since 1970.
    pub issued: u64,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// The request it was signed for, by the id that the fleet's audit
    /// record has.
    pub request: String,
    /// What tells this grant from all others.
    pub id: Xid,
}

/// What an agent calls the subject of a grant where it tells others who did
/// something: no account of its own has a `/` in its name.
#[must_use]
pub fn known_as(subject: &str) -> String {
    format!("fleet/{subject}")
}

/// Why a grant is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is none.
    #[error("the request carries no grant")]
    Missing,
    /// The text is no grant.
    #[error("the grant cannot be read")]
    Malformed,
    /// The fleet did not sign this.
    #[error("the signature of the grant is wrong")]
    Forged,
    /// It is for another machine.
    #[error("the grant is for another device")]
    OtherDevice,
    /// It is for reading.
    #[error("the grant does not cover the method")]
    OtherMethod,
    /// Its time is over.
    #[error("the grant has expired")]
    Expired,
    /// It was used before.
    #[error("the grant was used before")]
    Replayed,
    /// More grants are in use than the agent can remember.
    #[error("too many grants are in use")]
    TooMany,
}

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The provider does not take the private key.
    #[error("the grant key cannot be loaded")]
    Load(#[from] rustls::Error),
    /// The key is no P-256 key.
    #[error("the grant key is no P-256 key")]
    Kind,
}

/// Signs grants.
#[derive(Debug)]
pub struct GrantSigner {
    key: Arc<dyn SigningKey>,
    public: VerifyingKey,
}

impl GrantSigner {
    /// A signer with the P-256 key `key`.
    ///
    /// # Errors
    /// The provider does not take the key.
    pub fn new(
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, KeyError> {
        let key = provider.key_provider.load_private_key(key)?;
        let spki = key.public_key().ok_or(KeyError::Kind)?;
        // The point is the end of a P-256 SubjectPublicKeyInfo.
        let point = spki.last_chunk::<65>().ok_or(KeyError::Kind)?;
        let signer = Self { public: VerifyingKey(*point), key };
        signer.signer().map(drop)?;
        Ok(signer)
    }

    /// The key that agents check the grants with.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signed text of `grant`.
    ///
    /// # Errors
    /// The provider does not sign.
    pub fn sign(&self, grant: &Grant) -> Result<String, KeyError> {
        let claims = serde_json::to_vec(grant).unwrap_or_default();
        let message = [CONTEXT, &claims].concat();
        let signature = self.signer()?.sign(&message)?;
        Ok(format!("{}.{}", BASE64.encode(claims), BASE64.encode(signature)))
    }

    fn signer(&self) -> Result<Box<dyn Signer>, KeyError> {
        self.key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
            .ok_or(KeyError::Kind)
    }
}

/// The public half of the fleet's grant key: a point of P-256, uncompressed.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey([u8; 65]);

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let point = BASE64.decode(text).map_err(|_| KeyError::Kind)?;
        point.try_into().map(Self).map_err(|_| KeyError::Kind)
    }
}

/// Checks the grants of one connection to the fleet.
#[derive(Debug)]
pub struct GrantChecker {
    device: Uuid,
    key: VerifyingKey,
    provider: Arc<CryptoProvider>,
    clock: FleetClock,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Grants for reading that were found good.
    checked: HashMap<String, Grant>,
    /// Grants for writing that were used: expiry and id.
    used: BTreeSet<(u64, Xid)>,
}

impl GrantChecker {
    /// A checker on the machine `device`, of grants signed with `key`, by the
    /// fleet's `clock`.
    #[must_use]
    pub fn new(
        device: Uuid,
        key: VerifyingKey,
        provider: Arc<CryptoProvider>,
        clock: FleetClock,
    ) -> Self {
        let memory = Mutex::default();
        Self { device, key, provider, clock, memory }
    }

    /// The grant in `text`, if it is good for a request with `method`.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, text: &str, method: &str) -> Result<Grant, GrantError> {
        let known = self.memory().checked.get(text).cloned();
        let grant = match known {
            Some(grant) => grant,
            None => self.verify(text)?,
        };
        if grant.device != self.device {
            return Err(GrantError::OtherDevice);
        }
        let life = grant.expires.checked_sub(grant.issued);
        if life.is_none_or(|life| life > MAX_LIFE_S) {
            return Err(GrantError::Expired);
        }
        // A signed time is the fleet's time: a clock that fell behind while
        // the machine slept catches up.
        self.clock.at_least(grant.issued);
        let now = self.clock.now_s();
        if grant.expires < now {
            return Err(GrantError::Expired);
        }
        let mut memory = self.memory();
        match (grant.class, MethodClass::of(method)) {
            (MethodClass::Read, MethodClass::Write) => {
                return Err(GrantError::OtherMethod);
            }
            (MethodClass::Read, MethodClass::Read) => {
                if memory.checked.len() >= MAX_CHECKED {
                    memory.checked.retain(|_, grant| grant.expires >= now);
                }
                if memory.checked.len() < MAX_CHECKED {
                    memory.checked.insert(text.to_owned(), grant.clone());
                }
            }
            (MethodClass::Write, _) => {
                // What has expired is refused for that; it need not be
                // remembered.
                memory.used.retain(|(expires, _)| *expires >= now);
                if memory.used.len() >= MAX_USED {
                    return Err(GrantError::TooMany);
                }
                if !memory.used.insert((grant.expires, grant.id)) {
                    return Err(GrantError::Replayed);
                }
            }
        }
        Ok(grant)
    }

    fn verify(&self, text: &str) -> Result<Grant, GrantError> {
        let (claims, signature) =
            text.split_once('.').ok_or(GrantError::Malformed)?;
        let decode = |part| BASE64.decode(part);
        let claims = decode(claims).map_err(|_| GrantError::Malformed)?;
        let signature = decode(signature).map_err(|_| GrantError::Malformed)?;
        let message = [CONTEXT, &claims].concat();
        let algorithms = &self.provider.signature_verification_algorithms;
        let good = algorithms
            .mapping
            .iter()
            .filter(|(scheme, _)| {
                *scheme == SignatureScheme::ECDSA_NISTP256_SHA256
            })
            .flat_map(|(_, algorithms)| *algorithms)
            .any(|algorithm| {
                algorithm
                    .verify_signature(&self.key.0, &message, &signature)
                    .is_ok()
            });
        if !good {
            return Err(GrantError::Forged);
        }
        serde_json::from_slice(&claims).map_err(|_| GrantError::Malformed)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A P-256 key in PKCS#8, for these tests only.
    const KEY: &str = concat!(
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggg496QGhu7y7",
        "SwujkW5emvGmwukZxdC/6Sq6vu2ZDKShRANCAASPeHcUPAb0Np6g5rZM5FPo",
        "pv4wMZpPUGvR37L7O5dfTvIqBLA3TVD3OY90ZbUTW0DKTiT4w9pt8rZ8FSpM",
        "RYLn",
    );

    struct Setup {
        signer: GrantSigner,
        checker: GrantChecker,
        clock: FleetClock,
        device: Uuid,
    }

    fn setup() -> Setup {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(
            base64::prelude::BASE64_STANDARD.decode(KEY).unwrap(),
        );
        let signer = GrantSigner::new(key.into(), &provider).unwrap();
        let clock = FleetClock::new(1_000_000_000);
        let device = Uuid::from_u128(7);
        let checker = GrantChecker::new(
            device,
            signer.public().to_string().parse().unwrap(),
            provider,
            clock.clone(),
        );
        Setup { signer, checker, clock, device }
    }

    fn grant(setup: &Setup, class: MethodClass) -> Grant {
        Grant {
            subject: "ada".to_owned(),
            role: Role::Operator,
            class,
            device: setup.device,
            issued: setup.clock.now_s(),
            expires: setup.clock.now_s() + 60,
            request: "r-1".to_owned(),
            id: Xid::new(),
        }
    }

    #[tokio::test]
    async fn a_grant_for_reading_serves_until_it_expires() {
        let s = setup();
        let grant = grant(&s, MethodClass::Read);
        let text = s.signer.sign(&grant).unwrap();
        for method in ["GET", "HEAD", "GET"] {
            assert_eq!(s.checker.check(&text, method), Ok(grant.clone()));
        }
        let write = s.checker.check(&text, "PATCH");
        assert_eq!(write, Err(GrantError::OtherMethod));
        s.clock.at_least(grant.expires + 1);
        let late = s.checker.check(&text, "GET");
        assert_eq!(late, Err(GrantError::Expired));
    }

    #[tokio::test]
    async fn a_grant_for_writing_serves_once() {
        let s = setup();
        let text = s.signer.sign(&grant(&s, MethodClass::Write)).unwrap();
        assert!(s.checker.check(&text, "POST").is_ok());
        let again = s.checker.check(&text, "POST");
        assert_eq!(again, Err(GrantError::Replayed));
    }

    #[tokio::test]
    async fn remembers_used_grants_up_to_a_bound_and_until_they_expire() {
        let s = setup();
        for _ in 0..MAX_USED {
            let text = s.signer.sign(&grant(&s, MethodClass::Write)).unwrap();
            assert!(s.checker.check(&text, "POST").is_ok());
        }
        let text = s.signer.sign(&grant(&s, MethodClass::Write)).unwrap();
        let full = s.checker.check(&text, "POST");
        assert_eq!(full, Err(GrantError::TooMany));
        s.clock.at_least(s.clock.now_s() + 61);
        let text = s.signer.sign(&grant(&s, MethodClass::Write)).unwrap();
        assert!(s.checker.check(&text, "POST").is_ok());
    }

    #[tokio::test]
    async fn refuses_what_the_fleet_did_not_sign_for_this_device() {
        let s = setup();
        let mut other = grant(&s, MethodClass::Read);
        other.device = Uuid::nil();
        let text = s.signer.sign(&other).unwrap();
        let refused = s.checker.check(&text, "GET");
        assert_eq!(refused, Err(GrantError::OtherDevice));

        let good = s.signer.sign(&grant(&s, MethodClass::Read)).unwrap();
        let (_, signature) = good.split_once('.').unwrap();
        let mut better = grant(&s, MethodClass::Read);
        better.role = Role::Administrator;
        let claims = BASE64.encode(serde_json::to_vec(&better).unwrap());
        let forged = format!("{claims}.{signature}");
        let refused = s.checker.check(&forged, "GET");
        assert_eq!(refused, Err(GrantError::Forged));

        for text in ["", ".", "a.b.c", "é.é"] {
            assert!(s.checker.check(text, "GET").is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn refuses_a_grant_that_would_last_too_long() {
        let s = setup();
        let mut long = grant(&s, MethodClass::Read);
        long.expires = long.issued + MAX_LIFE_S + 1;
        let text = s.signer.sign(&long).unwrap();
        let refused = s.checker.check(&text, "GET");
        assert_eq!(refused, Err(GrantError::Expired));
    }

    #[tokio::test]
    async fn a_clock_that_fell_behind_catches_up_with_the_newest_grant() {
        let s = setup();
        let early = s.signer.sign(&grant(&s, MethodClass::Read)).unwrap();
        let mut late = grant(&s, MethodClass::Read);
        late.issued += 600;
        late.expires += 600;
        let late = s.signer.sign(&late).unwrap();
        assert!(s.checker.check(&late, "GET").is_ok());
        let refused = s.checker.check(&early, "GET");
        assert_eq!(refused, Err(GrantError::Expired));
    }
}
