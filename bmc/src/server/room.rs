//! Room for connections, on one port: so many, and so many of one peer.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections there may be at once.
const CONNECTIONS: usize = 256;
/// Connections that one peer may have of them.
const SHARE: usize = CONNECTIONS / 2;
/// Where fewer places are left, nobody may take his time.
const SCARCE: usize = CONNECTIONS / 4;

/// The room on one port.
#[derive(Clone, Debug)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is kept free, or taken.
#[derive(Debug)]
pub(super) struct Place {
    room: Room,
    peer: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        Self { free, peers: Arc::default() }
    }
}

impl Room {
    /// A free place, when there is one.
    pub(super) async fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Place { room: self.clone(), peer: None, _permit: permit })
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Gives the place to `peer`, unless it has its share.
    pub(super) fn take(mut self, peer: IpAddr) -> Option<Self> {
        let peer = household(peer);
        {
            let mut peers = self.room.peers();
            let count = peers.entry(peer).or_default();
            if *count >= SHARE {
                return None;
            }
            *count += 1;
        }
        self.peer = Some(peer);
        Some(self)
    }

    /// Are few places left?
    pub(super) fn scarce(&self) -> bool {
        self.room.free.available_permits() < SCARCE
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut peers = self.room.peers();
        if let Some(count) = peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&peer);
            }
        }
    }
}

/// Whoever has one IPv6 address has the 64 bits behind its network.
fn household(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => {
            let network = peer.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_peer_gets_its_share_and_no_more() {
        let room = Room::default();
        let greedy: IpAddr = "2001:db8::1".parse().unwrap();
        let cousin: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        let mut places = Vec::new();
        for _ in 0..SHARE {
            places.push(room.place().await.unwrap().take(greedy).unwrap());
        }
        assert!(room.place().await.unwrap().take(cousin).is_none());
        assert!(!places[0].scarce());
        for _ in 0..SHARE {
            places.push(room.place().await.unwrap().take(other).unwrap());
        }
        assert!(places[0].scarce());
        places.clear();
        assert!(room.peers().is_empty());
        assert!(room.place().await.unwrap().take(cousin).is_some());
    }
}
