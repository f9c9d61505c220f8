//! The links and bridges of the kernel that the agent runs on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use tokio::net::UdpSocket;
use tracing::warn;

use super::{
    Later, Look, PortSettings, Wiring,
    netlink::{
        self, Ask, DEL_LINK, Link, Requests, SET_LINK, attribute, attributes,
        u16_at, u32_at, u64_at,
    },
    packet::Packets,
};
use crate::{
    drivers::{segment, tree::Tree},
    gather,
    model::{
        Counters, Id, LinkState, Membership, Memberships, Network,
        NetworkSwitch, SwitchPort, VlanId, Wire,
    },
};

/// Families of addresses, `linux/socket.h`.
const UNSPECIFIED: u8 = 0;
const BRIDGE: u8 = 7;

/// Attributes of a link, `linux/if_link.h`.
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const STATISTICS: u16 = 23;
const FAMILY: u16 = 26;
const MASK: u16 = 29;
const CARRIER: u16 = 33;
/// In `INFO`.
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// In `INFO_DATA` of a bridge.
const FILTERS: u16 = 7;
/// In `FAMILY` of a bridge port, `linux/if_bridge.h`.
const VLAN: u16 = 2;
/// Asks for the VLANs of bridge ports.
const WITH_VLANS: u32 = 2;

/// Flags of a VLAN on a port.
const NATIVE: u16 = 2;
const UNTAGGED: u16 = 4;

/// Flags of a link: it is switched on, it is the loopback.
const UP: u32 = 1;
const LOOPBACK: u32 = 8;

/// The kernel's wires.
#[derive(Debug)]
pub struct Kernel {
    tree: Tree,
    system: Id,
    chassis: Id,
    allowed: bool,
    /// Opened when something is asked for the first time.
    requests: Mutex<Option<Requests>>,
    listener: OnceLock<Option<UdpSocket>>,
    packets: Packets,
    /// Whether LLDP is heard and said.
    lldp: bool,
}

/// What is read of a link.
#[derive(Debug, Default)]
struct Seen {
    name: String,
    wire: Wire,
    master: Option<i32>,
    /// It is a bridge; whether it keeps VLANs apart.
    bridge: Option<bool>,
    counters: Counters,
}

impl Kernel {
    /// The kernel's wires, which are those of `system` in `chassis`; what is
    /// not asked of the kernel is in `tree`. Whether ports of bridges may be
    /// changed is `allowed`.
    #[must_use]
    pub fn new(
        tree: Tree,
        system: Id,
        chassis: Id,
        allowed: bool,
        lldp: bool,
    ) -> Self {
        Self {
            tree,
            system,
            chassis,
            allowed,
            requests: Mutex::default(),
            listener: OnceLock::new(),
            packets: Packets::default(),
            lldp,
        }
    }

    fn ask<T>(
        &self,
        ask: impl FnOnce(&mut Requests) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut requests =
            self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match requests.take() {
            Some(open) => open,
            None => Requests::open()?,
        };
        let answer = ask(&mut open);
        // After an error there may be more to read: it is done with.
        if answer.is_ok() {
            *requests = Some(open);
        }
        answer
    }

    fn seen(&self, link: &Link) -> Option<Seen> {
        if link.family != UNSPECIFIED || link.flags & LOOPBACK != 0 {
            return None;
        }
        let mut seen = Seen::default();
        let enabled = link.flags & UP != 0;
        let mut carrier = false;
        for (kind, value) in attributes(&link.attributes) {
            match kind {
                NAME => {
                    let text = value.split(|byte| *byte == 0).next()?;
                    seen.name = String::from_utf8_lossy(text).into_owned();
                }
                ADDRESS => seen.wire.mac = mac(value),
                MTU => seen.wire.mtu = u32_at(value, 0)?,
                MASTER => {
                    seen.master = u32_at(value, 0).map(u32::cast_signed);
                }
                CARRIER => carrier = value.first() == Some(&1),
                STATISTICS => seen.counters = counters(value),
                INFO => seen.bridge = bridge(value),
                _ => {}
            }
        }
        let name = segment(&seen.name);
        seen.wire.id = name.into();
        seen.wire.enabled = enabled;
        seen.wire.link = match (enabled, carrier) {
            (true, true) => LinkState::Up,
            (true, false) => LinkState::NoLink,
            (false, _) => LinkState::Down,
        };
        let speed = self.tree.number::<u32>(&self.file(&seen.name, "speed"));
        // Without a link, and on a virtual machine, the kernel says -1.
        let known = |speed: &u32| *speed > 0 && *speed < u32::MAX;
        let up = seen.wire.link == LinkState::Up;
        seen.wire.speed_mbps = speed.filter(known).filter(|_| up);
        Some(seen)
    }

    #[expect(clippy::unused_self, reason = "it is a file of this kernel's")]
    fn file(&self, name: &str, file: &str) -> String {
        format!("/sys/class/net/{name}/{file}")
    }

