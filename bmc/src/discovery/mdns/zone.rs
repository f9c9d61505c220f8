//! What is told over mDNS: the records of one link, and when each was told.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use onprem_redfish::document::REDFISH_VERSION;
use simple_dns::{
    CLASS, Label, Name, Packet, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{A, AAAA, NSEC, PTR, RData, SRV, TXT},
};
use tokio::time::Instant;

use super::super::Announced;

/// The name that clients look for. DSP0266 names none; this one is what
/// clients of Redfish over DNS-SD have agreed on.
const SERVICE: [&str; 3] = ["_redfish", "_tcp", "local"];
/// What lists the services of a network (RFC 6763, 9).
const SERVICES: [&str; 4] = ["_services", "_dns-sd", "_udp", "local"];
/// How long records with a host's name or address may be believed, in seconds
/// (RFC 6762, 10).
const HOST_TTL: u32 = 120;
/// How long the others may be, in seconds.
const OTHER_TTL: u32 = 4500;
/// The longest label.
const LABEL: usize = 63;
/// A record is told to all at most so often (RFC 6762, 6).
const APART: Duration = Duration::from_secs(1);

/// A record with what was promised and done about it.
pub(super) struct Told {
    pub(super) record: ResourceRecord<'static>,
    /// When it was last told to all.
    last: Option<Instant>,
    /// When it is to be told to all, and to whom that is owed if it is one.
    due: Option<(Instant, Option<SocketAddr>)>,
}

/// The records of one link.
pub(super) struct Zone {
    host: Name<'static>,
    instance: Name<'static>,
    pub(super) records: Vec<Told>,
}

