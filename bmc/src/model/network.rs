//! Network interfaces with their addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Id, VlanId};

/// Whether anything is on the other end of a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Carrier, and the interface is up.
    Up,
    /// The interface is switched off.
    #[default]
    Down,
    /// Switched on, but no carrier.
    NoLink,
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Set by hand, or by something the kernel does not name.
    Static,
    /// A lease.
    Dhcp,
    /// Made from the prefix a router announced.
    Slaac,
    /// Made up by the interface for its own link.
    LinkLocal,
}

/// Whether an address may be used, in the words of RFC 4862.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressState {
    /// It may.
    #[default]
    Preferred,
    /// It may no longer be used for what is new.
    Deprecated,
    /// It is not yet known to be the only one on its link.
    Tentative,
    /// Another machine on the link has it.
    Failed,
}

/// An address with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpAddress<A> {
    /// The address.
    pub address: A,
    /// How many leading bits name the network.
    pub prefix: u8,
    /// Where it came from.
    pub origin: Origin,
    /// Whether it may be used; an address of IPv4 always may.
    pub state: AddressState,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Segment of its URI.
    pub id: Id,
    /// The kernel's name.
    pub name: String,
    /// Hardware address, `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
    /// Largest payload of a frame.
    pub mtu: u32,
    /// Speed of the link while it is up.
    pub speed_mbps: Option<u32>,
    /// Whether both ends may send at once, while the link is up.
    pub full_duplex: Option<bool>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether there is a link.
    pub link: LinkState,
    /// IPv4 addresses.
    pub ipv4: Vec<IpAddress<Ipv4Addr>>,
    /// IPv6 addresses.
    pub ipv6: Vec<IpAddress<Ipv6Addr>>,
    /// Where IPv4 packets for elsewhere go.
    pub ipv4_gateway: Option<Ipv4Addr>,
    /// Where IPv6 packets for elsewhere go.
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// Who answers for names.
    pub name_servers: Vec<String>,
    /// Whether it is one of an adapter, and no idea of the kernel's.
    pub physical: bool,
    /// The VLAN that it is on another interface, where it is one.
    pub vlan: Option<(VlanId, Id)>,
}
