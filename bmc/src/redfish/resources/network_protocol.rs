//! `ManagerNetworkProtocol`: the doors of the agent.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        manager_network_protocol::{
            HttpsProtocol, ManagerNetworkProtocol, NtpProtocol, Protocol,
            SsdProtocol,
        },
    },
};

use super::{With as _, enabled};
use crate::{
    model::Health,
    redfish::{
        error::Error,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

/// How many time servers there may be.
const SERVERS: usize = 8;

/// `…/NetworkProtocol`
pub(crate) struct NetworkProtocol;

impl Resource for NetworkProtocol {
    fn uri(&self) -> &'static str {
        uri::NETWORK_PROTOCOL
    }

    fn kind(&self) -> &'static str {
        "ManagerNetworkProtocol"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.manager(ids)?;
        let port = view.service.port();
        let https = HttpsProtocol::new()
            .protocol_enabled(port.is_some())
            .with(port.map(i64::from), HttpsProtocol::port)
            .certificates(Reference::new(uri::of(uri::CERTIFICATES, ids)));
        // Plain HTTP is answered with where to find TLS, and nothing else.
        let off = || Protocol::new().protocol_enabled(false);
        let servers = view.service.events.kept().ntp_servers;
        let body = ManagerNetworkProtocol::new(
            "",
            "NetworkProtocol",
            "Network protocols",
        )
        .description(
            "The operating system keeps the clock. NTPServers is a note for \
             whoever sets it up; the agent does not ask these servers.",
        )
        .with(it.host_name.clone(), ManagerNetworkProtocol::host_name)
        .https(https)
        .http(off())
        .ssdp(SsdProtocol::new().protocol_enabled(false))
        .ntp(NtpProtocol::new().protocol_enabled(false).ntp_servers(servers))
        .status(enabled(Health::Ok));
        Some(answer(&body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/NTP/NTPServers"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let Some(servers) = write.texts("/NTP/NTPServers") else {
                return Ok(());
            };
            if servers.len() > SERVERS {
                #[expect(clippy::cast_precision_loss, reason = "it is 8")]
                let limit = SERVERS as f64;
                let message = base::array_size_too_long("NTPServers", limit);
                return Err(Error::bad(vec![message.about("/NTP/NTPServers")]));
            }
            if let Some(other) = servers.iter().find(|it| !is_host(it)) {
                let start: String = other.chars().take(255).collect();
                let message =
                    base::property_value_format_error(start, "NTPServers");
                return Err(Error::bad(vec![message.about("/NTP/NTPServers")]));
            }
            write.service.events.keep(|kept| kept.ntp_servers = servers).await
        })
    }
}

/// Whether `text` may be a name or an address of a machine; an empty one is a
/// place that is kept free.
fn is_host(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    text.len() <= 253 && text.chars().all(safe)
}