    fn is_real(&self, name: &str) -> bool {
        self.tree.exists(&self.file(name, "device"))
    }

    /// The VLANs of each bridge port, by its index.
    fn vlans(
        requests: &mut Requests,
    ) -> io::Result<BTreeMap<i32, Memberships>> {
        let ask =
            Ask::link(BRIDGE, 0, 0, 0).with(MASK, &WITH_VLANS.to_ne_bytes());
        let ports = requests.links(&ask)?;
        let vlans = |port: &Link| (port.index, memberships(&port.attributes));
        Ok(gather::map(ports.iter().map(vlans)))
    }

    fn index(&self, name: &str) -> io::Result<i32> {
        let ask = Ask::link(UNSPECIFIED, 0, 0, 0);
        let links = self.ask(|requests| requests.links(&ask))?;
        let mut links = links.iter().filter(|it| it.family == UNSPECIFIED);
        let link = links.find(|link| {
            let mut all = attributes(&link.attributes);
            all.any(|(kind, value)| {
                let text = value.split(|byte| *byte == 0).next();
                let text = text.and_then(|it| std::str::from_utf8(it).ok());
                kind == NAME && text.is_some_and(|it| segment(it) == name)
            })
        });
        let missing = || {
            let text = format!("there is no link `{name}`");
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        link.map(|link| link.index).ok_or_else(missing)
    }
}

impl Wiring for Kernel {
    fn look(&self) -> io::Result<Look> {
        let ask = Ask::link(UNSPECIFIED, 0, 0, 0);
        let (links, vlans) = self.ask(|requests| {
            let links = requests.links(&ask)?;
            Ok((links, Self::vlans(requests)?))
        })?;
        let seen: Vec<(i32, Seen)> = links
            .iter()
            .filter_map(|link| Some((link.index, self.seen(link)?)))
            .collect();
        let mut look = Look::default();
        let mut network = Network::default();
        for (index, it) in &seen {
            if self.is_real(&it.name) {
                let key = (self.system.clone(), it.wire.id.clone());
                network.adapters.insert(key, it.wire.clone());
                look.counters.insert(it.wire.id.clone(), it.counters);
            }
            let Some(filters) = it.bridge else { continue };
            let mut ports: Vec<SwitchPort> = seen
                .iter()
                .filter(|(_, port)| port.master == Some(*index))
                .map(|(index, port)| {
                    let id = port.wire.id.clone();
                    look.counters.insert(id.clone(), port.counters);
                    let vlans = vlans.get(index).filter(|_| filters);
                    SwitchPort {
                        id,
                        wire: port.wire.clone(),
                        uplink: self.is_real(&port.name),
                        vlans: vlans.cloned().unwrap_or_default(),
                        attached: None,
                    }
                })
                .collect();
            ports.sort_by(|a, b| a.id.cmp(&b.id));
            network.switches.push(NetworkSwitch {
                id: it.wire.id.clone(),
                name: it.name.clone(),
                model: "Linux bridge".to_owned(),
                chassis: self.chassis.clone(),
                enabled: it.wire.enabled,
                filters,
                changeable: self.allowed,
                ports,
            });
        }
        network.switches.sort_by(|a, b| a.id.cmp(&b.id));
        if self.lldp {
            let wires: Vec<Id> =
                network.wires().map(|it| it.id.clone()).collect();
            let links = seen.iter().map(|(index, it)| (*index, &it.wire.id));
            let links = links.filter(|(_, id)| wires.contains(id));
            let links: Vec<_> =
                links.map(|(index, id)| (index, id.clone())).collect();
            self.packets.listen(&links);
        }
        look.network = network;
        Ok(look)
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(async {
            let listener = self.listener.get_or_init(|| {
                let told = netlink::listen().inspect_err(|error| {
                    warn!(%error, "links are only looked at now and then");
                });
                told.ok()
            });
            let Some(listener) = listener else {
                return std::future::pending().await;
            };
            if listener.readable().await.is_ok() {
                netlink::drain(listener);
            }
        })
    }

