//! The devices that the fleet knows.

use std::{net::IpAddr, sync::Arc};

use chrono::Utc;
use dropshot::ResultsPage;
use onprem_link::id::Xid;

use crate::{
    api::{
        Device, DeviceAbility, DeviceFilter, DeviceState, Health, Page,
        PowerState,
    },
    error::Error,
    store::{Collection, Record, Store, StoreError, Table},
    tunnel::Tunnels,
};

impl Record for Device {
    const COLLECTION: Collection = Collection::Devices;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.to_string()), ("uuid", self.uuid.to_string())]
    }
}

/// What a device said of itself; what is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Who made the machine.
    pub manufacturer: Option<String>,
    /// Which machine it is.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
    /// The name of its operating system.
    pub host_name: Option<String>,
    /// What is written on its label.
    pub asset_tag: Option<String>,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// How well it is.
    pub health: Option<Health>,
    /// Why it is not well.
    pub health_reasons: Option<Vec<String>>,
    /// Whether it is powered.
    pub power_state: Option<PowerState>,
    /// What not every machine can.
    pub abilities: Option<Vec<DeviceAbility>>,
    /// The addresses that the machine has.
    pub addresses: Vec<IpAddr>,
}

/// Whether an address says where a machine is: one that reaches this host
/// only, or one link only, does not.
#[must_use]
pub fn says_where(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified())
        }
    }
}

impl Heard {
    /// The address to show for a machine that connects from `peer`: one of
    /// its own where `peer` does not say where it is.
    fn address(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        if peer.is_none_or(says_where) {
            return None;
        }
        let own = || self.addresses.iter().filter(|ip| says_where(**ip));
        own().find(|ip| ip.is_ipv4()).or_else(|| own().next()).copied()
    }

    fn put_into(&self, device: &mut Device) {
        fn take<T: Clone>(from: Option<&T>, into: &mut Option<T>) {
            if let Some(value) = from {
                *into = Some(value.clone());
            }
        }
        let text = |text: &Option<String>| {
            text.clone().filter(|text| !text.trim().is_empty())
        };
        take(text(&self.manufacturer).as_ref(), &mut device.manufacturer);
        take(text(&self.model).as_ref(), &mut device.model);
        take(text(&self.serial_number).as_ref(), &mut device.serial_number);
        take(text(&self.host_name).as_ref(), &mut device.host_name);
        take(text(&self.agent_version).as_ref(), &mut device.agent_version);
        take(self.health.as_ref(), &mut device.health);
        take(self.power_state.as_ref(), &mut device.power_state);
        if let Some(abilities) = &self.abilities {
            device.abilities.clone_from(abilities);
        }
        if let Some(reasons) = &self.health_reasons {
            device.health_reasons.clone_from(reasons);
        }
        // An empty label is a label that was taken off.
        if let Some(tag) = &self.asset_tag {
            device.asset_tag = Some(tag.clone()).filter(|t| !t.is_empty());
        }
    }
}

/// The devices that the fleet knows.
#[derive(Debug)]
pub struct Devices {
    pub(crate) table: Table<Device>,
    tunnels: Tunnels,
}

