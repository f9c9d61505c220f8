//! `EthernetInterface`, of a system and of the manager.

use std::net::Ipv4Addr;

use onprem_redfish::schema::{
    ethernet_interface::{
        EthernetDeviceType, EthernetInterface, LinkStatus, Links,
    },
    ip_addresses::{
        AddressState, Ipv4address, Ipv4addressOrigin, Ipv6address,
        Ipv6addressOrigin,
    },
    resource::{self, State},
    vlan_network_interface::Vlan,
};

use super::{
    With as _,
    chassis::patch_part,
    fabric,
    network_adapter::{self, wire_of},
    network_protocol::full,
};
use crate::{
    model::{
        self, IpAddress, LinkState, Manager, NetworkInterface, Origin, Part,
        Settings, Snapshot, System,
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
        let name = system.host_name.as_deref();
        let all = &system.interfaces;
        interface(view.snapshot, Some(system), all, id, name)
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
        // The manager is on the first of the machines it looks after.
        let on = view.snapshot.inventory.systems.first();
        let all = &manager.interfaces;
        interface(view.snapshot, on, all, id, host_name.as_deref())
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
    snapshot: &Snapshot,
    on: Option<&System>,
    all: &[NetworkInterface],
    id: &str,
    host_name: Option<&str>,
) -> Option<Answer> {
    let it = all.iter().find(|interface| &*interface.id == id)?;
    let gateway = it.ipv4_gateway;
    let seen = on.map(|on| wire_of(snapshot, on, it));
    let (enabled, link, speed) = match &seen {
        Some(seen) if it.physical => (seen.enabled, seen.link, seen.speed_mbps),
        _ => (it.enabled, it.link, it.speed_mbps),
    };
    let state = if enabled { State::Enabled } else { State::Disabled };
    let body = EthernetInterface::new("", id, &*it.name)
        .interface_enabled(enabled)
        .with(it.mac.clone(), EthernetInterface::mac_address)
        .mtu_size(it.mtu.into())
        .speed_mbps_null()
        .with(speed.map(i64::from), EthernetInterface::speed_mbps)
        .with(host_name, EthernetInterface::host_name)
        .with(host_name.map(full), EthernetInterface::fqdn)
        .with(it.full_duplex, EthernetInterface::full_duplex)
        .link_status(match link {
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
            if link == LinkState::NoLink {
                resource::Health::Warning
            } else {
                resource::Health::Ok
            },
        ))
        .with(it.vlan.as_ref(), |body, (vlan, _)| {
            body.vlan(
                Vlan::new()
                    .vlan_enable(true)
                    .vlanid(i64::from(vlan.number()))
                    .tagged(true),
            )
        })
        .ethernet_interface_type(if it.physical {
            EthernetDeviceType::Physical
        } else {
            EthernetDeviceType::Virtual
        })
        .with(on.and_then(|on| links(snapshot, on, it)), |body, links| {
            body.links(links)
        });
    Some(answer(body))
}

/// What an interface is on, and what it is to a fabric.
fn links(
    snapshot: &Snapshot,
    on: &System,
    it: &NetworkInterface,
) -> Option<Links> {
    let mut links = None;
    let mut with = |set: &dyn Fn(Links) -> Links| {
        links = Some(set(links.take().unwrap_or_else(Links::new)));
    };
    if let Some(port) = network_adapter::at(snapshot, &on.id, &it.id) {
        with(&|links| links.ports([port.clone()]).ports_count(1));
    }
    if let Some((switch, port)) = snapshot.network.port_of(&on.id, &it.id) {
        let end = fabric::endpoint_at(switch, port);
        with(&|links| links.endpoints([end.clone()]).endpoints_count(1));
    }
    let below = it.vlan.as_ref().map(|(_, below)| below);
    let below = below.filter(|id| on.interfaces.iter().any(|i| i.id == **id));
    if let Some(below) = below {
        let below = uri::of(uri::SYSTEM_INTERFACE, &[&on.id, below]);
        with(&|links| {
            let links = links.related_interfaces([below.clone()]);
            links.related_interfaces_count(1)
        });
    }
    links
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
