//! Where a node's own agent is, and how it is known: what a board file says.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde::Deserialize;

use super::client::tls;
use crate::model::Id;

/// How long a node may take to shut down: systemd gives services 90 s.
const SHUTDOWN: f64 = 90.0;
/// How long a node is left to itself after its agent has gone, which is one of
/// the first to go: the others have 90 s by systemd (`DefaultTimeoutStopSec`),
/// and file systems are unmounted last.
const SETTLE: f64 = 120.0;
/// How long a node may take to come back from a restart.
const RESTART: f64 = 300.0;
/// The longest of them all.
const LONGEST: f64 = 3600.0;
/// The largest file that is read, in bytes.
const FILE: u64 = 64 << 10;

/// What a board file can say of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `https://10.0.0.5:8443`.
    url: String,
    /// The account there; it needs `Operator`.
    user: String,
    /// The first line is its password.
    password_file: PathBuf,
    /// The SHA-256 of the certificate that it shows, in hexadecimal.
    fingerprint: Option<String>,
    /// The certificate that it shows, or of who signed it, in PEM.
    certificate_file: Option<PathBuf>,
    /// Which system there the node is, if there are several.
    system: Option<Id>,
    /// How long it may take to shut down.
    shutdown_seconds: Option<f64>,
    /// How long its power stays on after its agent has gone.
    settle_seconds: Option<f64>,
    /// How long it may take to come back from a restart.
    restart_seconds: Option<f64>,
}

/// How an agent is known by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// It shows the one with this SHA-256.
    Sha256([u8; 32]),
    /// It shows one of these, or one signed by them.
    Certificates(Vec<CertificateDer<'static>>),
}

/// A password. It is never shown.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A node's own agent, and how long the node may take.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the board file has it.
    pub(super) url: String,
    /// Name or address, and port.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
    /// TLS to who is known by its certificate.
    pub(super) tls: Arc<ClientConfig>,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) system: Option<Id>,
    pub(super) shutdown: Duration,
    pub(super) settle: Duration,
    pub(super) restart: Duration,
}

impl Options {
    /// What it says, with what its files say.
    ///
    /// # Errors
    /// The key and the value that cannot be.
    pub fn target(&self) -> Result<Target, String> {
        let wrong = |why: &str| format!("`url` is `{}`: {why}", self.url);
        let uri: Uri = self.url.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("it has to begin with `https://`"));
        }
        let bare = uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().map_or("", |it| it.as_str());
        if !bare || authority.contains('@') {
            return Err(wrong("nothing but a host and a port can be in it"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| wrong("it has no host"))?;
        if self.user.is_empty() || self.user.len() > 255 {
            return Err("`user` has to have 1 to 255 letters".to_owned());
        }
        let seconds = |key: &str, value: Option<f64>, usual: f64| {
            let value = value.unwrap_or(usual);
            if (0.0..=LONGEST).contains(&value) {
                return Ok(Duration::from_secs_f64(value));
            }
            Err(format!("`{key}` is {value}: 0 to {LONGEST} are possible"))
        };
        let password = read("password_file", &self.password_file)?;
        let password = password.lines().next().unwrap_or_default().trim();
        if password.is_empty() {
            let file = self.password_file.display();
            return Err(format!("`password_file` {file}: it is empty"));
        }
        let tls = tls(&self.pin()?).map_err(|error| {
            let file = self.certificate_file.as_deref();
            let file = file.unwrap_or(Path::new("")).display();
            format!("`certificate_file` {file}: no TLS with it: {error}")
        })?;
        Ok(Target {
            url: self.url.clone(),
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(443),
            name,
            tls,
            user: self.user.clone(),
            password: Secret(password.to_owned()),
            system: self.system.clone(),
            shutdown: seconds(
                "shutdown_seconds",
                self.shutdown_seconds,
                SHUTDOWN,
            )?,
            settle: seconds("settle_seconds", self.settle_seconds, SETTLE)?,
            restart: seconds("restart_seconds", self.restart_seconds, RESTART)?,
        })
    }

    /// How it is known.
    fn pin(&self) -> Result<Pin, String> {
        match (&self.fingerprint, &self.certificate_file) {
            (Some(text), None) => {
                digest(text).map(Pin::Sha256).ok_or_else(|| {
                    format!(
                        "`fingerprint` is `{text}`: it has to be a SHA-256, \
                         64 hexadecimal digits"
                    )
                })
            }
            (None, Some(file)) => {
                let text = read("certificate_file", file)?;
                let found = CertificateDer::pem_slice_iter(text.as_bytes());
                match found.collect::<Result<Vec<_>, _>>() {
                    Ok(found) if !found.is_empty() => {
                        Ok(Pin::Certificates(found))
                    }
                    _ => Err(format!(
                        "`certificate_file` {}: no certificate in PEM is in it",
                        file.display()
                    )),
                }
            }
            _ => Err("say one of `fingerprint` and `certificate_file`: the \
                      agent has to be known by its certificate"
                .to_owned()),
        }
    }
}

