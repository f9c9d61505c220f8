//! A simulated switch: ports that can be switched and put into VLANs, nodes
//! at their other ends, and neighbours who say who they are. What it was told
//! it keeps, as a switch does.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use onprem_link::file::replace;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    fabric::{Later, Look, PortSettings, Wiring, lldp},
    gather,
    model::{
        Announcement, Counters, Id, LinkState, Network, NetworkInterface,
        NetworkSwitch, Wire,
    },
    state::{StateError, load_or_put_aside},
};

/// Where frames of simulated neighbours come from.
const STRANGER: [u8; 6] = [0x02, 0, 0, 0, 0, 0xfe];

/// How a port is set, by switch and port.
type Settings = BTreeMap<Id, BTreeMap<Id, PortSettings>>;

/// The simulated switches of a board.
#[derive(Debug, Default)]
pub struct SimulatedWiring {
    now: Mutex<Now>,
    changed: Notify,
    talked: Notify,
}

#[derive(Debug, Default)]
struct Now {
    switches: Vec<NetworkSwitch>,
    /// The interfaces that are there, by system.
    interfaces: Vec<(Id, NetworkInterface)>,
    neighbours: Vec<Talker>,
    /// What was said on wires of ours, the newest last.
    said: Vec<(Id, Vec<u8>)>,
    counters: BTreeMap<Id, Counters>,
    /// Ports that are to refuse what they are told.
    stuck: Vec<(Id, Id)>,
    file: Option<PathBuf>,
}

/// Somebody who says again and again who he is.
#[derive(Clone, Debug)]
pub struct Talker {
    /// On which wire.
    pub wire: Id,
    /// What he says.
    pub says: Announcement,
    /// For how many seconds that holds; he says it three times in that.
    pub seconds: u16,
    /// When he says it next.
    next: Option<Instant>,
}

impl Talker {
    /// Somebody on `wire` who says this.
    #[must_use]
    pub fn new(wire: Id, says: Announcement, seconds: u16) -> Self {
        Self { wire, says, seconds, next: None }
    }
}

/// The most frames that are kept of what was said.
const SAID: usize = 64;

