//! `Fabric`, `Switch`, `Zone` and `Endpoint`: what joins machines inside a
//! chassis. A zone is a VLAN; an endpoint is what is at a port of a switch.

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        endpoint::{self, ConnectedEntity, EntityRole, EntityType},
        fabric,
        protocol::Protocol,
        resource::{self, DurableNameFormat, Identifier, State},
        switch,
        zone::{self, ZoneType},
    },
};
use serde_json::{Map, json};

use super::{
    With as _, enabled, health, network_adapter,
    port::{self, staging},
};
use crate::{
    commands::PortWish,
    model::{
        Health, Id, LinkState, NetworkSwitch, Snapshot, SwitchPort, VlanId,
    },
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Pending, Resource, View, Write, answer,
        },
        uri,
    },
};

/// Lets the change that waits stay; the way of RFC 6241, 8.4, where a change
/// is undone unless it is confirmed.
const CONFIRM: &str = "Oem/OnPremFabric.ConfirmChange";
/// Undoes it now.
const REVERT: &str = "Oem/OnPremFabric.RevertChange";
const ADD: &str = "Zone.AddEndpoint";
const REMOVE: &str = "Zone.RemoveEndpoint";

/// `/redfish/v1/Fabrics/{FabricId}`
pub(crate) struct Fabric;

impl Resource for Fabric {
    fn uri(&self) -> &'static str {
        uri::FABRIC
    }

    fn kind(&self) -> &'static str {
        "Fabric"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [id] = ids else { return None };
        let snapshot = view.snapshot;
        let network = &snapshot.network;
        network.of(id).next()?;
        let chassis = snapshot.chassis(id);
        let name = chassis.map_or(*id, |chassis| &*chassis.name);
        let below = |pattern| Reference::new(uri::of(pattern, ids));
        let worst = network.of(id).map(switch_health).max();
        let manager = uri::of(uri::MANAGER, &[&snapshot.inventory.manager.id]);
        let body = fabric::Fabric::new("", *id, format!("Fabric of {name}"))
            .fabric_type(Protocol::Ethernet)
            .status(enabled(worst.unwrap_or(Health::Ok)))
            .switches(below(uri::SWITCHES))
            .endpoints(below(uri::ENDPOINTS))
            .zones(below(uri::ZONES))
            .links(fabric::Links::new().managed_by([manager]));
        let mut answer = answer(body);
        let staged = snapshot.staged.as_ref().filter(|it| *it.fabric == **id);
        let Some(staged) = staged else { return Some(answer) };
        let port = [&*staged.fabric, &staged.switch, &staged.port];
        let until = staged.until.to_rfc3339_opts(SecondsFormat::Secs, true);
        let about = json!({"OnPrem": {
            "@odata.type": "#OnPremFabric.v1_0_0.OnPrem",
            "StagedChange": {
                "Id": staged.id,
                "RequestedBy": staged.by,
                "RequestTime": staged.since
                    .to_rfc3339_opts(SecondsFormat::Secs, true),
                "Port": {"@odata.id": uri::of(uri::SWITCH_PORT, &port)},
                "ConfirmBefore": until,
            },
        }});
        answer.body.insert("Oem".to_owned(), about);
        let answer = answer.action(CONFIRM, Map::new());
        Some(answer.action(REVERT, Map::new()))
    }

    fn actions(&self) -> &'static [Action] {
        &[(CONFIRM, &["/ChangeId"]), (REVERT, &["/ChangeId"])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(decide(write, action))
    }
}

/// Lets the change stay that waits, or undoes it, if it is the one that is
/// named: nobody means another one that came in its place.
async fn decide(write: &Write<'_>, action: &str) -> Result<Acted, Error> {
    let fabric = write.id(0);
    let wanted = write.text("/ChangeId").unwrap_or_default();
    let staged = write.service.model.snapshot().staged.clone();
    let staged = staged.filter(|it| *it.fabric == *fabric);
    let named = staged.as_ref().filter(|it| it.id.to_string() == wanted);
    let Some(named) = named else {
        let name = action.trim_start_matches("Oem/");
        let now = staged.map_or_else(
            || "nothing waits in this fabric now".to_owned(),
            |it| format!("{}'s change {} waits now", it.by, it.id),
        );
        let shown: String = wanted.chars().take(64).collect();
        let advice = format!(
            "No change `{shown}` waits to be confirmed: it was confirmed \
             already, or undone; {now}. Read `StagedChange` of the fabric."
        );
        let message = base::action_parameter_value_error("ChangeId", name)
            .resolved_by(advice);
        return Err(Error::new(http::StatusCode::CONFLICT, message));
    };
    let commands = &write.service.commands;
    if action == REVERT {
        commands.revert(fabric, named.id).await?;
    } else {
        commands.confirm(fabric, named.id).await?;
    }
    Ok(Acted::Done)
}

