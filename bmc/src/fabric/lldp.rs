//! LLDP frames (IEEE 802.1AB-2016): what somebody says of himself, and how
//! long that may be believed. What comes in is from strangers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{Announcement, Capability, NameKind, Named, VlanId};

/// The type of frames of LLDP (7.4).
pub(super) const ETHER_TYPE: u16 = 0x88cc;
/// The nearest bridge, which passes nothing on (7.1).
pub(super) const NEAREST_BRIDGE: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e];
/// The groups that frames may be for (table 7-1).
const GROUPS: [[u8; 6]; 3] = [
    NEAREST_BRIDGE,
    [0x01, 0x80, 0xc2, 0x00, 0x00, 0x03],
    [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00],
];
/// Destination, source and type of a frame, in bytes.
const HEADER: usize = 14;
/// The tag of a VLAN, which a switch may leave on a frame.
const TAGGED: u16 = 0x8100;
/// The most of a text that is kept, in bytes: what a TLV holds (9.2).
const TEXT: usize = 255;
/// The most management addresses of one announcement that are kept.
const ADDRESSES: usize = 8;

/// Types of TLVs (table 8-1).
const END: u8 = 0;
const CHASSIS_ID: u8 = 1;
const PORT_ID: u8 = 2;
const TIME_TO_LIVE: u8 = 3;
const PORT_DESCRIPTION: u8 = 4;
const SYSTEM_NAME: u8 = 5;
const SYSTEM_DESCRIPTION: u8 = 6;
const CAPABILITIES: u8 = 7;
const MANAGEMENT_ADDRESS: u8 = 8;
const ORGANIZATION: u8 = 127;
/// The management VLAN of IEEE 802.1 (802.1Q, table D-1).
const IEEE_802_1: [u8; 3] = [0x00, 0x80, 0xc2];
const MANAGEMENT_VLAN: u8 = 6;

/// Families of addresses, as IANA numbers them.
const IPV4: u8 = 1;
const IPV6: u8 = 2;
const MAC: u8 = 6;

/// The capabilities, by their bit (table 8-4).
const BITS: [Capability; 8] = [
    Capability::Other,
    Capability::Repeater,
    Capability::Bridge,
    Capability::AccessPoint,
    Capability::Router,
    Capability::Telephone,
    Capability::CableDevice,
    Capability::Station,
];

/// Why a frame says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is of another protocol, or for somebody else.
    #[error("it is no frame of LLDP")]
    Other,
    /// A TLV is longer than what there is of the frame.
    #[error("it ends in the middle")]
    Short,
    /// A TLV that has to be there is not there, or not in its place.
    #[error("TLV {0} is not where it has to be")]
    Missing(u8),
    /// A TLV that may be there once is there again.
    #[error("TLV {0} is there twice")]
    Twice(u8),
    /// A TLV cannot have this length or this content.
    #[error("TLV {0} is not as it has to be")]
    Content(u8),
}

/// What a frame said: who it is, and for how many seconds that holds. With 0
/// he says good-bye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What is said.
    pub says: Announcement,
    /// For how many seconds it holds.
    pub seconds: u16,
}

