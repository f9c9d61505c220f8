//! mDNS at one interface: tells where the service is (RFC 6762, RFC 6763).

mod wire;
mod zone;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use simple_dns::{OPCODE, Packet, PacketFlag, Question, RCODE, ResourceRecord};
use tokio::{net::UdpSocket, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::zone::Zone;
use super::{Announced, Place, budget::Budget, socket};

/// Where mDNS is spoken.
pub(crate) const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// What never left the link has all of it left (RFC 6762, 11).
const TTL: u8 = 255;
/// The longest message that is read (RFC 6762, 17).
const LONGEST: usize = 9000;
/// The most questions of one message that are looked at.
const QUESTIONS: usize = 32;
/// Answers to single machines in any second.
const RATE: u32 = 20;
/// The most addresses that are told on one link.
const ADDRESSES: usize = 16;
/// How often it is asked whether names are free, and how long is waited.
const PROBES: u8 = 3;
const PROBE: Duration = Duration::from_millis(250);
/// How often it is told that the service is there, and how far apart.
const ANNOUNCEMENTS: u8 = 2;
const AGAIN: Duration = Duration::from_secs(1);
/// How long one who lost a name waits before asking again.
const LOST: Duration = Duration::from_secs(1);
/// How long those who asked by the old protocol may believe an answer, in
/// seconds (RFC 6762, 6.7).
const LEGACY_TTL: u32 = 10;

/// What the responders of all links share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How many names were taken by others. All links have the same ones.
    taken: watch::Sender<u32>,
    /// The addresses of this machine.
    own: Mutex<Vec<IpAddr>>,
}

impl Shared {
    /// Says which addresses this machine has.
    pub(super) fn know(&self, places: &[Place]) {
        let own = places.iter().map(|it| it.address).collect();
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
    }

    fn own(&self) -> Vec<IpAddr> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on to the next names, if that was not done after `taken` already.
    fn lose(&self, taken: u32) {
        self.taken.send_if_modified(|it| {
            let same = *it == taken;
            *it = it.saturating_add(u32::from(same));
            same
        });
    }
}

/// An interface, spoken to in one of the two protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its addresses of that protocol; there is one at least.
    places: Vec<Place>,
    /// All addresses that it has.
    addresses: Vec<IpAddr>,
}

/// The interfaces that `places` are on.
pub(super) fn links(places: &[Place]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for place in places {
        let fits = |it: &&mut Link| {
            it.places.first().is_some_and(|other| {
                other.index == place.index
                    && other.address.is_ipv4() == place.address.is_ipv4()
            })
        };
        if let Some(link) = links.iter_mut().find(fits) {
            link.places.push(place.clone());
        } else {
            let on = places.iter().filter(|it| it.index == place.index);
            let addresses = on.map(|it| it.address).take(ADDRESSES);
            let addresses = addresses.collect();
            links.push(Link { places: vec![place.clone()], addresses });
        }
    }
    links
}

/// What is done next by itself, and how often still.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Probe(u8),
    Announce(u8),
    Settled,
}

/// Speaks mDNS on one link.
pub(super) struct Responder {
    link: Link,
    group: SocketAddr,
    socket: UdpSocket,
    announced: Announced,
    shared: Arc<Shared>,
    /// How many names were taken before those in `zone`.
    taken: u32,
    zone: Zone,
    phase: Phase,
    next: Option<Instant>,
    budget: Budget,
}

