//! `Port` and `PortMetrics`: of an adapter, and of a switch.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use onprem_redfish::{
    message::{Message, base},
    schema::{
        Reference,
        port::{
            self, EthernetProperties, Ieee802idSubtype, LinkNetworkTechnology,
            LinkState as PortState, LinkStatus, Links, LldpReceive,
            LldpSystemCapabilities, LldpTransmit, PortType,
        },
        port_metrics::{self, Networking},
        protocol::Protocol,
        resource::{State, Status},
    },
};
use serde_json::{Value, json};

use super::{
    With as _, fabric, health,
    network_adapter::{self, wire_of},
    number,
};
use crate::{
    commands::{Outcome, PortWish},
    model::{
        Announcement, Capability, Counters, Health, LinkState, NameKind, Named,
        NetworkSwitch, Snapshot, SwitchPort, VlanId, Wire,
    },
    redfish::{
        error::Error,
        resource::{
            Answer, Caller, Freshness, Pending, Resource, View, Write, answer,
        },
        task::{Ended, Progress, Work},
        uri,
    },
};

const ENABLED: &str = "/InterfaceEnabled";
const STATE: &str = "/LinkState";
const NATIVE: &str = "/Oem/OnPrem/UntaggedVLANId";
const TAGGED: &str = "/Oem/OnPrem/TaggedVLANIds";

/// `…/Switches/{SwitchId}/Ports/{PortId}`
pub(crate) struct OfSwitch;

/// `…/NetworkAdapters/{NetworkAdapterId}/Ports/{PortId}`
pub(crate) struct OfAdapter;

impl Resource for OfSwitch {
    fn uri(&self) -> &'static str {
        uri::SWITCH_PORT
    }

    fn kind(&self) -> &'static str {
        "Port"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let (switch, port) = find(view.snapshot, ids)?;
        let snapshot = view.snapshot;
        let attached =
            port.attached.as_ref().and_then(|(system, interface)| {
                network_adapter::at(snapshot, system, interface)
            });
        let links = Links::new()
            .associated_endpoints([fabric::endpoint_at(switch, port)])
            .associated_endpoints_count(1)
            .with(attached, |links, at| {
                links.connected_ports([at]).connected_ports_count(1)
            });
        let body = body(snapshot, &port.id, &port.wire)
            .port_type(if port.uplink {
                PortType::UpstreamPort
            } else {
                PortType::DownstreamPort
            })
            .status(status(&port.wire, port.uplink))
            .links(links)
            .metrics(Reference::new(uri::of(uri::SWITCH_PORT_METRICS, ids)));
        let mut answer = answer(body);
        if switch.filters {
            let carried = port.vlans.iter().filter(|(_, how)| !how.untagged);
            let carried: Vec<u16> =
                carried.map(|(vlan, _)| vlan.number()).collect();
            let about = json!({"OnPrem": {
                "@odata.type": "#OnPremPort.v1_0_0.OnPrem",
                "UntaggedVLANId": port.native().map(VlanId::number),
                "TaggedVLANIds": carried,
            }});
            answer.body.insert("Oem".to_owned(), about);
        }
        Some(answer)
    }

    fn closed(&self, view: &View<'_>, ids: &[&str]) -> Option<&'static str> {
        let (switch, _) = find(view.snapshot, ids)?;
        fabric::closed_ports(switch)
    }

    fn writable(&self) -> &'static [&'static str] {
        &[ENABLED, STATE, NATIVE, TAGGED]
    }

    fn clears(&self) -> &'static [&'static str] {
        &[NATIVE]
    }

    fn stages(&self) -> bool {
        true
    }

    fn stage<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Work> {
        Box::pin(async {
            let wish = wanted(write)?;
            staging(write, write.id(0), wish).await
        })
    }
}

impl Resource for OfAdapter {
    fn uri(&self) -> &'static str {
        uri::ADAPTER_PORT
    }

    fn kind(&self) -> &'static str {
        "Port"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, adapter, id] = ids else { return None };
        let snapshot = view.snapshot;
        let chassis = view.chassis(ids)?;
        let (_, system, interface) =
            network_adapter::find(snapshot, chassis, adapter)?;
        if *interface.id != **id {
            return None;
        }
        let wire = wire_of(snapshot, system, interface);
        let on = [&system.id, &interface.id];
        let mut links = Links::new()
            .ethernet_interfaces([uri::of(uri::SYSTEM_INTERFACE, &on)])
            .ethernet_interfaces_count(1);
        let far = snapshot.network.port_of(&system.id, &interface.id);
        if let Some((switch, port)) = far {
            let ids = [&*switch.chassis, &*switch.id, &*port.id];
            let at = uri::of(uri::SWITCH_PORT, &ids);
            let of = uri::of(uri::SWITCH, &ids);
            links = links
                .associated_endpoints([fabric::endpoint_at(switch, port)])
                .associated_endpoints_count(1)
                .connected_switch_ports([at.clone()])
                .connected_switch_ports_count(1)
                .connected_ports([at])
                .connected_ports_count(1)
                .connected_switches([of])
                .connected_switches_count(1);
        }
        let body = body(snapshot, &interface.id, &wire)
            .status(status(&wire, true))
            .links(links)
            .metrics(Reference::new(uri::of(uri::ADAPTER_PORT_METRICS, ids)));
        Some(answer(body))
    }
}

