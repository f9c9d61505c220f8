//! Which ports of the fleet's devices are joined, as far as the devices say:
//! what they last heard by LLDP, and what they know of their own inside.
//!
//! Kept in memory only: each device is read again when it comes back.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use onprem_link::id::Xid;

use crate::api::{Device, DevicePort, Link, LinkSource, PortKind};

/// The most ports of one device that are kept.
const MAX_PORTS: usize = 512;

/// The ports of each device, as they were last read.
#[derive(Debug, Default)]
pub(crate) struct Wiring(Mutex<HashMap<Xid, Arc<Seen>>>);

#[derive(Debug)]
struct Seen {
    ports: Vec<DevicePort>,
    at: DateTime<Utc>,
}

impl Wiring {
    /// Keeps how the ports of a device are.
    pub(crate) fn seen(&self, device: Xid, mut ports: Vec<DevicePort>) {
        ports.truncate(MAX_PORTS);
        let seen = Arc::new(Seen { ports, at: Utc::now() });
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(device, seen);
    }

    /// Forgets a device.
    pub(crate) fn forget(&self, device: Xid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }

    /// What joins `devices`, each cable once. Where `of` is said, only its
    /// cables, seen from there.
    pub(crate) fn links(
        &self,
        devices: &[Device],
        of: Option<Xid>,
    ) -> Vec<Link> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.clone();
        let known = devices.iter().filter_map(|device| {
            Some((device, Arc::clone(kept.get(&device.id)?)))
        });
        let known: Vec<(&Device, Arc<Seen>)> = known.collect();
        let index = Index::new(&known);
        let mut ends = HashSet::new();
        let mut links = Vec::new();
        for (device, seen) in &known {
            for port in &seen.ports {
                for (link, far) in index.links(device, port, seen.at) {
                    let link = match (of, far) {
                        (Some(of), _) if link.device == of => link,
                        (Some(of), Some(far)) if far.id == of => {
                            turned(link, far)
                        }
                        (Some(_), _) => continue,
                        (None, _) => link,
                    };
                    if ends.insert(both(&link)) {
                        links.push(link);
                    }
                }
            }
        }
        links
    }
}

/// Both ends in an order, so that a cable that both hear of is one.
fn both(link: &Link) -> [(String, String); 2] {
    let far = link.neighbour_device.as_ref().unwrap_or(&link.neighbour);
    let far_port = link.neighbour_port.clone().unwrap_or_default();
    let mut ends = [
        (link.device_name.clone(), link.port.clone()),
        (far.clone(), far_port),
    ];
    ends.sort();
    ends
}

/// Finds devices and ports by what neighbours call them.
struct Index<'a> {
    /// By hardware address; nothing where several devices have it.
    macs: HashMap<String, Option<(&'a Device, &'a str)>>,
    /// By name; nothing where several go by it.
    names: HashMap<String, Option<&'a Device>>,
    ports: HashMap<Xid, &'a [DevicePort]>,
}