impl Devices {
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        tunnels: Tunnels,
    ) -> Result<Self, StoreError> {
        Ok(Self { table: Table::open(store).await?, tunnels })
    }

    /// The device with this id or name, as it is kept.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Device>> {
        self.table.get(name).or_else(|| self.table.find("name", name))
    }

    /// The device with this id or name, as it is kept.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<Arc<Device>, Error> {
        self.find(name).ok_or_else(|| Error::not_found("device", name))
    }

    /// The device with this id or name, as it is now.
    ///
    /// # Errors
    /// There is none.
    pub fn view(&self, name: &str) -> Result<Device, Error> {
        self.get(name).map(|device| self.now(&device))
    }

    /// All devices, as they are now.
    #[must_use]
    pub fn all(&self) -> Vec<Device> {
        self.table.all().iter().map(|device| self.now(device)).collect()
    }

    /// A page of devices, as they are now.
    ///
    /// # Errors
    /// They cannot be sorted in the way that is asked for.
    pub fn list(
        &self,
        page: &Page<DeviceFilter>,
    ) -> Result<ResultsPage<Device>, Error> {
        let filter = Filter::new(&page.filter);
        let found = self
            .table
            .all()
            .iter()
            .filter(|device| filter.takes(device))
            .map(|device| self.now(device))
            .filter(|device| filter.takes_now(device))
            .collect();
        page.page(found)
    }

    /// A device with what is known of its connection.
    pub(crate) fn now(&self, device: &Device) -> Device {
        let mut device = device.clone();
        let peer = self.tunnels.peer(device.id);
        device.state = match peer {
            Some(_) => DeviceState::Online,
            None if device.pending_key.is_some() => DeviceState::Waiting,
            None => DeviceState::Offline,
        };
        if let Some(peer) = peer {
            let peer = peer.ip().to_canonical();
            if device.last_ip_addr.is_none() || says_where(peer) {
                device.last_ip_addr = Some(peer);
            }
            device.last_seen = Some(Utc::now());
        }
        device.tainted = !device.tainted_reasons.is_empty();
        device
    }

    /// Keeps what a device said of itself, where it is news.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn heard(&self, device: Xid, heard: Heard) -> Result<(), Error> {
        let id = device.to_string();
        let Some(known) = self.table.get(&id) else { return Ok(()) };
        let peer = self.tunnels.peer(device).map(|peer| peer.ip());
        let address = heard.address(peer);
        let change = |device: &mut Device| {
            heard.put_into(device);
            device.last_ip_addr = address.or(device.last_ip_addr);
        };
        let mut news = Device::clone(&known);
        change(&mut news);
        if news != *known {
            self.table
                .update(&id, |device| {
                    change(device);
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        Ok(())
    }
}

/// A filter with its texts prepared.
struct Filter<'a> {
    wanted: &'a DeviceFilter,
    words: Vec<String>,
    tag: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> Filter<'a> {
    fn new(filter: &'a DeviceFilter) -> Self {
        let words = filter.q.as_deref().unwrap_or_default().to_lowercase();
        Self {
            wanted: filter,
            words: words.split_whitespace().map(str::to_owned).collect(),
            tag: filter.tag.as_deref().map(|tag| match tag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (tag, None),
            }),
        }
    }

    fn takes(&self, device: &Device) -> bool {
        let same = |wanted: &Option<String>, value: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| {
                value.as_ref().is_some_and(|v| v.eq_ignore_ascii_case(wanted))
            })
        };
        let tagged = self.tag.is_none_or(|(name, wanted)| {
            let value = device.tags.get(name);
            value.is_some_and(|value| wanted.is_none_or(|w| w == value))
        });
        tagged
            && same(&self.wanted.manufacturer, &device.manufacturer)
            && same(&self.wanted.model, &device.model)
    }

    /// What depends on the connection.
    fn takes_now(&self, device: &Device) -> bool {
        let well = self.wanted.health.is_none_or(|wanted| {
            device.state == DeviceState::Online && device.health == Some(wanted)
        });
        well && self.wanted.state.is_none_or(|state| device.state == state)
            && self.wanted.tainted.is_none_or(|t| device.tainted == t)
            && (self.words.is_empty() || self.says_all(device))
    }

    fn says_all(&self, device: &Device) -> bool {
        let mut text = format!("{} {} {}", device.id, device.name, device.uuid);
        let texts = [
            &device.manufacturer,
            &device.model,
            &device.serial_number,
            &device.host_name,
            &device.asset_tag,
        ];
        for part in texts.into_iter().flatten() {
            text.push(' ');
            text.push_str(part);
        }
        if let Some(ip) = device.last_ip_addr {
            text.push(' ');
            text.push_str(&ip.to_string());
        }
        for (name, value) in &device.tags {
            text.extend([" ", name, "=", value]);
        }
        let text = text.to_lowercase();
        self.words.iter().all(|word| text.contains(word))
    }
}