/// `…/Ports/{PortId}/Metrics`
pub(crate) struct Metrics {
    /// Where it is.
    pub(crate) uri: &'static str,
    /// The wire.
    pub(crate) wire: fn(&View<'_>, &[&str]) -> Option<Wire>,
}

/// Of a port of a switch.
pub(crate) static SWITCH_METRICS: Metrics = Metrics {
    uri: uri::SWITCH_PORT_METRICS,
    wire: |view, ids| Some(find(view.snapshot, ids)?.1.wire.clone()),
};

/// Of a port of an adapter.
pub(crate) static ADAPTER_METRICS: Metrics = Metrics {
    uri: uri::ADAPTER_PORT_METRICS,
    wire: |view, ids| {
        let [_, adapter, id] = ids else { return None };
        let chassis = view.chassis(ids)?;
        let (_, system, interface) =
            network_adapter::find(view.snapshot, chassis, adapter)?;
        let here = *interface.id == **id;
        here.then(|| wire_of(view.snapshot, system, interface))
    },
};

impl Resource for Metrics {
    fn uri(&self) -> &'static str {
        self.uri
    }

    fn kind(&self) -> &'static str {
        "PortMetrics"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let wire = (self.wire)(view, ids)?;
        let name = format!("What counts at port {}", ids.last()?);
        let body = port_metrics::PortMetrics::new("", "Metrics", name);
        let Some(it) = view.snapshot.counters.get(&wire.id) else {
            return Some(answer(body));
        };
        let Counters { rx_bytes, tx_bytes, rx_errors, tx_errors, .. } = *it;
        let networking = Networking::new()
            .rx_frames(count(it.rx_frames))
            .tx_frames(count(it.tx_frames))
            .rx_multicast_frames(count(it.multicast))
            .rx_discards(count(it.rx_dropped))
            .tx_discards(count(it.tx_dropped))
            .rxfcs_errors(count(it.crc_errors));
        let body = body
            .rx_bytes(count(rx_bytes))
            .tx_bytes(count(tx_bytes))
            .rx_errors(count(rx_errors))
            .tx_errors(count(tx_errors))
            .networking(networking);
        Some(answer(body))
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn find<'a>(
    snapshot: &'a Snapshot,
    ids: &[&str],
) -> Option<(&'a NetworkSwitch, &'a SwitchPort)> {
    let [fabric, switch, id] = ids else { return None };
    let switch = snapshot.network.switch(fabric, switch)?;
    let port = switch.ports.iter().find(|port| *port.id == **id)?;
    Some((switch, port))
}

/// How a wire is doing; `wanted` says that it is to have a link.
pub(super) fn health_of(wire: &Wire, wanted: bool) -> Health {
    match wire.link {
        LinkState::NoLink if wanted && wire.enabled => Health::Warning,
        _ => Health::Ok,
    }
}

/// The same as a status.
pub(super) fn status(wire: &Wire, wanted: bool) -> Status {
    let state = if wire.enabled { State::Enabled } else { State::Disabled };
    Status::new().state(state).health(health(health_of(wire, wanted)))
}

/// What ports of both kinds say.
fn body(snapshot: &Snapshot, id: &str, wire: &Wire) -> port::Port {
    let gigabits = |mbps: u32| number(f64::from(mbps) / 1000.0);
    let speed = wire.speed_mbps.and_then(gigabits);
    let heard = snapshot.neighbours.get(&wire.id);
    let heard = heard.and_then(|all| all.first()).map(|it| &it.says);
    let said = snapshot.announced.get(&wire.id);
    let ethernet = EthernetProperties::new()
        .with(wire.mac.clone(), |it, mac| it.associated_mac_addresses([mac]))
        .lldp_enabled(snapshot.hears_lldp || said.is_some())
        .with(heard, |it, heard| it.lldp_receive(receive(heard)))
        .with(said, |it, said| it.lldp_transmit(transmit(said)));
    port::Port::new("", id, format!("Port {id}"))
        .port_id(id)
        .port_protocol(Protocol::Ethernet)
        .link_network_technology(LinkNetworkTechnology::Ethernet)
        .interface_enabled(wire.enabled)
        .link_state(if wire.enabled {
            PortState::Enabled
        } else {
            PortState::Disabled
        })
        .link_status(match wire.link {
            LinkState::Up => LinkStatus::LinkUp,
            LinkState::Down => LinkStatus::LinkDown,
            LinkState::NoLink => LinkStatus::NoLink,
        })
        .signal_detected(wire.link == LinkState::Up)
        .current_speed_gbps_null()
        .with(speed, port::Port::current_speed_gbps)
        .with(heard, |body, heard| body.remote_port_id(&*heard.port.text))
        .max_frame_size(i64::from(wire.mtu) + ETHERNET)
        .ethernet(ethernet)
}