/// `…/Fabrics/{FabricId}/Switches/{SwitchId}`
pub(crate) struct Switch;

impl Resource for Switch {
    fn uri(&self) -> &'static str {
        uri::SWITCH
    }

    fn kind(&self) -> &'static str {
        "Switch"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [fabric, id] = ids else { return None };
        let snapshot = view.snapshot;
        let it = snapshot.network.switch(fabric, id)?;
        let manager = uri::of(uri::MANAGER, &[&snapshot.inventory.manager.id]);
        let ends = it.ports.iter().map(|port| endpoint_at(it, port));
        let ends: Vec<String> = ends.collect();
        let count = ends.len() as u64;
        let chassis = snapshot.chassis(fabric).map(|chassis| {
            Reference::new(uri::of(uri::CHASSIS, &[&chassis.id]))
        });
        let links = switch::Links::new()
            .managed_by([manager])
            .endpoints(ends)
            .endpoints_count(count)
            .with(chassis, switch::Links::chassis);
        let state = if it.enabled { State::Enabled } else { State::Disabled };
        let body = switch::Switch::new("", *id, &*it.name)
            .switch_type(Protocol::Ethernet)
            .model(&*it.model)
            .supported_protocols([Protocol::Ethernet])
            .enabled(it.enabled)
            .status(
                resource::Status::new()
                    .state(state)
                    .health(health(switch_health(it))),
            )
            .ports(Reference::new(uri::of(uri::SWITCH_PORTS, ids)))
            .links(links);
        Some(answer(body))
    }
}

/// A switch is as well as the worst of its ports.
fn switch_health(switch: &NetworkSwitch) -> Health {
    let ports = switch.ports.iter();
    let lost = |port: &SwitchPort| {
        port.wire.enabled && port.wire.link == LinkState::NoLink
    };
    if ports.filter(|port| port.uplink).any(lost) {
        Health::Warning
    } else {
        Health::Ok
    }
}

/// `…/Fabrics/{FabricId}/Zones/{ZoneId}`
pub(crate) struct Zone;

impl Resource for Zone {
    fn uri(&self) -> &'static str {
        uri::ZONE
    }

    fn kind(&self) -> &'static str {
        "Zone"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [fabric, id] = ids else { return None };
        let vlan = zone_of(view.snapshot, fabric, id)?;
        let inside = |port: &&SwitchPort| port.vlans.contains_key(&vlan);
        let (mut ends, mut switches) = (Vec::new(), Vec::new());
        for switch in view.snapshot.network.of(fabric) {
            let here = switch.ports.iter().filter(inside);
            let before = ends.len();
            ends.extend(here.map(|port| endpoint_at(switch, port)));
            if ends.len() > before {
                switches.push(uri::of(uri::SWITCH, &[*fabric, &*switch.id]));
            }
        }
        let (count, involved) = (ends.len() as u64, switches.len() as u64);
        let links = zone::Links::new()
            .endpoints(ends)
            .endpoints_count(count)
            .involved_switches(switches)
            .involved_switches_count(involved);
        let name = format!("VLAN {}", vlan.number());
        let body = zone::Zone::new("", *id, name)
            .zone_type(ZoneType::ZoneOfEndpoints)
            .status(enabled(Health::Ok))
            .links(links);
        let answer = answer(body);
        if !is_changeable(view.snapshot, fabric) {
            return Some(answer);
        }
        Some(answer.action(ADD, Map::new()).action(REMOVE, Map::new()))
    }

    fn actions(&self) -> &'static [Action] {
        &[(ADD, &["/Endpoint"]), (REMOVE, &["/Endpoint"])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let (fabric, zone) = (write.id(0), write.id(1));
            let snapshot = write.service.model.snapshot();
            let vlan = zone_of(&snapshot, fabric, zone);
            let vlan = vlan.ok_or_else(Error::internal)?;
            let link = write.values.get("/Endpoint");
            let link = link.and_then(|it| it["@odata.id"].as_str());
            let link = link.unwrap_or_default();
            let found = ends(&snapshot, fabric)
                .find(|(switch, port)| endpoint_at(switch, port) == link);
            let Some((switch, port)) = found else {
                let shown: String = link.chars().take(200).collect();
                let message = base::action_parameter_value_not_in_list(
                    shown, "Endpoint", action,
                );
                let advice = "Send a link to an endpoint of this fabric.";
                return Err(Error::bad(vec![message.resolved_by(advice)]));
            };
            let inside = port.vlans.contains_key(&vlan);
            if inside == (action == ADD) {
                return Err(Error::bad(vec![base::no_operation()]));
            }
            let change = Some(vlan);
            let (join, leave) = match action {
                ADD => (change, None),
                _ => (None, change),
            };
            let wish = PortWish {
                by: port::asks(write),
                switch: switch.id.clone(),
                port: port.id.clone(),
                join,
                leave,
                ..PortWish::default()
            };
            staging(write, fabric, wish).await.map(Acted::Task)
        })
    }
}

