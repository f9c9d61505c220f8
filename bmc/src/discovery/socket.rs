//! Sockets that hear one group on one interface.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::Place;

/// A socket that hears `group` on the interface of `place` only, and speaks
/// to it there over `ttl` routers.
///
/// # Errors
/// What the operating system said.
pub(super) fn open(
    place: &Place,
    group: SocketAddr,
    ttl: u8,
) -> io::Result<UdpSocket> {
    let index = place.index;
    let domain = Domain::for_address(group);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Others on this machine may want to hear the group as well.
    socket.set_reuse_address(true)?;
    // Bound to the group, so that nothing else comes in.
    match (group, place.address) {
        (SocketAddr::V4(group), IpAddr::V4(address)) => {
            socket.set_multicast_all_v4(false)?;
            socket.bind(&group.into())?;
            let on = InterfaceIndexOrAddress::Index(index);
            socket.join_multicast_v4_n(group.ip(), &on)?;
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_ttl_v4(ttl.into())?;
        }
        (SocketAddr::V6(group), IpAddr::V6(_)) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
            socket.bind(&group.into())?;
            socket.join_multicast_v6(group.ip(), index)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(ttl.into())?;
        }
        _ => return Err(io::ErrorKind::AddrNotAvailable.into()),
    }
    UdpSocket::from_std(socket.into())
}
