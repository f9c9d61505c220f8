//! Hardware watchdogs (`Documentation/watchdog/watchdog-api.rst` of the
//! kernel): what is not fed in time resets the machine.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::ioctl;
use crate::drivers::tree::Tree;

/// `WDIOF_…` of `linux/watchdog.h`.
const OVERHEAT: i32 = 0x0001;
const POWER_UNDER: i32 = 0x0010;
const CARD_RESET: i32 = 0x0020;
const POWER_OVER: i32 = 0x0040;
const MAGIC_CLOSE: u32 = 0x0100;

/// Why the machine was started, as far as a watchdog knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The watchdog was not fed.
    Watchdog,
    /// It was too warm.
    Heat,
    /// The power was not as it should be.
    Power,
}

/// What a watchdog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What its driver calls it.
    pub name: String,
    /// Whether it can be stopped again.
    pub stops: bool,
    /// Why it says that the machine was started.
    pub cause: Option<ResetCause>,
}

/// A watchdog that is open, and thereby watches.
pub trait Watchdog: Send {
    /// What it is.
    ///
    /// # Errors
    /// What the kernel said.
    fn identity(&mut self) -> io::Result<Identity>;

    /// Has it wait for `wanted` from now on, in whole seconds, and says how
    /// long it will wait.
    ///
    /// # Errors
    /// It cannot wait for so long, or what else the kernel said.
    fn set_timeout(&mut self, wanted: Duration) -> io::Result<Duration>;

    /// How long it waits.
    ///
    /// # Errors
    /// What the kernel said.
    fn timeout(&mut self) -> io::Result<Duration>;

    /// How long it will wait from now on, where it can say so.
    fn left(&mut self) -> Option<Duration>;

    /// Feeds it.
    ///
    /// # Errors
    /// What the kernel said.
    fn feed(&mut self) -> io::Result<()>;

    /// Stops it. Without that it goes on when it is dropped.
    ///
    /// # Errors
    /// What the kernel said.
    fn stop(&mut self) -> io::Result<()>;
}

/// The way to a watchdog.
pub trait Kennel: Send + Sync {
    /// Opens it, which sets it going.
    ///
    /// # Errors
    /// There is none, or somebody else has it.
    fn open(&self) -> io::Result<Box<dyn Watchdog>>;
}

/// A watchdog as the kernel has it.
#[derive(Debug)]
pub struct KernelKennel {
    tree: Tree,
    path: PathBuf,
}

impl KernelKennel {
    /// The watchdog whose device file is `path` in `tree`.
    #[must_use]
    pub fn new(tree: Tree, path: &Path) -> Self {
        Self { tree, path: path.to_owned() }
    }
}

impl Kennel for KernelKennel {
    fn open(&self) -> io::Result<Box<dyn Watchdog>> {
        let path = self.path.to_str().unwrap_or_default();
        let file = OpenOptions::new().write(true).open(self.tree.path(path))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // The older of two names for the first.
        let name = if name == "watchdog" { "watchdog0".into() } else { name };
        let forever = format!("/sys/class/watchdog/{name}/nowayout");
        let forever = self.tree.number::<u8>(&forever) == Some(1);
        Ok(Box::new(KernelWatchdog { file, forever }))
    }
}

#[derive(Debug)]
struct KernelWatchdog {
    file: File,
    /// Whether the kernel was told never to stop it.
    forever: bool,
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default())
}

impl Watchdog for KernelWatchdog {
    fn identity(&mut self) -> io::Result<Identity> {
        let support = ioctl::support(&self.file)?;
        let name = String::from_utf8_lossy(&support.identity);
        // A watchdog that cannot say it has nothing to say.
        let said = ioctl::boot_status(&self.file).unwrap_or_default();
        let is = |bits: i32| said > 0 && said & bits != 0;
        let cause = if is(CARD_RESET) {
            Some(ResetCause::Watchdog)
        } else if is(OVERHEAT) {
            Some(ResetCause::Heat)
        } else {
            is(POWER_UNDER | POWER_OVER).then_some(ResetCause::Power)
        };
        Ok(Identity {
            name: name.trim_end_matches('\0').trim().to_owned(),
            stops: support.options & MAGIC_CLOSE != 0 && !self.forever,
            cause,
        })
    }

    fn set_timeout(&mut self, wanted: Duration) -> io::Result<Duration> {
        let wanted = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        ioctl::set_timeout(&self.file, wanted).map(seconds)
    }

    fn timeout(&mut self) -> io::Result<Duration> {
        ioctl::timeout(&self.file).map(seconds)
    }

    fn left(&mut self) -> Option<Duration> {
        ioctl::time_left(&self.file).ok().map(seconds)
    }

    fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(b"\0")
    }

    fn stop(&mut self) -> io::Result<()> {
        // The kernel stops it when the file is closed after this byte.
        self.file.write_all(b"V")
    }
}
