//! The switches of a simulated board.

use toml::Spanned;

use super::file::{
    BoardError, NeighbourSection, Source, SwitchPortSection, SwitchSection,
};
use crate::{
    drivers::segment,
    fabric::lldp,
    model::{
        Announcement, Capability, Chassis, Id, LinkState, Membership,
        Memberships, NameKind, Named, NetworkInterface, NetworkSwitch,
        SwitchPort, System, VlanId, Wire,
    },
    sim::switch::{SimulatedWiring, Talker},
};

/// How long what somebody says holds unless the board file says another time,
/// in seconds (IEEE 802.1AB, 9.2.5.7 with what 9.2.5 proposes).
const SECONDS: u16 = 120;

/// The switches that a file describes, between these systems.
pub(super) fn build(
    source: &Source,
    systems: &[System],
    chassis: &[Chassis],
) -> Result<SimulatedWiring, BoardError> {
    let builder = Builder { source, systems, chassis };
    let mut switches: Vec<NetworkSwitch> = Vec::new();
    let mut neighbours = Vec::new();
    for section in &source.board.switch {
        let switch = builder.switch(section, &switches)?;
        for (port, of) in switch.ports.iter().zip(&section.port) {
            let Some(said) = &of.neighbour else { continue };
            let (says, seconds) = builder.neighbour(&of.id, said)?;
            let wire = port.wire.id.clone();
            neighbours.push(Talker::new(wire, says, seconds));
        }
        switches.push(switch);
    }
    let all = systems.iter().flat_map(|system| {
        let on = |it: &NetworkInterface| (system.id.clone(), it.clone());
        system.interfaces.iter().map(on)
    });
    Ok(SimulatedWiring::new(switches, all.collect(), neighbours))
}

struct Builder<'a> {
    source: &'a Source,
    systems: &'a [System],
    chassis: &'a [Chassis],
}

