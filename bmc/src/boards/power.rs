//! The power of the very machine the agent runs on.

use std::{
    fs, io,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use super::{Power, next_boot::NextBoot};
use crate::{
    bus::pause,
    commands::{CommandError, ResetType},
    drivers::tree::Tree,
    model::{Id, Part, PartSettings, PowerState},
};

/// The configuration key that allows all this.
const KEY: &str = "allow_host_power";
/// How often it is looked whether a program has ended, and how long it is
/// left in between: five seconds in all.
const LOOKS: u32 = 250;
const BETWEEN: Duration = Duration::from_millis(20);

/// What a host can do to itself; it cannot switch itself on.
pub(super) const RESET_TYPES: [ResetType; 4] = [
    ResetType::GracefulShutdown,
    ResetType::GracefulRestart,
    ResetType::ForceOff,
    ResetType::ForceRestart,
];

/// Switches the host off, or starts it again.
///
/// The graceful ways ask `/sbin/shutdown`, which any init brings. The forced
/// ways ask the kernel through `/proc/sysrq-trigger`: write what is dirty,
/// then act at once.
#[derive(Debug)]
pub struct HostPower {
    tree: Tree,
    allowed: bool,
    next_boot: Option<Arc<NextBoot>>,
}

impl HostPower {
    /// Power of the host that `tree` shows, if `allowed`; `next_boot` tells
    /// its firmware where to start from.
    #[must_use]
    pub fn new(
        tree: Tree,
        allowed: bool,
        next_boot: Option<Arc<NextBoot>>,
    ) -> Self {
        Self { tree, allowed, next_boot }
    }

    fn shutdown(&self, how: &str) -> io::Result<()> {
        let mut command = Command::new(self.tree.path("/sbin/shutdown"));
        let mut shutdown = command.args([how, "now"]).spawn()?;
        ended(&mut shutdown, LOOKS)
    }

    fn sysrq(&self, keys: [&str; 2]) -> io::Result<()> {
        let trigger = self.tree.path("/proc/sysrq-trigger");
        keys.iter().try_for_each(|key| fs::write(&trigger, key))
    }
}

/// Waits until `shutdown` has ended well. Where an init does not answer it,
/// the forced ways have to stay open.
fn ended(shutdown: &mut Child, looks: u32) -> io::Result<()> {
    for _ in 0..looks {
        match shutdown.try_wait()? {
            None => pause(BETWEEN),
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(io::Error::other(format!("shutdown: {status}")));
            }
        }
    }
    shutdown.kill()?;
    pause(BETWEEN);
    // One that cannot be killed is not waited for either.
    shutdown.try_wait()?;
    let patience = BETWEEN * looks;
    let message = format!("shutdown: no end in {patience:?}");
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}

impl Power for HostPower {
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError> {
        let part = Part::System(system.clone());
        let what = kind.as_str();
        if !RESET_TYPES.contains(&kind) {
            return Err(CommandError::Unsupported { part, what });
        }
        if !self.allowed {
            return Err(CommandError::Refused { part, what, key: KEY });
        }
        let done = match kind {
            ResetType::GracefulShutdown => self.shutdown("-h"),
            ResetType::GracefulRestart => self.shutdown("-r"),
            ResetType::ForceOff => self.sysrq(["s", "o"]),
            _ => self.sysrq(["s", "b"]),
        };
        let failed = |error: io::Error| CommandError::Failed {
            part,
            reason: error.to_string(),
        };
        done.map(|()| None).map_err(failed)
    }

    fn configure(
        &self,
        system: &Id,
        settings: &PartSettings,
    ) -> Result<u64, CommandError> {
        let Some(next) = &self.next_boot else { return Ok(0) };
        next.tell(settings.boot).map_err(|error| CommandError::Failed {
            part: Part::System(system.clone()),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn host(folder: &Path, allowed: bool) -> HostPower {
        fs::create_dir_all(folder.join("proc")).unwrap();
        fs::create_dir_all(folder.join("sbin")).unwrap();
        let script = folder.join("sbin/shutdown");
        let text = "#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/asked\"\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .unwrap();
        HostPower::new(Tree::new(folder), allowed, None)
    }

    #[test]
    fn refuses_unless_the_configuration_allows_it() {
        let folder = tempfile::tempdir().unwrap();
        let power = host(folder.path(), false);
        for kind in RESET_TYPES {
            let error = power.reset(&"host".into(), kind).unwrap_err();
            assert!(matches!(error, CommandError::Refused { .. }), "{error}");
        }
        assert!(!folder.path().join("sbin/asked").exists());
        assert!(!folder.path().join("proc/sysrq-trigger").exists());
    }

    #[test]
    fn asks_the_init_or_the_kernel_when_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let power = host(folder.path(), true);
        let read =
            |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        power.reset(&"host".into(), ResetType::GracefulRestart).unwrap();
        assert_eq!(read("sbin/asked"), "-r now\n");
        power.reset(&"host".into(), ResetType::ForceOff).unwrap();
        assert_eq!(read("proc/sysrq-trigger"), "o");
        let error = power.reset(&"host".into(), ResetType::On).unwrap_err();
        assert!(matches!(error, CommandError::Unsupported { .. }));
    }

    #[test]
    fn a_shutdown_that_hangs_is_not_waited_for() {
        let mut hanging = Command::new("sleep").arg("60").spawn().unwrap();
        let error = ended(&mut hanging, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(!hanging.wait().unwrap().success());
        let mut failing = Command::new("false").spawn().unwrap();
        let error = ended(&mut failing, LOOKS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    }
}
