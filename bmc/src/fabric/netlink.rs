//! Messages of rtnetlink(7), as far as links and bridges need them.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink, recv, send, socket_with,
    },
};
use tokio::net::UdpSocket;

/// `linux/rtnetlink.h`
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
pub(super) const SET_LINK: u16 = 19;
/// The group that hears of links and of VLANs on bridge ports.
const GROUP_LINK: u32 = 1;

/// `linux/netlink.h`
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;
/// The two highest bits of an attribute's type say how it is written.
const TYPE: u16 = 0x3fff;

/// A message's header, and that of a link, in bytes.
const HEADER: usize = 16;
/// What one read takes; the kernel fills up to 32 KiB.
const ROOM: usize = 64 << 10;
/// What one list may hold, in bytes: thousands of links.
const MOST: usize = 8 << 20;
/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a list that changed while it was read is read again.
const TRIES: u32 = 5;

/// A link, or what a bridge says of a port.
#[derive(Debug)]
pub(super) struct Link {
    /// `AF_UNSPEC` or `AF_BRIDGE`.
    pub(super) family: u8,
    pub(super) index: i32,
    pub(super) flags: u32,
    pub(super) attributes: Vec<u8>,
}

/// What is asked of a link.
#[derive(Debug, Default)]
pub(super) struct Ask {
    bytes: Vec<u8>,
}

impl Ask {
    /// The header of a link, as far as it counts in what is asked.
    pub(super) fn link(
        family: u8,
        index: i32,
        flags: u32,
        change: u32,
    ) -> Self {
        let mut bytes = vec![family, 0, 0, 0];
        bytes.extend(index.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(change.to_ne_bytes());
        Self { bytes }
    }

    /// An attribute with this value.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        attribute(&mut self.bytes, kind, value);
        self
    }
}

/// Appends an attribute.
pub(super) fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes`, by type; what is cut off is left out.
pub(super) fn attributes(
    mut bytes: &[u8],
) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & TYPE;
        let value = bytes.get(4..length)?;
        let next = length.next_multiple_of(4);
        bytes = bytes.get(next..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at `place`.
pub(super) fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..place + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// The number at `place`.
pub(super) fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let bytes = bytes.get(place..place + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The number at `place`.
pub(super) fn u64_at(bytes: &[u8], place: usize) -> Option<u64> {
    let bytes = bytes.get(place..place + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

fn open(groups: u32, more: SocketFlags) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | more,
        // `NETLINK_ROUTE` is the protocol of this family with number 0.
        None,
    )?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// A socket that has something to read when a link changed. It is no socket of
/// UDP, but one of datagrams, and waited for in the same way.
pub(super) fn listen() -> io::Result<UdpSocket> {
    let socket = open(GROUP_LINK, SocketFlags::NONBLOCK)?;
    UdpSocket::from_std(socket.into())
}

/// Reads all that `listener` has. What was lost is as good as read: whoever
/// asks looks at everything.
pub(super) fn drain(listener: &UdpSocket) {
    let mut room = vec![0; ROOM];
    // A link that never rests shall not keep anyone here.
    for _ in 0..256 {
        if let Err(error) = listener.try_recv(&mut room)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            return;
        }
    }
}

/// Where questions are asked.
#[derive(Debug)]
pub(super) struct Requests {
    socket: OwnedFd,
    sequence: u32,
}

impl Requests {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { socket: open(0, SocketFlags::empty())?, sequence: 0 })
    }

    /// All links that `ask` is about.
    pub(super) fn links(&mut self, ask: &Ask) -> io::Result<Vec<Link>> {
        for _ in 0..TRIES {
            if let Some(found) = self.list(ask)? {
                return Ok(found);
            }
        }
        Err(io::Error::other("the links do not stop changing"))
    }

    /// Has something done.
    pub(super) fn change(&mut self, kind: u16, ask: &Ask) -> io::Result<()> {
        self.send(kind, REQUEST | ACK, ask)?;
        let mut done = false;
        while !done {
            self.receive(|kind, _, body| {
                if kind == ERROR {
                    done = true;
                    return failure(body);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn list(&mut self, ask: &Ask) -> io::Result<Option<Vec<Link>>> {
        self.send(GET_LINK, REQUEST | DUMP, ask)?;
        let (mut found, mut size) = (Vec::new(), 0);
        let (mut done, mut whole) = (false, true);
        while !done {
            self.receive(|kind, flags, body| {
                whole &= flags & INTERRUPTED == 0;
                size += body.len();
                match kind {
                    _ if size > MOST => {
                        Err(io::Error::other("there are too many links"))
                    }
                    DONE => {
                        done = true;
                        Ok(())
                    }
                    ERROR => {
                        done = true;
                        failure(body)
                    }
                    NEW_LINK => {
                        found.extend(link(body));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })?;
        }
        Ok(whole.then_some(found))
    }

    fn send(&mut self, kind: u16, flags: u16, ask: &Ask) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + ask.bytes.len())
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = Vec::with_capacity(HEADER + ask.bytes.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(&ask.bytes);
        send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }

    /// Reads once, and hands out the type, flags and body of each message
    /// that answers the last question.
    fn receive(
        &self,
        mut take: impl FnMut(u16, u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut waiting = [PollFd::new(&self.socket, PollFlags::IN)];
        let limit = Timespec::try_from(PATIENCE)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        if poll(&mut waiting, Some(&limit))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut room = vec![0; ROOM];
        let (length, _) = recv(&self.socket, &mut *room, RecvFlags::empty())?;
        let mut bytes = room.get(..length).unwrap_or_default();
        while let Some(length) = u32_at(bytes, 0) {
            let length = length as usize;
            let (Some(kind), Some(flags), Some(sequence), Some(body)) = (
                u16_at(bytes, 4),
                u16_at(bytes, 6),
                u32_at(bytes, 8),
                bytes.get(HEADER..length),
            ) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if sequence == self.sequence {
                take(kind, flags, body)?;
            }
            let next = length.next_multiple_of(4);
            bytes = bytes.get(next..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What an acknowledgement says: nothing, or an error.
fn failure(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn link(body: &[u8]) -> Option<Link> {
    Some(Link {
        family: *body.first()?,
        index: u32_at(body, 4)?.cast_signed(),
        flags: u32_at(body, 8)?,
        attributes: body.get(HEADER..)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written_and_no_further() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, 3, b"eth0\0");
        attribute(&mut bytes, 0x8012, &[1, 2, 3, 4]);
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(3, &b"eth0\0"[..]), (18, &[1, 2, 3, 4][..])]);
        // Cut off anywhere, it ends before what is not whole.
        for end in 0..=bytes.len() {
            let some: Vec<_> = attributes(&bytes[..end]).collect();
            // Nine bytes, three that fill up, and eight.
            let whole = usize::from(end >= 9) + usize::from(end >= 20);
            assert_eq!(some, found[..whole], "{end}");
        }
        for bad in [&[0, 0, 0, 0][..], &[3, 0, 1, 0], &[255, 255, 1, 0, 9]] {
            assert_eq!(attributes(bad).count(), 0, "{bad:?}");
        }
    }

    #[test]
    fn the_kernel_lists_its_loopback() {
        let mut requests = Requests::open().unwrap();
        let all = requests.links(&Ask::link(0, 0, 0, 0)).unwrap();
        let named = |link: &&Link| {
            let mut name = attributes(&link.attributes).filter(|a| a.0 == 3);
            name.any(|(_, name)| name == b"lo\0")
        };
        assert_eq!(all.iter().filter(named).count(), 1, "{all:?}");
    }
}
