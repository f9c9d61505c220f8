//! The two slots a program is kept in, and the record that says which counts.
//!
//! Each step is written, synced and renamed before the next begins, so that
//! a power loss at any instant leaves a record that names whole programs.

use std::{
    cmp::Ordering,
    fs::{self, File, Permissions},
    io::{self, BufReader, Read as _, Seek as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use chrono::Utc;
use onprem_link::{file, log::Chain};
use tempfile::{NamedTempFile, TempPath};

pub use super::record::{Installed, Outcome, Record, Slot, Trial};
use super::{
    elf,
    image::{self, Front, Header, ImageError, Trusted},
    version,
};

/// How often a trial is begun before it counts as failed: a power loss in
/// the first must not condemn a good program.
pub const ATTEMPTS: u8 = 2;

/// Why a program cannot be put into a slot.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The image is refused.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file system refuses.
    #[error("cannot write {path}")]
    Write {
        /// What cannot be written.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The version is not one that is wanted.
    #[error(
        "version {image} is not newer than {running}, which runs; {reason}"
    )]
    Policy {
        /// The image's.
        image: String,
        /// What runs.
        running: &'static str,
        /// What would make it wanted.
        reason: &'static str,
    },
    /// Another update is being tried.
    #[error("version {0} is still being tried")]
    Trial(String),
}

impl InstallError {
    /// Did the disk fill up?
    #[must_use]
    pub fn is_full(&self) -> bool {
        let (Self::Write { source: error, .. }
        | Self::Image(ImageError::Write(error))) = self
        else {
            return false;
        };
        file::is_full(error)
    }
}

/// Which versions are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// One that is not newer is wanted as well.
    pub force: bool,
    /// It may even be older.
    pub allow_downgrade: bool,
}

impl Policy {
    fn check(self, image: &str) -> Result<(), InstallError> {
        let running = super::VERSION;
        let reason = match version::compare(image, running) {
            Ordering::Greater => return Ok(()),
            Ordering::Equal if self.force => return Ok(()),
            Ordering::Equal => "`ForceUpdate` installs it again",
            Ordering::Less if self.force && self.allow_downgrade => {
                return Ok(());
            }
            Ordering::Less => {
                "`update.allow_downgrade` and `ForceUpdate` together would \
                 allow it"
            }
        };
        Err(InstallError::Policy { image: image.to_owned(), running, reason })
    }
}

/// A program on its way into a slot; it goes when it is dropped.
#[derive(Debug)]
pub struct Unpacked {
    slot: Slot,
    program: TempPath,
    /// What its image says about it.
    pub header: Header,
}

impl Unpacked {
    /// Where the program lies for now.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// The folder of the slots.
#[derive(Clone, Debug)]
pub struct Slots {
    folder: PathBuf,
    /// What is on disk, for who must not wait for it.
    known: Arc<ArcSwap<Record>>,
}

impl Slots {
    /// The slots in the state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        let known = Arc::default();
        let slots = Self { folder: state_dir.join("slots"), known };
        slots.known.store(Arc::new(slots.read()));
        slots
    }

    /// What the slots hold.
    #[must_use]
    pub fn record(&self) -> Record {
        Record::clone(&self.known.load())
    }

    /// The folder itself, where images come in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program in `slot`.
    #[must_use]
    pub fn program(&self, slot: Slot) -> PathBuf {
        self.folder.join(slot.name()).join(super::PRODUCT)
    }