impl Responder {
    /// Opens the socket.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn open(
        link: Link,
        announced: &Announced,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let place = link.places.first().ok_or(io::ErrorKind::NotFound)?;
        let group = match place.address {
            IpAddr::V4(_) => SocketAddr::from((GROUP, PORT)),
            IpAddr::V6(_) => {
                SocketAddrV6::new(GROUP_V6, PORT, 0, place.index).into()
            }
        };
        let socket = socket::open(place, group, TTL)?;
        if group.is_ipv4() {
            socket.set_ttl(TTL.into())?;
        }
        let taken = *shared.taken.borrow();
        let zone = Zone::new(announced, &link.addresses, taken);
        let mut responder = Self {
            link,
            group,
            socket,
            announced: announced.clone(),
            shared: Arc::clone(shared),
            taken,
            zone,
            phase: Phase::Settled,
            next: None,
            budget: Budget::new(RATE),
        };
        responder.start(Duration::ZERO);
        Ok(responder)
    }

    /// Takes the names, and tells where the service is until `stop`; then it
    /// says goodbye.
    pub(super) async fn serve(mut self, stop: CancellationToken) {
        let mut names = self.shared.taken.subscribe();
        let mut buffer = vec![0; LONGEST];
        loop {
            let due = self.next.into_iter().chain(self.zone.due()).min();
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.socket.recv_from(&mut buffer) => {
                    let Ok((length, from)) = received else { continue };
                    let datagram = buffer.get_mut(..length).unwrap_or_default();
                    self.hear(datagram, from).await;
                }
                Ok(()) = names.changed() => {
                    let taken = *names.borrow_and_update();
                    if taken != self.taken {
                        self.rename(taken);
                    }
                }
                () = super::when(due) => self.act().await,
            }
        }
        if !matches!(self.phase, Phase::Probe(_)) {
            self.tell(&self.zone.announced(), Some(0)).await;
        }
    }

    /// Asks for the names, from the beginning.
    fn start(&mut self, after: Duration) {
        let jitter = PROBE.mul_f64(rand::random_range(0.0..=1.0));
        self.phase = Phase::Probe(PROBES);
        self.next = Some(Instant::now() + after + jitter);
    }

    fn rename(&mut self, taken: u32) {
        let addresses = &self.link.addresses;
        self.zone = Zone::new(&self.announced, addresses, taken);
        self.taken = taken;
        tracing::info!(name = self.zone.title(), "mDNS: the name was taken");
        // Somebody may take them all.
        self.start(LOST * taken.clamp(1, 60));
    }

    /// Does what is due.
    async fn act(&mut self) {
        let now = Instant::now();
        if self.next.is_some_and(|at| at <= now) {
            (self.phase, self.next) = match self.phase {
                Phase::Probe(0) => (Phase::Announce(ANNOUNCEMENTS), Some(now)),
                Phase::Probe(left) => {
                    self.send(&self.zone.probe(), self.group).await;
                    (Phase::Probe(left - 1), Some(now + PROBE))
                }
                Phase::Announce(0) | Phase::Settled => (Phase::Settled, None),
                Phase::Announce(left) => {
                    let all = self.zone.announced();
                    self.tell(&all, None).await;
                    self.zone.told(&all, now);
                    (Phase::Announce(left - 1), Some(now + AGAIN))
                }
            };
        }
        let due = self.zone.take_due(now);
        if !due.is_empty() {
            self.tell(&due, None).await;
            self.zone.told(&due, now);
        }
    }

    /// Reads a message of `from`.
    async fn hear(&mut self, datagram: &mut [u8], from: SocketAddr) {
        // Who is not on this link has no business here, and may not be who
        // the datagram says.
        let near = self.link.places.iter().any(|it| it.is_near(from.ip()));
        let packet = near.then(|| wire::packet(datagram)).flatten();
        let Some(packet) = packet else { return };
        if packet.opcode() != OPCODE::StandardQuery
            || packet.rcode() != RCODE::NoError
        {
            return;
        }
        let own = self.shared.own();
        if packet.has_flags(PacketFlag::RESPONSE) {
            let mut told =
                packet.answers.iter().chain(&packet.additional_records);
            let rival = told.any(|it| self.zone.is_rival(it, &own));
            if !rival || from.port() != PORT {
                return;
            }
            if let Phase::Probe(_) = self.phase {
                self.shared.lose(self.taken);
            } else {
                // Perhaps it is gone by now: who asks will know.
                self.start(LOST);
            }
        } else if let Phase::Probe(_) = self.phase {
            if self.zone.loses(&packet.name_servers, &own) {
                self.start(LOST);
            }
        } else {
            self.answer(&packet, from).await;
        }
    }

    /// Answers the questions in `packet`.
    async fn answer(&mut self, packet: &Packet<'_>, from: SocketAddr) {
        let now = Instant::now();
        let legacy = from.port() != PORT;
        let (mut alone, mut asked) = (Vec::new(), Vec::new());
        for question in packet.questions.iter().take(QUESTIONS) {
            let found = self.zone.answers(question);
            let found = self.zone.unknown(found, &packet.answers);
            for index in found {
                let fresh = self.zone.at(&[index]);
                let fresh = fresh.iter().all(|told| told.is_fresh(now));
                let to_one = legacy || question.unicast_response && fresh;
                let list = if to_one { &mut alone } else { &mut asked };
                if !list.contains(&index) {
                    list.push(index);
                }
            }
            if legacy && !alone.is_empty() {
                self.answer_one(packet.id(), Some(question), &alone, from)
                    .await;
                return;
            }
        }
        if !alone.is_empty() {
            self.answer_one(0, None, &alone, from).await;
        }
        if packet.questions.is_empty() {
            self.zone.known(from, &packet.answers);
        }
        let more = packet.has_flags(PacketFlag::TRUNCATION);
        let probe = !packet.name_servers.is_empty();
        let shared = self.zone.at(&asked);
        let shared = shared.iter().any(|it| !it.record.cache_flush);
        // Others may answer the same at the same time (RFC 6762, 6).
        let wait = match (more, shared && !probe) {
            (true, _) => rand::random_range(400..500),
            (_, true) => rand::random_range(20..120),
            _ => 0,
        };
        for index in asked {
            let at = now + Duration::from_millis(wait);
            self.zone.promise(index, at, from);
        }
    }

    /// Answers the one who asked, as DNS does where that asked a `question`
    /// in the old way.
    async fn answer_one(
        &mut self,
        id: u16,
        question: Option<&Question<'_>>,
        answers: &[usize],
        to: SocketAddr,
    ) {
        if !self.budget.spend(Instant::now()) {
            return;
        }
        let Some(question) = question else {
            self.send(&self.message(answers, None), to).await;
            return;
        };
        let mut packet = self.message(answers, None);
        packet.set_id(id);
        packet.questions.push(question.clone());
        let records = packet.answers.iter_mut();
        for record in records.chain(&mut packet.additional_records) {
            record.cache_flush = false;
            record.ttl = record.ttl.min(LEGACY_TTL);
        }
        // Old ones do not know compression in an SRV (RFC 6762, 18.14).
        match packet.build_bytes_vec() {
            Ok(bytes) => self.send_bytes(&bytes, to).await,
            Err(error) => tracing::debug!(%error, "no mDNS message"),
        }
    }

    /// Tells all the records at `indices`, to be believed for `ttl` seconds,
    /// or for as long as they may.
    async fn tell(&self, indices: &[usize], ttl: Option<u32>) {
        self.send(&self.message(indices, ttl), self.group).await;
    }

    fn message(&self, indices: &[usize], ttl: Option<u32>) -> Packet<'static> {
        let records = |indices: &[usize]| -> Vec<ResourceRecord<'static>> {
            let told = self.zone.at(indices).into_iter();
            told.map(|it| {
                let mut record = it.record.clone();
                record.ttl = ttl.unwrap_or(record.ttl);
                record
            })
            .collect()
        };
        let mut packet = Packet::new_reply(0);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        packet.answers = records(indices);
        if ttl.is_none() {
            let more = self.zone.additional(indices);
            packet.additional_records = records(&more);
        }
        packet
    }

    async fn send(&self, packet: &Packet<'_>, to: SocketAddr) {
        match packet.build_bytes_vec_compressed() {
            Ok(bytes) => self.send_bytes(&bytes, to).await,
            Err(error) => tracing::debug!(%error, "no mDNS message"),
        }
    }

    async fn send_bytes(&self, bytes: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.send_to(bytes, to).await {
            tracing::debug!(%error, %to, "mDNS not sent");
        }
    }
}

/// Looks up what `datagram` asks, and what it says, as who announces
/// `announced` does.
#[cfg(any(test, fuzzing))]
pub(super) fn look_up(announced: &Announced, datagram: &mut [u8]) {
    let own = [announced.listen.ip()];
    let mut zone = Zone::new(announced, &own, 0);
    let from = SocketAddr::new(own[0], PORT);
    let Some(packet) = wire::packet(datagram) else { return };
    for question in &packet.questions {
        let found = zone.unknown(zone.answers(question), &packet.answers);
        let _ = zone.additional(&found);
    }
    let told = packet.answers.iter().chain(&packet.additional_records);
    let _ = told.filter(|it| zone.is_rival(it, &own)).count();
    let _ = zone.loses(&packet.name_servers, &own);
    zone.known(from, &packet.answers);
}
