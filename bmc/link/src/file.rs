//! Files that are whole or absent, whatever happens while they are written.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

use crate::task::blocking;

/// Replaces the file at `path`, so that after a power loss at any instant
/// either the old content or the new is there. The file is readable and
/// writable by its owner only (mode 0600).
///
/// # Errors
/// What the file system said; the old file is then untouched.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // `tempfile` makes files with mode 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Replaces the file at `path` as [`replace`] does, for those who must not
/// wait for a disk themselves.
///
/// # Errors
/// What the file system said; the old file is then untouched.
pub async fn store(path: &Path, content: Vec<u8>) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || replace(&path, &content))
        .await
        .unwrap_or_else(|error| Err(error.into()))
}

/// Whether `error` says that there is no room for what is to be kept.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// The content of the file at `path`, or `None` where there is no such file.
///
/// # Errors
/// What the file system said.
pub fn read_if_present(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn replaces_a_file_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/secret");
        assert_eq!(read_if_present(&path).unwrap(), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read_if_present(&path).unwrap(), Some(b"two".to_vec()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
