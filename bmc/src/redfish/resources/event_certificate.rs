//! `EventDestination.Certificates`: what a subscriber may show, where its
//! certificate is checked.

use http::StatusCode;
use onprem_redfish::{
    message::base,
    schema::{
        certificate::{self, CertificateType, CertificateUsageType},
        certificate_collection::CertificateCollection,
    },
};

use crate::redfish::{
    error::Error,
    event::{Subscription, Trusted, is_certificate},
    resource::{
        Answer, Created, Freshness, Pending, Resource, View, Write, answer,
    },
    uri,
};

/// How many certificates one subscriber may have.
const MOST: usize = 8;

/// `…/Subscriptions/{EventDestinationId}/Certificates`
pub(crate) struct Certificates;

impl Resource for Certificates {
    fn uri(&self) -> &'static str {
        uri::EVENT_CERTIFICATES
    }

    fn kind(&self) -> &'static str {
        "CertificateCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let of = posted(view, ids)?;
        let uris = of
            .trusted
            .iter()
            .map(|it| uri::of(uri::EVENT_CERTIFICATE, &[&of.id, &it.id]));
        let count = of.trusted.len() as u64;
        let body = CertificateCollection::new("", "Certificates", uris);
        Some(answer(body.members_count(count)))
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&["/CertificateString", "/CertificateType"])
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let events = &write.service.events;
            let subscription = write.id(0);
            let found = events.subscription(subscription);
            let found = found.filter(|it| !it.is_stream());
            let of = found.ok_or_else(|| Error::not_found(self.uri()))?;
            let kind = write.text("/CertificateType").unwrap_or_default();
            if kind != "PEM" {
                let name = "CertificateType";
                let message = base::property_value_not_in_list(kind, name);
                return Err(Error::bad(vec![
                    message.about("/CertificateType"),
                ]));
            }
            let pem = write.text("/CertificateString").unwrap_or_default();
            if let Err(error) = is_certificate(pem) {
                let name = "CertificateString";
                let message = base::property_value_error(name);
                let message = message.about("/CertificateString");
                return Err(Error::bad(vec![message.resolved_by(format!(
                    "Send one certificate in PEM form ({error})."
                ))]));
            }
            if of.trusted.len() >= MOST {
                let message = base::create_limit_reached_for_resource();
                return Err(Error::new(StatusCode::CONFLICT, message));
            }
            let used = of.trusted.iter().filter_map(|it| it.id.parse().ok());
            let id = (used.max().unwrap_or(0_u32) + 1).to_string();
            let new = Trusted { id: id.clone(), pem: pem.to_owned() };
            events.change(subscription, |it| it.trusted.push(new)).await?;
            Ok(uri::of(uri::EVENT_CERTIFICATE, &[subscription, &id]).into())
        })
    }
}

/// `…/Subscriptions/{EventDestinationId}/Certificates/{CertificateId}`
pub(crate) struct Certificate;

impl Resource for Certificate {
    fn uri(&self) -> &'static str {
        uri::EVENT_CERTIFICATE
    }

    fn kind(&self) -> &'static str {
        "Certificate"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let of = posted(view, ids)?;
        let [_, id] = ids else { return None };
        let it = of.trusted.iter().find(|it| it.id == *id)?;
        let name = "Certificate of a subscriber";
        let body = certificate::Certificate::new("", &*it.id, name)
            .certificate_string(&*it.pem)
            .certificate_type(CertificateType::Pem)
            .certificate_usage_types([CertificateUsageType::Web]);
        Some(answer(body))
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let id = write.id(1);
            let without =
                |it: &mut Subscription| it.trusted.retain(|it| it.id != id);
            write.service.events.change(write.id(0), without).await
        })
    }
}

/// The subscription, if it is one whose certificate can be checked.
fn posted(view: &View<'_>, ids: &[&str]) -> Option<Subscription> {
    let found = view.service.events.subscription(ids.first()?)?;
    (!found.is_stream()).then_some(found)
}
