//! Where the agent listens: addresses with the interfaces they are on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::drivers::{network, tree::Tree};

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The kernel's number of the interface.
    pub(super) index: u32,
    pub(super) address: IpAddr,
    /// How many leading bits name its network.
    pub(super) prefix: u8,
}

impl Place {
    /// Whether `peer` is on the same network.
    pub(super) fn is_near(&self, peer: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let other = bits.saturating_sub(self.prefix.into());
            a.checked_shr(other) == b.checked_shr(other)
        };
        match (self.address, peer) {
            // A program on a machine without any other address.
            (IpAddr::V4(own), IpAddr::V4(peer))
                if own.is_loopback() && peer.is_unspecified() =>
            {
                true
            }
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                let (own, peer) = (own.to_bits(), peer.to_bits());
                same(own.into(), peer.into(), u32::BITS)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => {
                peer.is_unicast_link_local()
                    || same(own.to_bits(), peer.to_bits(), u128::BITS)
            }
            _ => false,
        }
    }
}

/// The addresses that `listen` stands for.
pub(super) fn places(tree: &Tree, listen: SocketAddr) -> Vec<Place> {
    let index = |name: &str| {
        tree.number::<u32>(&format!("/sys/class/net/{name}/ifindex"))
    };
    let mut places = Vec::new();
    let mut add = |name: &str, address: IpAddr, prefix: u8| {
        let ip = listen.ip();
        let both = ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let all = both || ip.is_unspecified() && address.is_ipv4();
        if (all || ip == address)
            && let Some(index) = index(name)
        {
            places.push(Place { index, address, prefix });
        }
    };
    add("lo", Ipv4Addr::LOCALHOST.into(), 8);
    if let IpAddr::V4(ip) = listen.ip()
        && ip.is_loopback()
        && ip != Ipv4Addr::LOCALHOST
    {
        add("lo", ip.into(), 8);
    }
    add("lo", Ipv6Addr::LOCALHOST.into(), 128);
    for interface in network::read(tree) {
        for it in &interface.ipv4 {
            add(&interface.name, it.address.into(), it.prefix);
        }
        // A URI cannot say on which interface a link-local address is.
        let global = interface.ipv6.iter();
        for it in global.filter(|it| !it.address.is_unicast_link_local()) {
            add(&interface.name, it.address.into(), it.prefix);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str, prefix: u8) -> Place {
        Place { index: 1, address: address.parse().unwrap(), prefix }
    }

    #[test]
    fn near_is_what_is_on_the_same_network() {
        for (own, prefix, peer, near) in [
            ("192.0.2.2", 24, "192.0.2.77", true),
            ("192.0.2.2", 24, "192.0.3.77", false),
            ("192.0.2.2", 24, "fd00::1", false),
            ("127.0.0.1", 8, "127.9.9.9", true),
            ("127.0.0.1", 8, "0.0.0.0", true),
            ("192.0.2.2", 24, "0.0.0.0", false),
            ("192.0.2.2", 0, "8.8.8.8", true),
            ("fd00::2", 64, "fd00::99", true),
            ("fd00::2", 64, "fd01::99", false),
            ("fd00::2", 64, "fe80::1", true),
        ] {
            let place = place(own, prefix);
            assert_eq!(place.is_near(peer.parse().unwrap()), near, "{peer}");
        }
    }
}
