//! The parts of a simulated computer that only have to be described.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use super::file::{BoardError, InterfaceSection, Maker, Source, SystemSection};
use crate::model::{
    AddressState, BitWidth, BoardIdentity, Drive, IpAddress, LinkState,
    MemoryModule, NetworkInterface, Origin, Processor, Storage,
};

/// A network interface of the machine that calls itself `identity`.
pub(super) fn interface(
    source: &Source,
    section: &InterfaceSection,
    identity: &str,
) -> Result<NetworkInterface, BoardError> {
    let prefix = section.mac_prefix.as_ref().to_lowercase();
    let bytes: Option<Vec<u8>> = prefix
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let Some([a, b, c]) =
        bytes.and_then(|bytes| <[u8; 3]>::try_from(bytes).ok())
    else {
        let reason = format!("`{prefix}` is no prefix like `dc:a6:32`");
        return Err(source.wrong(&section.mac_prefix, reason));
    };
    let text = format!("{identity} {}", section.id);
    let mac = mac_of([a, b, c], &text);
    let [.., host] = bytes_of(&text);
    let link = section.link.map_or(LinkState::Up, Into::into);
    let up = link == LinkState::Up;
    let ipv4 = section.network.filter(|_| up).map(|network| {
        // The last byte of the network is the host's.
        let network = u32::from(network) & !0xff;
        let address = Ipv4Addr::from(network | u32::from(10 + host % 240));
        IpAddress {
            address,
            prefix: 24,
            origin: Origin::Dhcp,
            state: AddressState::Preferred,
        }
    });
    let ipv6 = IpAddress {
        address: link_local(mac),
        prefix: 64,
        origin: Origin::LinkLocal,
        state: AddressState::Preferred,
    };
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    Ok(NetworkInterface {
        id: section.id.clone(),
        name: section.id.to_string(),
        mac: Some(mac),
        mtu: section.mtu.unwrap_or(1500),
        speed_mbps: section.speed_mbps.filter(|_| up),
        full_duplex: up.then_some(true),
        enabled: link != LinkState::Down,
        link,
        ipv4_gateway: section.gateway.filter(|_| ipv4.is_some()),
        ipv4: ipv4.into_iter().collect(),
        ipv6: up.then_some(ipv6).into_iter().collect(),
        ipv6_gateway: None,
        name_servers: section.name_servers.clone().unwrap_or_default(),
        physical: true,
        vlan: None,
    })
}

/// The hardware address of the maker `prefix` for what `text` names.
pub(super) fn mac(prefix: [u8; 3], text: &str) -> String {
    mac_of(prefix, text).map(|byte| format!("{byte:02x}")).join(":")
}

fn mac_of(prefix: [u8; 3], text: &str) -> [u8; 6] {
    let mut bytes = prefix.into_iter().chain(bytes_of(text));
    [(); 6].map(|()| bytes.next().unwrap_or_default())
}

/// Four bytes that follow from `text`.
fn bytes_of(text: &str) -> [u8; 4] {
    let mut own = Sha256::digest(text.as_bytes()).into_iter();
    [(); 4].map(|()| own.next().unwrap_or_default())
}

/// A link-local address carries the hardware address, with a bit turned over
/// and `fffe` in the middle.
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let bits = mac.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    let (maker, own) = (bits >> 24, bits & 0xff_ffff);
    let interface = (maker << 40 | 0xfffe << 24 | own) ^ (2 << 56);
    Ipv6Addr::from(0xfe80 << 112 | interface)
}

/// Who made a part.
pub(super) fn identity(maker: &Maker) -> BoardIdentity {
    BoardIdentity {
        manufacturer: maker.manufacturer.clone(),
        model: maker.model.clone(),
        serial_number: maker.serial_number.clone(),
        part_number: maker.part_number.clone(),
        sku: maker.sku.clone(),
    }
}

/// The processors of a system.
pub(super) fn processors(section: &SystemSection) -> Vec<Processor> {
    let sections = section.processor.iter().flatten();
    let processors = sections.map(|p| Processor {
        id: p.id.clone(),
        socket: p.id.to_uppercase(),
        manufacturer: p.manufacturer.clone(),
        model: p.model.clone(),
        architecture: p.architecture.into(),
        width: BitWidth::Bits64,
        cores: p.cores,
        threads: p.threads.unwrap_or(p.cores),
        max_speed_mhz: p.max_speed_mhz,
    });
    processors.collect()
}

/// The memory of a system.
pub(super) fn memory(section: &SystemSection) -> Vec<MemoryModule> {
    let sections = section.memory.iter().flatten();
    let modules = sections.map(|m| MemoryModule {
        id: m.id.clone(),
        name: m.name.clone().unwrap_or_else(|| "Memory".into()),
        capacity: m.capacity_mib << 20,
        kind: m.kind.map(Into::into),
        speed_mts: m.speed_mts,
        board: m.board.as_ref().map(identity).unwrap_or_default(),
        locator: m.locator.clone(),
    });
    modules.collect()
}

/// The storage of a system.
pub(super) fn storage(section: &SystemSection) -> Vec<Storage> {
    let sections = section.storage.iter().flatten();
    let subsystems = sections.map(|s| Storage {
        id: s.id.clone(),
        name: s.name.clone(),
        drives: s
            .drive
            .iter()
            .map(|d| Drive {
                id: d.id.clone(),
                name: d.board.model.clone().unwrap_or_else(|| "Drive".into()),
                capacity: d.capacity_bytes,
                board: identity(&d.board),
                revision: d.revision.clone(),
                media: d.media.map(Into::into),
                protocol: d.protocol.map(Into::into),
                block_size: 512,
                removable: d.removable.unwrap_or(false),
            })
            .collect(),
        raid_types: s.volumes.clone().unwrap_or_default(),
        overhead: 0,
    });
    subsystems.collect()
}
