//! A file system tree as the kernel shows it: `/`, or a fixture of it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The most one file may have to say.
const LIMIT: u64 = 256 * 1024;

/// Where `/proc`, `/sys` and `/etc` are. Every reader takes one, so that a
/// fixture is as good as a machine.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree under `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where `path`, which is absolute in the tree, is outside of it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The content of the file at `path`.
    ///
    /// # Errors
    /// What the file system said.
    pub fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = File::open(self.path(path))?;
        file.take(LIMIT).read_to_end(&mut content)?;
        Ok(content)
    }

    /// The text of the file at `path` without white space and NULs at its
    /// ends; nothing where the file is absent, unreadable or empty.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let content = self.bytes(path).ok()?;
        let text = String::from_utf8_lossy(&content);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The number in the file at `path`.
    #[must_use]
    pub fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The names in the folder at `path`, in a stable order: `a2` before
    /// `a10`.
    #[must_use]
    pub fn entries(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> =
            names.filter_map(|name| name.into_string().ok()).collect();
        names.sort_by_key(|name| {
            let digits = name.trim_start_matches(|c: char| !c.is_numeric());
            let stem = name.len() - digits.len();
            let end = digits.find(|c: char| !c.is_numeric());
            let number = digits.get(..end.unwrap_or(digits.len()));
            let number = number.and_then(|n| n.parse::<u64>().ok());
            (name.get(..stem).map(str::to_owned), number, name.clone())
        });
        names
    }

    /// Whether anything is at `path`.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The last name of what the link at `path` leads to.
    #[must_use]
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::canonicalize(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// What the link at `path` leads to in the end, as text.
    #[must_use]
    pub fn canonical(&self, path: &str) -> Option<String> {
        let target = fs::canonicalize(self.path(path)).ok()?;
        Some(target.to_str()?.to_owned())
    }

    /// What the link at `path` leads to, as text.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.to_str()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_numbers_by_size_and_trims_what_device_trees_end_with() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["hwmon10", "hwmon2", "a"] {
            fs::write(folder.path().join(name), "Pi\0").unwrap();
        }
        fs::write(folder.path().join("empty"), "\n").unwrap();
        let tree = Tree::new(folder.path());
        assert_eq!(tree.entries("/"), ["a", "empty", "hwmon2", "hwmon10"]);
        assert_eq!(tree.text("/a").as_deref(), Some("Pi"));
        assert_eq!(tree.text("/empty"), None);
        assert_eq!(tree.text("/absent"), None);
    }
}
