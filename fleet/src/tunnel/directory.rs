//! What the device listener asks of the fleet: who may join, who belongs.

use std::{error::Error, net::SocketAddr};

use onprem_link::{
    enrol::{Facts, Fingerprint, Refusal},
    id::Xid,
};
use uuid::Uuid;

/// A device asks to join. It has proved that it holds the key.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The hash of the join token, see
    /// [`onprem_link::enrol::JoinToken::hash`].
    pub token: Fingerprint,
    /// The UUID of the machine.
    pub uuid: Uuid,
    /// The fingerprint of the device's public key (its
    /// `SubjectPublicKeyInfo`).
    pub key: Fingerprint,
    /// What the device says about itself.
    pub facts: Facts,
    /// Where it called from.
    pub peer: SocketAddr,
}

/// The answer to an [`Enrolment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The device belongs to the fleet, with this key.
    Accepted {
        /// Its id.
        device: Xid,
    },
    /// The machine is known under another key; this one is noted as pending.
    Waiting {
        /// Its id.
        device: Xid,
    },
    /// It may not join.
    Refused(Refusal),
}

/// Whether a device with a certificate belongs to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does, and this is its key.
    Accepted {
        /// The UUID of the machine, which its grants name.
        uuid: Uuid,
    },
    /// There is no such device, or its key is another one.
    Unknown,
}

/// The fleet cannot say now; the device is told to come back.
#[derive(Debug, thiserror::Error)]
#[error("the directory of devices cannot answer")]
pub struct DirectoryError(#[source] pub Box<dyn Error + Send + Sync>);

/// What the device listener asks of the fleet.
pub trait Directory: Send + Sync + 'static {
    /// Redeems the join token and admits the device, in one step that happens
    /// wholly or not at all:
    ///
    /// - a token is spent by the first key that redeems it, and from then on
    ///   good for this key only, even after it expired: a device whose answer
    ///   was lost, or that waits for approval, asks again with it;
    /// - an unknown UUID makes a new device;
    /// - a known UUID with its own key is accepted;
    /// - a known UUID with a new key waits: the key is noted as pending until
    ///   somebody approves it.
    fn enrol(
        &self,
        enrolment: Enrolment,
    ) -> impl Future<Output = Result<Admission, DirectoryError>> + Send;

    /// Whether the device may connect and renew with this key.
    fn standing(
        &self,
        device: Xid,
        key: Fingerprint,
    ) -> impl Future<Output = Result<Standing, DirectoryError>> + Send;
}