impl<'a> Index<'a> {
    fn new(known: &'a [(&'a Device, Arc<Seen>)]) -> Self {
        let mut index = Self {
            macs: HashMap::new(),
            names: HashMap::new(),
            ports: HashMap::new(),
        };
        for (device, seen) in known {
            index.ports.insert(device.id, &seen.ports);
            let mut names = vec![device.name.to_string().to_lowercase()];
            names.extend(device.host_name.as_ref().map(|it| it.to_lowercase()));
            names.dedup();
            for name in names {
                let place = index.names.entry(name);
                let place = place.or_insert(Some(device));
                place.take_if(|it| it.id != device.id);
            }
            for port in &seen.ports {
                let Some(mac) = port.mac_address.as_deref().and_then(mac)
                else {
                    continue;
                };
                let place = index.macs.entry(mac);
                let place = place.or_insert(Some((device, &port.id)));
                place.take_if(|it| it.0.id != device.id);
            }
        }
        index
    }

    /// The cables that a port knows of: at most one, and one inside.
    fn links(
        &self,
        device: &'a Device,
        port: &'a DevicePort,
        seen_at: DateTime<Utc>,
    ) -> Vec<(Link, Option<&'a Device>)> {
        let link = |neighbour: String, source| Link {
            id: format!("{}.{}.{source}", device.name, port.id),
            device: device.id,
            device_name: device.name.to_string(),
            port: port.id.clone(),
            neighbour,
            neighbour_device: None,
            neighbour_port: None,
            vlan: port.untagged_vlan,
            link_status: port.link_status.clone(),
            source,
            seen_at,
        };
        let mut links = Vec::new();
        // What both ends say is told from the computer's.
        let told = |other: &str| {
            let ports = self.ports.get(&device.id).copied();
            let mut ports = ports.into_iter().flatten();
            let far = ports.find(|it| it.id == *other);
            port.kind == PortKind::Switch
                && far.is_some_and(|it| it.kind == PortKind::Adapter)
        };
        if let Some(other) = &port.joined_to
            && !told(other)
        {
            let name = device.name.to_string();
            let inside = Link {
                neighbour_device: Some(name.clone()),
                neighbour_port: Some(other.clone()),
                ..link(name, LinkSource::Inventory)
            };
            links.push((inside, Some(device)));
        }
        if let Some(name) = &port.neighbour {
            let (found, source) = self.find(device, port);
            let said = port.neighbour_port.clone();
            let at = found.and_then(|far| self.port(far, said.as_deref()?));
            let heard = Link {
                neighbour_device: found.map(|far| far.name.to_string()),
                neighbour_port: at.map(str::to_owned).or(said),
                ..link(name.clone(), source)
            };
            links.push((heard, found));
        }
        links
    }

    /// The device of the fleet that a neighbour is, and how one knows: by a
    /// hardware address that only it has, else by a name only it goes by.
    fn find(
        &self,
        own: &Device,
        port: &DevicePort,
    ) -> (Option<&'a Device>, LinkSource) {
        let said = [&port.neighbour_chassis, &port.neighbour_port];
        let said = said.into_iter().flatten().filter_map(|text| mac(text));
        let mut found = said.filter_map(|mac| (*self.macs.get(&mac)?)?.into());
        let found: Option<(&Device, &str)> = found.next();
        if let Some((far, _)) = found.filter(|(far, _)| far.id != own.id) {
            return (Some(far), LinkSource::MacAddress);
        }
        let name = port.neighbour.as_ref().map(|name| name.to_lowercase());
        let far = name.and_then(|name| *self.names.get(&name)?);
        match far.filter(|far| far.id != own.id) {
            Some(far) => (Some(far), LinkSource::SystemName),
            None => (None, LinkSource::Lldp),
        }
    }

    /// The port of `device` that goes by what its neighbour heard.
    fn port(&self, device: &Device, said: &str) -> Option<&'a str> {
        let ports = self.ports.get(&device.id).copied()?;
        let address = mac(said);
        let is = |port: &&DevicePort| {
            let own = port.mac_address.as_deref().and_then(mac);
            port.id == said || address.is_some() && own == address
        };
        if let Some(port) = ports.iter().find(is) {
            return Some(&port.id);
        }
        // A simulated wire is called by its system as well.
        let called = |port: &&DevicePort| {
            port.name == said || said.ends_with(&format!(".{}", port.name))
        };
        let mut named = ports.iter().filter(called);
        match (named.next(), named.next()) {
            (Some(port), None) => Some(&port.id),
            _ => None,
        }
    }
}

/// The same cable seen from its other end.
fn turned(link: Link, far: &Device) -> Link {
    Link {
        device: far.id,
        device_name: far.name.to_string(),
        port: link.neighbour_port.unwrap_or_default(),
        neighbour: link.device_name.clone(),
        neighbour_device: Some(link.device_name),
        neighbour_port: Some(link.port),
        ..link
    }
}

/// A hardware address in one way of writing.
fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let good = |part: &&str| {
        part.len() == 2 && part.bytes().all(|it| it.is_ascii_hexdigit())
    };
    (parts.len() == 6 && parts.iter().all(good))
        .then(|| parts.join(":").to_lowercase())
}
