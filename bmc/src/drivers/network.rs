//! Network interfaces: links from sysfs, addresses and routes from procfs.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{segment, tree::Tree};
use crate::model::{
    AddressState, IpAddress, LinkState, NetworkInterface, Origin, VlanId,
};

const FOLDER: &str = "/sys/class/net";

/// `IFF_UP` of the interface's flags.
const UP: u32 = 1;
/// `ARPHRD_LOOPBACK`.
const LOOPBACK: u32 = 772;

/// The interfaces: those of real adapters, and virtual ones that have an
/// address.
#[must_use]
pub fn read(tree: &Tree) -> Vec<NetworkInterface> {
    let routes = routes(tree);
    let ipv4 = ipv4(tree);
    let ipv6 = ipv6(tree);
    let ipv6_gateways = ipv6_gateways(tree);
    let name_servers = name_servers(tree);
    let vlans = vlans(tree);
    tree.entries(FOLDER)
        .into_iter()
        .filter_map(|name| {
            let mut interface = link(tree, &name)?;
            for address in &ipv4 {
                if let Some(prefix) = prefix_on(&routes, *address, &name) {
                    let origin = ipv4_origin(tree, &name, *address);
                    let address = *address;
                    interface.ipv4.push(IpAddress {
                        address,
                        prefix,
                        origin,
                        state: AddressState::Preferred,
                    });
                }
            }
            let own = ipv6.iter().filter(|(on, _)| *on == name);
            interface.ipv6.extend(own.map(|(_, address)| *address));
            let mut default =
                routes.iter().filter(|r| r.interface == name && r.prefix == 0);
            interface.ipv4_gateway = default.next().map(|r| r.gateway);
            let mut gateways = ipv6_gateways.iter().filter(|g| g.0 == name);
            interface.ipv6_gateway = gateways.next().map(|g| g.1);
            interface.name_servers.clone_from(&name_servers);
            let is_real = tree.exists(&format!("{FOLDER}/{name}/device"));
            interface.physical = is_real;
            let vlan = vlans.iter().find(|(on, ..)| *on == name);
            interface.vlan =
                vlan.map(|(_, vlan, of)| (*vlan, segment(of).into()));
            let addressed =
                !interface.ipv4.is_empty() || !interface.ipv6.is_empty();
            let shown = is_real || addressed || interface.vlan.is_some();
            shown.then_some(interface)
        })
        .collect()
}

fn link(tree: &Tree, name: &str) -> Option<NetworkInterface> {
    let file = |file: &str| format!("{FOLDER}/{name}/{file}");
    if tree.number::<u32>(&file("type"))? == LOOPBACK {
        return None;
    }
    let flags = tree.text(&file("flags")).unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16);
    let enabled = flags.is_ok_and(|flags| flags & UP != 0);
    let carrier = tree.number::<u8>(&file("carrier")) == Some(1);
    let link = match (enabled, carrier) {
        (true, true) => LinkState::Up,
        (true, false) => LinkState::NoLink,
        (false, _) => LinkState::Down,
    };
    let mac = tree.text(&file("address")).map(|m| m.to_lowercase());
    let is_up = link == LinkState::Up;
    let duplex = tree.text(&file("duplex")).filter(|_| is_up);
    Some(NetworkInterface {
        id: segment(name).into(),
        name: name.to_owned(),
        mac: mac.filter(|m| m.len() == 17 && m != "00:00:00:00:00:00"),
        mtu: tree.number(&file("mtu")).unwrap_or(1500),
        // Without a link, and on a virtual machine, the kernel says -1.
        speed_mbps: tree
            .number::<u32>(&file("speed"))
            .filter(|speed| is_up && *speed > 0),
        full_duplex: match duplex.as_deref() {
            Some("full") => Some(true),
            Some("half") => Some(false),
            _ => None,
        },
        enabled,
        link,
        ..NetworkInterface::default()
    })
}

/// A line of the kernel's IPv4 routes.
#[derive(Debug)]
struct Route {
    interface: String,
    network: u32,
    prefix: u8,
    gateway: Ipv4Addr,
}

fn routes(tree: &Tree) -> Vec<Route> {
    let text = tree.text("/proc/net/route").unwrap_or_default();
    // The numbers are in the byte order of the machine, which is little
    // endian wherever we run.
    let number =
        |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [interface, network, gateway, _, _, _, _, mask, ..] =
                fields.as_slice()
            else {
                return None;
            };
            Some(Route {
                interface: (*interface).to_owned(),
                network: number(network)?,
                prefix: u8::try_from(number(mask)?.count_ones()).ok()?,
                gateway: Ipv4Addr::from(number(gateway)?),
            })
        })
        .collect()
}

