//! A file that a task writes without waiting for a disk that hangs: whatever
//! becomes of a write that nobody waits for any more, the last content stays.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use onprem_link::{file::replace, task::blocking};
use tokio::task::JoinHandle;

/// What writes one file.
#[derive(Debug)]
pub(crate) struct Writer {
    file: PathBuf,
    /// What is to be written next; what is newer takes its place.
    wanted: Arc<Mutex<Option<Vec<u8>>>>,
    /// What a disk that hangs has not taken yet.
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, wanted: Arc::default(), writing: None }
    }

    /// Where it writes.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Replaces the file with `content`; it is on disk when this returns. Who
    /// stops waiting has it written all the same, and never after what is
    /// newer.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) async fn write(&mut self, content: Vec<u8>) -> io::Result<()> {
        *lock(&self.wanted) = Some(content);
        // The one before may have taken this along.
        let mut written = Ok(());
        while self.writing.is_some() || lock(&self.wanted).is_some() {
            let (file, wanted) = (self.file.clone(), Arc::clone(&self.wanted));
            let writing = self
                .writing
                .get_or_insert_with(|| blocking(move || all(&file, &wanted)));
            written = writing.await.unwrap_or_else(|error| Err(error.into()));
            self.writing = None;
        }
        written
    }
}

/// Writes what is wanted to `file`, until nothing is.
fn all(file: &Path, wanted: &Mutex<Option<Vec<u8>>>) -> io::Result<()> {
    let mut written = Ok(());
    loop {
        let Some(content) = lock(wanted).take() else { return written };
        written = replace(file, &content);
    }
}

fn lock<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_written_last_stays_on_a_disk_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut writer = Writer::new(file.clone());
        // A write that hangs, which nobody waits for any more.
        let (release, hung) = std::sync::mpsc::channel::<()>();
        let slow = file.clone();
        writer.writing = Some(blocking(move || {
            let _ = hung.recv();
            replace(&slow, b"old")
        }));
        let short = Duration::from_millis(20);
        let late = tokio::time::timeout(short, writer.write(b"new".into()));
        assert!(late.await.is_err());
        let late = tokio::time::timeout(short, writer.write(b"newer".into()));
        assert!(late.await.is_err());
        release.send(()).unwrap();
        writer.write(b"newest".into()).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"newest");
        assert!(writer.writing.is_none());
    }

    #[tokio::test]
    async fn a_write_that_fails_says_so_and_the_next_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::create_dir(&file).unwrap();
        let mut writer = Writer::new(file.clone());
        assert!(writer.write(b"one".into()).await.is_err());
        std::fs::remove_dir(&file).unwrap();
        writer.write(b"two".into()).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
    }
}