impl Zone {
    /// The records for `addresses`, under the names that are left after
    /// `taken` of them.
    pub(super) fn new(
        announced: &Announced,
        addresses: &[IpAddr],
        taken: u32,
    ) -> Self {
        let uuid = announced.uuid.to_string();
        let short = uuid.split('-').next().unwrap_or_default();
        let (host, mut end) =
            (format!("onprem-{short}"), format!(" ({short})"));
        let host = if taken > 0 {
            let number = taken.saturating_add(1);
            end = format!("{end} ({number})");
            format!("{host}-{number}")
        } else {
            host
        };
        let word = cut(&announced.name, LABEL.saturating_sub(end.len()));
        let instance = format!("{word}{end}");
        let [service, tcp, local] = SERVICE;
        let host = name(&[&host, local]);
        let instance = name(&[&instance, service, tcp, local]);
        let service = name(&SERVICE);
        let unique = |name: &Name<'static>, ttl, data| {
            let record =
                ResourceRecord::new(name.clone(), CLASS::IN, ttl, data);
            record.with_cache_flush(true)
        };
        let shared =
            |name, data| ResourceRecord::new(name, CLASS::IN, OTHER_TTL, data);
        let mut records = vec![
            shared(service.clone(), RData::PTR(PTR(instance.clone()))),
            shared(name(&SERVICES), RData::PTR(PTR(service))),
            unique(
                &instance,
                HOST_TTL,
                RData::SRV(SRV {
                    priority: 0,
                    weight: 0,
                    port: announced.listen.port(),
                    target: host.clone(),
                }),
            ),
            unique(&instance, OTHER_TTL, RData::TXT(text(&uuid))),
        ];
        for address in addresses {
            let data = match *address {
                IpAddr::V4(it) => RData::A(A { address: it.to_bits() }),
                IpAddr::V6(it) => RData::AAAA(AAAA { address: it.to_bits() }),
            };
            records.push(unique(&host, HOST_TTL, data));
        }
        // What there is tells what there is not (RFC 6762, 6.1).
        for (name, ttl) in [(&host, HOST_TTL), (&instance, OTHER_TTL)] {
            let of = records.iter().filter(|it| it.name == *name);
            let types: Vec<TYPE> = of.map(|it| it.rdata.type_code()).collect();
            let types = NSEC::from_types(name.clone(), &types).into_owned();
            records.push(unique(name, ttl, RData::NSEC(types)));
        }
        let told = |record| Told { record, last: None, due: None };
        let records = records.into_iter().map(told).collect();
        Self { host, instance, records }
    }

    /// The name of the service's instance, for people.
    pub(super) fn title(&self) -> String {
        self.instance.to_string()
    }

    /// Which records answer `question`.
    pub(super) fn answers(&self, question: &Question<'_>) -> Vec<usize> {
        let of = |wanted: &dyn Fn(TYPE) -> bool| -> Vec<usize> {
            let all = self.records.iter().enumerate();
            let found = all.filter(|(_, told)| {
                let record = &told.record;
                record.name == question.qname
                    && record.match_qclass(question.qclass)
                    && wanted(record.rdata.type_code())
            });
            found.map(|(index, _)| index).collect()
        };
        let wanted = |kind: TYPE| match question.qtype {
            QTYPE::ANY => kind != TYPE::NSEC,
            QTYPE::TYPE(it) => it == kind,
            _ => false,
        };
        let found = of(&wanted);
        if found.is_empty() { of(&|kind| kind == TYPE::NSEC) } else { found }
    }

    /// What whoever gets `answers` will ask for next (RFC 6763, 12).
    pub(super) fn additional(&self, answers: &[usize]) -> Vec<usize> {
        let mut names: Vec<&Name<'_>> = Vec::new();
        for told in self.at(answers) {
            match &told.record.rdata {
                RData::PTR(PTR(name)) if *name == self.instance => {
                    names.extend([&self.instance, &self.host]);
                }
                RData::SRV(_) | RData::A(_) | RData::AAAA(_) => {
                    names.push(&self.host);
                }
                _ => {}
            }
        }
        let all = self.records.iter().enumerate();
        let more = all.filter(|(index, told)| {
            names.contains(&&told.record.name) && !answers.contains(index)
        });
        more.map(|(index, _)| index).collect()
    }

    /// The records at `indices`.
    pub(super) fn at(&self, indices: &[usize]) -> Vec<&Told> {
        indices.iter().filter_map(|it| self.records.get(*it)).collect()
    }

    /// The index of each record that is told without being asked for.
    pub(super) fn announced(&self) -> Vec<usize> {
        let all = self.records.iter().enumerate();
        let told =
            all.filter(|(_, it)| it.record.rdata.type_code() != TYPE::NSEC);
        told.map(|(index, _)| index).collect()
    }

    /// Asks whether somebody has the names, and says what they would be for
    /// (RFC 6762, 8.1).
    pub(super) fn probe(&self) -> Packet<'_> {
        let mut packet = Packet::new_query(0);
        for name in [&self.host, &self.instance] {
            packet.questions.push(Question::new(
                name.clone(),
                QTYPE::ANY,
                CLASS::IN.into(),
                true,
            ));
            packet.name_servers.extend(self.proposed(name));
        }
        packet
    }

    fn proposed(&self, name: &Name<'_>) -> Vec<ResourceRecord<'static>> {
        let records = self.records.iter().map(|told| &told.record);
        let of = records.filter(|it| {
            it.name == *name && it.rdata.type_code() != TYPE::NSEC
        });
        of.map(|it| it.clone().with_cache_flush(false)).collect()
    }

    /// Whether `record` says that somebody else has one of the names; `own`
    /// are the addresses of this machine.
    pub(super) fn is_rival(
        &self,
        record: &ResourceRecord<'_>,
        own: &[IpAddr],
    ) -> bool {
        let rdata = &record.rdata;
        let ours = [&self.host, &self.instance].contains(&&record.name);
        if !ours || record.ttl == 0 || rdata.type_code() == TYPE::NSEC {
            return false;
        }
        match rdata {
            RData::A(it) => !own.contains(&IpAddr::V4(it.address.into())),
            RData::AAAA(it) => !own.contains(&IpAddr::V6(it.address.into())),
            _ => self.records.iter().all(|told| {
                told.record.name != record.name || told.record.rdata != *rdata
            }),
        }
    }

    /// Whether who asks with `theirs` for our names at the same time gets
    /// them (RFC 6762, 8.2): who proposes the later data does.
    pub(super) fn loses(
        &self,
        theirs: &[ResourceRecord<'_>],
        own: &[IpAddr],
    ) -> bool {
        [&self.host, &self.instance].into_iter().any(|name| {
            let theirs = theirs.iter().filter(|it| it.name == *name);
            let theirs: Vec<_> = theirs.collect();
            let rival = theirs.iter().any(|it| self.is_rival(it, own));
            rival && ordered(self.proposed(name).iter()) < ordered(theirs)
        })
    }

    /// Leaves out what the one who asked knows already (RFC 6762, 7.1).
    pub(super) fn unknown(
        &self,
        mut answers: Vec<usize>,
        known: &[ResourceRecord<'_>],
    ) -> Vec<usize> {
        answers.retain(|index| {
            !self.at(&[*index]).iter().any(|told| told.is_among(known))
        });
        answers
    }

    /// When the next record is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        let dues = self.records.iter().filter_map(|told| told.due);
        dues.map(|(at, _)| at).min()
    }

    /// Takes out what is to be told to all by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, told) in self.records.iter_mut().enumerate() {
            if told.due.is_some_and(|(at, _)| at <= now) {
                told.due = None;
                due.push(index);
            }
        }
        due
    }

    /// Promises the record at `index` to all at `at`, because of `asked`.
    pub(super) fn promise(
        &mut self,
        index: usize,
        at: Instant,
        asked: SocketAddr,
    ) {
        let Some(told) = self.records.get_mut(index) else { return };
        let at = told.last.map_or(at, |last| at.max(last + APART));
        told.due = Some(match told.due {
            Some((sooner, of)) if of == Some(asked) => (at.min(sooner), of),
            Some((sooner, _)) => (at.min(sooner), None),
            None => (at, Some(asked)),
        });
    }

    /// Takes back what was promised to `asked` alone, who knows it already.
    pub(super) fn known(
        &mut self,
        asked: SocketAddr,
        known: &[ResourceRecord<'_>],
    ) {
        for told in &mut self.records {
            if told.due.is_some_and(|(_, of)| of == Some(asked))
                && told.is_among(known)
            {
                told.due = None;
            }
        }
    }

    /// Notes that the records at `indices` were told to all.
    pub(super) fn told(&mut self, indices: &[usize], now: Instant) {
        for index in indices {
            if let Some(told) = self.records.get_mut(*index) {
                told.last = Some(now);
            }
        }
    }
}

