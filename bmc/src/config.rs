//! The agent's configuration.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use http::Uri;
use onprem_link::{config::Unset, log::Format, process::Configuration};
use serde::{Deserialize, Serialize};

use crate::update::image::Trusted;

/// What can be configured; the default starts with nothing installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a key of the file"
)]
pub struct Config {
    /// What people call this machine; its host name where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The serial number, instead of the one the machine or the board file
    /// gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Where keys, accounts and settings are kept.
    pub state_dir: PathBuf,
    /// Where Redfish is served.
    pub listen: SocketAddr,
    /// Where `/metrics` is served without TLS; on the loopback only.
    pub metrics_listen: SocketAddr,
    /// A board file: the agent then looks after what it describes, which is
    /// this host only where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<PathBuf>,
    /// A new file that notes what is said on the buses of the board file, to
    /// be played back with `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// A recording that is played back on the buses of the board file, whatever
    /// is at their far sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<PathBuf>,
    /// Where `/proc`, `/sys` and `/etc` of the host are.
    pub root: PathBuf,
    /// Whether this host may be restarted and switched off by Redfish.
    pub allow_host_power: bool,
    /// Whether volumes may be made of unused drives of this host, and removed
    /// with all that is on them.
    pub allow_volumes: bool,
    /// Whether ports of this host's bridges may be switched and put into
    /// VLANs. What is changed is undone unless somebody confirms it.
    pub allow_network_changes: bool,
    /// Whether the clock of this machine may be set: by Redfish, and from time
    /// servers.
    pub allow_set_clock: bool,
    /// Whether events may be posted to `http` destinations on other machines.
    pub allow_http_events: bool,
    /// Whether a chassis also has the resources `Power` and `Thermal`, which
    /// DMTF deprecated in favour of what it has anyway.
    pub deprecated_power_thermal: bool,
    /// The fleet's listener for devices, `https://host:8444`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_url: Option<String>,
    /// A file with the join token that the fleet made for this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_token_file: Option<PathBuf>,
    /// What is logged: `warn`, `info`, or as in `info,onprem_bmc=debug`.
    pub log: String,
    /// How log lines look: `text` or `json`.
    pub log_format: Format,
    /// How long running work may take to end when the agent stops, in
    /// seconds.
    pub grace_seconds: u64,
    /// What is done when the fans do not help against heat.
    pub thermal_emergency: Emergency,
    /// Who is at the other ends of cables, and what is changed there.
    pub network: Network,
    /// How the agent itself is updated.
    pub update: Update,
    /// The hardware watchdog that resets this machine when the agent hangs.
    pub watchdog: Watchdog,
}

/// The hardware watchdog that resets this machine when the agent hangs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watchdog {
    /// Its device file, `/dev/watchdog0`. Without one none is fed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<PathBuf>,
    /// How long it waits before it resets the machine, in seconds; that of a
    /// Raspberry Pi waits for 15 at most.
    pub timeout_seconds: u64,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { device: None, timeout_seconds: 15 }
    }
}

/// What is done when the fans do not help against heat: when a temperature
/// stays above its fatal threshold, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emergency {
    /// What is done to the systems beside the sensor: `shutdown`, `force_off`
    /// or `none`.
    pub action: LastMeans,
    /// How long it has to be too hot, in seconds.
    pub after_seconds: u64,
    /// How long a system may take to shut down until it is switched off, in
    /// seconds.
    pub force_after_seconds: u64,
}

/// What is done to a system that is too hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastMeans {
    /// It is shut down, and switched off if it does not.
    Shutdown,
    /// It is switched off at once.
    ForceOff,
    /// It is left on.
    None,
}

impl Default for Emergency {
    fn default() -> Self {
        Self {
            action: LastMeans::Shutdown,
            after_seconds: 10,
            force_after_seconds: 60,
        }
    }
}

/// Who is at the other ends of cables, and what is changed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Whether it is heard by LLDP who is there.
    pub lldp_receive: bool,
    /// Whether the agent says by LLDP who it is. Off, as a program of the host
    /// may say it already.
    pub lldp_transmit: bool,
    /// How long a change of a port waits to be confirmed before it is undone,
    /// in seconds: 5 to 3600.
    pub confirm_seconds: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { lldp_receive: true, lldp_transmit: false, confirm_seconds: 60 }
    }
}

