//! How a device joins a fleet: join tokens, and the messages of enrolment.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::id::Xid;

/// A SHA-256: of a certificate, of a public key, of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no fingerprint: 64 hexadecimal digits expected")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<Vec<u8>>>()
            .ok_or(NotAFingerprint)?;
        let bytes: Vec<u8> = digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[high, low]| high << 4 | low)
            .collect();
        if digits.len() != 64 {
            return Err(NotAFingerprint);
        }
        bytes.try_into().map(Self).map_err(|_| NotAFingerprint)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What lets a device join: a secret of the fleet's, and the fingerprint of
/// the fleet's CA, so that the secret is told to that fleet only.
///
/// Written `opj_<43 characters>.<64 hexadecimal digits>`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: [u8; 32],
    ca: Fingerprint,
}

impl JoinToken {
    /// A new token for the fleet whose CA certificate has this fingerprint.
    #[must_use]
    pub fn new(ca: Fingerprint) -> Self {
        Self { secret: rand::random(), ca }
    }

    /// The fingerprint of the CA certificate of the fleet.
    #[must_use]
    pub fn ca(&self) -> Fingerprint {
        self.ca
    }

    /// What the fleet keeps of the token, and compares: the hash of its text.
    #[must_use]
    pub fn hash(&self) -> Fingerprint {
        Fingerprint::of(self.reveal().as_bytes())
    }

    /// The token as text, to be handed to a device.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("opj_{}.{}", BASE64.encode(self.secret), self.ca)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no join token: `opj_…` with the fleet's fingerprint expected")]
pub struct NotAJoinToken;

impl FromStr for JoinToken {
    type Err = NotAJoinToken;

    fn from_str(text: &str) -> Result<Self, NotAJoinToken> {
        let (secret, ca) = text
            .trim()
            .strip_prefix("opj_")
            .and_then(|rest| rest.split_once('.'))
            .ok_or(NotAJoinToken)?;
        let secret = BASE64.decode(secret).map_err(|_| NotAJoinToken)?;
        Ok(Self {
            secret: secret.try_into().map_err(|_| NotAJoinToken)?,
            ca: ca.parse().map_err(|_| NotAJoinToken)?,
        })
    }
}

/// What a device says about itself when it joins and when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// The host name; the fleet names the device by it when it is free.
    pub hostname: String,
    /// Who made the machine.
    pub manufacturer: String,
    /// What the maker calls it.
    pub model: String,
    /// The serial number, empty where there is none.
    pub serial_number: String,
    /// The version of the agent.
    pub agent_version: String,
}

/// `POST /enrol`: a device asks for its first certificate.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolRequest {
    /// The text of the join token.
    pub token: String,
    /// A certificate signing request in PEM, made with the device's key.
    pub request: String,
    /// The UUID of the machine.
    pub uuid: Uuid,
    /// What the device says about itself.
    pub facts: Facts,
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("uuid", &self.uuid)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

/// `POST /renew`: a device asks for a fresh certificate, over a connection
/// that its present one authenticates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewRequest {
    /// A certificate signing request in PEM, made with the device's key.
    pub request: String,
}

/// The answer to both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum EnrolResponse {
    /// The device belongs to the fleet.
    #[serde(rename_all = "camelCase")]
    Accepted {
        /// The fleet's id of the device.
        device: Xid,
        /// The device's certificate in PEM.
        certificate: String,
        /// The CA certificate of the fleet in PEM.
        ca: String,
    },
    /// The machine is known under another key: somebody has to approve this
    /// one. Until then the device asks again, with the same token and key.
    #[serde(rename_all = "camelCase")]
    Waiting {
        /// The fleet's id of the device.
        device: Xid,
    },
}

/// Why the device listener refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// There is no such join token.
    UnknownToken,
    /// The join token was valid once.
    ExpiredToken,
    /// Another device joined with this token.
    UsedToken,
    /// The device was deleted, or its key is not the one that was accepted.
    UnknownDevice,
    /// The certificate has expired; it can be renewed.
    ExpiredCertificate,
    /// The certificate expired so long ago that the device has to join anew.
    ForgottenCertificate,
    /// No certificate was shown.
    NoCertificate,
    /// The message cannot be understood.
    BadRequest,
    /// The fleet has too much to do, or its store is away: later.
    Unavailable,
}

/// The body of an answer that refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalBody {
    /// Why, for programs.
    pub code: Refusal,
    /// Why, for people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_reads_back_and_carries_the_fingerprint() {
        let ca = Fingerprint::of(b"certificate");
        let token = JoinToken::new(ca);
        let read: JoinToken = format!(" {}\n", token.reveal()).parse().unwrap();
        assert_eq!(read, token);
        assert_eq!(read.ca(), ca);
        assert_eq!(read.hash(), token.hash());
        assert!(token.reveal().starts_with("opj_"));
        assert_ne!(token, JoinToken::new(ca));
    }

    #[test]
    fn refuses_what_is_no_join_token() {
        let token = JoinToken::new(Fingerprint::of(b"")).reveal();
        let short = &token[..token.len() - 1];
        let odd = format!("{token}0");
        for text in ["", "opj_", "opj_a.b", short, &odd, &token[4..], "é"] {
            assert_eq!(text.parse::<JoinToken>(), Err(NotAJoinToken), "{text}");
        }
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let token = JoinToken::new(Fingerprint::of(b""));
        let request = EnrolRequest {
            token: token.reveal(),
            request: String::new(),
            uuid: Uuid::nil(),
            facts: Facts::default(),
        };
        let secret = &token.reveal()[..47];
        assert!(!format!("{token:?} {request:?}").contains(secret));
    }
}