impl Told {
    /// Whether all heard it lately, in the first quarter of its life.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let quarter = Duration::from_secs(self.record.ttl.into()) / 4;
        self.last.is_some_and(|last| now.duration_since(last) < quarter)
    }

    fn is_among(&self, known: &[ResourceRecord<'_>]) -> bool {
        known.iter().any(|it| {
            it.name == self.record.name
                && it.rdata == self.record.rdata
                && it.ttl >= self.record.ttl / 2
        })
    }
}

fn name(labels: &[&str]) -> Name<'static> {
    let label = |text: &&str| Label::new_unchecked(text.as_bytes().to_vec());
    let labels: Vec<_> = labels.iter().map(label).collect();
    Name::new_with_labels(&labels)
}

/// What a client has to know beside the address (RFC 6763, 6).
fn text(uuid: &str) -> TXT<'static> {
    let mut text = TXT::new();
    for (key, value) in [
        ("txtvers", "1"),
        ("protovers", REDFISH_VERSION),
        ("path", "/redfish/v1/"),
        ("uuid", uuid),
    ] {
        // None of them is too long.
        let _ = text.add_attribute(key, Some(value.as_bytes()));
    }
    text
}

/// The start of `text`, at most `most` bytes of it.
fn cut(text: &str, most: usize) -> &str {
    let ends = text.char_indices().map(|(at, it)| at + it.len_utf8());
    let end = ends.take_while(|end| *end <= most).last().unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Class, type and data of records as bytes, in their order.
fn ordered<'a, 'r: 'a>(
    records: impl IntoIterator<Item = &'a ResourceRecord<'r>>,
) -> Vec<(u16, u16, Vec<u8>)> {
    let bytes = |record: &ResourceRecord<'r>| {
        let mut packet = Packet::new_query(0);
        let nameless = ResourceRecord {
            name: Name::new_with_labels(&[]),
            ..record.clone()
        };
        packet.answers.push(nameless);
        let bytes = packet.build_bytes_vec().unwrap_or_default();
        // Header, root, type, class, time, length.
        let data = bytes.get(12 + 1 + 10..).unwrap_or_default().to_vec();
        let kind = u16::from(record.rdata.type_code());
        (record.class as u16, kind, data)
    };
    let mut ordered: Vec<_> = records.into_iter().map(bytes).collect();
    ordered.sort();
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(port: u16, taken: u32) -> Zone {
        let announced = Announced {
            listen: ([192, 0, 2, 7], port).into(),
            uuid: uuid::uuid!("8938301d-9e32-5470-8f2b-0dd379cb1f20"),
            name: "ü".repeat(60),
        };
        Zone::new(&announced, &[announced.listen.ip()], taken)
    }

    #[test]
    fn names_fit_and_end_with_what_tells_them_apart() {
        for (taken, end) in [(0, "ü (8938301d)"), (11, "ü (8938301d) (12)")] {
            let zone = zone(443, taken);
            let first = zone.instance.get_labels().first().unwrap().clone();
            assert!(first.len() <= LABEL, "{first}");
            assert!(first.to_string().ends_with(end), "{first}");
        }
        assert_eq!(zone(443, 0).host.to_string(), "onprem-8938301d.local");
        assert_eq!(zone(443, 1).host.to_string(), "onprem-8938301d-2.local");
    }

    #[test]
    fn of_two_that_ask_at_once_exactly_one_gives_way() {
        let (one, two) = (zone(443, 0), zone(8443, 0));
        let proposed = |zone: &Zone| zone.proposed(&zone.instance);
        let own = ["192.0.2.7".parse().unwrap()];
        assert!(one.loses(&proposed(&two), &own));
        assert!(!two.loses(&proposed(&one), &own));
        assert!(!one.loses(&proposed(&one), &own), "that is itself");
    }

    #[test]
    fn a_name_is_taken_by_who_says_something_else_with_it() {
        let (one, two) = (zone(443, 0), zone(8443, 0));
        let own = ["192.0.2.7".parse().unwrap()];
        let rivals = |of: &Zone, own: &[IpAddr]| {
            let records = of.records.iter();
            records.filter(|it| one.is_rival(&it.record, own)).count()
        };
        assert_eq!(rivals(&one, &own), 0);
        assert_eq!(rivals(&two, &own), 1, "the port");
        assert_eq!(rivals(&one, &[]), 1, "the address");
        assert_eq!(rivals(&zone(443, 1), &[]), 0, "other names");
    }
}