/// Reads an Ethernet frame. What is optional and unknown is passed over; what
/// is wrong spoils the frame (9.2.7.7).
///
/// # Errors
/// See [`Fault`].
pub fn parse(frame: &[u8]) -> Result<Heard, Fault> {
    let group = frame.get(..6).ok_or(Fault::Other)?;
    if !GROUPS.iter().any(|it| it == group) {
        return Err(Fault::Other);
    }
    let kind = |place: usize| {
        let bytes = frame.get(place..place + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let start = match kind(12) {
        Some(ETHER_TYPE) => HEADER,
        Some(TAGGED) if kind(16) == Some(ETHER_TYPE) => HEADER + 4,
        _ => return Err(Fault::Other),
    };
    let mut rest = frame.get(start..).unwrap_or_default();
    let chassis = next(&mut rest)?.of(CHASSIS_ID)?;
    let chassis = name(chassis, CHASSIS_ID, chassis_kind)?;
    let port = next(&mut rest)?.of(PORT_ID)?;
    let port = name(port, PORT_ID, port_kind)?;
    let seconds = next(&mut rest)?.of(TIME_TO_LIVE)?;
    let seconds = seconds.get(..2).ok_or(Fault::Content(TIME_TO_LIVE))?;
    let seconds = u16::from_be_bytes([
        seconds.first().copied().unwrap_or_default(),
        seconds.get(1).copied().unwrap_or_default(),
    ]);
    let mut says = Announcement::new(chassis, port);
    let mut seen = [false; 9];
    // A frame may end without saying so (9.2.7.7.1, note).
    while !rest.is_empty() {
        let Tlv { kind, value } = next(&mut rest)?;
        if let Some(seen) = seen.get_mut(usize::from(kind))
            && std::mem::replace(seen, true)
            && kind != MANAGEMENT_ADDRESS
        {
            return Err(Fault::Twice(kind));
        }
        match kind {
            END => break,
            CHASSIS_ID | PORT_ID | TIME_TO_LIVE => {
                return Err(Fault::Twice(kind));
            }
            PORT_DESCRIPTION => says.port_description = text(value),
            SYSTEM_NAME => says.system_name = text(value),
            SYSTEM_DESCRIPTION => says.system_description = text(value),
            CAPABILITIES => says.capabilities = capabilities(value)?,
            MANAGEMENT_ADDRESS => match address(value)? {
                Some(IpAddr::V4(it)) if says.ipv4.len() < ADDRESSES => {
                    says.ipv4.push(it);
                }
                Some(IpAddr::V6(it)) if says.ipv6.len() < ADDRESSES => {
                    says.ipv6.push(it);
                }
                _ => {}
            },
            ORGANIZATION => {
                if let [a, b, c, MANAGEMENT_VLAN, high, low, ..] = value
                    && [*a, *b, *c] == IEEE_802_1
                {
                    let number = u16::from_be_bytes([*high, *low]);
                    says.management_vlan = VlanId::new(number.into());
                }
            }
            _ => {}
        }
    }
    Ok(Heard { says, seconds })
}

/// The frame that says this from the hardware address `from`. What does not
/// fit a TLV is cut.
#[must_use]
pub fn build(from: [u8; 6], says: &Announcement, seconds: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(256);
    frame.extend(NEAREST_BRIDGE);
    frame.extend(from);
    frame.extend(ETHER_TYPE.to_be_bytes());
    put(&mut frame, CHASSIS_ID, &named(&says.chassis, CHASSIS_ID));
    put(&mut frame, PORT_ID, &named(&says.port, PORT_ID));
    put(&mut frame, TIME_TO_LIVE, &seconds.to_be_bytes());
    // Who says good-bye says no more (9.1.2.3).
    if seconds > 0 {
        for (kind, text) in [
            (PORT_DESCRIPTION, &says.port_description),
            (SYSTEM_NAME, &says.system_name),
            (SYSTEM_DESCRIPTION, &says.system_description),
        ] {
            if let Some(text) = text {
                put(&mut frame, kind, text.as_bytes());
            }
        }
        if !says.capabilities.is_empty() {
            let bits = BITS.iter().enumerate();
            let bits = bits.filter(|(_, it)| says.capabilities.contains(it));
            let bits = bits.fold(0_u16, |all, (bit, _)| all | 1 << bit);
            let bits = bits.to_be_bytes();
            put(&mut frame, CAPABILITIES, &[bits, bits].concat());
        }
        let ipv4 = says.ipv4.iter().map(|it| (IPV4, it.octets().to_vec()));
        let ipv6 = says.ipv6.iter().map(|it| (IPV6, it.octets().to_vec()));
        for (family, address) in ipv4.chain(ipv6).take(ADDRESSES) {
            let length = u8::try_from(address.len() + 1).unwrap_or(u8::MAX);
            let mut value = vec![length, family];
            value.extend(address);
            // The number of the interface is not known; there is no OID.
            value.extend([1, 0, 0, 0, 0, 0]);
            put(&mut frame, MANAGEMENT_ADDRESS, &value);
        }
        if let Some(vlan) = says.management_vlan {
            let mut value = IEEE_802_1.to_vec();
            value.push(MANAGEMENT_VLAN);
            value.extend(vlan.number().to_be_bytes());
            put(&mut frame, ORGANIZATION, &value);
        }
    }
    put(&mut frame, END, &[]);
    frame
}

/// The six bytes of a hardware address.
#[must_use]
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let parts: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            let part = (part.len() == 2).then_some(part)?;
            u8::from_str_radix(part, 16).ok()
        })
        .collect();
    parts?.try_into().ok()
}

struct Tlv<'a> {
    kind: u8,
    value: &'a [u8],
}

impl<'a> Tlv<'a> {
    fn of(self, kind: u8) -> Result<&'a [u8], Fault> {
        if self.kind == kind {
            Ok(self.value)
        } else {
            Err(Fault::Missing(kind))
        }
    }
}

/// Seven bits of type, nine of length, and the value (8.4).
fn next<'a>(rest: &mut &'a [u8]) -> Result<Tlv<'a>, Fault> {
    let [first, second, after @ ..] = *rest else { return Err(Fault::Short) };
    let length = usize::from(*first & 1) << 8 | usize::from(*second);
    let (value, after) = after.split_at_checked(length).ok_or(Fault::Short)?;
    *rest = after;
    Ok(Tlv { kind: *first >> 1, value })
}

