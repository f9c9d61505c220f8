//! What joins machines: the ports of adapters and of switches, the networks
//! on them, and who is at the other ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Change, Id, LinkState, Model};

/// The number of a VLAN, 1 to 4094 (IEEE 802.1Q, 9.6).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    /// The first, which ports are in when nobody says anything.
    pub const FIRST: Self = Self(1);

    /// The VLAN `number`, if there can be one.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (1..=4094).contains(&number).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        Self::new(number.into()).ok_or("the number of a VLAN is 1 to 4094")
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.0
    }
}

/// How a port is in a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its frames leave without a tag.
    pub untagged: bool,
    /// What comes without a tag is in it.
    pub native: bool,
}

/// The VLANs that a port is in.
pub type Memberships = BTreeMap<VlanId, Membership>;

/// What counts at a port since the part below started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that came in.
    pub rx_bytes: u64,
    /// Bytes that went out.
    pub tx_bytes: u64,
    /// Frames that came in.
    pub rx_frames: u64,
    /// Frames that went out.
    pub tx_frames: u64,
    /// Frames that came in broken.
    pub rx_errors: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames that came in and found no room.
    pub rx_dropped: u64,
    /// Frames that were to go out and found no room.
    pub tx_dropped: u64,
    /// Frames to groups that came in.
    pub multicast: u64,
    /// Frames that came in with a wrong check sum.
    pub crc_errors: u64,
}

/// One end of a cable. Where a port of an adapter is one of a bridge as well,
/// it is one wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Names it among all wires; with it goes what is counted and heard on it.
    pub id: Id,
    /// Hardware address, `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
    /// Largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether there is a link.
    pub link: LinkState,
    /// Speed of the link while it is up.
    pub speed_mbps: Option<u32>,
}

/// A switch, or a bridge of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSwitch {
    /// Segment of its URI.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub model: String,
    /// The chassis that it is in, which is the fabric that it is of.
    pub chassis: Id,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it keeps VLANs apart.
    pub filters: bool,
    /// Whether it may be changed.
    pub changeable: bool,
    /// Its ports, by name.
    pub ports: Vec<SwitchPort>,
}

/// A port of a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchPort {
    /// Segment of its URI.
    pub id: Id,
    /// The wire on it.
    pub wire: Wire,
    /// It leads out of the fabric.
    pub uplink: bool,
    /// The VLANs that it is in; none where the switch keeps none apart.
    pub vlans: Memberships,
    /// The system and the interface at the other end, where that is known.
    pub attached: Option<(Id, Id)>,
}

impl SwitchPort {
    /// The VLAN of what comes without a tag.
    #[must_use]
    pub fn native(&self) -> Option<VlanId> {
        let mut all = self.vlans.iter();
        all.find(|(_, how)| how.native).map(|(vlan, _)| *vlan)
    }
}

/// All that joins the machines of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The switches.
    pub switches: Vec<NetworkSwitch>,
    /// The wires of adapters, by system and interface. What is not here is as
    /// the inventory says.
    pub adapters: BTreeMap<(Id, Id), Wire>,
}

impl Network {
    /// The chassis that have switches, each of which is a fabric.
    #[must_use]
    pub fn fabrics(&self) -> BTreeSet<&Id> {
        self.switches.iter().map(|switch| &switch.chassis).collect()
    }

    /// The switches of a fabric.
    pub fn of<'a>(
        &'a self,
        fabric: &'a str,
    ) -> impl Iterator<Item = &'a NetworkSwitch> {
        self.switches.iter().filter(move |it| *it.chassis == *fabric)
    }

    /// A switch of a fabric.
    #[must_use]
    pub fn switch(&self, fabric: &str, id: &str) -> Option<&NetworkSwitch> {
        self.switches.iter().find(|it| *it.chassis == *fabric && *it.id == *id)
    }

    /// The VLANs of a fabric.
    #[must_use]
    pub fn vlans(&self, fabric: &str) -> BTreeSet<VlanId> {
        let ports = self.of(fabric).flat_map(|switch| &switch.ports);
        ports.flat_map(|port| port.vlans.keys().copied()).collect()
    }

    /// The port of a switch that an interface is attached to.
    #[must_use]
    pub fn port_of(
        &self,
        system: &str,
        interface: &str,
    ) -> Option<(&NetworkSwitch, &SwitchPort)> {
        let ports = self.switches.iter().flat_map(|switch| {
            switch.ports.iter().map(move |port| (switch, port))
        });
        let at = |port: &SwitchPort| {
            let (on, name) = port.attached.as_ref()?;
            Some(**on == *system && **name == *interface)
        };
        let mut ports = ports;
        ports.find(|(_, port)| at(port) == Some(true))
    }

    /// All wires: those of adapters, then those of switches.
    pub fn wires(&self) -> impl Iterator<Item = &Wire> {
        let ports = self.switches.iter().flat_map(|it| &it.ports);
        self.adapters.values().chain(ports.map(|port| &port.wire))
    }
}

