//! Who is told, how, and of what.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    super::uri, filter::Filter, record::Event, sse_filter::Expression,
};

/// The way to a subscriber, as `EventDestinationProtocol` names it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize,
)]
pub(crate) enum Protocol {
    #[default]
    Redfish,
    SyslogTLS,
    SyslogTCP,
    SyslogUDP,
}

/// What happens when a subscriber cannot be reached, as
/// `DeliveryRetryPolicy` names it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize,
)]
pub(crate) enum Policy {
    TerminateAfterRetries,
    SuspendRetries,
    #[default]
    RetryForever,
    RetryForeverWithBackoff,
}

/// A member of `SyslogFilters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SyslogFilter {
    #[serde(rename = "LowestSeverity")]
    pub(crate) lowest: Option<String>,
    #[serde(rename = "LogFacilities", skip_serializing_if = "Vec::is_empty")]
    pub(crate) facilities: Vec<String>,
}

/// A certificate that a subscriber may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trusted {
    pub(crate) id: String,
    /// One certificate.
    pub(crate) pem: String,
}

/// Who is told.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties of the resource"
)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) protocol: Protocol,
    /// Where it is told; a stream has none.
    pub(crate) destination: Option<String>,
    /// Where else, if that does not answer.
    pub(crate) backups: Option<Vec<String>>,
    pub(crate) context: Option<String>,
    pub(crate) filter: Filter,
    /// Put the resource in that an event is about.
    pub(crate) include_origin: bool,
    pub(crate) policy: Policy,
    /// Is the subscriber's certificate to be checked?
    pub(crate) verify: bool,
    /// Sent with each POST; secrets, so they are shown to nobody.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) syslog: Vec<SyslogFilter>,
    /// A sign of life is sent each so many minutes.
    pub(crate) heartbeat_minutes: Option<u32>,
    /// Nothing is sent until somebody resumes it.
    pub(crate) suspended: bool,
    pub(crate) trusted: Vec<Trusted>,
    /// Who listens to a stream.
    #[serde(skip)]
    pub(crate) listener: Option<SocketAddr>,
    /// What a stream asked for, beyond the filters.
    #[serde(skip)]
    pub(crate) expression: Option<Expression>,
    /// The last delivery did not work.
    #[serde(skip)]
    pub(crate) failing: bool,
}

impl Subscription {
    /// Is it a stream, which lives as long as its connection?
    pub(crate) fn is_stream(&self) -> bool {
        self.destination.is_none()
    }

    pub(crate) fn is_syslog(&self) -> bool {
        self.protocol != Protocol::Redfish
    }

    /// Is this to be sent?
    pub(crate) fn wants(&self, event: &Event) -> bool {
        if let Some(expression) = &self.expression {
            return expression.admits(event);
        }
        let syslog = !self.is_syslog()
            || event.record().is_some_and(|record| {
                super::syslog::passes(&self.syslog, record)
            });
        syslog && self.filter.wants(event) && !self.is_its_making(event)
    }

    /// Nobody is called to hear that the call was ordered.
    fn is_its_making(&self, event: &Event) -> bool {
        let Some(record) = event.record() else { return false };
        record.key == "ResourceCreated"
            && record.origin.as_ref().is_some_and(|origin| {
                origin.strip_suffix(&*self.id).is_some_and(|above| {
                    above.trim_end_matches('/') == uri::SUBSCRIPTIONS
                })
            })
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}