fn put(frame: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = value.get(..TEXT + 1).unwrap_or(value);
    let head =
        u16::from(kind) << 9 | u16::try_from(value.len()).unwrap_or_default();
    frame.extend(head.to_be_bytes());
    frame.extend(value);
}

/// Subtypes of table 8-2.
fn chassis_kind(subtype: u8) -> Option<NameKind> {
    Some(match subtype {
        1 => NameKind::ChassisComponent,
        2 => NameKind::InterfaceAlias,
        3 => NameKind::PortComponent,
        4 => NameKind::MacAddress,
        5 => NameKind::NetworkAddress,
        6 => NameKind::InterfaceName,
        7 => NameKind::Local,
        _ => return None,
    })
}

/// Subtypes of table 8-3.
fn port_kind(subtype: u8) -> Option<NameKind> {
    Some(match subtype {
        1 => NameKind::InterfaceAlias,
        2 => NameKind::PortComponent,
        3 => NameKind::MacAddress,
        4 => NameKind::NetworkAddress,
        5 => NameKind::InterfaceName,
        6 => NameKind::AgentCircuit,
        7 => NameKind::Local,
        _ => return None,
    })
}

fn name(
    value: &[u8],
    tlv: u8,
    kind: fn(u8) -> Option<NameKind>,
) -> Result<Named, Fault> {
    let wrong = Fault::Content(tlv);
    let (subtype, value) = value.split_first().ok_or(wrong)?;
    let kind = kind(*subtype).ok_or(wrong)?;
    if !(1..=TEXT).contains(&value.len()) {
        return Err(wrong);
    }
    let text = match kind {
        NameKind::MacAddress => {
            let bytes: [u8; 6] = value.try_into().map_err(|_| wrong)?;
            bytes.map(|byte| format!("{byte:02x}")).join(":")
        }
        NameKind::NetworkAddress => match ip(value) {
            Some(address) => address.to_string(),
            None => hexadecimal(value),
        },
        _ => text(value).unwrap_or_else(|| hexadecimal(value)),
    };
    Ok(Named { kind, text })
}

fn named(name: &Named, tlv: u8) -> Vec<u8> {
    let kinds = 1..=7;
    let of = if tlv == CHASSIS_ID { chassis_kind } else { port_kind };
    let mut kinds = kinds.filter(|it| of(*it) == Some(name.kind));
    // Every kind but one of either has a number; the rest is chosen freely.
    let mut value = vec![kinds.next().unwrap_or(7)];
    match (name.kind, mac(&name.text), name.text.parse::<IpAddr>()) {
        (NameKind::MacAddress, Some(mac), _) => value.extend(mac),
        (NameKind::NetworkAddress, _, Ok(IpAddr::V4(it))) => {
            value.push(IPV4);
            value.extend(it.octets());
        }
        (NameKind::NetworkAddress, _, Ok(IpAddr::V6(it))) => {
            value.push(IPV6);
            value.extend(it.octets());
        }
        _ => value.extend(name.text.as_bytes()),
    }
    value.truncate(TEXT + 1);
    value
}

