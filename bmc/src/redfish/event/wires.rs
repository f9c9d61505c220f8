//! From changes of ports and switches to events.

use std::collections::BTreeMap;

use onprem_redfish::message::{
    Message, fabric, network_device, resource_event,
};

use super::super::uri;
use crate::{
    model::{Announcement, Id, LinkState, Memberships, Snapshot, Wire},
    redfish::resources::network_adapter,
};

/// What those who listen know already.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether it was ever looked at the wires: what was so then is no news.
    looked: bool,
    ports: BTreeMap<String, Port>,
}

/// A port, as far as events tell of it.
#[derive(Debug, Clone, PartialEq)]
struct Port {
    of: Of,
    enabled: bool,
    link: LinkState,
    vlans: Memberships,
    neighbours: Vec<Announcement>,
}

/// Whose port it is.
#[derive(Debug, Clone, PartialEq)]
enum Of {
    /// A switch's: its id, the port's, and whether that leads upwards.
    Switch(Id, Id, bool),
    /// An interface's: the system and itself.
    Adapter(Id, Id),
}

impl Known {
    /// Sends what is other than before.
    pub(super) fn compare(
        &mut self,
        snapshot: &Snapshot,
        send: &mut impl FnMut(Message, String),
    ) {
        let now = ports(snapshot);
        let before = std::mem::replace(&mut self.ports, now);
        if !std::mem::replace(&mut self.looked, !self.ports.is_empty()) {
            return;
        }
        for (at, port) in &self.ports {
            let Some(was) = before.get(at) else {
                send(resource_event::resource_created(), at.clone());
                continue;
            };
            for message in news(was, port) {
                send(message, at.clone());
            }
        }
        for gone in before.keys().filter(|at| !self.ports.contains_key(*at)) {
            send(resource_event::resource_removed(), gone.clone());
        }
    }
}

fn ports(snapshot: &Snapshot) -> BTreeMap<String, Port> {
    let port = |wire: &Wire, of: Of, vlans: Memberships| {
        let heard = snapshot.neighbours.get(&wire.id).into_iter().flatten();
        let (enabled, link) = (wire.enabled, wire.link);
        let neighbours = heard.map(|it| it.says.clone()).collect();
        Port { of, enabled, link, vlans, neighbours }
    };
    let mut found = BTreeMap::new();
    for switch in &snapshot.network.switches {
        for it in &switch.ports {
            let ids = [&*switch.chassis, &*switch.id, &*it.id];
            let at = uri::of(uri::SWITCH_PORT, &ids);
            let of = Of::Switch(switch.id.clone(), it.id.clone(), it.uplink);
            found.insert(at, port(&it.wire, of, it.vlans.clone()));
        }
    }
    for ((system, interface), wire) in &snapshot.network.adapters {
        let at = network_adapter::at(snapshot, system, interface);
        let of = Of::Adapter(system.clone(), interface.clone());
        let port = port(wire, of, Memberships::new());
        found.extend(at.map(|at| (at, port)));
    }
    found
}

fn news(was: &Port, port: &Port) -> Vec<Message> {
    let mut messages = Vec::new();
    let up = |port: &Port| port.link == LinkState::Up;
    match &port.of {
        Of::Switch(switch, id, uplink) => {
            match (was.enabled, port.enabled) {
                (false, true) => {
                    messages.push(fabric::port_manually_enabled(switch, id));
                }
                (true, false) => {
                    messages.push(fabric::port_manually_disabled(switch, id));
                }
                _ => {}
            }
            let message = match (up(was), up(port), *uplink) {
                (false, true, true) => fabric::upstream_link_established,
                (true, false, true) => fabric::upstream_link_dropped,
                (false, true, false) => fabric::downstream_link_established,
                (true, false, false) => fabric::downstream_link_dropped,
                _ => return more(messages, was, port),
            };
            messages.push(message(switch, id));
        }
        Of::Adapter(system, id) => match (up(was), up(port)) {
            (false, true) => messages
                .push(network_device::connection_established(id, id, system)),
            (true, false) => {
                messages
                    .push(network_device::connection_dropped(id, id, system));
            }
            _ => {}
        },
    }
    more(messages, was, port)
}

fn more(mut messages: Vec<Message>, was: &Port, port: &Port) -> Vec<Message> {
    if was.vlans != port.vlans || was.neighbours != port.neighbours {
        messages.push(resource_event::resource_changed());
    }
    messages
}