/// The prefix of `address` when the network it is on is reached through
/// `name`. Two interfaces on one network: the first in the routes has it.
fn prefix_on(routes: &[Route], address: Ipv4Addr, name: &str) -> Option<u8> {
    let bits = u32::from(address);
    let connected = routes.iter().filter(|route| {
        let shift = 32 - u32::from(route.prefix);
        let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
        route.gateway.is_unspecified()
            && route.prefix > 0
            && bits & mask == route.network
    });
    let best = connected.reduce(|a, b| if b.prefix > a.prefix { b } else { a });
    best.filter(|r| r.interface == name).map(|r| r.prefix)
}

/// The host's own IPv4 addresses: the leaves `/32 host LOCAL` of the trie.
fn ipv4(tree: &Tree) -> Vec<Ipv4Addr> {
    let text = tree.text("/proc/net/fib_trie").unwrap_or_default();
    let mut addresses = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            last = leaf.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last
            && !address.is_loopback()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// Who gave the interface its address, as far as the DHCP clients' leases
/// tell.
fn ipv4_origin(tree: &Tree, name: &str, address: Ipv4Addr) -> Origin {
    if address.is_link_local() {
        return Origin::LinkLocal;
    }
    let index = tree.text(&format!("{FOLDER}/{name}/ifindex"));
    let leases = [
        index.map(|i| format!("/run/systemd/netif/leases/{i}")),
        Some(format!("/var/lib/dhcp/dhclient.{name}.leases")),
        Some(format!("/var/lib/dhcpcd/{name}.lease")),
    ];
    if leases.iter().flatten().any(|file| tree.exists(file)) {
        return Origin::Dhcp;
    }
    Origin::Static
}

fn ipv6_bits(hex: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(hex, 16).ok().map(Ipv6Addr::from)
}

fn ipv6(tree: &Tree) -> Vec<(String, IpAddress<Ipv6Addr>)> {
    let text = tree.text("/proc/net/if_inet6").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [address, _, prefix, scope, flags, name] = fields.as_slice()
            else {
                return None;
            };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            // Scope 0x20 is the link; flag 0x80 is an address that stays.
            let origin = match *scope {
                "20" => Origin::LinkLocal,
                _ if flags & 0x80 != 0 => Origin::Static,
                _ => Origin::Slaac,
            };
            let address = IpAddress {
                address: ipv6_bits(address)?,
                prefix: u8::from_str_radix(prefix, 16).ok()?,
                origin,
                state: address_state(flags),
            };
            Some(((*name).to_owned(), address))
        })
        .collect()
}

/// The state in the flags `IFA_F_…` of an address.
fn address_state(flags: u32) -> AddressState {
    const DAD_FAILED: u32 = 0x08;
    const DEPRECATED: u32 = 0x20;
    const TENTATIVE: u32 = 0x40;
    if flags & DAD_FAILED != 0 {
        AddressState::Failed
    } else if flags & TENTATIVE != 0 {
        AddressState::Tentative
    } else if flags & DEPRECATED != 0 {
        AddressState::Deprecated
    } else {
        AddressState::Preferred
    }
}

fn ipv6_gateways(tree: &Tree) -> Vec<(String, Ipv6Addr)> {
    let text = tree.text("/proc/net/ipv6_route").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, "00", _, _, gateway, .., name] = fields.as_slice() else {
                return None;
            };
            let gateway = ipv6_bits(gateway)?;
            (!gateway.is_unspecified()).then(|| ((*name).to_owned(), gateway))
        })
        .collect()
}

/// The interfaces that are VLANs of others: the name, the VLAN, the other.
fn vlans(tree: &Tree) -> Vec<(String, VlanId, String)> {
    let text = tree.text("/proc/net/vlan/config").unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split('|').map(str::trim);
        let (name, number) = (fields.next()?, fields.next()?);
        let vlan = VlanId::new(number.parse().ok()?)?;
        Some((name.to_owned(), vlan, fields.next()?.to_owned()))
    };
    text.lines().skip(2).filter_map(line).collect()
}

fn name_servers(tree: &Tree) -> Vec<String> {
    let text = tree.text("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .map(|server| server.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tells_whether_an_address_of_ipv6_may_be_used() {
        let root = tempfile::tempdir().unwrap();
        let lines: Vec<String> = ["80", "a0", "c0", "c8"]
            .iter()
            .enumerate()
            .map(|(n, flags)| {
                format!("2001{n:028x} 02 40 00 {flags}     eth0\n")
            })
            .collect();
        let folder = root.path().join("proc/net");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("if_inet6"), lines.concat()).unwrap();
        let found = ipv6(&Tree::new(root.path()));
        let states: Vec<_> = found.iter().map(|(_, a)| a.state).collect();
        let expected = [
            AddressState::Preferred,
            AddressState::Deprecated,
            AddressState::Tentative,
            AddressState::Failed,
        ];
        assert_eq!(states, expected);
    }
}
