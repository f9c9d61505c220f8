//! What the fleet server is told.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use onprem_link::{log::Format, process::Configuration};
use serde::{Deserialize, Serialize};

/// What the fleet server is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept that must outlive the process.
    pub state_dir: PathBuf,
    /// Where API and console are served: plain HTTP on a loopback address,
    /// TLS on any other.
    pub listen: SocketAddr,
    /// Where devices connect.
    pub devices_listen: SocketAddr,
    /// DNS names and addresses by which devices and people call this server;
    /// they are written into its certificates.
    pub device_names: Vec<String>,
    /// The address that devices are told to connect to, where it is not that
    /// of `devices_listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_devices_url: Option<String>,
    /// A certificate for `listen`, in PEM with its chain; without one, the
    /// fleet's own authority makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// How long requests may take to end when the server stops, in seconds.
    pub drain_seconds: u32,
    /// What is logged: `info`, or such as `info,onprem_fleet=debug`.
    pub log: String,
    /// How it is logged: `text` or `json`.
    pub log_format: Format,
}

impl Configuration for Config {
    const PREFIX: &'static str = "ONPREM_FLEET_";

    fn log(&self) -> (&str, Format) {
        (&self.log, self.log_format)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/onprem-fleet".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            devices_listen: (Ipv4Addr::LOCALHOST, 8444).into(),
            device_names: ["localhost", "127.0.0.1", "::1"]
                .map(str::to_owned)
                .into(),
            public_devices_url: None,
            tls_cert: None,
            tls_key: None,
            drain_seconds: 10,
            log: "info".into(),
            log_format: Format::Text,
        }
    }
}