    /// Is the program in `slot` there, in its full length? What is written
    /// was checked byte by byte; this is for a disk that loses files.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn check(&self, slot: Slot) -> io::Result<()> {
        let expected = self.record().slot(slot).map(|it| it.size);
        let file = File::open(self.program(slot))?;
        let size = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(64).read_to_end(&mut head)?;
        let machine = elf::architecture(&head);
        if expected == Some(size) && machine == Some(std::env::consts::ARCH) {
            return Ok(());
        }
        Err(io::Error::other("the program is not the one that was installed"))
    }

    /// A record that cannot be understood counts as none: the installed
    /// program then runs.
    fn read(&self) -> Record {
        let path = self.path();
        let content = match file::read_if_present(&path) {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, path = %path.display(),
                    "cannot read the record of the slots");
                Vec::new()
            }
        };
        if content.is_empty() {
            return Record::default();
        }
        serde_json::from_slice(&content).unwrap_or_else(|error| {
            tracing::error!(error = %Chain(&error), path = %path.display(),
                "cannot understand the record of the slots");
            Record::default()
        })
    }

    /// Keeps `record`; it is on disk when this returns.
    ///
    /// # Errors
    /// What the file system said.
    pub fn keep(&self, record: &Record) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(record)?;
        file::replace(&self.path(), &bytes)?;
        self.known.store(Arc::new(record.clone()));
        Ok(())
    }

    /// Removes what an interrupted update has left.
    pub fn sweep(&self) {
        let folders = [
            self.folder.clone(),
            self.folder.join(Slot::A.name()),
            self.folder.join(Slot::B.name()),
        ];
        for folder in folders {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                // As `tempfile` names them.
                if entry.file_name().as_encoded_bytes().starts_with(b".tmp") {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    /// A file for an image that comes in; it goes when it is dropped.
    ///
    /// # Errors
    /// What the file system said.
    pub fn incoming(&self) -> io::Result<NamedTempFile> {
        fs::create_dir_all(&self.folder)?;
        NamedTempFile::new_in(&self.folder)
    }

    /// Checks the `image`, and lays its program beside the free slot. What
    /// counts is as before, whatever comes of it.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn unpack(
        &self,
        image: &mut File,
        trusted: &Trusted,
        policy: Policy,
    ) -> Result<Unpacked, InstallError> {
        image.rewind().map_err(ImageError::Read)?;
        let mut image = BufReader::new(image);
        let front = Front::read(&mut image)?;
        let header = front.verify(trusted)?;
        policy.check(&header.version)?;
        let record = self.record();
        if let Some(trial) = &record.trial {
            let version = record.slot(trial.slot).map(|it| it.version.clone());
            return Err(InstallError::Trial(version.unwrap_or_default()));
        }
        let slot = record.free();
        let folder = self.folder.join(slot.name());
        let failed =
            |source| InstallError::Write { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = NamedTempFile::new_in(&folder).map_err(failed)?;
        image::extract(header, &mut image, &mut file)?;
        let mode = Permissions::from_mode(0o700);
        file.as_file().set_permissions(mode).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        // Closed, because what is open for writing cannot be run.
        let program = file.into_temp_path();
        Ok(Unpacked { slot, program, header: front.header })
    }

    /// Puts the program into its slot. Until [`Slots::begin_trial`] nothing
    /// of it will run by itself.
    ///
    /// # Errors
    /// What the file system said; what counts is then as before.
    pub fn place(&self, unpacked: Unpacked) -> io::Result<Slot> {
        let Unpacked { slot, program, header } = unpacked;
        let mut record = self.record();
        // The record must not vouch for a program it does not describe.
        if record.slot(slot).is_some() {
            record.put(slot, None);
            self.keep(&record)?;
        }
        program.persist(self.program(slot)).map_err(|e| e.error)?;
        File::open(self.folder.join(slot.name()))?.sync_all()?;
        record.put(
            slot,
            Some(Installed {
                version: header.version,
                sha256: header.sha256,
                size: header.size,
                at: Utc::now(),
                failed: false,
            }),
        );
        self.keep(&record)?;
        Ok(slot)
    }

    /// Lets the program in `slot` be tried at the next start.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin_trial(
        &self,
        slot: Slot,
        task: Option<String>,
    ) -> io::Result<()> {
        let mut record = self.record();
        record.trial = Some(Trial { slot, attempts: ATTEMPTS, task });
        record.outcome = None;
        self.keep(&record)
    }

    /// Notes that what the last trial led to was told.
    ///
    /// # Errors
    /// What the file system said.
    pub fn told(&self) -> io::Result<()> {
        let mut record = self.record();
        record.outcome = None;
        self.keep(&record)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("slots.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_record_means_the_installed_program() {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::new(folder.path());
        assert_eq!(slots.record(), Record::default());
        fs::create_dir_all(slots.folder()).unwrap();
        fs::write(slots.path(), "{\"current\": \"c\"}").unwrap();
        assert_eq!(Slots::new(folder.path()).record(), Record::default());
        fs::write(slots.folder().join(".tmpabc"), "x").unwrap();
        slots.sweep();
        assert!(!slots.folder().join(".tmpabc").exists());
    }
}