/// How the agent itself is updated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// The ed25519 public keys, base64 of 32 bytes each, that images may be
    /// signed with. Without one no update is taken.
    pub trusted_keys: Vec<String>,
    /// Whether an image may be older than what runs, where the request asks
    /// for it with `ForceUpdate`.
    pub allow_downgrade: bool,
    /// The certificates, in PEM, of those who vouch for servers of images.
    pub ca_file: PathBuf,
    /// How long a new version may take to answer, in seconds.
    pub trial_deadline_seconds: u64,
    /// How long it has to go on answering before it is believed, in seconds.
    pub trial_stable_seconds: u64,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            trusted_keys: Vec::new(),
            allow_downgrade: false,
            ca_file: "/etc/ssl/certs/ca-certificates.crt".into(),
            trial_deadline_seconds: 60,
            trial_stable_seconds: 20,
        }
    }
}

/// The keys that need not be set, as `--print-config` shows them.
const UNSET: &[Unset] = &[
    Unset {
        table: "",
        key: "name",
        example: "\"c001-b8-n01\"",
        meaning: "What people call this machine; its host name without.",
    },
    Unset {
        table: "",
        key: "serial_number",
        example: "\"10000000a1b2c3d4\"",
        meaning: "Its serial number; the one it gives itself without.",
    },
    Unset {
        table: "",
        key: "board",
        example: "\"/etc/onprem/board.toml\"",
        meaning: "A board file, as `probe` proposes one; this host without.",
    },
    Unset {
        table: "",
        key: "record",
        example: "\"/var/tmp/buses.jsonl\"",
        meaning: "A new file for what is said on buses; none without.",
    },
    Unset {
        table: "",
        key: "replay",
        example: "\"/var/tmp/buses.jsonl\"",
        meaning: "A recording that stands for the buses; their parts without.",
    },
    Unset {
        table: "",
        key: "fleet_url",
        example: "\"https://fleet.example:8444\"",
        meaning: "The fleet's listener for devices; no fleet without.",
    },
    Unset {
        table: "",
        key: "join_token_file",
        example: "\"/etc/onprem/join-token\"",
        meaning: "A file with the token to join the fleet with; none without.",
    },
    Unset {
        table: "watchdog",
        key: "device",
        example: "\"/dev/watchdog0\"",
        meaning: "The hardware watchdog; none is fed without.",
    },
];

impl Configuration for Config {
    const PREFIX: &'static str = "ONPREM_BMC_";
    const UNSET: &'static [Unset] = UNSET;

    fn log(&self) -> (&str, Format) {
        (&self.log, self.log_format)
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // systemd makes a directory for `StateDirectory=` and says where.
        let state_dir = env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        Self {
            name: None,
            serial_number: None,
            state_dir: state_dir
                .unwrap_or_else(|| "/var/lib/onprem-bmc".into()),
            listen: loopback(8443),
            metrics_listen: loopback(9100),
            board: None,
            record: None,
            replay: None,
            root: "/".into(),
            allow_host_power: false,
            allow_volumes: false,
            allow_network_changes: false,
            allow_set_clock: false,
            allow_http_events: false,
            deprecated_power_thermal: false,
            fleet_url: None,
            join_token_file: None,
            log: "info".into(),
            log_format: Format::Text,
            grace_seconds: 5,
            thermal_emergency: Emergency::default(),
            network: Network::default(),
            update: Update::default(),
            watchdog: Watchdog::default(),
        }
    }
}

/// A value that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is `{value}`: {reason}")]
pub struct Unusable {
    key: &'static str,
    value: String,
    reason: &'static str,
}

