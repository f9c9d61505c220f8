//! What came on a console, on disk: two files, of which the older goes when
//! the newer is full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tracing::warn;

use super::line::{Line, RING};

/// A file has at most so many bytes, and some of one batch.
const FILE: u64 = 512 << 10;

/// What came on a console.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    /// Told once, until it can be written again.
    failing: bool,
    /// Bytes that had to be given up since.
    lost: u64,
}

impl History {
    /// What is kept in `folder`; its end goes into the memory of `line`.
    pub(super) fn open(folder: &Path, line: &Line) -> Self {
        let folder = folder.to_owned();
        let history = Self { folder, failing: false, lost: 0 };
        line.prepend(&history.kept(RING));
        history
    }

    fn current(&self) -> PathBuf {
        self.folder.join("current")
    }

    fn previous(&self) -> PathBuf {
        self.folder.join("previous")
    }

    /// The last `most` bytes on disk. What cannot be read is not there.
    fn kept(&self, most: usize) -> Vec<u8> {
        let read = |path: PathBuf, most: usize| {
            let tail = end_of(&path, most);
            tail.unwrap_or_else(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(%error, path = %path.display(), "console history");
                }
                Vec::new()
            })
        };
        let current = read(self.current(), most);
        let mut all = read(self.previous(), most - current.len());
        all.extend(current);
        all
    }

    /// The last `most` bytes that came.
    pub(super) fn tail(&self, line: &Line, most: usize) -> Vec<u8> {
        let (_, fresh) = line.unsaved();
        let mut all = self.kept(most.saturating_sub(fresh.len()));
        let skip = fresh.len().saturating_sub(most);
        all.extend(fresh.iter().skip(skip));
        all
    }

    /// Writes what is new on `line`. What cannot be written stays in memory as
    /// long as there is room, and is tried again with what comes next.
    pub(super) fn save(&mut self, line: &Line) {
        let (lost, bytes) = line.unsaved();
        line.saved(lost);
        self.lost += lost;
        if bytes.is_empty() {
            return;
        }
        let mut text = Vec::new();
        if self.lost > 0 {
            let lost = self.lost;
            text = format!("\r\n[on-prem: {lost} bytes were not kept]\r\n")
                .into_bytes();
        }
        text.extend(&bytes);
        match self.append(&text) {
            Ok(()) => {
                (self.failing, self.lost) = (false, 0);
                line.saved(bytes.len() as u64);
            }
            Err(error) if !self.failing => {
                self.failing = true;
                warn!(
                    %error, folder = %self.folder.display(),
                    "console history is not kept for now"
                );
            }
            Err(_) => {}
        }
    }

    fn append(&self, text: &[u8]) -> io::Result<()> {
        let current = self.current();
        let mut file = match open(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                open(&current)?
            }
            file => file?,
        };
        let mut before = file.seek(SeekFrom::End(0))?;
        // First: what fails after the batch is written would write it twice.
        if before >= FILE {
            file.sync_all()?;
            fs::rename(&current, self.previous())?;
            (file, before) = (open(&current)?, 0);
        }
        if let Err(error) = file.write_all(text) {
            // Half a batch would come twice.
            let _ = file.set_len(before);
            return Err(error);
        }
        Ok(())
    }

    /// Sees to it that what was written survives a loss of power.
    pub(super) fn sync(&self) {
        let synced = File::open(self.current()).and_then(|it| it.sync_all());
        if let Err(error) = synced
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, "console history not synced");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn end_of(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Attached;

    fn line() -> Line {
        Line::new(&[], Attached::Yes)
    }

    #[test]
    fn what_came_is_there_after_a_restart_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("console/node");
        let before = line();
        let mut history = History::open(&folder, &before);
        for number in 0..60_000 {
            before.feed(format!("line {number:06} of many\r\n").as_bytes());
            if number % 1000 == 0 {
                history.save(&before);
            }
        }
        history.save(&before);
        before.feed(b"not saved");
        let tail = history.tail(&before, 20);
        assert_eq!(tail, b"999 of many\r\nnot saved"[2..]);
        let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
        let batch = 30_000;
        assert!(size("previous") < FILE + batch);
        assert!(size("current") < FILE);
        // Another process.
        let after = line();
        let history = History::open(&folder, &after);
        let (_, bytes) = after.after(after.start(9, None), 100);
        assert_eq!(bytes, b"of many\r\n");
        assert_eq!(after.unsaved().1, b"");
        let all = history.tail(&after, usize::MAX >> 1);
        assert!(all.len() as u64 > FILE, "{}", all.len());
        assert!(all.ends_with(b"line 059999 of many\r\n"));
    }

    #[test]
    fn what_cannot_be_put_aside_brings_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let [current, previous] =
            ["current", "previous"].map(|name| folder.path().join(name));
        fs::write(&current, vec![b'x'; 512 << 10]).unwrap();
        // Where the older file should be, there is a folder.
        fs::create_dir(&previous).unwrap();
        let line = line();
        let mut history = History::open(folder.path(), &line);
        line.feed(b"new");
        history.save(&line);
        history.save(&line);
        fs::remove_dir(&previous).unwrap();
        history.save(&line);
        assert_eq!(fs::read(&current).unwrap(), b"new");
        assert_eq!(fs::metadata(&previous).unwrap().len(), FILE);
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("console");
        // Where the folder should be, there is a file.
        fs::write(&folder, "").unwrap();
        let line = line();
        let mut history = History::open(&folder, &line);
        line.feed(b"one ");
        history.save(&line);
        assert_eq!(history.tail(&line, 100), b"one ");
        fs::remove_file(&folder).unwrap();
        line.feed(b"two");
        history.save(&line);
        assert_eq!(line.unsaved().1, b"");
        assert_eq!(history.tail(&line, 100), b"one two");
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        line.feed(&vec![b'x'; RING + 10]);
        history.save(&line);
        line.feed(b"y");
        fs::remove_file(&folder).unwrap();
        history.save(&line);
        let kept = fs::read_to_string(folder.join("current")).unwrap();
        assert!(kept.contains("[on-prem: 11 bytes were not kept]"));
        assert!(kept.ends_with("xxxy"));
    }
}