/// How somebody names himself or a port of his (IEEE 802.1AB, 8.5.2.2 and
/// 8.5.3.2), in the words of Redfish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// A component of a chassis.
    ChassisComponent,
    /// An alias that somebody gave an interface.
    InterfaceAlias,
    /// A component of a port.
    PortComponent,
    /// A hardware address.
    MacAddress,
    /// A network address.
    NetworkAddress,
    /// The name of an interface.
    InterfaceName,
    /// What a relay agent calls it.
    AgentCircuit,
    /// Whatever its owner chose.
    Local,
}

/// A name and what kind of one it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// What kind.
    pub kind: NameKind,
    /// The name, as people write it.
    pub text: String,
}

/// What a system says that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Something else.
    Other,
    /// It repeats.
    Repeater,
    /// It is a bridge or a switch.
    Bridge,
    /// It is an access point.
    AccessPoint,
    /// It is a router.
    Router,
    /// It is a telephone.
    Telephone,
    /// It is a cable modem.
    CableDevice,
    /// It is only a station.
    Station,
}

/// What one says of himself by LLDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who it is.
    pub chassis: Named,
    /// Which of its ports it is.
    pub port: Named,
    /// What the port is called.
    pub port_description: Option<String>,
    /// What it is called.
    pub system_name: Option<String>,
    /// What it is.
    pub system_description: Option<String>,
    /// What it does.
    pub capabilities: Vec<Capability>,
    /// Where it is managed.
    pub ipv4: Vec<Ipv4Addr>,
    /// Where it is managed.
    pub ipv6: Vec<Ipv6Addr>,
    /// The VLAN on which it is managed.
    pub management_vlan: Option<VlanId>,
}

impl Announcement {
    /// Says no more than who it is.
    #[must_use]
    pub fn new(chassis: Named, port: Named) -> Self {
        Self {
            chassis,
            port,
            port_description: None,
            system_name: None,
            system_description: None,
            capabilities: Vec::new(),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            management_vlan: None,
        }
    }
}

/// Somebody at the other end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// What he says of himself.
    pub says: Announcement,
    /// How long that may be believed.
    pub until: Instant,
}

/// A change of a port that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Tells it from all others, so that nobody confirms what he has not seen.
    pub id: Uuid,
    /// Who wanted it.
    pub by: String,
    /// When it was made.
    pub since: DateTime<Utc>,
    /// The fabric.
    pub fabric: Id,
    /// The switch of it.
    pub switch: Id,
    /// The port of that.
    pub port: Id,
    /// When it is undone unless somebody confirms it.
    pub until: DateTime<Utc>,
}

/// Who is at the other end of each wire. The one who was heard first comes
/// first.
pub type Neighbours = BTreeMap<Id, Vec<Neighbour>>;

impl Model {
    /// Takes what joins the systems, and what counts there.
    pub fn post_network(
        &self,
        network: Network,
        counters: BTreeMap<Id, Counters>,
    ) {
        let known = self.snapshot();
        let same = *known.network == network;
        if same && *known.counters == counters {
            return;
        }
        self.write(|next| {
            next.counters = Arc::new(counters);
            if same {
                return Vec::new();
            }
            next.network = Arc::new(network);
            next.fixed_version += 1;
            vec![Change::Network]
        });
    }

    /// Takes who is at the other ends of wires. That somebody goes on being
    /// there is no change.
    pub fn post_neighbours(&self, neighbours: Neighbours) {
        let known = self.snapshot();
        let says = |all: &Neighbours| -> Vec<(Id, Announcement)> {
            let one = |(wire, of): (&Id, &Vec<Neighbour>)| {
                let of = of.iter().map(|it| (wire.clone(), it.says.clone()));
                of.collect::<Vec<_>>()
            };
            all.iter().flat_map(one).collect()
        };
        if says(&known.neighbours) == says(&neighbours) {
            return;
        }
        self.write(|next| {
            next.neighbours = Arc::new(neighbours);
            next.fixed_version += 1;
            vec![Change::Network]
        });
    }

    /// Takes whether it is listened who is at the other ends of wires.
    pub(crate) fn post_hearing(&self, hears: bool) {
        self.write(|next| {
            next.hears_lldp = hears;
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes which change of the network waits to be confirmed.
    pub(crate) fn post_staged(&self, staged: Option<Staged>) {
        self.write(|next| {
            next.staged = staged.map(Arc::new);
            next.fixed_version += 1;
            vec![Change::Network]
        });
    }

    /// Takes what the agent says of itself by LLDP.
    pub fn post_announced(&self, announced: BTreeMap<Id, Announcement>) {
        if *self.snapshot().announced == announced {
            return;
        }
        self.write(|next| {
            next.announced = Arc::new(announced);
            next.fixed_version += 1;
            Vec::new()
        });
    }
}