fn zone_of(snapshot: &Snapshot, fabric: &str, id: &str) -> Option<VlanId> {
    let vlan = VlanId::new(id.parse().ok()?)?;
    // `010` is another name for 10, and not the one that it has here.
    let known = vlan.number().to_string() == id;
    let vlans = snapshot.network.vlans(fabric);
    (known && vlans.contains(&vlan)).then_some(vlan)
}

/// `…/Fabrics/{FabricId}/Endpoints/{EndpointId}`
pub(crate) struct Endpoint;

impl Resource for Endpoint {
    fn uri(&self) -> &'static str {
        uri::ENDPOINT
    }

    fn kind(&self) -> &'static str {
        "Endpoint"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [fabric, id] = ids else { return None };
        let snapshot = view.snapshot;
        let (switch, port) = ends(snapshot, fabric)
            .find(|(switch, port)| end_id(switch, port) == *id)?;
        let at = |pattern: &str, last: &Id| {
            uri::of(pattern, &[&**fabric, &*switch.id, &**last])
        };
        let zones = port.vlans.keys().map(|vlan| {
            uri::of(uri::ZONE, &[*fabric, &*vlan.number().to_string()])
        });
        let zones: Vec<String> = zones.collect();
        let (zone_count, mut locals) = (zones.len() as u64, Vec::new());
        let mut entity = ConnectedEntity::new().entity_role(EntityRole::Both);
        let mut names = Vec::new();
        let mut title = format!("What is at port {}", port.id);
        if let Some((system, interface)) = &port.attached {
            title = format!("{system} {interface}");
            let link = uri::of(uri::SYSTEM_INTERFACE, &[system, interface]);
            entity = entity
                .entity_type(EntityType::NetworkController)
                .entity_link(Reference::new(link));
            locals.extend(network_adapter::at(snapshot, system, interface));
            let mac = snapshot.system(system).and_then(|system| {
                let mut all = system.interfaces.iter();
                all.find(|it| it.id == *interface)?.mac.clone()
            });
            names.extend(mac.map(|mac| {
                Identifier::new()
                    .durable_name(mac)
                    .durable_name_format(DurableNameFormat::MacAddress)
            }));
        } else if port.uplink {
            title = format!("What is beyond port {}", port.id);
            entity = entity.entity_type(EntityType::Switch);
        } else {
            entity = entity.entity_type(EntityType::NetworkController);
        }
        let local_count = locals.len() as u64;
        let links = endpoint::Links::new()
            .connected_ports([at(uri::SWITCH_PORT, &port.id)])
            .connected_ports_count(1)
            .zones(zones)
            .zones_count(zone_count)
            .local_ports(locals)
            .local_ports_count(local_count);
        let status = port::status(&port.wire, port.uplink);
        let body = endpoint::Endpoint::new("", *id, title)
            .endpoint_protocol(Protocol::Ethernet)
            .connected_entities([entity])
            .with(
                (!names.is_empty()).then_some(names),
                endpoint::Endpoint::identifiers,
            )
            .status(status)
            .links(links);
        Some(answer(body))
    }
}

/// The ids of the endpoints of a fabric.
pub(super) fn end_ids(snapshot: &Snapshot, fabric: &str) -> Vec<String> {
    ends(snapshot, fabric).map(|(it, port)| end_id(it, port)).collect()
}

/// The ports of a fabric, each of which is an endpoint's.
fn ends<'a>(
    snapshot: &'a Snapshot,
    fabric: &'a str,
) -> impl Iterator<Item = (&'a NetworkSwitch, &'a SwitchPort)> {
    let switches = snapshot.network.of(fabric);
    switches.flat_map(|it| it.ports.iter().map(move |port| (it, port)))
}

fn end_id(switch: &NetworkSwitch, port: &SwitchPort) -> String {
    format!("{}.{}", switch.id, port.id)
}

/// Where the endpoint at a port is.
pub(super) fn endpoint_at(switch: &NetworkSwitch, port: &SwitchPort) -> String {
    let id = end_id(switch, port);
    uri::of(uri::ENDPOINT, &[&*switch.chassis, &*id])
}

/// Whether any switch of a fabric may be changed.
fn is_changeable(snapshot: &Snapshot, fabric: &str) -> bool {
    snapshot.network.of(fabric).any(|switch| switch.changeable)
}

/// What is to be said where nothing can be changed.
pub(super) fn closed_ports(it: &NetworkSwitch) -> Option<&'static str> {
    (!it.changeable).then_some(
        "Set `allow_network_changes = true` in the configuration of the \
         agent, which has to be allowed to change links as well.",
    )
}