/// What a frame has beside its payload: addresses, type and check sum, bytes.
const ETHERNET: i64 = 18;

fn receive(of: &Announcement) -> LldpReceive {
    let more = |count: usize| (count > 1).then_some(());
    LldpReceive::new()
        .chassis_id(&*of.chassis.text)
        .chassis_id_subtype(subtype(of.chassis.kind))
        .port_id(octets(&of.port))
        .port_id_subtype(subtype(of.port.kind))
        .with(of.system_name.as_deref(), LldpReceive::system_name)
        .with(of.system_description.as_deref(), LldpReceive::system_description)
        .with(capabilities(&of.capabilities), LldpReceive::system_capabilities)
        .with(of.ipv4.first(), |it, address| {
            it.management_address_ipv4(address.to_string())
        })
        .with(of.ipv6.first(), |it, address| {
            it.management_address_ipv6(address.to_string())
        })
        .with(more(of.ipv4.len()), |it, ()| {
            let rest = of.ipv4.iter().skip(1);
            it.additional_management_addresses_ipv4(
                rest.map(ToString::to_string),
            )
        })
        .with(more(of.ipv6.len()), |it, ()| {
            let rest = of.ipv6.iter().skip(1);
            it.additional_management_addresses_ipv6(
                rest.map(ToString::to_string),
            )
        })
        .with(of.management_vlan, |it, vlan| {
            it.management_vlan_id(vlan.number().into())
        })
}

fn transmit(of: &Announcement) -> LldpTransmit {
    LldpTransmit::new()
        .chassis_id(&*of.chassis.text)
        .chassis_id_subtype(subtype(of.chassis.kind))
        .port_id(octets(&of.port))
        .port_id_subtype(subtype(of.port.kind))
        .with(of.system_name.as_deref(), LldpTransmit::system_name)
        .with(
            of.system_description.as_deref(),
            LldpTransmit::system_description,
        )
        .with(capabilities(&of.capabilities), LldpTransmit::system_capabilities)
        .with(of.ipv4.first(), |it, address| {
            it.management_address_ipv4(address.to_string())
        })
}

/// The octets of the name of a port, as the schema writes it; what people read
/// is `RemotePortId`.
fn octets(port: &Named) -> String {
    let bytes = match port.kind {
        NameKind::MacAddress => return port.text.to_uppercase(),
        _ => port.text.as_bytes(),
    };
    let bytes = bytes.iter().take(64).map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}

fn subtype(kind: NameKind) -> Ieee802idSubtype {
    match kind {
        NameKind::ChassisComponent => Ieee802idSubtype::ChassisComp,
        NameKind::InterfaceAlias => Ieee802idSubtype::IfAlias,
        NameKind::PortComponent => Ieee802idSubtype::PortComp,
        NameKind::MacAddress => Ieee802idSubtype::MacAddr,
        NameKind::NetworkAddress => Ieee802idSubtype::NetworkAddr,
        NameKind::InterfaceName => Ieee802idSubtype::IfName,
        NameKind::AgentCircuit => Ieee802idSubtype::AgentId,
        NameKind::Local => Ieee802idSubtype::LocalAssign,
    }
}

/// Nothing where nothing was said.
fn capabilities(of: &[Capability]) -> Option<Vec<LldpSystemCapabilities>> {
    let word = |it: &Capability| match it {
        Capability::Other => LldpSystemCapabilities::Other,
        Capability::Repeater => LldpSystemCapabilities::Repeater,
        Capability::Bridge => LldpSystemCapabilities::Bridge,
        Capability::AccessPoint => LldpSystemCapabilities::WlanAccessPoint,
        Capability::Router => LldpSystemCapabilities::Router,
        Capability::Telephone => LldpSystemCapabilities::Telephone,
        Capability::CableDevice => LldpSystemCapabilities::DocsisCableDevice,
        Capability::Station => LldpSystemCapabilities::Station,
    };
    (!of.is_empty()).then(|| of.iter().map(word).collect())
}