impl Builder<'_> {
    fn id(&self, id: &Spanned<Id>, known: bool) -> Result<Id, BoardError> {
        let text = id.as_ref();
        if segment(text) != **text {
            let reason = super::file::no_segment(text);
            return Err(self.source.wrong(id, reason));
        }
        if known {
            let reason = format!("a second `{text}`");
            return Err(self.source.wrong(id, reason));
        }
        Ok(text.clone())
    }

    fn switch(
        &self,
        section: &SwitchSection,
        before: &[NetworkSwitch],
    ) -> Result<NetworkSwitch, BoardError> {
        let known = before.iter().any(|it| it.id == *section.id.as_ref());
        let id = self.id(&section.id, known)?;
        let chassis = self.chassis(section)?;
        let filters = section.filters.unwrap_or(true);
        let mut ports: Vec<SwitchPort> = Vec::new();
        for of in &section.port {
            let taken = |it: &SwitchPort| it.id == *of.id.as_ref();
            let port = self.id(&of.id, ports.iter().any(taken))?;
            let attached = self.attached(of)?;
            let again = |it: &SwitchPort| it.attached == attached;
            let earlier = before.iter().flat_map(|it| &it.ports);
            if attached.is_some() && earlier.chain(&ports).any(again) {
                let reason = "that interface is at another port".to_owned();
                return Err(self.source.wrong(&of.id, reason));
            }
            let enabled = of.enabled.unwrap_or(true);
            let link = of.link.map_or(LinkState::Up, Into::into);
            let link = match link {
                LinkState::Up if !enabled => LinkState::Down,
                link => link,
            };
            let text = format!("{id} {port}");
            let wire = Wire {
                id: format!("{id}.{port}").into(),
                mac: Some(super::parts::mac([0x02, 0x5b, 0x1a], &text)),
                mtu: 1500,
                enabled,
                link,
                speed_mbps: Some(of.speed_mbps.unwrap_or(1000)),
            };
            ports.push(SwitchPort {
                id: port,
                wire,
                uplink: of.uplink.unwrap_or(false),
                vlans: if filters {
                    self.vlans(of)?
                } else {
                    Memberships::new()
                },
                attached,
            });
        }
        let name = section.name.clone();
        let model = section.model.clone();
        Ok(NetworkSwitch {
            name: name.unwrap_or_else(|| id.to_string()),
            id,
            model: model.unwrap_or_else(|| "Simulated switch".to_owned()),
            chassis,
            enabled: true,
            filters,
            changeable: true,
            ports,
        })
    }

    /// The chassis that a switch is in: the one it names, or the first.
    fn chassis(&self, section: &SwitchSection) -> Result<Id, BoardError> {
        let Some(named) = &section.chassis else {
            let first = self.chassis.first().ok_or_else(|| {
                let reason = "there is no chassis that it is in";
                self.source.wrong(&section.id, reason.to_owned())
            })?;
            return Ok(first.id.clone());
        };
        let known = self.chassis.iter().map(|it| &it.id);
        self.source.names("chassis", "chassis", named, known)?;
        Ok(named.as_ref().clone())
    }

    /// The system and the interface at the other end of a port.
    fn attached(
        &self,
        of: &SwitchPortSection,
    ) -> Result<Option<(Id, Id)>, BoardError> {
        let (Some(system), Some(interface)) = (&of.system, &of.interface)
        else {
            if let Some(alone) = of.system.as_ref().or(of.interface.as_ref()) {
                let reason = "say `system` and `interface`, or neither";
                return Err(self.source.wrong(alone, reason.to_owned()));
            }
            return Ok(None);
        };
        let known = self.systems.iter().map(|it| &it.id);
        self.source.names("system", "system", system, known)?;
        let is_it = |it: &&System| it.id == *system.as_ref();
        let on = self.systems.iter().filter(is_it);
        let known = on.flat_map(|it| &it.interfaces).map(|it| &it.id);
        self.source.names("interface", "interface", interface, known)?;
        Ok(Some((system.as_ref().clone(), interface.as_ref().clone())))
    }

    fn vlans(&self, of: &SwitchPortSection) -> Result<Memberships, BoardError> {
        let wrong = |number: u16| format!("{number} is no VLAN: 1 to 4094 are");
        let native = match &of.vlan {
            None => VlanId::FIRST,
            Some(given) => {
                let number = *given.as_ref();
                VlanId::new(number.into())
                    .ok_or_else(|| self.source.wrong(given, wrong(number)))?
            }
        };
        let mut vlans = Memberships::new();
        let how = Membership { untagged: true, native: true };
        vlans.insert(native, how);
        let Some(tagged) = &of.tagged else { return Ok(vlans) };
        for number in tagged.as_ref() {
            let vlan = VlanId::new(u64::from(*number))
                .ok_or_else(|| self.source.wrong(tagged, wrong(*number)))?;
            let how = Membership { untagged: false, native: false };
            if vlans.insert(vlan, how).is_some() {
                let reason = format!("VLAN {number} is there twice");
                return Err(self.source.wrong(tagged, reason));
            }
        }
        Ok(vlans)
    }

    fn neighbour(
        &self,
        at: &Spanned<Id>,
        said: &NeighbourSection,
    ) -> Result<(Announcement, u16), BoardError> {
        let named = |text: &str, other| Named {
            kind: match lldp::mac(text) {
                Some(_) => NameKind::MacAddress,
                None => other,
            },
            text: text.to_lowercase(),
        };
        let vlan = said.vlan.map(|number| {
            VlanId::new(number.into()).ok_or_else(|| {
                self.source.wrong(at, format!("{number} is no VLAN"))
            })
        });
        let port =
            Named { kind: NameKind::InterfaceName, text: said.port_id.clone() };
        let says = Announcement {
            chassis: named(&said.chassis_id, NameKind::Local),
            port,
            port_description: None,
            system_name: said.system_name.clone(),
            system_description: said.system_description.clone(),
            capabilities: vec![Capability::Bridge],
            ipv4: said.address.into_iter().collect(),
            ipv6: Vec::new(),
            management_vlan: vlan.transpose()?,
        };
        Ok((says, said.ttl_seconds.unwrap_or(SECONDS)))
    }
}
