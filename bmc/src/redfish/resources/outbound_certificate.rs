//! `OutboundConnection.Certificates` and `ClientCertificates`: what the two
//! ends of the tunnel know each other by.

use onprem_redfish::schema::{
    certificate::CertificateUsageType,
    certificate_collection::CertificateCollection,
};

use super::{certificate::describe, enabled};
use crate::{
    model::Health,
    redfish::{
        fleet::ID,
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// The only certificate of each side.
const ONE: &str = "1";

/// Whose certificate it is.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Fleet,
    Device,
}

impl Side {
    fn title(self) -> &'static str {
        match self {
            Self::Fleet => "Authority of the fleet",
            Self::Device => "Certificate of this device",
        }
    }

    fn pem(self, view: &View<'_>) -> Option<String> {
        let papers = view.service.line().ok()?.papers()?;
        Some(match self {
            Self::Fleet => papers.ca.clone(),
            Self::Device => papers.certificate.clone(),
        })
    }

    fn one(self) -> &'static str {
        match self {
            Self::Fleet => uri::FLEET_CERTIFICATE,
            Self::Device => uri::FLEET_CLIENT_CERTIFICATE,
        }
    }
}

/// Where the certificates are, once the machine is a member of a fleet.
pub(super) fn places(view: &View<'_>) -> Vec<String> {
    let sides = [Side::Fleet, Side::Device].into_iter();
    let there = sides.filter(|side| side.pem(view).is_some());
    let shown = view.service.line().is_ok_and(|it| it.wanted().is_some());
    there
        .filter(|_| shown)
        .map(|side| uri::of(side.one(), &[ID, ONE]))
        .collect()
}

/// `…/OutboundConnections/{OutboundConnectionId}/Certificates` and
/// `…/ClientCertificates`
pub(crate) struct Certificates(pub(crate) Side);

impl Resource for Certificates {
    fn uri(&self) -> &'static str {
        match self.0 {
            Side::Fleet => uri::FLEET_CERTIFICATES,
            Side::Device => uri::FLEET_CLIENT_CERTIFICATES,
        }
    }

    fn kind(&self) -> &'static str {
        "CertificateCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        view.service.line().ok()?.wanted().filter(|_| ids == [ID])?;
        let uris: Vec<_> = self
            .0
            .pem(view)
            .map(|_| uri::of(self.0.one(), &[ID, ONE]))
            .into_iter()
            .collect();
        let count = uris.len() as u64;
        let body = CertificateCollection::new("", self.0.title(), uris);
        Some(answer(body.members_count(count)))
    }
}

/// One of their members.
pub(crate) struct Certificate(pub(crate) Side);

impl Resource for Certificate {
    fn uri(&self) -> &'static str {
        self.0.one()
    }

    fn kind(&self) -> &'static str {
        "Certificate"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        view.service.line().ok()?.wanted().filter(|_| ids == [ID, ONE])?;
        let pem = self.0.pem(view)?;
        let usage = match self.0 {
            Side::Fleet => CertificateUsageType::Web,
            Side::Device => CertificateUsageType::LdevId,
        };
        let body = describe(ONE, self.0.title(), &pem, usage);
        // The device's lives for days only, and is renewed by itself.
        Some(answer(body.status(enabled(Health::Ok))))
    }
}