impl SimulatedWiring {
    /// These switches, to which these interfaces of systems are attached.
    #[must_use]
    pub fn new(
        switches: Vec<NetworkSwitch>,
        interfaces: Vec<(Id, NetworkInterface)>,
        neighbours: Vec<Talker>,
    ) -> Self {
        let now = Now { switches, interfaces, neighbours, ..Now::default() };
        Self { now: Mutex::new(now), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the cable out of a port, or puts it in again.
    pub fn plug(&self, switch: &str, port: &str, cable: bool) {
        let mut now = self.lock();
        if let Some(port) = now.port(switch, port) {
            port.wire.link = match (port.wire.enabled, cable) {
                (true, true) => LinkState::Up,
                (_, true) => LinkState::Down,
                (_, false) => LinkState::NoLink,
            };
        }
        drop(now);
        self.changed.notify_one();
    }

    /// Lets a port refuse what it is told from now on.
    pub fn jam(&self, switch: &str, port: &str) {
        self.lock().stuck.push((switch.into(), port.into()));
    }

    /// Says this on a wire from now on, instead of what was said there.
    pub fn talk(&self, talker: Talker) {
        let mut now = self.lock();
        now.neighbours.retain(|it| {
            it.wire != talker.wire || it.says.chassis != talker.says.chassis
        });
        now.neighbours.push(talker);
        drop(now);
        self.talked.notify_one();
    }

    /// Lets everybody on a wire fall silent.
    pub fn hush(&self, wire: &str) {
        self.lock().neighbours.retain(|it| *it.wire != *wire);
    }

    /// What the agent said by LLDP, on which wire.
    #[must_use]
    pub fn said(&self) -> Vec<(Id, Vec<u8>)> {
        self.lock().said.clone()
    }
}

impl Now {
    fn port(
        &mut self,
        switch: &str,
        port: &str,
    ) -> Option<&mut crate::model::SwitchPort> {
        let mut all = self.switches.iter_mut();
        let switch = all.find(|it| *it.id == *switch)?;
        switch.ports.iter_mut().find(|it| *it.id == *port)
    }

    fn settings(&self) -> Settings {
        let of = |switch: &NetworkSwitch| {
            let ports = switch.ports.iter().map(|port| {
                let enabled = port.wire.enabled;
                let vlans = port.vlans.clone();
                (port.id.clone(), PortSettings { enabled, vlans })
            });
            (switch.id.clone(), gather::map(ports))
        };
        gather::map(self.switches.iter().map(of))
    }

    fn take(&mut self, switch: &str, port: &str, settings: PortSettings) {
        let Some(port) = self.port(switch, port) else { return };
        port.wire.enabled = settings.enabled;
        port.wire.link = match (settings.enabled, port.wire.link) {
            (_, LinkState::NoLink) => LinkState::NoLink,
            (true, _) => LinkState::Up,
            (false, _) => LinkState::Down,
        };
        port.vlans = settings.vlans;
    }

    /// The wires of the interfaces that a switch is at the other end of.
    fn adapters(&self) -> BTreeMap<(Id, Id), Wire> {
        let ports = self.switches.iter().flat_map(|it| &it.ports);
        gather::map(ports.filter_map(|port| {
            let (system, name) = port.attached.clone()?;
            let mut all = self.interfaces.iter();
            let (_, it) = all.find(|(on, interface)| {
                *on == system && interface.id == name
            })?;
            let link = match (it.enabled, port.wire.link) {
                (false, _) => LinkState::Down,
                (true, LinkState::Up) => LinkState::Up,
                (true, _) => LinkState::NoLink,
            };
            let speed_mbps = port.wire.speed_mbps;
            let wire = Wire {
                id: format!("{system}.{name}").into(),
                mac: it.mac.clone(),
                mtu: it.mtu,
                enabled: it.enabled,
                link,
                speed_mbps: speed_mbps.filter(|_| link == LinkState::Up),
            };
            Some(((system, name), wire))
        }))
    }
}

impl Wiring for SimulatedWiring {
    fn open(&self, folder: &Path) -> Result<(), StateError> {
        let file = folder.join("simulated-switches.json");
        let kept: Settings = load_or_put_aside(&file)?;
        let mut now = self.lock();
        for (switch, ports) in kept {
            for (port, settings) in ports {
                now.take(&switch, &port, settings);
            }
        }
        now.file = Some(file);
        Ok(())
    }

    fn look(&self) -> io::Result<Look> {
        let mut now = self.lock();
        let adapters = now.adapters();
        let network = Network { switches: now.switches.clone(), adapters };
        for wire in network.wires().filter(|it| it.link == LinkState::Up) {
            let it = now.counters.entry(wire.id.clone()).or_default();
            // Somebody always asks who has an address.
            it.rx_frames += 7;
            it.tx_frames += 5;
            it.rx_bytes += 7 * 64;
            it.tx_bytes += 5 * 64;
            it.multicast += 2;
        }
        Ok(Look { network, counters: now.counters.clone() })
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(self.changed.notified())
    }

    fn set(
        &self,
        switch: &Id,
        port: &Id,
        settings: &PortSettings,
    ) -> io::Result<()> {
        let mut now = self.lock();
        if now.stuck.contains(&(switch.clone(), port.clone())) {
            return Err(io::Error::other("the port does not do as it is told"));
        }
        if now.port(switch, port).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        now.take(switch, port, settings.clone());
        if let Some(file) = now.file.clone() {
            let kept = serde_json::to_vec(&now.settings());
            replace(&file, &kept.unwrap_or_default())?;
        }
        drop(now);
        self.changed.notify_one();
        Ok(())
    }

    fn hear(&self) -> Later<'_, (Id, Vec<u8>)> {
        Box::pin(async {
            loop {
                let talked = self.talked.notified();
                let next = {
                    let mut now = self.lock();
                    let clock = Instant::now();
                    let due = now
                        .neighbours
                        .iter_mut()
                        .find(|it| it.next.is_none_or(|at| at <= clock));
                    if let Some(due) = due {
                        let each = u64::from(due.seconds.max(3)) / 3;
                        due.next = Some(clock + Duration::from_secs(each));
                        let frame =
                            lldp::build(STRANGER, &due.says, due.seconds);
                        return (due.wire.clone(), frame);
                    }
                    now.neighbours.iter().filter_map(|it| it.next).min()
                };
                let Some(next) = next else {
                    talked.await;
                    continue;
                };
                tokio::select! {
                    () = talked => {}
                    () = sleep_until(next) => {}
                }
            }
        })
    }

    fn say(&self, wire: &Id, frame: &[u8]) -> io::Result<()> {
        let mut now = self.lock();
        if now.said.len() >= SAID {
            now.said.remove(0);
        }
        now.said.push((wire.clone(), frame.to_vec()));
        Ok(())
    }
}
