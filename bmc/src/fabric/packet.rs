//! Frames of LLDP on the kernel's links: one packet(7) socket a link. Another
//! program that listens is not disturbed: each gets its own copy.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    mem::size_of,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{io::ReadBuf, net::UdpSocket, sync::Notify};
use tracing::info;

use super::lldp::{ETHER_TYPE, NEAREST_BRIDGE};
use crate::model::Id;

/// The most links that are listened to.
const MOST: usize = 256;
/// The most of a frame that is read; a frame of LLDP is one of Ethernet.
const ROOM: usize = 2048;

/// The sockets, by the index of their links.
#[derive(Debug, Default)]
pub(super) struct Packets {
    ears: Mutex<Ears>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Ears {
    all: BTreeMap<i32, Arc<Ear>>,
    /// It was told why nobody listens.
    told: bool,
}

#[derive(Debug)]
struct Ear {
    wire: Id,
    /// It is none of UDP, but one of datagrams, and waited for as such.
    socket: UdpSocket,
}

impl Packets {
    fn lock(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens on these links, and on no others.
    pub(super) fn listen(&self, links: &[(i32, Id)]) {
        let mut ears = self.lock();
        let wanted = |index: &i32, ear: &Arc<Ear>| {
            links.iter().any(|it| it.0 == *index && it.1 == ear.wire)
        };
        let before = ears.all.len();
        ears.all.retain(|index, ear| wanted(index, ear));
        let mut moved = before != ears.all.len();
        for (index, wire) in links {
            if ears.all.contains_key(index) || ears.all.len() >= MOST {
                continue;
            }
            match Ear::open(*index, wire) {
                Ok(ear) => {
                    ears.all.insert(*index, Arc::new(ear));
                    moved = true;
                }
                Err(error) if !ears.told => {
                    ears.told = true;
                    info!(%error, %wire, "LLDP is not heard");
                }
                Err(_) => {}
            }
        }
        drop(ears);
        if moved {
            self.changed.notify_one();
        }
    }

    /// The next frame, and the wire that it came on.
    pub(super) async fn hear(&self) -> (Id, Vec<u8>) {
        loop {
            let ears: Vec<Arc<Ear>> =
                self.lock().all.values().cloned().collect();
            let any = poll_fn(|context| {
                for ear in &ears {
                    let mut room = vec![0; ROOM];
                    let mut frame = ReadBuf::new(&mut room);
                    // A link that goes down says so once, as an error.
                    while let Poll::Ready(read) =
                        ear.socket.poll_recv(context, &mut frame)
                    {
                        if read.is_ok() {
                            let frame = frame.filled().to_vec();
                            return Poll::Ready((ear.wire.clone(), frame));
                        }
                    }
                }
                Poll::Pending
            });
            tokio::select! {
                found = any => return found,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Sends a frame on a wire.
    pub(super) fn say(&self, wire: &Id, frame: &[u8]) -> io::Result<()> {
        let ears = self.lock();
        let ear = ears.all.values().find(|ear| ear.wire == *wire).cloned();
        drop(ears);
        let ear = ear.ok_or(io::ErrorKind::NotFound)?;
        ear.socket.try_send(frame).map(drop)
    }
}

impl Ear {
    fn open(index: i32, wire: &Id) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        // None of any link is heard before it is bound to one.
        let socket = Socket::new(Domain::PACKET, kind, None)?;
        join(&socket, index)?;
        socket.bind(&address(index)?)?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { wire: wire.clone(), socket })
    }
}

/// A number as the kernel's structure has it.
fn sized<A, B: TryFrom<A>>(number: A) -> io::Result<B> {
    B::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Where LLDP on the link `index` is.
#[expect(unsafe_code, reason = "no crate makes the address of a link")]
fn address(index: i32) -> io::Result<SockAddr> {
    let link = libc::sockaddr_ll {
        sll_family: sized(libc::AF_PACKET)?,
        sll_protocol: ETHER_TYPE.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = sized(size_of::<libc::sockaddr_ll>())?;
    // SAFETY: the storage is larger than any address and aligned for it, and
    // what is written is a whole address of the length that is told.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(link);
            length.write(size);
            Ok(())
        })
    }?;
    Ok(address)
}

/// Has the adapter of the link `index` take in what is for the nearest bridge.
#[expect(unsafe_code, reason = "no crate has this option of packet sockets")]
fn join(socket: &Socket, index: i32) -> io::Result<()> {
    let mut group = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: sized(libc::PACKET_MR_MULTICAST)?,
        mr_alen: 6,
        mr_address: [0; 8],
    };
    for (to, from) in group.mr_address.iter_mut().zip(NEAREST_BRIDGE) {
        *to = from;
    }
    let size = sized(size_of::<libc::packet_mreq>())?;
    // SAFETY: the option takes a `packet_mreq`, which outlives the call, and
    // is told its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            std::ptr::from_ref(&group).cast(),
            size,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
