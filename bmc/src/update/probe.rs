//! Whether a program is what it claims, and whether an agent answers.

use std::{
    error::Error,
    fs,
    io::{self, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustls::AlertDescription;
use tokio::time::{Instant, sleep};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one look at an agent may take.
const LOOK: Duration = Duration::from_secs(5);

/// A process that ends when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `program --version`; what it says. The program is ended when this is
/// given up.
///
/// # Errors
/// It cannot be run, fails, or takes too long.
pub async fn version(program: &Path) -> io::Result<String> {
    let child = Command::new(program)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            let text = "it did not say its version in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        sleep(Duration::from_millis(20)).await;
    };
    let mut said = String::new();
    if let Some(stdout) = running.0.stdout.take() {
        stdout.take(256).read_to_string(&mut said)?;
    }
    if !status.success() {
        let text = format!("`--version` ended with {status}");
        return Err(io::Error::other(text));
    }
    Ok(said.trim().to_owned())
}

/// Asks the agent whose state is in `state_dir` for its service root.
///
/// # Errors
/// It does not listen, or does not answer with 200.
pub async fn look(
    state_dir: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let addresses = fs::read(state_dir.join("addresses.json"))?;
    let addresses: serde_json::Value = serde_json::from_slice(&addresses)?;
    let redfish = addresses.get("redfish").and_then(|it| it.as_str());
    let uri: http::Uri =
        format!("{}/redfish/v1/", redfish.unwrap_or_default()).parse()?;
    // It is asked on the loopback where it listens everywhere.
    let status = tokio::time::timeout(LOOK, super::fetch::status(&uri));
    match status.await? {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => {
            Err(format!("the service root is answered with {status}").into())
        }
        // It lives, and shows itself to those with a certificate only.
        Err(error) if wants_certificate(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Is this how a server that demands client certificates hangs up?
fn wants_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref()
        {
            return *alert == AlertDescription::CertificateRequired;
        }
        let inner = error.downcast_ref().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_that_nobody_waits_for_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let note = folder.path().join("id");
        let text =
            format!("#!/bin/sh\necho $$ > {}\nexec sleep 60\n", note.display());
        fs::write(&program, text).unwrap();
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&program, mode).unwrap();
        let started = async {
            loop {
                if let Ok(id) = fs::read_to_string(&note)
                    && id.ends_with('\n')
                {
                    return id.trim().to_owned();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let id = tokio::select! {
            said = version(&program) => panic!("{said:?}"),
            id = started => id,
        };
        assert!(!Path::new("/proc").join(id).exists(), "it is gone");
    }

    #[test]
    fn who_demands_a_certificate_lives() {
        let hung_up = |alert| {
            let alert = rustls::Error::AlertReceived(alert);
            io::Error::other(io::Error::other(alert))
        };
        let demands = hung_up(AlertDescription::CertificateRequired);
        assert!(wants_certificate(&demands));
        assert!(!wants_certificate(&hung_up(AlertDescription::InternalError)));
        assert!(!wants_certificate(&io::Error::other("refused")));
    }
}