impl Config {
    /// Checks what no type can.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn check(&self) -> Result<(), Unusable> {
        if !self.metrics_listen.ip().is_loopback() {
            return Err(Unusable {
                key: "metrics_listen",
                value: self.metrics_listen.to_string(),
                reason: "it has no TLS, so only the loopback is allowed",
            });
        }
        if let Some(url) = &self.fleet_url
            && !is_fleet_url(url)
        {
            return Err(Unusable {
                key: "fleet_url",
                value: url.clone(),
                reason: "an address like `https://fleet.example:8444` is \
                         expected",
            });
        }
        // What was said once must not switch what is there now.
        for (key, allowed) in [
            ("allow_host_power", self.allow_host_power),
            ("allow_volumes", self.allow_volumes),
            ("allow_network_changes", self.allow_network_changes),
        ] {
            if self.replay.is_some() && allowed {
                return Err(Unusable {
                    key,
                    value: "true".into(),
                    reason: "with `replay` the machine is not touched",
                });
            }
        }
        let emergency = &self.thermal_emergency;
        for (key, value) in [
            ("thermal_emergency.after_seconds", emergency.after_seconds),
            (
                "thermal_emergency.force_after_seconds",
                emergency.force_after_seconds,
            ),
        ] {
            if value > 3600 {
                return Err(Unusable {
                    key,
                    value: value.to_string(),
                    reason: "3600 at most",
                });
            }
        }
        let names =
            [("name", &self.name), ("serial_number", &self.serial_number)];
        for (key, value) in names {
            let Some(value) = value else { continue };
            let fits = (1..=100).contains(&value.chars().count());
            if !fits || value.chars().any(char::is_control) {
                return Err(Unusable {
                    key,
                    value: value.chars().take(100).collect(),
                    reason: "1 to 100 characters on one line are expected",
                });
            }
        }
        let seconds = self.watchdog.timeout_seconds;
        if !(2..=3600).contains(&seconds) {
            return Err(Unusable {
                key: "watchdog.timeout_seconds",
                value: seconds.to_string(),
                reason: "2 to 3600 are expected",
            });
        }
        if !(5..=3600).contains(&self.network.confirm_seconds) {
            return Err(Unusable {
                key: "network.confirm_seconds",
                value: self.network.confirm_seconds.to_string(),
                reason: "5 to 3600 seconds are expected",
            });
        }
        if let Err(key) = Trusted::parse(&self.update.trusted_keys) {
            return Err(Unusable {
                key: "update.trusted_keys",
                value: key,
                reason: "base64 of the 32 bytes of an ed25519 public key is \
                         expected",
            });
        }
        Ok(())
    }
}

/// Whether `url` is a scheme, a host and perhaps a port, and nothing else.
pub(crate) fn is_fleet_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
    let port = port.filter(|port| !port.ends_with(']'));
    uri.scheme_str() == Some("https")
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && port.is_none() == authority.port_u16().is_none()
        && uri.path_and_query().is_none_or(|rest| rest == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_back() {
        let config = Config { name: Some("n01".into()), ..Config::default() };
        let text = onprem_link::config::print(&config, UNSET);
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    /// The keys of what `text` is read as, as its error lists them.
    fn keys(text: &str) -> Vec<String> {
        let error = toml::from_str::<Config>(text).unwrap_err().to_string();
        let (_, known) = error.split_once(", expected").unwrap();
        let known = known.split('`').skip(1).step_by(2);
        known.map(str::to_owned).collect()
    }

    #[test]
    fn each_key_is_printed_set_or_not_and_can_be_set_as_shown() {
        let text = onprem_link::config::print(&Config::default(), UNSET);
        let missing: Vec<_> = ["nothing = 1", "[watchdog]\nnothing = 1"]
            .into_iter()
            .flat_map(keys)
            .filter(|key| {
                let is = |line: &str| {
                    line.starts_with(&format!("{key} = "))
                        || line.starts_with(&format!("# {key} = "))
                        || line == format!("[{key}]")
                };
                !text.lines().any(is)
            })
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "{text}");
        let all: Vec<_> = text
            .lines()
            .map(|line| {
                let set = line.strip_prefix("# ").filter(|it| {
                    let key = it.split(" = ").next().unwrap_or_default();
                    UNSET.iter().any(|it| it.key == key)
                });
                set.unwrap_or(line)
            })
            .collect();
        let all: Config = toml::from_str(&all.join("\n")).unwrap();
        assert_eq!(all.check(), Ok(()));
        assert!(all.watchdog.device.is_some() && all.join_token_file.is_some());
    }

    #[test]
    fn names_the_key_and_the_value_that_cannot_be() {
        let metrics_listen = "0.0.0.0:9100".parse().unwrap();
        let config = Config { metrics_listen, ..Config::default() };
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("`metrics_listen` is `0.0.0.0:9100`"), "{text}");
    }

    #[test]
    fn a_fleet_is_called_by_scheme_host_and_port() {
        let check = |url: &str| {
            let fleet_url = Some(url.to_owned());
            Config { fleet_url, ..Config::default() }.check()
        };
        for good in
            ["https://fleet", "https://10.0.0.1:8444/", "https://[::1]:8444"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "fleet:1",
            "http://fleet:8444",
            "https://",
            "https://:8444",
            "https://fleet:99999",
            "https://fleet:",
            "https://fleet:8444/v1",
            "https://user:password@fleet:8444",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