/// A text that people can read: without what controls terminals, and cut.
fn text(value: &[u8]) -> Option<String> {
    let value = value.get(..TEXT).unwrap_or(value);
    let text = String::from_utf8_lossy(value);
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(shown).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn hexadecimal(bytes: &[u8]) -> String {
    let bytes: Vec<_> =
        bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.concat()
}

/// An address after the number of its family.
fn ip(value: &[u8]) -> Option<IpAddr> {
    let (family, address) = value.split_first()?;
    match *family {
        IPV4 => {
            let bytes: [u8; 4] = address.try_into().ok()?;
            Some(Ipv4Addr::from(bytes).into())
        }
        IPV6 => {
            let bytes: [u8; 16] = address.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// What it does, and does now (8.5.8).
fn capabilities(value: &[u8]) -> Result<Vec<Capability>, Fault> {
    let [_, _, high, low] = value else {
        return Err(Fault::Content(CAPABILITIES));
    };
    let bits = u16::from_be_bytes([*high, *low]);
    let all = BITS.iter().enumerate();
    Ok(all.filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, it)| *it).collect())
}

/// A management address (8.5.9), where it is one of IP.
fn address(value: &[u8]) -> Result<Option<IpAddr>, Fault> {
    let wrong = Fault::Content(MANAGEMENT_ADDRESS);
    let (length, rest) = value.split_first().ok_or(wrong)?;
    let length = usize::from(*length);
    if !(2..=32).contains(&length) || rest.len() < length {
        return Err(wrong);
    }
    let address = rest.get(..length).ok_or(wrong)?;
    match (address.first(), ip(address)) {
        (Some(&(IPV4 | IPV6)), None) => Err(wrong),
        (Some(&MAC), _) => Ok(None),
        (_, found) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch() -> Announcement {
        let named = |kind, text: &str| Named { kind, text: text.to_owned() };
        Announcement {
            chassis: named(NameKind::MacAddress, "00:1c:73:aa:bb:cc"),
            port: named(NameKind::InterfaceName, "Ethernet12"),
            port_description: Some("blade 8".to_owned()),
            system_name: Some("rack-1".to_owned()),
            system_description: Some("a switch".to_owned()),
            capabilities: vec![Capability::Bridge, Capability::Router],
            ipv4: vec![Ipv4Addr::new(10, 0, 0, 1)],
            ipv6: vec!["fd00::1".parse().unwrap()],
            management_vlan: VlanId::new(241),
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        let frame = build([2, 0, 0, 0, 0, 1], &switch(), 120);
        let heard = parse(&frame).unwrap();
        assert_eq!(heard, Heard { says: switch(), seconds: 120 });
        // A tag of a VLAN does not hide it, nor does padding.
        let mut tagged = frame[..12].to_vec();
        tagged.extend([0x81, 0x00, 0x00, 0xf1]);
        tagged.extend(&frame[12..]);
        tagged.extend([0; 10]);
        assert_eq!(parse(&tagged).unwrap().says, switch());
        let bye = parse(&build([2, 0, 0, 0, 0, 1], &switch(), 0)).unwrap();
        assert_eq!((bye.seconds, bye.says.system_name), (0, None));
        assert_eq!(bye.says.chassis, switch().chassis);
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_refused_or_says_less() {
        let frame = build([2, 0, 0, 0, 0, 1], &switch(), 120);
        let mut refused = 0;
        for end in 0..frame.len() {
            refused += usize::from(parse(&frame[..end]).is_err());
        }
        assert!(refused > frame.len() / 2, "{refused}");
        // No byte makes it do anything else.
        for place in 0..frame.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = frame.clone();
                bad[place] = byte;
                let _ = parse(&bad);
            }
        }
    }

    #[test]
    fn refuses_what_the_standard_does() {
        let put_all = |tlvs: &[(u8, &[u8])]| {
            let mut frame = build([0; 6], &switch(), 1);
            frame.truncate(HEADER);
            for (kind, value) in tlvs {
                put(&mut frame, *kind, value);
            }
            parse(&frame).map(|heard| heard.seconds)
        };
        let chassis = (CHASSIS_ID, &[7, b'a'][..]);
        let port = (PORT_ID, &[7, b'b'][..]);
        let time = (TIME_TO_LIVE, &[0, 9][..]);
        let good = [chassis, port, time];
        assert_eq!(put_all(&good), Ok(9));
        assert_eq!(
            put_all(&[port, chassis, time]),
            Err(Fault::Missing(CHASSIS_ID))
        );
        assert_eq!(put_all(&[chassis, port]), Err(Fault::Short));
        let with = |more| put_all(&[chassis, port, time, more]);
        assert_eq!(with(port), Err(Fault::Twice(PORT_ID)));
        let name = (SYSTEM_NAME, &b"x"[..]);
        let twice = put_all(&[chassis, port, time, name, name]);
        assert_eq!(twice, Err(Fault::Twice(SYSTEM_NAME)));
        let empty = put_all(&[(CHASSIS_ID, &[7]), port, time]);
        assert_eq!(empty, Err(Fault::Content(CHASSIS_ID)));
        let odd = put_all(&[(CHASSIS_ID, &[9, 1]), port, time]);
        assert_eq!(odd, Err(Fault::Content(CHASSIS_ID)));
        let short = put_all(&[(CHASSIS_ID, &[4, 1, 2]), port, time]);
        assert_eq!(short, Err(Fault::Content(CHASSIS_ID)));
        for bad in [&[][..], &[1], &[5, 1, 10, 0, 0], &[40, 1], &[3, 1, 1, 1]] {
            assert_eq!(
                with((MANAGEMENT_ADDRESS, bad)),
                Err(Fault::Content(MANAGEMENT_ADDRESS)),
                "{bad:?}"
            );
        }
        assert_eq!(with((CAPABILITIES, &[0])), Err(Fault::Content(7)));
        // What nobody knows is passed over.
        assert_eq!(with((100, &[1, 2, 3])), Ok(9));
        assert_eq!(with((ORGANIZATION, &[])), Ok(9));
    }

    #[test]
    fn no_control_character_gets_through() {
        let mut says = switch();
        says.system_name = Some("rack\u{1b}[2J\n1".to_owned());
        let heard = parse(&build([0; 6], &says, 9)).unwrap();
        assert_eq!(heard.says.system_name.as_deref(), Some("rack [2J 1"));
    }
}
