//! What people set about network services, kept over restarts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use onprem_link::{file, log::Chain};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use crate::state::{self, StateError};

/// How long a change may take until it is in force.
const FORCE: Duration = Duration::from_secs(2);

/// How far an announcement over IPv6 goes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The own link.
    #[default]
    Link,
    /// The own site.
    Site,
    /// The own organization.
    Organization,
}

/// What is set about SSDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ssdp {
    pub(crate) enabled: bool,
    /// How often the service is announced; never if 0.
    pub(crate) interval_seconds: u32,
    /// Over how many routers an announcement goes.
    pub(crate) ttl: u8,
    pub(crate) scope: Scope,
}

impl Default for Ssdp {
    fn default() -> Self {
        // What the schema of ManagerNetworkProtocol recommends.
        let scope = Scope::Link;
        Self { enabled: true, interval_seconds: 600, ttl: 2, scope }
    }
}

/// What is set about mDNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mdns {
    pub(crate) enabled: bool,
}

/// What is set about network services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Network {
    pub(crate) ssdp: Ssdp,
    pub(crate) mdns: Mdns,
    /// Whether time servers are asked, where the clock may be set.
    pub(crate) ntp: bool,
    pub(crate) ntp_servers: Vec<String>,
}

/// The settings, and who follows them.
#[derive(Debug)]
pub(crate) struct Networks {
    path: PathBuf,
    now: watch::Sender<Network>,
    /// What is in force; nothing where nobody follows.
    in_force: watch::Sender<Option<Network>>,
    /// Held by whoever changes them, until they are stored.
    writer: Mutex<()>,
}

impl Networks {
    /// What is in the state directory; `servers` where nothing is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(
        state_dir: &Path,
        servers: Vec<String>,
    ) -> Result<Arc<Self>, StateError> {
        let path = state_dir.join("network.json");
        let now = if path.exists() {
            state::load_or_put_aside(&path)?
        } else {
            Network { ntp_servers: servers, ..Network::default() }
        };
        Ok(Arc::new(Self {
            path,
            now: watch::Sender::new(now),
            in_force: watch::Sender::default(),
            writer: Mutex::default(),
        }))
    }

    /// What is set.
    pub(crate) fn now(&self) -> Network {
        self.now.borrow().clone()
    }

    /// What is set, from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<Network> {
        self.now.subscribe()
    }

    /// Says what is in force.
    pub(super) fn applied(&self, network: &Network) {
        self.in_force.send_replace(Some(network.clone()));
    }

    /// Stores a change, and returns when it is in force.
    ///
    /// # Errors
    /// The file cannot be written; nothing is changed.
    pub(crate) async fn change(
        &self,
        change: impl FnOnce(&mut Network),
    ) -> std::io::Result<()> {
        let _writer = self.writer.lock().await;
        let mut next = self.now();
        change(&mut next);
        let bytes = serde_json::to_vec_pretty(&next).unwrap_or_default();
        if let Err(error) = file::store(&self.path, bytes).await {
            let path = self.path.display();
            tracing::error!(error = %Chain(&error), %path, "not stored");
            return Err(error);
        }
        self.now.send_replace(next.clone());
        if self.in_force.borrow().is_some() {
            let mut in_force = self.in_force.subscribe();
            let done = in_force.wait_for(|it| it.as_ref() == Some(&next));
            // Slow is not wrong.
            let _ = timeout(FORCE, done).await;
        }
        Ok(())
    }
}
