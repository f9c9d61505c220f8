//! `ManagerNetworkProtocol`: the doors of the agent, and how it is found.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        manager_network_protocol::{
            HttpsProtocol, ManagerNetworkProtocol, NotifyIpv6scope,
            NtpProtocol, Protocol, SsdProtocol,
        },
    },
};

use super::{
    With as _, enabled, ethernet_interface::manager_name, manager_time,
};
use crate::{
    clock::{ClockError, NTP_PORT},
    discovery::{MDNS_PORT, SSDP_PORT, Scope, Ssdp},
    model::Health,
    redfish::{
        error::Error,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

/// How many time servers there may be.
const SERVERS: usize = 8;
/// The longest time between two announcements: a day, in seconds.
const INTERVAL: u32 = 86_400;

const SSDP_ENABLED: &str = "/SSDP/ProtocolEnabled";
const SSDP_INTERVAL: &str = "/SSDP/NotifyMulticastIntervalSeconds";
const SSDP_TTL: &str = "/SSDP/NotifyTTL";
const SSDP_SCOPE: &str = "/SSDP/NotifyIPv6Scope";
const MDNS_ENABLED: &str = "/mDNS/ProtocolEnabled";
const NTP_ENABLED: &str = "/NTP/ProtocolEnabled";
const NTP_SERVERS: &str = "/NTP/NTPServers";

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
        // The name of the host is asked of its files.
        Freshness::Second
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.manager(ids)?;
        let port = view.service.port().map(i64::from);
        let network = view.service.networks.now();
        let https = HttpsProtocol::new()
            .protocol_enabled(port.is_some())
            .with(port, HttpsProtocol::port)
            .certificates(Reference::new(uri::of(uri::CERTIFICATES, ids)));
        // Plain HTTP is answered with where to find TLS, and nothing else.
        let http =
            Protocol::new().protocol_enabled(false).with(port, Protocol::port);
        let mdns = Protocol::new()
            .protocol_enabled(network.mdns.enabled)
            .port(MDNS_PORT.into());
        let ntp = NtpProtocol::new()
            .protocol_enabled(network.ntp && view.service.clock.may_be_set())
            .port(NTP_PORT.into())
            .ntp_servers(network.ntp_servers);
        let name = manager_name(&view.snapshot.settings, it);
        let name = name.as_deref();
        let body = ManagerNetworkProtocol::new(
            "",
            "NetworkProtocol",
            "Network protocols",
        )
        .description(
            "SSDP and mDNS announce the service at the addresses where it \
             listens; with mDNS as _redfish._tcp. \
             NTPServers are asked while NTP is enabled, which needs the \
             permission to set the clock; otherwise the operating system \
             keeps it.",
        )
        .with(name, ManagerNetworkProtocol::host_name)
        .with(name.map(full), ManagerNetworkProtocol::fqdn)
        .https(https)
        .http(http)
        .ssdp(ssdp(&network.ssdp))
        .mdns(mdns)
        .ntp(ntp)
        .status(enabled(Health::Ok));
        Some(answer(body))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[
            SSDP_ENABLED,
            SSDP_INTERVAL,
            SSDP_TTL,
            SSDP_SCOPE,
            MDNS_ENABLED,
            NTP_ENABLED,
            NTP_SERVERS,
        ]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let enabled = write.flag(SSDP_ENABLED);
            let mdns = write.flag(MDNS_ENABLED);
            let interval = write.number(SSDP_INTERVAL)?;
            if let Some(long) = interval.filter(|it| *it > INTERVAL) {
                return Err(out_of_range(long, SSDP_INTERVAL));
            }
            let ttl = match write.number(SSDP_TTL)? {
                Some(ttl) => Some(
                    u8::try_from(ttl)
                        .map_err(|_| out_of_range(ttl, SSDP_TTL))?,
                ),
                None => None,
            };
            let scope = write.text(SSDP_SCOPE).map(|scope| match scope {
                "Site" => Scope::Site,
                "Organization" => Scope::Organization,
                _ => Scope::Link,
            });
            let servers = write.texts(NTP_SERVERS);
            if let Some(servers) = &servers {
                check(servers)?;
            }
            let ntp = write.flag(NTP_ENABLED);
            if ntp == Some(true) && !write.service.clock.may_be_set() {
                let at = uri::of(uri::NETWORK_PROTOCOL, write.ids);
                let at = format!("{at}#/NTP");
                return Err(manager_time::refused(
                    &ClockError::NotAllowed,
                    &at,
                ));
            }
            let stored = write.service.networks.change(|network| {
                let ssdp = &mut network.ssdp;
                ssdp.enabled = enabled.unwrap_or(ssdp.enabled);
                ssdp.interval_seconds =
                    interval.unwrap_or(ssdp.interval_seconds);
                ssdp.ttl = ttl.unwrap_or(ssdp.ttl);
                ssdp.scope = scope.unwrap_or(ssdp.scope);
                let mdns = mdns.unwrap_or(network.mdns.enabled);
                network.mdns.enabled = mdns;
                network.ntp = ntp.unwrap_or(network.ntp);
                if let Some(servers) = servers {
                    network.ntp_servers = servers;
                }
            });
            stored.await.map_err(|error| Error::unstored(&error))
        })
    }
}

fn ssdp(set: &Ssdp) -> SsdProtocol {
    SsdProtocol::new()
        .protocol_enabled(set.enabled)
        .port(i64::from(SSDP_PORT))
        .notify_multicast_interval_seconds(set.interval_seconds.into())
        .notify_ttl(set.ttl.into())
        .notify_ipv6scope(match set.scope {
            Scope::Link => NotifyIpv6scope::Link,
            Scope::Site => NotifyIpv6scope::Site,
            Scope::Organization => NotifyIpv6scope::Organization,
        })
}

fn out_of_range(value: u32, pointer: &str) -> Error {
    let name = pointer.rsplit('/').next().unwrap_or(pointer);
    let message = base::property_value_out_of_range(value.to_string(), name);
    Error::bad(vec![message.about(pointer)])
}

fn check(servers: &[String]) -> Result<(), Error> {
    if servers.len() > SERVERS {
        #[expect(clippy::cast_precision_loss, reason = "it is 8")]
        let limit = SERVERS as f64;
        let message = base::array_size_too_long("NTPServers", limit);
        return Err(Error::bad(vec![message.about(NTP_SERVERS)]));
    }
    if let Some(other) = servers.iter().find(|it| !is_host(it)) {
        let start: String = other.chars().take(255).collect();
        let message = base::property_value_format_error(start, "NTPServers");
        return Err(Error::bad(vec![message.about(NTP_SERVERS)]));
    }
    Ok(())
}

/// Whether `text` may be a name or an address of a machine; an empty one is a
/// place that is kept free.
fn is_host(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    text.len() <= 253 && text.chars().all(safe)
}

/// The name with its domain, as far as this machine knows one.
pub(super) fn full(name: &str) -> String {
    if name.contains('.') {
        return name.to_owned();
    }
    // Local and small: what resolves the own name first, before any network.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or(""));
    let mut names = lines.filter_map(|line| {
        let mut names = line.split_whitespace().skip(1);
        let whole = names.next()?;
        let dotted = whole.strip_prefix(name)?.starts_with('.');
        dotted.then(|| whole.to_owned())
    });
    names.next().unwrap_or_else(|| name.to_owned())
}
