//! `NetworkAdapter`: where a cable goes into a machine, or the radio of a
//! cellular modem.

use onprem_redfish::schema::{
    Reference,
    network_adapter::{
        self, ControllerCapabilities, ControllerLinks, Controllers,
    },
};

use super::{enabled, modem, port};
use crate::{
    model::{Chassis, NetworkInterface, Snapshot, System, Wire},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/Chassis/{ChassisId}/NetworkAdapters/{NetworkAdapterId}`
pub(crate) struct NetworkAdapter;

impl Resource for NetworkAdapter {
    fn uri(&self) -> &'static str {
        uri::ADAPTER
    }

    fn kind(&self) -> &'static str {
        "NetworkAdapter"
    }

    fn freshness(&self) -> Freshness {
        // A modem follows its sensors.
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let (snapshot, chassis) = (view.snapshot, view.chassis(ids)?);
        if let Some(it) =
            modem::all(snapshot, chassis).find(|it| *it.id == **id)
        {
            return Some(modem::adapter(it, chassis, snapshot));
        }
        let (_, system, interface) = find(snapshot, chassis, id)?;
        let wire = wire_of(snapshot, system, interface);
        let port = at(snapshot, &system.id, &interface.id)?;
        let controller = Controllers::new()
            .controller_capabilities(
                ControllerCapabilities::new().network_port_count(1),
            )
            .links(ControllerLinks::new().ports([port]).ports_count(1));
        let body = network_adapter::NetworkAdapter::new(
            "",
            *id,
            format!("Adapter {} of {}", interface.name, system.name),
        )
        .ports(Reference::new(uri::of(uri::ADAPTER_PORTS, ids)))
        .controllers([controller])
        .status(enabled(port::health_of(&wire, true)));
        Some(answer(body))
    }
}

/// The ids of the adapters in a chassis, and of its modems.
pub(super) fn ids(snapshot: &Snapshot, chassis: &Chassis) -> Vec<String> {
    let modems = modem::all(snapshot, chassis).map(|it| it.id.to_string());
    let all = all(snapshot, chassis).into_iter().map(|(id, ..)| id);
    all.chain(modems).collect()
}

/// The adapters in a chassis that have a port: each with its id, its system and its interface.
pub(super) fn all<'a>(
    snapshot: &'a Snapshot,
    chassis: &Chassis,
) -> Vec<(String, &'a System, &'a NetworkInterface)> {
    let systems = snapshot.inventory.systems.iter();
    let here: Vec<&System> = systems
        .filter(|system| system.chassis.first() == Some(&chassis.id))
        .collect();
    let alone = here.len() == 1;
    here.into_iter()
        .flat_map(|system| {
            let real = system.interfaces.iter().filter(|it| it.physical);
            real.map(move |it| {
                let id = if alone {
                    it.id.to_string()
                } else {
                    format!("{}.{}", system.id, it.id)
                };
                (id, system, it)
            })
        })
        .collect()
}

/// The adapter `id` in a chassis.
pub(super) fn find<'a>(
    snapshot: &'a Snapshot,
    chassis: &Chassis,
    id: &str,
) -> Option<(String, &'a System, &'a NetworkInterface)> {
    all(snapshot, chassis).into_iter().find(|it| it.0 == id)
}

/// Where the port of the adapter of an interface is, if it has one.
pub(in crate::redfish) fn at(
    snapshot: &Snapshot,
    system: &str,
    interface: &str,
) -> Option<String> {
    let it = snapshot.system(system)?;
    let chassis = snapshot.chassis(it.chassis.first()?)?;
    let mut all = all(snapshot, chassis).into_iter();
    let (id, ..) =
        all.find(|it| *it.1.id == *system && *it.2.id == *interface)?;
    let ids = [&*chassis.id, &*id, interface];
    Some(uri::of(uri::ADAPTER_PORT, &ids))
}

/// How the wire of an interface is: as was seen last, else as the inventory
/// says.
pub(super) fn wire_of(
    snapshot: &Snapshot,
    system: &System,
    interface: &NetworkInterface,
) -> Wire {
    let key = (system.id.clone(), interface.id.clone());
    if let Some(seen) = snapshot.network.adapters.get(&key) {
        return seen.clone();
    }
    Wire {
        id: format!("{}.{}", system.id, interface.id).into(),
        mac: interface.mac.clone(),
        mtu: interface.mtu,
        enabled: interface.enabled,
        link: interface.link,
        speed_mbps: interface.speed_mbps,
    }
}