/// What a PATCH asks for.
fn wanted(write: &Write<'_>) -> Result<PortWish, Error> {
    let mut wrong = Vec::new();
    let mut wish = PortWish {
        by: asks(write),
        switch: write.id(1).into(),
        port: write.id(2).into(),
        enabled: write.flag(ENABLED),
        ..PortWish::default()
    };
    if let Some(state) = write.text(STATE) {
        let enabled = state == "Enabled";
        if wish.enabled.is_some_and(|it| it != enabled) {
            let message =
                base::property_value_conflict("LinkState", "InterfaceEnabled");
            wrong.push(message.about(STATE));
        }
        wish.enabled = Some(enabled);
    }
    match write.values.get(NATIVE) {
        None => {}
        Some(Value::Null) => wish.native = Some(None),
        Some(value) => match vlan(value, NATIVE) {
            Ok(vlan) => wish.native = Some(Some(vlan)),
            Err(message) => wrong.push(message),
        },
    }
    if let Some(value) = write.values.get(TAGGED) {
        wish.tagged = tagged(value, &mut wrong);
    }
    if let (Some(Some(vlan)), Some(tagged)) = (wish.native, &wish.tagged)
        && tagged.contains(&vlan)
    {
        let message =
            base::property_value_conflict("UntaggedVLANId", "TaggedVLANIds");
        wrong.push(message.about(NATIVE));
    }
    if !wrong.is_empty() {
        wrong.truncate(16);
        return Err(Error::bad(wrong));
    }
    Ok(wish)
}

fn tagged(value: &Value, wrong: &mut Vec<Message>) -> Option<BTreeSet<VlanId>> {
    let Some(all) = value.as_array() else {
        let text = shown(value);
        let message = base::property_value_type_error(text, "TaggedVLANIds");
        wrong.push(message.about(TAGGED));
        return None;
    };
    let mut found = BTreeSet::new();
    for (index, value) in all.iter().enumerate() {
        let pointer = format!("{TAGGED}/{index}");
        match vlan(value, &pointer) {
            Ok(vlan) if found.insert(vlan) => {}
            Ok(vlan) => {
                let text = vlan.number().to_string();
                let message =
                    base::property_value_incorrect("TaggedVLANIds", text);
                let advice = "Send each VLAN once.";
                wrong.push(message.about(pointer).resolved_by(advice));
            }
            Err(message) => wrong.push(message),
        }
    }
    Some(found)
}

fn vlan(value: &Value, pointer: &str) -> Result<VlanId, Message> {
    let names = pointer.split('/').rev();
    let mut names = names.filter(|name| name.parse::<usize>().is_err());
    let name = names.next().unwrap_or_default();
    let text = shown(value);
    if value.as_i64().is_none() && value.as_u64().is_none() {
        let message = base::property_value_type_error(text, name);
        return Err(message.about(pointer));
    }
    value.as_u64().and_then(VlanId::new).ok_or_else(|| {
        base::property_value_out_of_range(text, name)
            .about(pointer)
            .resolved_by("Send a number from 1 to 4094.")
    })
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}

/// Who asks for a change, as others are told.
pub(super) fn asks(write: &Write<'_>) -> String {
    write.caller.map(Caller::known_as).unwrap_or_default()
}

/// Changes a port, and makes the task that goes on until that is confirmed or
/// undone.
pub(super) async fn staging(
    write: &Write<'_>,
    fabric: &str,
    wish: PortWish,
) -> Result<Work, Error> {
    let staged = write.service.commands.stage(fabric, wish).await?;
    let at = uri::of(uri::FABRIC, &[fabric]);
    let until = staged.staged.until.to_rfc3339_opts(SecondsFormat::Secs, true);
    let id = staged.staged.id;
    let advice = format!(
        "The change holds until {until} and is undone then. To keep it, POST \
         `{{\"ChangeId\": \"{id}\"}}` to \
         {at}/Actions/Oem/OnPremFabric.ConfirmChange; to undo it now, delete \
         this task."
    );
    let outcome = staged.outcome;
    let work = Work::new("Change of a port", move |_: Progress| async move {
        let why = match outcome.await {
            Ok(Outcome::Kept) => return Ok(Ended::Done),
            Ok(outcome) => outcome,
            Err(_) => Outcome::Stopped,
        };
        let message = base::operation_failed()
            .resolved_by(format!("The change was undone: {why}."));
        Err(Error::new(http::StatusCode::CONFLICT, message))
    });
    Ok(work.saying(base::success().resolved_by(advice)))
}
