//! `EthernetInterface`, of a system and of the manager.

use std::net::Ipv4Addr;

use onprem_redfish::schema::{
    ethernet_interface::{EthernetInterface, LinkStatus},
    ip_addresses::{
        AddressState, Ipv4address, Ipv4addressOrigin, Ipv6address,
        Ipv6addressOrigin,
    },
    resource::{self, State},
};

use super::{With as _, chassis::patch_part, network_protocol::full};
use crate::{
    model::{
        self, IpAddress, LinkState, Manager, NetworkInterface, Origin, Part,
        Settings,
    },
    redfish::{
        resource::{Answer, Pending, Resource, View, Write, answer},
        uri,
    },
};

/// `…/Systems/{ComputerSystemId}/EthernetInterfaces/{EthernetInterfaceId}`
pub(crate) struct SystemInterface;

impl Resource for SystemInterface {
    fn uri(&self) -> &'static str {
        uri::SYSTEM_INTERFACE
    }

    fn kind(&self) -> &'static str {
        "EthernetInterface"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let system = view.system(ids)?;
        interface(&system.interfaces, id, system.host_name.as_deref())
    }
}

/// `…/Managers/{ManagerId}/EthernetInterfaces/{EthernetInterfaceId}`
pub(crate) struct ManagerInterface;

impl Resource for ManagerInterface {
    fn uri(&self) -> &'static str {
        uri::MANAGER_INTERFACE
    }

    fn kind(&self) -> &'static str {
        "EthernetInterface"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let manager = view.manager(ids)?;
        let host_name = manager_name(&view.snapshot.settings, manager);
        interface(&manager.interfaces, id, host_name.as_deref())
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/HostName"]
    }

    fn clears(&self) -> &'static [&'static str] {
        &["/HostName"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        let manager = Part::Manager(write.id(0).into());
        Box::pin(patch_part(write, manager, Vec::new()))
    }
}

/// The host name of the manager: the one it was given, else the one of its
/// operating system.
pub(super) fn manager_name(
    settings: &Settings,
    manager: &Manager,
) -> Option<String> {
    let given = settings.of(&Part::Manager(manager.id.clone())).host_name;
    given.or_else(|| manager.host_name.clone())
}

fn interface(
    all: &[NetworkInterface],
    id: &str,
    host_name: Option<&str>,
) -> Option<Answer> {
    let it = all.iter().find(|interface| &*interface.id == id)?;
    let gateway = it.ipv4_gateway;
    let state = if it.enabled { State::Enabled } else { State::Disabled };
    let body = EthernetInterface::new("", id, &*it.name)
        .interface_enabled(it.enabled)
        .with(it.mac.clone(), EthernetInterface::mac_address)
        .mtu_size(it.mtu.into())
        .speed_mbps_null()
        .with(it.speed_mbps.map(i64::from), EthernetInterface::speed_mbps)
        .with(host_name, EthernetInterface::host_name)
        .with(host_name.map(full), EthernetInterface::fqdn)
        .with(it.full_duplex, EthernetInterface::full_duplex)
        .link_status(match it.link {
            LinkState::Up => LinkStatus::LinkUp,
            LinkState::Down => LinkStatus::LinkDown,
            LinkState::NoLink => LinkStatus::NoLink,
        })
        .ipv4addresses(it.ipv4.iter().map(|a| ipv4(*a, gateway)))
        .ipv6addresses(it.ipv6.iter().map(ipv6))
        .with(
            it.ipv6_gateway.map(|gateway| gateway.to_string()),
            EthernetInterface::ipv6default_gateway,
        )
        .name_servers(it.name_servers.iter().cloned())
        .status(resource::Status::new().state(state).health(
            if it.link == LinkState::NoLink {
                resource::Health::Warning
            } else {
                resource::Health::Ok
            },
        ));
    Some(answer(body))
}

fn ipv4(of: IpAddress<Ipv4Addr>, gateway: Option<Ipv4Addr>) -> Ipv4address {
    let bits = u32::MAX.checked_shl(32 - u32::from(of.prefix.min(32)));
    let mask = Ipv4Addr::from(bits.unwrap_or(0));
    Ipv4address::new()
        .address(of.address.to_string())
        .subnet_mask(mask.to_string())
        .address_origin(match of.origin {
            Origin::Static | Origin::Slaac => Ipv4addressOrigin::Static,
            Origin::Dhcp => Ipv4addressOrigin::Dhcp,
            Origin::LinkLocal => Ipv4addressOrigin::Ipv4linkLocal,
        })
        .with(gateway.map(|gateway| gateway.to_string()), Ipv4address::gateway)
}

fn ipv6(of: &IpAddress<std::net::Ipv6Addr>) -> Ipv6address {
    Ipv6address::new()
        .address(of.address.to_string())
        .prefix_length(of.prefix.into())
        .address_origin(match of.origin {
            Origin::Static => Ipv6addressOrigin::Static,
            Origin::Dhcp => Ipv6addressOrigin::Dhcpv6,
            Origin::Slaac => Ipv6addressOrigin::Slaac,
            Origin::LinkLocal => Ipv6addressOrigin::LinkLocal,
        })
        .address_state(match of.state {
            model::AddressState::Preferred => AddressState::Preferred,
            model::AddressState::Deprecated => AddressState::Deprecated,
            model::AddressState::Tentative => AddressState::Tentative,
            model::AddressState::Failed => AddressState::Failed,
        })
}
