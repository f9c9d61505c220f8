//! The files of a log: numbered segments that are only ever added to.
//!
//! Each line is JSON. What a crash leaves half written at the end is cut off
//! when the log is opened; a broken line elsewhere is left out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use onprem_link::file;
use serde::{Deserialize, Serialize};

use super::entry::Entry;

/// At this size, in bytes, a segment is followed by the next.
const SEGMENT: u64 = 128 << 10;
/// Segments beyond this number are written anew as one.
const SEGMENTS: usize = 8;

/// A line of a segment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// All entries up to this id are gone, and those before this line.
    Cleared {
        cleared: u64,
    },
    /// Somebody has seen to an entry, or not.
    Resolved {
        resolved: u64,
        to: bool,
    },
    /// Whether entries are taken.
    Enabled {
        enabled: bool,
    },
    Entry(Box<Entry>),
}

impl Line {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The segments of one log, by the one who writes them.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    /// The numbers of the segments, the newest last.
    numbers: Vec<u64>,
    /// The newest, with its size.
    open: Option<(File, u64)>,
}

impl Segments {
    /// Reads what is in `folder`, line by line.
    pub(super) fn open(
        folder: &Path,
        mut read: impl FnMut(Line, &str),
    ) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut numbers = Vec::new();
        for file in fs::read_dir(folder)? {
            let name = file?.file_name();
            let name = name.to_str().and_then(|it| it.strip_suffix(".jsonl"));
            numbers.extend(name.and_then(|it| it.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let mut segments =
            Self { folder: folder.to_owned(), numbers, open: None };
        let newest = segments.numbers.last().copied();
        for number in segments.numbers.clone() {
            let path = segments.path(number);
            let content = fs::read(&path)?;
            let good = replay(&content, &mut read);
            if good < content.len() {
                let file = path.display();
                let lost = content.len() - good;
                tracing::warn!(%file, lost, "half a line cut off");
                let file = OpenOptions::new().write(true).open(&path)?;
                file.set_len(good as u64)?;
                file.sync_all()?;
            }
            if Some(number) == newest {
                let file = OpenOptions::new().append(true).open(&path)?;
                segments.open = Some((file, good as u64));
            }
        }
        Ok(segments)
    }

    /// Adds whole lines; on disk when it returns if `sync`.
    pub(super) fn append(&mut self, lines: &str, sync: bool) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(_, size)| *size >= SEGMENT) {
            let number = self.next();
            let mut options = OpenOptions::new();
            options.create_new(true).append(true).mode(0o600);
            let file = options.open(self.path(number))?;
            File::open(&self.folder)?.sync_all()?;
            self.numbers.push(number);
            self.open = Some((file, 0));
        }
        let Some((file, size)) = &mut self.open else { return Ok(()) };
        let before = *size;
        let written = file
            .write_all(lines.as_bytes())
            .and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Half a line must not become the beginning of the next.
            let _ = file.set_len(before);
            return Err(error);
        }
        *size += lines.len() as u64;
        Ok(())
    }

    /// Are there more than one wants to keep?
    pub(super) fn many(&self) -> bool {
        self.numbers.len() > SEGMENTS
    }

    /// Replaces all segments by one with these lines.
    pub(super) fn rewrite(&mut self, lines: &str) -> io::Result<()> {
        let number = self.next();
        let path = self.path(number);
        file::replace(&path, lines.as_bytes())?;
        let old = std::mem::replace(&mut self.numbers, vec![number]);
        let file = OpenOptions::new().append(true).open(&path)?;
        self.open = Some((file, lines.len() as u64));
        for number in old {
            fs::remove_file(self.path(number))?;
        }
        Ok(())
    }

    fn next(&self) -> u64 {
        self.numbers.last().map_or(1, |last| last + 1)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.jsonl"))
    }
}

/// Hands the lines of `content` to `read`; how much of it is good.
fn replay(content: &[u8], read: &mut impl FnMut(Line, &str)) -> usize {
    let (mut good, mut at) = (0, 0);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let text = line.strip_suffix(b"\n");
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let parsed = text.and_then(|text| {
            serde_json::from_str(text).ok().map(|line| (line, text))
        });
        if let Some((line, text)) = parsed {
            read(line, text);
            good = at;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Severity;

    fn entry(id: u64) -> String {
        let entry = Entry { id, ..Entry::new(Severity::Ok, "text") };
        format!("{}\n", Line::Entry(entry.into()).text())
    }

    fn ids(folder: &Path) -> (Segments, Vec<u64>) {
        let mut ids = Vec::new();
        let segments = Segments::open(folder, |line, _| match line {
            Line::Entry(entry) => ids.push(entry.id),
            Line::Cleared { .. } => ids.clear(),
            _ => {}
        });
        (segments.unwrap(), ids)
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, _) = ids(folder.path());
        segments.append(&entry(1), true).unwrap();
        drop(segments);
        let path = folder.path().join("00000001.jsonl");
        for torn in ["{\"id\":2,\"at\"", "{\"id\":2}\n", "\0\0\0\0"] {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(torn.as_bytes()).unwrap();
            let (_, read) = ids(folder.path());
            assert_eq!(read, [1], "{torn}");
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        }
        let (mut segments, _) = ids(folder.path());
        segments.append(&entry(3), false).unwrap();
        assert_eq!(ids(folder.path()).1, [1, 3]);
    }

    #[test]
    fn a_rewrite_that_was_cut_short_counts_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, _) = ids(folder.path());
        segments.append(&entry(1), true).unwrap();
        let first = folder.path().join("00000001.jsonl");
        let kept = fs::read(&first).unwrap();
        let cleared = Line::Cleared { cleared: 0 }.text();
        segments.rewrite(&format!("{cleared}\n{}", entry(1))).unwrap();
        assert!(!first.exists());
        fs::write(&first, kept).unwrap();
        assert_eq!(ids(folder.path()).1, [1]);
    }
}