fn read(key: &str, file: &Path) -> Result<String, String> {
    let wrong = |why: &str| format!("`{key}` {}: {why}", file.display());
    let size = fs::metadata(file).map(|it| it.len());
    if size.map_err(|error| wrong(&error.to_string()))? > FILE {
        return Err(wrong("it is larger than 64 KiB"));
    }
    fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))
}

/// 32 bytes in hexadecimal digits, with colons or without.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|it| *it != ':')
        .map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> =
        pairs.iter().map(|[high, low]| (high << 4) | low).collect();
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:\
        ff:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

    impl Target {
        /// One that is nowhere, with the usual times.
        pub(in crate::node_agent) fn test() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let text = format!(
                "url = \"https://[::1]:1\"\nuser = \"rack\"\n\
                 password_file = \"$/password\"\n\
                 fingerprint = \"{FINGERPRINT}\"\n"
            );
            options(folder.path(), &text).unwrap()
        }
    }

    fn options(folder: &Path, text: &str) -> Result<Target, String> {
        fs::write(folder.join("password"), "horse 7\n").unwrap();
        fs::write(folder.join("empty"), "\n").unwrap();
        let odd = "-----BEGIN CERTIFICATE-----\nb2Rk\n\
                   -----END CERTIFICATE-----\n";
        fs::write(folder.join("odd"), odd).unwrap();
        let text = text.replace('$', &folder.display().to_string());
        let options: Options =
            toml::from_str(&text).map_err(|error| error.to_string())?;
        options.target()
    }

    #[test]
    fn what_cannot_be_is_named_with_its_key_and_value() {
        let folder = tempfile::tempdir().unwrap();
        let good = format!(
            "url = \"https://[::1]:8443\"\nuser = \"rack\"\n\
             password_file = \"$/password\"\nfingerprint = \"{FINGERPRINT}\"\n"
        );
        let target = options(folder.path(), &good).unwrap();
        assert_eq!((&*target.host, target.port), ("::1", 8443));
        assert_eq!(target.password.0, "horse 7");
        assert!(!format!("{target:?}").contains("horse"));
        assert_eq!(target.settle, Duration::from_mins(2));
        assert_eq!(digest(FINGERPRINT).unwrap()[..2], [0, 0x11]);
        let key = format!("fingerprint = \"{FINGERPRINT}\"");
        for (from, to, said) in [
            ("https://[::1]:8443", "http://[::1]", "begin with `https://`"),
            ("https://[::1]:8443", "https://a/redfish", "a host and a port"),
            ("https://[::1]:8443", "https://u@a", "a host and a port"),
            ("\"rack\"", "\"\"", "`user`"),
            ("$/password", "$/none", "`password_file`"),
            ("$/password", "$/empty", "it is empty"),
            ("00:11:22", "0:11:22", "64 hexadecimal digits"),
            ("00:11:22", "zz:11:22", "64 hexadecimal digits"),
            ("fingerprint", "certificate_file", "`certificate_file` 00:11"),
            (&key, "certificate_file = \"$/empty\"", "no certificate in PEM"),
            (&key, "certificate_file = \"$/odd\"", "/odd: no TLS with it"),
            ("user", "settle_seconds = -1\nuser", "`settle_seconds` is -1"),
            ("user", "shutdown_seconds = 1e9\nuser", "`shutdown_seconds` is"),
            ("user", "pasword = 1\nuser", "unknown field `pasword`"),
        ] {
            assert!(good.contains(from), "{from}");
            let text = good.replacen(from, to, 1);
            let error = options(folder.path(), &text).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
        let none = good.split("fingerprint").next().unwrap();
        let error = options(folder.path(), none).unwrap_err();
        assert!(error.contains("say one of"), "{error}");
    }
}