    fn set(
        &self,
        switch: &Id,
        port: &Id,
        settings: &PortSettings,
    ) -> io::Result<()> {
        let look = self.look()?;
        let mut switches = look.network.switches.iter();
        let of = switches.find(|it| it.id == *switch);
        let now = of.and_then(|it| it.ports.iter().find(|it| it.id == *port));
        let now = now.ok_or_else(|| {
            let text = format!("bridge `{switch}` has no port `{port}`");
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        let index = self.index(port)?;
        self.ask(|requests| {
            for (vlan, how) in &settings.vlans {
                if now.vlans.get(vlan) != Some(how) {
                    let ask = vlan_on(index, *vlan, *how);
                    requests.change(SET_LINK, &ask)?;
                }
            }
            for (vlan, how) in &now.vlans {
                if !settings.vlans.contains_key(vlan) {
                    let ask = vlan_on(index, *vlan, *how);
                    requests.change(DEL_LINK, &ask)?;
                }
            }
            if now.wire.enabled != settings.enabled {
                let up = if settings.enabled { UP } else { 0 };
                let ask = Ask::link(UNSPECIFIED, index, up, UP);
                requests.change(SET_LINK, &ask)?;
            }
            Ok(())
        })
    }

    fn hear(&self) -> Later<'_, (Id, Vec<u8>)> {
        Box::pin(self.packets.hear())
    }

    fn say(&self, wire: &Id, frame: &[u8]) -> io::Result<()> {
        self.packets.say(wire, frame)
    }
}

/// Asks for a VLAN on the bridge port `index`.
fn vlan_on(index: i32, vlan: VlanId, how: Membership) -> Ask {
    let flags = if how.native { NATIVE } else { 0 }
        | if how.untagged { UNTAGGED } else { 0 };
    let mut info = Vec::new();
    info.extend(flags.to_ne_bytes());
    info.extend(vlan.number().to_ne_bytes());
    let mut inside = Vec::new();
    attribute(&mut inside, VLAN, &info);
    Ask::link(BRIDGE, index, 0, 0).with(FAMILY, &inside)
}

fn mac(bytes: &[u8]) -> Option<String> {
    let some = bytes.len() == 6 && bytes.iter().any(|byte| *byte != 0);
    let texts = bytes.iter().map(|byte| format!("{byte:02x}"));
    some.then(|| texts.collect::<Vec<_>>().join(":"))
}

/// Whether a bridge keeps VLANs apart; nothing where it is none.
fn bridge(info: &[u8]) -> Option<bool> {
    let mut all = attributes(info);
    let kind = all.find(|(kind, _)| *kind == INFO_KIND)?.1;
    if kind.strip_suffix(b"\0").unwrap_or(kind) != b"bridge" {
        return None;
    }
    let mut all = attributes(info);
    let data = all.find(|(kind, _)| *kind == INFO_DATA);
    let mut data = attributes(data.map_or(&[], |(_, data)| data));
    let filters = data.find(|(kind, _)| *kind == FILTERS);
    Some(filters.is_some_and(|(_, it)| it.first() == Some(&1)))
}

/// `struct rtnl_link_stats64`
fn counters(bytes: &[u8]) -> Counters {
    let at = |place: usize| u64_at(bytes, place * 8).unwrap_or(0);
    Counters {
        rx_frames: at(0),
        tx_frames: at(1),
        rx_bytes: at(2),
        tx_bytes: at(3),
        rx_errors: at(4),
        tx_errors: at(5),
        rx_dropped: at(6),
        tx_dropped: at(7),
        multicast: at(8),
        crc_errors: at(12),
    }
}

/// The VLANs in what a bridge says of a port.
fn memberships(of: &[u8]) -> Memberships {
    let mut all = attributes(of);
    let inside = all.find(|(kind, _)| *kind == FAMILY);
    let all = attributes(inside.map_or(&[], |(_, inside)| inside));
    let all = all.filter(|(kind, _)| *kind == VLAN);
    gather::map(all.filter_map(|(_, info)| {
        let flags = u16_at(info, 0)?;
        let vlan = VlanId::new(u16_at(info, 2)?.into())?;
        let untagged = flags & UNTAGGED != 0;
        let native = flags & NATIVE != 0;
        Some((vlan, Membership { untagged, native }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_port_says_which_vlans_it_is_in() {
        let mut inside = Vec::new();
        for (flags, number) in [(6_u16, 10_u16), (0, 20), (0, 0), (0, 4095)] {
            let info = [flags.to_ne_bytes(), number.to_ne_bytes()].concat();
            attribute(&mut inside, VLAN, &info);
        }
        attribute(&mut inside, VLAN, &[1]);
        let mut bytes = Vec::new();
        attribute(&mut bytes, FAMILY, &inside);
        let found = memberships(&bytes);
        let native = Membership { untagged: true, native: true };
        let tagged = Membership { untagged: false, native: false };
        let vlan = |number| VlanId::new(number).unwrap();
        let expected = [(vlan(10), native), (vlan(20), tagged)];
        assert_eq!(found, expected.into_iter().collect());
        assert!(memberships(&[]).is_empty());
    }

    #[test]
    fn only_a_bridge_is_one() {
        let info = |kind: &[u8], filters: Option<u8>| {
            let (mut data, mut info) = (Vec::new(), Vec::new());
            if let Some(filters) = filters {
                attribute(&mut data, FILTERS, &[filters]);
            }
            attribute(&mut info, INFO_KIND, kind);
            attribute(&mut info, INFO_DATA, &data);
            bridge(&info)
        };
        assert_eq!(info(b"bridge\0", Some(1)), Some(true));
        assert_eq!(info(b"bridge\0", Some(0)), Some(false));
        assert_eq!(info(b"bridge", None), Some(false));
        assert_eq!(info(b"veth\0", Some(1)), None);
    }
}
