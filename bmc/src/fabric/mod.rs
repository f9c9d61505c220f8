//! What joins machines: adapters, bridges and switches, and LLDP on their
//! ports. The kernel's are reached by netlink and packet sockets of our own:
//! the crates `rtnetlink` and `ethtool` add a megabyte to a program.

pub mod kernel;
pub mod lldp;
mod netlink;
mod packet;

use std::{collections::BTreeMap, io, path::Path, pin::Pin};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Counters, Id, Memberships, Network},
    state::StateError,
};

/// What one look at the wires found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What joins the systems.
    pub network: Network,
    /// What counts on each wire.
    pub counters: BTreeMap<Id, Counters>,
}

/// How a port of a switch is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSettings {
    /// Whether it is switched on.
    pub enabled: bool,
    /// The VLANs that it is in.
    pub vlans: Memberships,
}

/// Something that happens later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wires of a board, and its switches.
pub trait Wiring: Send + Sync + 'static {
    /// Takes up what it keeps in `folder`. Only simulated switches have to
    /// keep anything: a kernel's bridges and a switch do by themselves.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, folder: &Path) -> Result<(), StateError> {
        let _ = folder;
        Ok(())
    }

    /// Looks what is there. May block for a moment.
    ///
    /// # Errors
    /// What the part said.
    fn look(&self) -> io::Result<Look>;

    /// Waits until something may have changed.
    fn changed(&self) -> Later<'_, ()>;

    /// Sets a port of a switch. May block for a moment.
    ///
    /// # Errors
    /// What the part said.
    fn set(
        &self,
        switch: &Id,
        port: &Id,
        settings: &PortSettings,
    ) -> io::Result<()>;

    /// Waits for a frame of LLDP, and says on which wire it came.
    fn hear(&self) -> Later<'_, (Id, Vec<u8>)>;

    /// Sends a frame of LLDP on a wire. May block for a moment.
    ///
    /// # Errors
    /// What the part said.
    fn say(&self, wire: &Id, frame: &[u8]) -> io::Result<()>;
}

/// No wires but those of the inventory.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWiring;

impl Wiring for NoWiring {
    fn look(&self) -> io::Result<Look> {
        Ok(Look::default())
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn set(&self, _: &Id, _: &Id, _: &PortSettings) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn hear(&self) -> Later<'_, (Id, Vec<u8>)> {
        Box::pin(std::future::pending())
    }

    fn say(&self, _: &Id, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
}
