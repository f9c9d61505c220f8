//! SSDP at one address: answers searches, and announces (DSP0266, "Simple
//! Service Discovery Protocol"; "`UPnP` Device Architecture 1.1", 1.2 and 1.3).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use onprem_redfish::document::REDFISH_VERSION;
use tokio::{net::UdpSocket, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Announced, Place, Scope, Ssdp, budget::Budget, socket};

/// Where SSDP is spoken.
pub(crate) const PORT: u16 = 1900;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// What a Redfish service is called.
const SERVICE: &str = "urn:dmtf-org:service:redfish-rest:1";
/// How long an answer may be believed, in seconds; DSP0266 wants no less.
const MAX_AGE: u32 = 1800;
/// The longest search that is read.
const LONGEST: usize = 2048;
/// Answers on their way; what comes on top is not answered.
const WAITING: usize = 32;
/// Answers in any second.
const RATE: u32 = 20;
/// The longest delay of an answer, however long the one who asks would wait.
const DELAY: Duration = Duration::from_secs(1);
/// The delay of the second announcement, in case the first got lost.
const AGAIN: Duration = Duration::from_millis(500);

/// Speaks SSDP at one address.
pub(super) struct Responder {
    place: Place,
    socket: UdpSocket,
    settings: Ssdp,
    /// The service root.
    root: String,
    uuid: String,
    /// The name of the service with the minor version of the protocol.
    service: String,
}

/// An answer on its way.
struct Answer {
    due: Instant,
    to: SocketAddr,
    text: String,
}

impl Responder {
    /// Opens the socket.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn open(
        place: Place,
        announced: &Announced,
        settings: Ssdp,
    ) -> io::Result<Self> {
        let group = match place.address {
            IpAddr::V4(_) => SocketAddr::from((GROUP, PORT)),
            IpAddr::V6(_) => group(Scope::Link, place.index).into(),
        };
        let socket = socket::open(&place, group, settings.ttl)?;
        let at = SocketAddr::new(place.address, announced.listen.port());
        let minor = REDFISH_VERSION.split('.').nth(1).unwrap_or_default();
        Ok(Self {
            place,
            socket,
            settings,
            root: format!("https://{at}/redfish/v1/"),
            uuid: announced.uuid.to_string(),
            service: format!("{SERVICE}:{minor}"),
        })
    }

    /// Answers and announces until `stop`, and then says goodbye.
    pub(super) async fn serve(self, stop: CancellationToken) {
        let mut waiting: Vec<Answer> = Vec::new();
        let mut budget = Budget::new(RATE);
        let interval = self.settings.interval_seconds;
        let period = Duration::from_secs(interval.into());
        let mut announce = (interval > 0).then(Instant::now);
        let mut first = true;
        let mut buffer = [0; LONGEST];
        loop {
            let due = waiting.iter().map(|it| it.due).chain(announce).min();
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.socket.recv_from(&mut buffer) => {
                    let Ok((length, from)) = received else { continue };
                    let text = buffer.get(..length).unwrap_or_default();
                    let now = Instant::now();
                    if waiting.len() < WAITING
                        && let Some(answer) = self.answer(text, from, now)
                        && budget.spend(now)
                    {
                        waiting.push(answer);
                    }
                }
                () = super::when(due) => {}
            }
            let now = Instant::now();
            let (send, rest) =
                waiting.into_iter().partition(|it: &Answer| it.due <= now);
            waiting = rest;
            for Answer { to, text, .. } in send {
                self.send(&text, to).await;
            }
            if announce.is_some_and(|at| at <= now) {
                self.notify("ssdp:alive").await;
                announce = Some(now + if first { AGAIN } else { period });
                first = false;
            }
        }
        if interval > 0 {
            self.notify("ssdp:byebye").await;
        }
    }

    /// What is to be answered to a datagram, if anything.
    fn answer(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> Option<Answer> {
        // Who is not on this network has no business asking, and may not be
        // who the datagram says.
        if !self.place.is_near(from.ip()) || from.port() == PORT {
            return None;
        }
        let (target, wait) = search(datagram)?;
        let target = match target {
            "ssdp:all" => &*self.service,
            "upnp:rootdevice" => "upnp:rootdevice",
            _ if target == SERVICE || target == self.service => &self.service,
            _ => return None,
        };
        let usn = match target {
            "upnp:rootdevice" => target,
            _ => SERVICE,
        };
        let text = format!(
            "HTTP/1.1 200 OK\r\n\
             CACHE-CONTROL: max-age={MAX_AGE}\r\n\
             ST: {target}\r\n\
             USN: uuid:{}::{usn}\r\n\
             AL: {}\r\n\
             EXT:\r\n\r\n",
            self.uuid, self.root
        );
        let most = wait.min(DELAY).as_secs_f64();
        let delay = Duration::from_secs_f64(rand::random_range(0.0..=most));
        Some(Answer { due: now + delay, to: from, text })
    }

    /// Tells everybody.
    async fn notify(&self, what: &str) {
        let to = match (self.place.address, self.settings.scope) {
            (IpAddr::V4(_), _) => SocketAddr::from((GROUP, PORT)),
            (IpAddr::V6(_), scope) => group(scope, self.place.index).into(),
        };
        let host = match to {
            SocketAddr::V4(to) => to.to_string(),
            SocketAddr::V6(to) => format!("[{}]:{PORT}", to.ip()),
        };
        let age = self.settings.interval_seconds.saturating_mul(3);
        let age = age.max(MAX_AGE);
        let Self { uuid, root, service, .. } = self;
        let text = match what {
            "ssdp:byebye" => String::new(),
            _ => format!("CACHE-CONTROL: max-age={age}\r\nAL: {root}\r\n"),
        };
        let text = format!(
            "NOTIFY * HTTP/1.1\r\n\
             HOST: {host}\r\n\
             {text}\
             NT: {service}\r\n\
             NTS: {what}\r\n\
             USN: uuid:{uuid}::{SERVICE}\r\n\r\n"
        );
        self.send(&text, to).await;
    }

    async fn send(&self, text: &str, to: SocketAddr) {
        if let Err(error) = self.socket.send_to(text.as_bytes(), to).await {
            tracing::debug!(%error, %to, "SSDP not sent");
        }
    }
}

/// What a search looks for, and how long the one who asks waits.
pub(super) fn search(datagram: &[u8]) -> Option<(&str, Duration)> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    if first != "M-SEARCH * HTTP/1.1" {
        return None;
    }
    let (mut discover, mut target, mut wait) = (false, None, None);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "man" => discover = value == "\"ssdp:discover\"",
            "st" => target = Some(value),
            "mx" => wait = value.parse::<u8>().ok(),
            _ => {}
        }
    }
    // Without the time it waits a search is none (UPnP 1.1, 1.3.3).
    let wait = Duration::from_secs(wait.filter(|it| *it > 0)?.min(5).into());
    discover.then_some((target?, wait))
}

/// The group of IPv6, `FF0X::C`.
fn group(scope: Scope, index: u32) -> SocketAddrV6 {
    let first = match scope {
        Scope::Link => 0xff02,
        Scope::Site => 0xff05,
        Scope::Organization => 0xff08,
    };
    let group = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0xc);
    SocketAddrV6::new(group, PORT, 0, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_says_what_it_looks_for_and_how_long_it_waits() {
        let search = |text: &str| {
            let found = search(text.as_bytes());
            found.map(|(target, wait)| (target.to_owned(), wait.as_secs()))
        };
        let good = "M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\
                    Man: \"ssdp:discover\"\r\nST: ssdp:all\r\nMX: 3\r\n\r\n";
        assert_eq!(search(good), Some(("ssdp:all".to_owned(), 3)));
        let slow = good.replace("MX: 3", "mx:200");
        assert_eq!(search(&slow), Some(("ssdp:all".to_owned(), 5)));
        for (old, new) in [
            ("M-SEARCH", "NOTIFY"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("\"ssdp:discover\"", "ssdp:discover"),
            ("MX: 3\r\n", ""),
            ("MX: 3", "MX: 0"),
            ("MX: 3", "MX: 999"),
            ("ST: ssdp:all\r\n", ""),
            ("ST: ssdp:all", "ST ssdp"),
            ("\r\n\r\n", ""),
        ] {
            assert_eq!(search(&good.replace(old, new)), None, "{new}");
        }
    }
}
